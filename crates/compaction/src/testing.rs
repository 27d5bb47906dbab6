//! What the unit tests of several modules need: tables that exist as metadata only.

use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, Seq};
use alluvium_manifest::{Level, TableMeta, Version};

/// A table of 100 bytes and ten puts, written at its own number as sequence.
pub(crate) fn table(number: u64, smallest: &[u8], largest: &[u8]) -> TableMeta {
    TableMeta {
        number: FileNumber(number),
        size_bytes: 100,
        entry_count: 10,
        tombstone_count: 0,
        expiring_count: 0,
        earliest_expiry_ms: None,
        latest_expiry_ms: None,
        smallest: Bytes::copy_from_slice(smallest),
        largest: Bytes::copy_from_slice(largest),
        smallest_seq: Seq::new(number),
        largest_seq: Seq::new(number),
        raw_key_bytes: 10,
        raw_value_bytes: 90,
        created_ms: 0,
    }
}

/// The version with these tables.
pub(crate) fn version(tables: Vec<(u8, TableMeta)>) -> Version {
    let added: Vec<_> =
        tables.into_iter().map(|(level, table)| (Level(level), Arc::new(table))).collect();
    Version::default().apply(&[], &added).expect("the test's tables fit together")
}
