//! A cursor over the entries of a table that can still be read, and the list of what cannot.

use alluvium_base::key::compare;
use alluvium_base::{Bytes, Error, InternalKey, Result, Seq};

use super::search::{frame_at, next_frame};
use super::{Blocks, LostStretch, SalvagedTable};
use crate::block::{Block, Entry};
use crate::handle::Handle;

/// Walks forward over every entry of a damaged table that verifies.
#[derive(Debug)]
pub struct SalvageCursor {
    table: SalvagedTable,
    /// The next block: its number, where there is an index, else where it begins.
    next: u64,
    block: Block,
    /// The entry at hand, of `block`.
    at: u32,
    entry: Entry,
    is_valid: bool,
    /// The last entry of the block before, below which nothing may lie.
    floor: Option<(Bytes, Seq)>,
    lost: Vec<LostStretch>,
    /// How many of the last stretches do not know yet which key follows them.
    open_ends: usize,
    entry_count: u64,
}

impl SalvageCursor {
    pub(super) fn new(table: SalvagedTable) -> Self {
        Self {
            table,
            next: 0,
            block: Block::empty(),
            at: 0,
            entry: Entry::NONE,
            is_valid: false,
            floor: None,
            lost: Vec::new(),
            open_ends: 0,
            entry_count: 0,
        }
    }

    /// Moves to the next entry. Answers false when there is none.
    pub fn advance(&mut self) -> bool {
        if self.is_valid && self.at + 1 < self.block.count() {
            self.at += 1;
        } else if let Some(block) = self.next_block() {
            (self.block, self.at) = (block, 0);
        } else {
            self.is_valid = false;
            return false;
        }
        self.entry = self.block.entry(self.at);
        self.entry_count += 1;
        self.is_valid = true;
        true
    }

    /// The key of the entry at hand. Requires that the last [`advance`](Self::advance) answered true.
    pub fn key(&self) -> InternalKey<'_> {
        self.block.key(&self.entry)
    }

    /// The stored value of the entry at hand. Requires the same.
    pub fn value(&self) -> &[u8] {
        self.block.value(&self.entry)
    }

    /// The table it reads.
    pub fn table(&self) -> &SalvagedTable {
        &self.table
    }

    /// How many entries it has read.
    pub const fn entry_count(&self) -> u64 {
        self.entry_count
    }

    /// What could not be read so far; all of it once there are no more entries.
    pub fn lost(&self) -> &[LostStretch] {
        &self.lost
    }

    fn next_block(&mut self) -> Option<Block> {
        if self.block.count() > 0 {
            let last = self.block.entry(self.block.count() - 1);
            self.floor = Some((self.block.key_bytes(&last), last.seq));
        }
        let block = match &self.table.blocks {
            Blocks::Indexed(_) => self.next_indexed(),
            Blocks::Sought { end, is_exact } => self.next_sought(*end, *is_exact),
        };
        // Which key follows the stretches that were lost last, is known only now.
        let key = match &block {
            Some(block) => Some(block.key_bytes(&block.entry(0))),
            None => self.table.summary().map(|summary| summary.largest.clone()),
        };
        for lost in self.lost.iter_mut().rev().take(self.open_ends) {
            lost.last_key.clone_from(&key);
        }
        self.open_ends = 0;
        block
    }

    fn next_indexed(&mut self) -> Option<Block> {
        loop {
            let Blocks::Indexed(index) = &self.table.blocks else { return None };
            let number = self.next as usize;
            if number >= index.count() {
                return None;
            }
            let (handle, separator) = (index.handle(number), index.separator(number));
            let read = self.read(handle).and_then(|block| match last_key(&block) {
                Some(last) if last > separator => {
                    Err("an entry is not in the block that the index names".to_owned())
                }
                Some(_) | None => Ok(block),
            });
            self.next += 1;
            match read {
                Ok(block) => return Some(block),
                Err(what) => {
                    let before = number.checked_sub(1);
                    let first_key = match before {
                        Some(before) => Some(Bytes::copy_from_slice(index.separator(before))),
                        None => self.table.summary().map(|summary| summary.smallest.clone()),
                    };
                    let last_key = Some(Bytes::copy_from_slice(separator));
                    let Handle { offset, len: bytes } = handle;
                    self.lost.push(LostStretch { offset, bytes, what, first_key, last_key });
                }
            }
        }
    }

    fn next_sought(&mut self, end: u64, is_exact: bool) -> Option<Block> {
        while self.next < end {
            let offset = self.next;
            let found = match frame_at(&self.table.file, offset, end) {
                Ok(found) => found,
                Err(error) => {
                    self.lose(offset, end, error.to_string());
                    break;
                }
            };
            let Some(handle) = found else {
                let next = next_frame(&self.table.file, offset, end).ok().flatten();
                let upto = next.map_or(end, |handle| handle.offset);
                self.lose(offset, upto, "no block verifies here".to_owned());
                self.next = upto;
                continue;
            };
            self.next = offset + handle.len;
            match self.read(handle) {
                Ok(block) => return Some(block),
                // Whole and no data block: the filter or the index. Data ends here.
                Err(_) if !is_exact => self.next = end,
                Err(what) => self.lose(offset, self.next, what),
            }
        }
        self.next = end;
        None
    }

    /// Notes that everything from `offset` to `end` is lost, behind the keys read so far.
    fn lose(&mut self, offset: u64, end: u64, what: String) {
        let first_key = match &self.floor {
            Some((key, _)) => Some(key.clone()),
            None => self.table.summary().map(|summary| summary.smallest.clone()),
        };
        self.open_ends += 1;
        self.lost.push(LostStretch {
            offset,
            bytes: end - offset,
            what,
            first_key,
            last_key: None,
        });
    }

    /// Reads a block and checks everything, its order too; says what is wrong.
    fn read(&self, handle: Handle) -> Result<Block, String> {
        let file = &self.table.file;
        let what = |error: Error| {
            let Error::Corrupt(corruption) = error else { return error.to_string() };
            corruption.what
        };
        let frame = file.read(handle).map_err(what)?;
        let bytes = file.unpack(&frame, handle.offset).map_err(what)?;
        let block = Block::parse(bytes)?;
        let mut before = self.floor.as_ref().map(|(key, seq)| (&**key, *seq));
        for at in 0..block.count() {
            let entry = block.entry(at);
            let key = block.user_key(&entry);
            if before.is_some_and(|(before, seq)| !compare(before, seq, key, entry.seq).is_lt()) {
                return Err("entries do not ascend".to_owned());
            }
            before = Some((key, entry.seq));
        }
        Ok(block)
    }
}

fn last_key(block: &Block) -> Option<&[u8]> {
    let last = block.count().checked_sub(1)?;
    let entry = block.entry(last);
    // The entry is a copy; its ranges are what counts.
    Some(block.user_key(&entry))
}
