//! The fences of a block that is kept in memory: [`crate::block`] pictures them.

use std::ops::{Deref, Range};

use alluvium_base::Bytes;

use super::Block;

impl Block {
    /// A copy of a block that was just built, with room for fences.
    pub(crate) fn built(raw: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(raw.len() + expected_fences_bytes(raw, raw.len()));
        bytes.extend_from_slice(raw);
        Self::layout(bytes.into()).expect("a builder's block is sound")
    }

    /// The same block with fences: for one that will be sought in often.
    pub(crate) fn with_fences(self) -> Self {
        if self.count < FEWEST_FENCED || self.bytes.len() > self.end as usize {
            return self;
        }
        let (first, last) = (self.entry(0), self.entry(self.count - 1));
        let (first, last) = (self.user_key(&first), self.user_key(&last));
        let same = first.iter().zip(last).take_while(|(a, b)| a == b).take(MOST_SAME_BYTES).count();
        let fences_bytes = self.count as usize * FENCE_BYTES + same;
        let mut fences = Vec::with_capacity(fences_bytes);
        for index in 0..self.count {
            // A wrong order, which nobody has checked, makes wrong fences, and no panic.
            let key = self.user_key(&self.entry(index)).get(same..).unwrap_or_default();
            fences.extend_from_slice(&fence_of(key).to_le_bytes());
        }
        fences.extend_from_slice(&first[..same]);
        Self { bytes: appended(self.bytes, &fences), ..self }
    }
}

impl<B: Deref<Target = [u8]>> Block<B> {
    /// The entries among which the first one at or behind `user_key` is, or behind which it is: all
    /// of them, unless there are fences.
    #[inline]
    pub(super) fn fenced(&self, user_key: &[u8]) -> Range<u32> {
        let fences_end = self.end as usize + self.count as usize * FENCE_BYTES;
        // Without fences, nothing reaches as far.
        let Some(prefix) = self.bytes.get(fences_end..) else { return 0..self.count };
        let Some(rest) = user_key.strip_prefix(prefix) else {
            // It comes before all keys of the block or behind them.
            let at = if user_key < prefix { 0 } else { self.count };
            return at..at;
        };
        let fence = fence_of(rest);
        let fences = &self.bytes[self.end as usize..fences_end];
        if self.count > MOST_COUNTED {
            return binary_fenced(fences, fence);
        }
        // All of them, in no order: the lines are fetched side by side, and no branch is guessed.
        let (mut before, mut upto) = (0, 0);
        for other in fences.as_chunks::<FENCE_BYTES>().0 {
            let other = u32::from_le_bytes(*other);
            before += u32::from(other < fence);
            upto += u32::from(other <= fence);
        }
        before..upto
    }
}

/// Bytes of a fence.
const FENCE_BYTES: usize = size_of::<u32>();
/// A block with fewer entries is sought in without.
const FEWEST_FENCED: u32 = 4;
/// How many of the bytes that all keys begin with are kept: where there are more, all fences are the
/// same, and of no use.
const MOST_SAME_BYTES: usize = 256;
/// Up to so many fences are looked at all together.
const MOST_COUNTED: u32 = 192;

/// `bytes` with `more` behind them: where they are, if nobody else holds them and there is room.
fn appended(bytes: Bytes, more: &[u8]) -> Bytes {
    let len = bytes.len() + more.len();
    match bytes.try_into_mut() {
        Ok(mut bytes) if bytes.capacity() >= len => {
            bytes.extend_from_slice(more);
            bytes.freeze()
        }
        Ok(bytes) => [&bytes[..], more].concat().into(),
        Err(bytes) => [&bytes[..], more].concat().into(),
    }
}

/// About how many bytes of memory fences of a block take. Where `frame_end` is the end of its
/// compressed form, that is nearly certain: LZ4 leaves the last five bytes of what it compresses as
/// they are, and a block ends with the count of its entries. A wrong guess costs a copy.
pub(crate) fn expected_fences_bytes(frame_end: &[u8], block_len: usize) -> usize {
    most_fences_bytes((count_of(frame_end) as usize).min(block_len / 4 / FENCE_BYTES))
}

/// The number that these bytes end with, as a block does with the count of its entries; 0 if they are too few.
pub(crate) fn count_of(end: &[u8]) -> u32 {
    end.last_chunk().map_or(0, |count| u32::from_le_bytes(*count))
}

/// How many bytes the fences of `count` entries take, where keys have little in common.
#[inline]
pub(crate) const fn most_fences_bytes(count: usize) -> usize {
    const FEW_SAME_BYTES: usize = 16;
    if count < FEWEST_FENCED as usize { 0 } else { count * FENCE_BYTES + FEW_SAME_BYTES }
}

/// The first four bytes of what is left of a key, as a number that is in the same order.
#[inline]
fn fence_of(rest: &[u8]) -> u32 {
    if let Some(bytes) = rest.first_chunk() {
        return u32::from_be_bytes(*bytes);
    }
    let mut bytes = [0; FENCE_BYTES];
    bytes[..rest.len()].copy_from_slice(rest);
    u32::from_be_bytes(bytes)
}

/// The entries of a large block that have this fence.
fn binary_fenced(fences: &[u8], fence: u32) -> Range<u32> {
    let (fences, _) = fences.as_chunks::<FENCE_BYTES>();
    let before = fences.partition_point(|other| u32::from_le_bytes(*other) < fence);
    let same = fences[before..].partition_point(|other| u32::from_le_bytes(*other) == fence);
    before as u32..(before + same) as u32
}
