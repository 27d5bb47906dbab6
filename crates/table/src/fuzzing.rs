//! Doors for the fuzz targets into decoders that have no other. No part of the API.
//!
//! Whatever these are handed, they answer or refuse; they never panic.

use alluvium_base::key::hash_key;
use alluvium_base::{Bytes, Seq};

use crate::block::{Block, Entry, PartialBlock, tag_of, tail_len};
use crate::filter::Filter;
use crate::frame::{Packing, split};
use crate::lz4::SLACK_BYTES;
use crate::options::FilterKind;
use crate::table::TableEntry;

/// A data block that was parsed.
#[derive(Clone, Debug)]
pub struct ParsedBlock(Block);

impl ParsedBlock {
    /// Validates a block that may hold anything; says what is wrong with it.
    pub fn parse(bytes: Bytes) -> Result<Self, &'static str> {
        Block::parse(bytes).map(Self)
    }

    /// All entries in their order: user key and the rest.
    pub fn entries(&self) -> Vec<(Bytes, TableEntry)> {
        let entries = (0..self.0.count()).map(|index| self.0.entry(index));
        entries.map(|entry| (self.0.key_bytes(&entry), self.owned(&entry))).collect()
    }

    /// Whether each entry's tag is the one of its user key.
    pub fn has_true_tags(&self) -> bool {
        let keys = (0..self.0.count()).map(|index| self.0.entry(index));
        let tags = keys.map(|entry| tag_of(hash_key(self.0.user_key(&entry))));
        tags.eq(self.0.tags().iter().copied())
    }

    /// What a point lookup finds.
    pub fn find(&self, user_key: &[u8], at: Seq) -> Option<TableEntry> {
        let entry = self.0.find(user_key, tag_of(hash_key(user_key)), at)?;
        Some(self.owned(&entry))
    }

    /// How many entries a seek passes over.
    pub fn count_before(&self, user_key: &[u8], seq: Seq) -> u32 {
        self.0.count_before(user_key, seq)
    }

    fn owned(&self, entry: &Entry) -> TableEntry {
        TableEntry { seq: entry.seq, kind: entry.kind, value: self.0.value_bytes(entry) }
    }
}

/// The payload of a frame that holds a block, of which the entries are packed; `None` for what is no block.
pub fn pack(block: &[u8]) -> Option<Vec<u8>> {
    let (entries, tail) = block.split_at(block.len() - tail_len(block, block.len())?);
    Some([&lz4_flex::block::compress(entries), tail].concat())
}

/// What a point lookup finds in a payload that may hold anything and claims to be `raw` bytes of block; up to
/// a mebibyte. It unpacks no more than it needs.
pub fn find_in_part(
    payload: &[u8],
    raw: usize,
    user_key: &[u8],
    at: Seq,
) -> Result<Option<TableEntry>, String> {
    let verified = split(payload, Packing::Entries, raw.min(1 << 20))?;
    let entries_len = verified.body_len();
    let mut room = vec![0; entries_len + SLACK_BYTES];
    let partial = PartialBlock::new(verified.body, entries_len, verified.tail);
    let entry = partial.find(&mut room, user_key, tag_of(hash_key(user_key)), at)?;
    Ok(entry.map(|entry| {
        let value = Bytes::copy_from_slice(entry.value_in(&room));
        TableEntry { seq: entry.seq, kind: entry.kind, value }
    }))
}

/// The filter block over some hashes; `None` when the kind asks for no filter.
pub fn build_filter(kind: FilterKind, hashes: &[u64]) -> Option<Vec<u8>> {
    Filter::build(kind, &hashes.iter().copied().collect())
}

/// What the filter in a block that may hold anything answers for each hash.
pub fn ask_filter(
    kind: FilterKind,
    block: Option<&Bytes>,
    hashes: &[u64],
) -> Result<Vec<bool>, &'static str> {
    let filter = Filter::parse(kind, block)?;
    Ok(hashes.iter().map(|&hash| filter.may_contain(hash)).collect())
}
