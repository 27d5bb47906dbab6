//! Unpacks LZ4 from the front, and only as far as need be.
//!
//! A lookup that reads a block from disk wants one of its entries, and all that stands behind that
//! entry is unpacked for nothing: half of the block. `lz4_flex` unpacks a block as a whole, so this
//! goes step by step, and goes on where it stopped:
//!
//! ```text
//!   packed    │ token │ literals │ offset │ token │ literals │ offset │ …
//!             └────── a sequence ─────────┘
//!   room      │ unpacked ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│ slack │
//!                             enough ▲      most ▲
//! ```
//!
//! Pieces are copied by whole chunks, for a copy of a length that is known to the compiler takes a few
//! instructions. What a chunk writes beyond its piece is overwritten by the next one, or is slack.
//!
//! Source: [LZ4 block format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md). Packed
//! bytes may hold anything: they are refused or unpacked, and nothing panics.

/// How much longer than what is unpacked its room must be, in bytes.
pub(crate) const SLACK_BYTES: usize = 64;

/// A literal or a match up to this length is copied as one chunk.
const CHUNK_BYTES: usize = 64;
/// The same for a sequence whose lengths stand in its token: up to 14 literals and two bytes of offset,
/// and matches of up to 18 bytes.
const SHORT_LITERALS_CHUNK: usize = 16;
const SHORT_MATCH_CHUNK: usize = 18;
/// A length in a token that goes on behind it.
const LONG: usize = 15;
/// Length of a match whose token says 0.
const LEAST_MATCH: usize = 4;
const _: () = assert!(CHUNK_BYTES <= SLACK_BYTES);

const BAD: &str = "the block does not decompress";

/// A packed block on its way to be unpacked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacking<'a> {
    packed: &'a [u8],
    /// How much of `packed` was read: whole sequences.
    read: usize,
    /// How much of the room is filled.
    unpacked: usize,
}

impl<'a> Unpacking<'a> {
    pub(crate) const fn new(packed: &'a [u8]) -> Self {
        Self { packed, read: 0, unpacked: 0 }
    }

    /// Unpacks into `room`, the same for each call, until `enough` bytes stand at its front, or a few
    /// more, but never more than `most`. Says what is wrong if the packed bytes do not yield that.
    ///
    /// # Panics
    /// Unless `room` has [`SLACK_BYTES`] more than `most`.
    pub(crate) fn advance(
        &mut self,
        room: &mut [u8],
        enough: usize,
        most: usize,
    ) -> Result<(), &'static str> {
        assert!(enough <= most && most + SLACK_BYTES <= room.len(), "the room is large enough");
        while self.unpacked < enough {
            self.sequence(room, most).ok_or(BAD)?;
        }
        Ok(())
    }

    /// Unpacks the next sequence; `None` if there is none, or it is none, or it exceeds `most`.
    #[inline]
    fn sequence(&mut self, room: &mut [u8], most: usize) -> Option<()> {
        let token = usize::from(self.byte()?);
        let (literals, matched) = (token >> 4, (token & LONG) + LEAST_MATCH);
        let rest = self.packed.get(self.read..)?;
        // The last sequence has no offset: there are never as many bytes behind its token.
        let offset = match rest.first_chunk::<SHORT_LITERALS_CHUNK>() {
            Some(chunk) if literals < LONG => {
                *room[self.unpacked..].first_chunk_mut()? = *chunk;
                self.read += literals + size_of::<u16>();
                self.unpacked += literals;
                let offset =
                    usize::from(u16::from_le_bytes([chunk[literals], chunk[literals + 1]]));
                let is_short = matched < LONG + LEAST_MATCH && self.unpacked + matched <= most;
                if is_short && (SHORT_MATCH_CHUNK..=self.unpacked).contains(&offset) {
                    let chunk =
                        *room[self.unpacked - offset..].first_chunk::<SHORT_MATCH_CHUNK>()?;
                    *room[self.unpacked..].first_chunk_mut()? = chunk;
                    self.unpacked += matched;
                    return Some(());
                }
                offset
            }
            Some(_) | None => {
                self.copy_literals(literals, room, most)?;
                if self.read == self.packed.len() {
                    return Some(());
                }
                usize::from(u16::from_le_bytes([self.byte()?, self.byte()?]))
            }
        };
        self.copy_match(matched, offset, room, most)
    }

    #[inline]
    fn copy_literals(&mut self, mut len: usize, room: &mut [u8], most: usize) -> Option<()> {
        if len == LONG {
            len = len.checked_add(self.more_length()?)?;
        }
        let from = self.packed.get(self.read..)?;
        if len > from.len() || len > most - self.unpacked {
            return None;
        }
        let to = &mut room[self.unpacked..];
        match from.first_chunk::<CHUNK_BYTES>() {
            Some(chunk) if len <= CHUNK_BYTES => *to.first_chunk_mut()? = *chunk,
            Some(_) | None => to[..len].copy_from_slice(&from[..len]),
        }
        self.read += len;
        self.unpacked += len;
        Some(())
    }

    /// Repeats `len` bytes from `offset` bytes before.
    #[inline]
    fn copy_match(
        &mut self,
        mut len: usize,
        offset: usize,
        room: &mut [u8],
        most: usize,
    ) -> Option<()> {
        if len == LONG + LEAST_MATCH {
            len = len.checked_add(self.more_length()?)?;
        }
        let at = self.unpacked;
        if offset == 0 || offset > at || len > most.checked_sub(at)? {
            return None;
        }
        let start = at - offset;
        if len <= CHUNK_BYTES && offset >= len {
            let chunk = *room[start..].first_chunk::<CHUNK_BYTES>()?;
            *room[at..].first_chunk_mut()? = chunk;
        } else if offset == 1 {
            let byte = room[start];
            match room[at..].first_chunk_mut::<CHUNK_BYTES>() {
                Some(chunk) if len <= CHUNK_BYTES => *chunk = [byte; CHUNK_BYTES],
                Some(_) | None => room[at..at + len].fill(byte),
            }
        } else {
            repeat(&mut room[start..at + len], offset);
        }
        self.unpacked += len;
        Some(())
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.packed.get(self.read)?;
        self.read += 1;
        Some(byte)
    }

    /// The rest of a length that does not fit its token: bytes up to the first that is not 255.
    #[inline]
    fn more_length(&mut self) -> Option<usize> {
        let mut length = 0usize;
        loop {
            let byte = self.byte()?;
            length = length.checked_add(usize::from(byte))?;
            if byte != u8::MAX {
                return Some(length);
            }
        }
    }
}

/// Fills `bytes` with repetitions of the first `period` of them.
fn repeat(bytes: &mut [u8], period: usize) {
    let mut filled = period;
    while filled < bytes.len() {
        let more = filled.min(bytes.len() - filled);
        bytes.copy_within(..more, filled);
        filled += more;
    }
}

#[cfg(test)]
mod tests {
    use lz4_flex::block::{compress, decompress_into};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn unpack(packed: &[u8], most: usize, steps: &[usize]) -> Result<Vec<u8>, &'static str> {
        let mut room = vec![0xaa; most + SLACK_BYTES];
        let mut unpacking = Unpacking::new(packed);
        for &enough in steps.iter().chain([&most]) {
            unpacking.advance(&mut room, enough.min(most), most)?;
            assert!((enough.min(most)..=most).contains(&unpacking.unpacked));
        }
        room.truncate(most);
        Ok(room)
    }

    /// Bytes with matches of many lengths and periods, and literals in between.
    fn repetitive() -> impl Strategy<Value = Vec<u8>> {
        let piece = (vec(any::<u8>(), 0..40), 1usize..400);
        vec(piece, 0..20).prop_map(|pieces| {
            let mut bytes = Vec::new();
            for (unit, len) in pieces {
                bytes.extend(unit.iter().cycle().take(if unit.is_empty() { 0 } else { len }));
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back_in_any_steps(
            bytes in repetitive(),
            mut steps in vec(0usize..8000, 0..6),
        ) {
            steps.sort_unstable();
            let packed = compress(&bytes);
            prop_assert_eq!(unpack(&packed, bytes.len(), &steps), Ok(bytes));
        }

        #[test]
        fn any_bytes_are_refused_or_unpacked_as_by_others(
            packed in vec(prop_oneof![any::<u8>(), Just(0u8), Just(0x1f), Just(0xf1), Just(1)], 0..300),
            most in 0usize..600,
        ) {
            let mut expected = vec![0; most];
            // Whether enough comes of it is what is asked here, not whether more would.
            if decompress_into(&packed, &mut expected).is_ok_and(|len| len == most) {
                prop_assert_eq!(unpack(&packed, most, &[]), Ok(expected));
            } else {
                let _refused_or_longer = unpack(&packed, most, &[most / 2]);
            }
        }

        #[test]
        fn a_flipped_bit_never_panics(bytes in repetitive(), at in any::<prop::sample::Index>(), bit in 0u32..8) {
            let mut packed = compress(&bytes);
            if !packed.is_empty() {
                let at = at.index(packed.len());
                packed[at] ^= 1 << bit;
            }
            let _refused_or_other = unpack(&packed, bytes.len(), &[bytes.len() / 3]);
        }
    }

    #[test]
    fn lengths_beyond_a_token_and_matches_that_overlap_themselves() {
        for period in 1..70 {
            for len in [1, 15, 18, 19, 20, 64, 65, 270, 274, 275, 600] {
                let unit: Vec<u8> = (0..period as u8).map(|n| n.wrapping_mul(37)).collect();
                let bytes: Vec<u8> = unit.iter().copied().cycle().take(period + len).collect();
                let packed = compress(&bytes);
                assert_eq!(unpack(&packed, bytes.len(), &[period, len]), Ok(bytes));
            }
        }
    }

    #[test]
    fn what_ends_early_or_reaches_before_its_beginning_is_refused() {
        let bytes = [7; 300];
        let packed = compress(&bytes);
        assert_eq!(unpack(&packed, 301, &[]), Err(BAD), "less than was asked for");
        assert_eq!(unpack(&packed[..packed.len() - 6], 300, &[]), Err(BAD), "cut");
        assert_eq!(unpack(&[0x10, 7, 2, 0, 0], 5, &[]), Err(BAD), "from before the beginning");
        assert_eq!(unpack(&[0x10, 7, 0, 0, 0], 5, &[]), Err(BAD), "from where it goes");
        assert_eq!(unpack(&[], 1, &[]), Err(BAD), "nothing");
        assert_eq!(unpack(&[], 0, &[]), Ok(Vec::new()));
    }
}
