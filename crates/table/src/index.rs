//! Which data block holds a key: flat arrays, searched without following pointers.
//!
//! The index has one entry for each data block: the length of its frame and a separator, a user key
//! at or after the block's last and before the next block's first. When versions of one user key
//! straddle two blocks the separator is that key itself, and a lookup that does not find what it
//! needs in the first goes on to the next. The last separator is the table's largest key.
//!
//! ```text
//!   index := block_count u32 | entry…
//!   entry := frame_len varint | separator_len varint | separator
//!
//!   in memory, for separators "user:17", "user:2", "user:33":
//!   common    "user:"                           ┐
//!   prefixes  0x31370…, 0x320…, 0x33330…        │ first eight bytes after the common ones
//!   offsets   0, 4011, 8040, 12077              ┘ of the blocks, and where the last ends
//! ```
//!
//! Frames lie side by side from the front of the file, so their lengths are all it takes to know
//! where each is.

use std::cmp::Ordering;

use alluvium_base::Bytes;
use alluvium_base::codec::{Decoder, put_slice, put_varint};
use alluvium_base::key::{MAX_KEY_BYTES, key_prefix};

use crate::fences::Fences;
use crate::frame::{MAX_RAW_BYTES, TRAILER_BYTES};
use crate::handle::Handle;

/// Writes index entries as blocks are cut.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl IndexBuilder {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; size_of::<u32>()], count: 0 }
    }

    /// Adds the next block.
    pub(crate) fn add(&mut self, frame_len: u64, separator: &[u8]) {
        put_varint(&mut self.bytes, frame_len);
        put_slice(&mut self.bytes, separator);
        self.count += 1;
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes it takes in memory.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes[..size_of::<u32>()].copy_from_slice(&self.count.to_le_bytes());
        self.bytes
    }
}

/// A short key at or after `last` and before `next`; `last` itself where none is shorter.
///
/// Requires `last < next`.
pub(crate) fn separator<'a>(last: &'a [u8], next: &[u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    let common = common_len(last, next);
    // Behind the first difference any greater byte will do, for the difference itself keeps the
    // result below `next`; at the first difference it must still be less than that of `next`.
    for at in common..last.len() {
        let limit = if at == common { next[at] } else { u8::MAX };
        if last[at] < limit && (at > common || last[at] + 1 < limit) {
            room.clear();
            room.extend_from_slice(&last[..=at]);
            room[at] += 1;
            return room;
        }
    }
    last
}

fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The index of an open table.
#[derive(Debug)]
pub(crate) struct Index {
    /// What all separators begin with.
    common: Box<[u8]>,
    /// The first eight bytes of each separator after the common ones.
    prefixes: Fences,
    /// Where each block begins, and where the last ends.
    offsets: Box<[u64]>,
    /// The separators, side by side.
    keys: Box<[u8]>,
    /// Where each separator ends in `keys`.
    key_ends: Box<[u32]>,
}

impl Index {
    /// Reads an index that may hold anything; its blocks must fill the file up to `data_end`.
    pub(crate) fn parse(bytes: &Bytes, data_end: u64) -> Result<Self, &'static str> {
        let mut decoder = Decoder::new(bytes);
        let count = decoder.u32().ok_or("the index has no count")? as usize;
        // Two bytes are the least an entry takes, so nothing is reserved on the count's word alone.
        if count == 0 || count > decoder.remaining() / 2 {
            return Err("the index's count does not fit its length");
        }
        let mut offsets = Vec::with_capacity(count + 1);
        let mut key_ends = Vec::with_capacity(count);
        let mut keys = Vec::with_capacity(decoder.remaining() - 2 * count);
        let mut end = 0u64;
        for _ in 0..count {
            let frame_len = decoder.varint().ok_or("the index ends inside an entry")?;
            let separator = decoder.slice().ok_or("the index ends inside an entry")?;
            let possible = TRAILER_BYTES as u64 + 1..=(MAX_RAW_BYTES + TRAILER_BYTES) as u64;
            if !possible.contains(&frame_len) || separator.len() > MAX_KEY_BYTES {
                return Err("the index has an entry that no block can have");
            }
            let start = key_ends.last().map_or(0, |&end| end as usize);
            let previous = key_ends.len().checked_sub(2).map_or(0, |i| key_ends[i] as usize);
            if !key_ends.is_empty() && *separator < keys[previous..start] {
                return Err("the index's separators do not ascend");
            }
            offsets.push(end);
            end = end.checked_add(frame_len).ok_or("the index's blocks exceed any file")?;
            keys.extend_from_slice(separator);
            key_ends.push(u32::try_from(keys.len()).map_err(|_| "the index exceeds its limit")?);
        }
        if !decoder.is_empty() {
            return Err("bytes follow the last entry of the index");
        }
        if end != data_end {
            return Err("the index's blocks do not end where the next part begins");
        }
        offsets.push(end);
        Ok(Self::assemble(offsets, keys, key_ends))
    }

    fn assemble(offsets: Vec<u64>, keys: Vec<u8>, key_ends: Vec<u32>) -> Self {
        let mut index = Self {
            common: Box::default(),
            prefixes: Fences::default(),
            offsets: offsets.into(),
            keys: keys.into(),
            key_ends: key_ends.into(),
        };
        // They ascend, so what the first and the last share, all share.
        let last = index.separator(index.count() - 1);
        let common = common_len(index.separator(0), last);
        index.common = last[..common].into();
        let prefixes = (0..index.count()).map(|i| key_prefix(&index.separator(i)[common..]));
        index.prefixes = Fences::new(prefixes.collect());
        index
    }

    /// How many data blocks the table has: at least one.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.key_ends.len()
    }

    /// Where block `index` lies.
    #[inline]
    pub(crate) fn handle(&self, index: usize) -> Handle {
        let offset = self.offsets[index];
        Handle { offset, len: self.offsets[index + 1] - offset }
    }

    /// Where block `index` begins; for the count of blocks, where the last ends.
    #[inline]
    pub(crate) fn offset(&self, index: usize) -> u64 {
        self.offsets[index]
    }

    /// The separator behind block `index`.
    #[inline]
    pub(crate) fn separator(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.key_ends[before] as usize);
        &self.keys[start..self.key_ends[index] as usize]
    }

    /// The first block whose separator is not before `user_key`: the only one that can hold it,
    /// unless the separator equals it (see the module's page). [`count`](Self::count) when the key
    /// is beyond the last.
    #[inline]
    pub(crate) fn find(&self, user_key: &[u8]) -> usize {
        let Some(rest) = user_key.strip_prefix(&*self.common) else {
            return match user_key.cmp(&self.common) {
                Ordering::Less => 0,
                Ordering::Equal | Ordering::Greater => self.count(),
            };
        };
        let prefix = key_prefix(rest);
        let first = self.prefixes.count_less(prefix);
        if self.prefixes.numbers().get(first) != Some(&prefix) {
            return first;
        }
        self.find_among_equals(first, prefix, user_key)
    }

    /// The same where eight bytes did not decide: among the separators from `first` on that share
    /// `prefix`.
    fn find_among_equals(&self, first: usize, prefix: u64, user_key: &[u8]) -> usize {
        // Most ties are short: gallop to their end.
        let (mut step, prefixes) = (1, self.prefixes.numbers());
        while prefixes.get(first + step) == Some(&prefix) {
            step *= 2;
        }
        let (mut low, mut high) = (first, (first + step).min(self.count()));
        while low < high {
            let middle = low + (high - low) / 2;
            if prefixes[middle] == prefix && self.separator(middle) < user_key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.common.len()
            + self.prefixes.memory_bytes()
            + size_of_val(&*self.offsets)
            + size_of_val(&*self.key_ends)
            + self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn index_of(separators: &[Vec<u8>]) -> Index {
        let mut builder = IndexBuilder::new();
        for separator in separators {
            builder.add(100, separator);
        }
        Index::parse(&builder.finish().into(), separators.len() as u64 * 100).expect("sound")
    }

    proptest! {
        #[test]
        fn a_separator_separates(a in vec(250u8.., 0..5), b in vec(250u8.., 0..5)) {
            prop_assume!(a != b);
            let (last, next) = if a < b { (a, b) } else { (b, a) };
            let mut room = Vec::new();
            let separator = separator(&last, &next, &mut room);
            prop_assert!(*separator >= *last && *separator < *next);
            prop_assert!(separator.len() <= last.len());
        }

        #[test]
        fn find_gives_the_first_separator_not_before_the_key(
            common in vec(any::<u8>(), 0..3),
            keys in btree_set(vec(b'a'..b'd', 0..14), 1..60),
            probes in vec(vec(b'a'..b'd', 0..14), 1..60),
        ) {
            let with = |key: &Vec<u8>| [&common[..], key].concat();
            let separators: Vec<_> = keys.iter().map(with).collect();
            let index = index_of(&separators);
            let bare = probes.iter().cloned();
            for probe in probes.iter().map(with).chain(separators.iter().cloned()).chain(bare) {
                let expected = separators.partition_point(|separator| *separator < probe);
                prop_assert_eq!(index.find(&probe), expected, "{:?}", probe);
            }
        }

        #[test]
        fn any_bytes_parse_without_panic(bytes: Vec<u8>, data_end: u64) {
            let parsed = Index::parse(&bytes.into(), data_end);
            prop_assert!(parsed.is_err() || parsed.is_ok_and(|index| index.count() > 0));
        }
    }

    #[test]
    fn long_ties_are_searched_by_their_full_keys() {
        let separators: Vec<_> = (0..100).map(|i| format!("a-shared-prefix-{i:03}-x")).collect();
        let mut with_ends = vec![b"A".to_vec()];
        with_ends.extend(separators.iter().map(|key| key.clone().into_bytes()));
        with_ends.push(b"z".to_vec());
        let index = index_of(&with_ends);
        for (i, separator) in separators.iter().enumerate() {
            assert_eq!(index.find(separator.as_bytes()), i + 1);
            assert_eq!(index.find(format!("{separator}!").as_bytes()), i + 2);
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        let mut bytes = IndexBuilder::new().finish();
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes.extend_from_slice(&[10, 0]);
        assert!(Index::parse(&bytes.into(), 10).is_err());
    }
}
