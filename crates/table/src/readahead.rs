//! Reads many blocks with one call, for cursors.
//!
//! A cursor that goes from block to block and misses the cache reads ever longer stretches of the file, up to
//! [`MAX_STRETCH_BYTES`], in the direction it goes; one that is told to (`readahead`) begins with
//! the longest. A block is verified and unpacked when the cursor comes to it.

use std::ops::Range;

use alluvium_base::{Bytes, Result};

use crate::block::Block;
use crate::cache::MissedBy;
use crate::frame::{Payload, unpack};
use crate::handle::Handle;
use crate::scratch;
use crate::table::Parts;

/// Longest stretch, in bytes, unless a single block is longer: a disk's transfer then takes as long
/// as its latency.
const MAX_STRETCH_BYTES: u64 = 256 << 10;
/// The second block in a row that is missed is read with so many bytes.
const MIN_STRETCH_BYTES: u64 = 16 << 10;

/// A cursor that reads so far ahead is on a long scan.
const LONG_SCAN_BYTES: u64 = 128 << 10;

/// Which way a cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// What a cursor has read beyond the block it needed.
#[derive(Debug)]
pub(crate) struct Readahead {
    /// The blocks that `bytes` holds.
    blocks: Range<usize>,
    /// Where `bytes` begins in the file.
    offset: u64,
    bytes: Bytes,
    /// How much the next call reads at least; 0 for one block.
    stretch: u64,
    /// What `stretch` begins with.
    initial: u64,
    /// The block needed last.
    last: Option<usize>,
}

impl Readahead {
    /// Begins with single blocks, or with the longest stretches when `is_eager`.
    pub(crate) fn new(is_eager: bool) -> Self {
        let initial = if is_eager { MAX_STRETCH_BYTES } else { 0 };
        Self { blocks: 0..0, offset: 0, bytes: Bytes::new(), stretch: initial, initial, last: None }
    }

    /// The cursor was in block `index`, and needed nothing: it goes on from there.
    pub(crate) const fn pass(&mut self, index: usize) {
        self.last = Some(index);
    }

    /// Whether the cursor has come so far that it passes over blocks.
    pub(crate) fn missed_by(&self) -> MissedBy {
        if self.stretch < LONG_SCAN_BYTES { MissedBy::Lookup } else { MissedBy::LongScan }
    }

    /// Bytes of the stretch that was read last.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Block `index`, which a cursor that goes in `direction` needs. With `shares` an uncompressed
    /// block may be a slice of the whole stretch; without it has memory of its own.
    pub(crate) fn block(
        &mut self,
        parts: &Parts,
        index: usize,
        direction: Direction,
        shares: bool,
    ) -> Result<Block> {
        let Handle { offset, len } = parts.index.handle(index);
        if !self.blocks.contains(&index) {
            self.choose_stretch(index, direction);
            let blocks = stretch_of_blocks(parts, index, direction, self.stretch);
            self.last = Some(index);
            if blocks.len() == 1 && len as usize <= scratch::MOST_BYTES {
                return parts.read_block(index);
            }
            self.read(parts, blocks)?;
        }
        self.last = Some(index);
        let start = (offset - self.offset) as usize;
        let frame = &self.bytes[start..start + len as usize];
        let is_alone = self.blocks.len() == 1;
        let unpacked = unpack(frame, offset, parts.file.number);
        let bytes = match unpacked.map_err(|what| parts.file.corrupt(offset, what))? {
            Payload::Decompressed(block) => block.into(),
            Payload::Stored(range) if shares || is_alone => {
                self.bytes.slice(start + range.start..start + range.end)
            }
            Payload::Stored(range) => Bytes::copy_from_slice(&frame[range]),
        };
        Block::parse(bytes).map_err(|what| parts.file.corrupt(offset, what))
    }

    /// Decides how much to read, now that block `index` is needed.
    fn choose_stretch(&mut self, index: usize, direction: Direction) {
        let follows = match direction {
            Direction::Forward => index.checked_sub(1),
            Direction::Backward => Some(index + 1),
        };
        self.stretch = if self.last.is_some() && self.last == follows {
            (2 * self.stretch).clamp(MIN_STRETCH_BYTES, MAX_STRETCH_BYTES)
        } else {
            self.initial
        };
    }

    fn read(&mut self, parts: &Parts, blocks: Range<usize>) -> Result<()> {
        let offset = parts.index.offset(blocks.start);
        let len = parts.index.offset(blocks.end) - offset;
        self.blocks = 0..0;
        // The same memory again, if it does and nobody holds a slice of it.
        let old = std::mem::take(&mut self.bytes);
        let mut room = if old.is_unique() { Vec::from(old) } else { Vec::new() };
        room.truncate(len as usize);
        if room.capacity() < len as usize {
            // Not twice what is accounted for, as a vector that grows, and not both at once.
            drop(room);
            room = Vec::with_capacity(len as usize);
        }
        parts.file.read_into(Handle { offset, len }, &mut room)?;
        self.bytes = room.into();
        (self.blocks, self.offset) = (blocks, offset);
        Ok(())
    }
}

/// The blocks from `index` on that `bytes` have room for; `index` itself in any case.
fn stretch_of_blocks(
    parts: &Parts,
    index: usize,
    direction: Direction,
    bytes: u64,
) -> Range<usize> {
    let index_of = &parts.index;
    let mut blocks = index..index + 1;
    match direction {
        Direction::Forward => {
            let limit = index_of.offset(index) + bytes;
            while blocks.end < index_of.count() && index_of.offset(blocks.end + 1) <= limit {
                blocks.end += 1;
            }
        }
        Direction::Backward => {
            let limit = index_of.offset(index + 1).saturating_sub(bytes);
            while blocks.start > 0 && index_of.offset(blocks.start - 1) >= limit {
                blocks.start -= 1;
            }
        }
    }
    blocks
}
