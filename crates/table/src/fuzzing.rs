//! Doors for the fuzz targets into decoders that have no other. No part of the API.
//!
//! Whatever these are handed, they answer or refuse; they never panic.

use alluvium_base::key::hash_key;
use alluvium_base::{Bytes, Seq};

use crate::block::{Block, Entry, tag_of};
use crate::filter::Filter;
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
