//! A data block that is unpacked only as far as one lookup needs.
//!
//! ```text
//!   file    │ entries, packed                    │ offsets │ tags │ count │
//!                                                            └ which entry has the key's tag?
//!   room    │ entry 0 │ entry 1 │ entry 2 │      …
//!                               └─────────┘ unpacked up to its end, and no further
//! ```
//!
//! On average that is half of the block, and nothing where no entry has the tag.

use alluvium_base::Seq;

use super::{COUNT_BYTES, Entry, find_tagged, offset_width};
use crate::lz4::Unpacking;

/// A block whose tail is at hand and whose entries are packed. Either may hold anything.
#[derive(Debug)]
pub(crate) struct PartialBlock<'a> {
    entries: Unpacking<'a>,
    /// What the entries take once all are unpacked, in bytes.
    entries_len: usize,
    offsets: &'a [u8],
    tags: &'a [u8],
    /// Bytes of an offset.
    width: usize,
}

impl<'a> PartialBlock<'a> {
    /// The block with these parts, whose entries take `entries_len` bytes; `tail` is as long as
    /// [`tail_len`](super::tail_len) says.
    pub(crate) fn new(packed: &'a [u8], entries_len: usize, tail: &'a [u8]) -> Self {
        let width = offset_width(entries_len + tail.len());
        let count = (tail.len() - COUNT_BYTES) / (width + 1);
        let (offsets, rest) = tail.split_at(count * width);
        Self { entries: Unpacking::new(packed), entries_len, offsets, tags: &rest[..count], width }
    }

    /// The newest version of `user_key` at or before `at`, unpacked in `room`, and the entry's place
    /// there; `tag` is the key's tag. Says what is wrong with what it comes by.
    ///
    /// `room` has [`SLACK_BYTES`](crate::lz4::SLACK_BYTES) more than the entries take.
    pub(crate) fn find(
        mut self,
        room: &mut [u8],
        user_key: &[u8],
        tag: u8,
        at: Seq,
    ) -> Result<Option<Entry>, &'static str> {
        let found = find_tagged(self.tags, tag, |index| match self.entry(room, index) {
            Ok(entry) => {
                let is_version = entry.key_in(room) == user_key && entry.seq <= at;
                is_version.then_some(Ok(entry))
            }
            Err(what) => Some(Err(what)),
        });
        found.transpose()
    }

    /// Unpacks up to the end of the entry numbered `index`.
    fn entry(&mut self, room: &mut [u8], index: u32) -> Result<Entry, &'static str> {
        let index = index as usize;
        let start = self.offset(index);
        let end =
            if index + 1 < self.tags.len() { self.offset(index + 1) } else { self.entries_len };
        if end > self.entries_len {
            return Err("an offset in the block points beyond its entries");
        }
        self.entries.advance(room, end, self.entries_len)?;
        Entry::decode(&room[..end], start)
            .filter(|entry| entry.end as usize == end && entry.is_sound())
            .ok_or("an offset in the block does not point to its entry")
    }

    fn offset(&self, index: usize) -> usize {
        let mut bytes = [0; size_of::<u32>()];
        let offset = &self.offsets[index * self.width..][..self.width];
        bytes[..self.width].copy_from_slice(offset);
        u32::from_le_bytes(bytes) as usize
    }
}
