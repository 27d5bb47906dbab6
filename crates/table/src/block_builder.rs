//! Lays entries out as a data block. The layout is pictured in [`crate::block`].

use alluvium_base::InternalKey;
use alluvium_base::codec::{put_varint, varint_len};

use crate::block::{COUNT_BYTES, most_fences_bytes, offset_width};

/// Collects entries in internal key order into one data block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    entries: Vec<u8>,
    offsets: Vec<u32>,
    tags: Vec<u8>,
}

impl BlockBuilder {
    /// How many bytes the block would take in a cache with one more entry of these lengths: its fences lie
    /// behind it there.
    #[inline]
    pub(crate) fn cached_len_with(&self, key: InternalKey<'_>, value_len: usize) -> usize {
        let header = 1
            + varint_len(key.user_key.len() as u64)
            + varint_len(value_len as u64)
            + varint_len(key.seq.get());
        let entries = self.entries.len() + header + key.user_key.len() + value_len;
        let count = self.offsets.len() + 1;
        raw_len(entries, count) + most_fences_bytes(count)
    }

    /// How many bytes the block has.
    pub(crate) fn len(&self) -> usize {
        if self.is_empty() { 0 } else { raw_len(self.entries.len(), self.offsets.len()) }
    }

    /// Bytes it takes in memory.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.entries.capacity() + self.offsets.capacity() * size_of::<u32>() + self.tags.capacity()
    }

    #[cfg(test)]
    pub(crate) const fn count(&self) -> usize {
        self.offsets.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Appends an entry; `tag` is its key's tag.
    #[inline]
    pub(crate) fn add(&mut self, key: InternalKey<'_>, tag: u8, value: &[u8]) {
        let offset = u32::try_from(self.entries.len()).expect("blocks are capped below 4 GiB");
        self.offsets.push(offset);
        self.tags.push(tag);
        self.entries.push(key.kind.encode());
        put_varint(&mut self.entries, key.user_key.len() as u64);
        put_varint(&mut self.entries, value.len() as u64);
        put_varint(&mut self.entries, key.seq.get());
        self.entries.extend_from_slice(key.user_key);
        self.entries.extend_from_slice(value);
    }

    /// Completes the block and hands it to `take`; the builder is empty after.
    pub(crate) fn finish(&mut self, take: impl FnOnce(&[u8])) {
        let raw = raw_len(self.entries.len(), self.offsets.len());
        let width = offset_width(raw);
        for &offset in &self.offsets {
            self.entries.extend_from_slice(&offset.to_le_bytes()[..width]);
        }
        self.entries.extend_from_slice(&self.tags);
        self.entries.extend_from_slice(&(self.offsets.len() as u32).to_le_bytes());
        assert_eq!(self.entries.len(), raw, "the parts add up to the block");
        take(&self.entries);
        self.entries.clear();
        self.offsets.clear();
        self.tags.clear();
    }
}

/// The length of a block with so many bytes of entries: with two-byte offsets where that keeps it
/// within their reach.
#[inline]
fn raw_len(entries: usize, count: usize) -> usize {
    let without_offsets = entries + count + COUNT_BYTES;
    let narrow = without_offsets + count * size_of::<u16>();
    if offset_width(narrow) == size_of::<u16>() {
        narrow
    } else {
        without_offsets + count * size_of::<u32>()
    }
}
