//! One entry of a data block, decoded: where its parts lie.

use alluvium_base::codec::Decoder;
use alluvium_base::key::{EXPIRY_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use alluvium_base::{Kind, Seq};

/// One entry: what it does, and where in its block key and value lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: Seq,
    pub(crate) kind: Kind,
    pub(super) key_start: u32,
    pub(super) value_start: u32,
    pub(super) end: u32,
}

impl Entry {
    /// Stands in where there is no entry yet.
    pub(crate) const NONE: Self =
        Self { seq: Seq::ZERO, kind: Kind::Delete, key_start: 0, value_start: 0, end: 0 };

    /// Decodes the entry at `at`, without a look at how far its key and value reach.
    #[inline]
    pub(super) fn decode(bytes: &[u8], at: usize) -> Option<Self> {
        // Enough for a kind, a length of one byte, one of two and a sequence. The offsets, tags and
        // count behind the entries keep all but the last from coming too close to the end.
        let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<12>()) else {
            return Self::decode_any(bytes, at);
        };
        let [kind, key_len, value_len, more, ..] = *header;
        let [_, _, _, short_seq @ .., _] = header;
        let [_, _, _, _, long_seq @ ..] = header;
        let (value_len, fixed_bytes, seq_word) =
            match (key_len & 0x80, value_len & 0x80, more & 0x80) {
                (0, 0, _) => (u32::from(value_len), 3, short_seq),
                (0, _, 0) => (u32::from(value_len & 0x7f) | u32::from(more) << 7, 4, long_seq),
                _ => return Self::decode_any(bytes, at),
            };
        let Some((seq, seq_bytes)) = short_varint(u64::from_le_bytes(*seq_word)) else {
            return Self::decode_any(bytes, at);
        };
        let key_start = at as u32 + fixed_bytes + seq_bytes;
        let value_start = key_start + u32::from(key_len);
        Some(Self {
            seq: Seq::decode(seq)?,
            kind: Kind::decode(kind)?,
            key_start,
            value_start,
            end: value_start + value_len,
        })
    }

    /// The same for any lengths, one byte after the other.
    #[inline(never)]
    fn decode_any(bytes: &[u8], at: usize) -> Option<Self> {
        let mut decoder = Decoder::new(bytes.get(at..)?);
        let kind = Kind::decode(decoder.u8()?)?;
        let key_len = u32::try_from(decoder.length()?).ok()?;
        let value_len = u32::try_from(decoder.length()?).ok()?;
        let seq = Seq::decode(decoder.varint()?)?;
        let key_start = u32::try_from(at + decoder.position()).ok()?;
        let value_start = key_start.checked_add(key_len)?;
        Some(Self { seq, kind, key_start, value_start, end: value_start.checked_add(value_len)? })
    }

    /// Its user key, where its block's bytes are `bytes`.
    #[inline]
    pub(super) fn key_in<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.key_start as usize..self.value_start as usize]
    }

    /// Its stored value, where its block's bytes are `bytes`.
    #[inline]
    pub(crate) fn value_in<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.value_start as usize..self.end as usize]
    }

    /// Whether it is an entry that a builder could have written.
    pub(super) fn is_sound(&self) -> bool {
        let key_bytes = (self.value_start - self.key_start) as usize;
        let value_bytes = (self.end - self.value_start) as usize;
        let value_fits = match self.kind {
            Kind::Delete => value_bytes == 0,
            Kind::PutExpiring => {
                (EXPIRY_BYTES..=EXPIRY_BYTES + MAX_VALUE_BYTES).contains(&value_bytes)
            }
            Kind::Put | Kind::Merge | Kind::DeleteRange => value_bytes <= MAX_VALUE_BYTES,
        };
        key_bytes <= MAX_KEY_BYTES && value_fits
    }
}

/// The varint at the front of eight bytes, least significant first, and its length; `None` when it
/// is longer than they are. No branch depends on the length.
#[inline]
pub(super) fn short_varint(word: u64) -> Option<(u64, u32)> {
    let stops = !word & 0x8080_8080_8080_8080;
    if stops == 0 {
        return None;
    }
    let len = stops.trailing_zeros() / 8 + 1;
    let groups = word & (u64::MAX >> (64 - 8 * len)) & 0x7f7f_7f7f_7f7f_7f7f;
    // Seven bits a byte become fourteen in two, twenty-eight in four, fifty-six in eight.
    let pairs = (groups & 0x007f_007f_007f_007f) | (groups & 0x7f00_7f00_7f00_7f00) >> 1;
    let quads = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    Some(((quads & 0x0fff_ffff) | (quads & 0x0fff_ffff_0000_0000) >> 4, len))
}
