//! What every memtable must do, whatever it is made of.

mod model;
mod speed;
mod threads;

use std::ops::Range;
use std::sync::Arc;

use alluvium_base::{BatchReader, Bytes, InternalIterator, KeyspaceId, Kind, Seq, WriteBatch};
use alluvium_memtable::{PackedMemtable, SkiplistMemtable, WritableMemtable};

/// Every memtable that takes writes, empty, with its name.
fn every_memtable() -> Vec<(&'static str, Arc<dyn WritableMemtable>)> {
    vec![
        ("skiplist", Arc::new(SkiplistMemtable::new())),
        ("packed", Arc::new(PackedMemtable::with_pool(Arc::default(), 256))),
    ]
}

/// A batch of one put, with the ranges of its key and value.
fn one_put(key: &[u8], value: &[u8]) -> (Bytes, Range<usize>, Range<usize>) {
    let mut batch = WriteBatch::new();
    batch.put(KeyspaceId::DEFAULT, key, value).expect("within limits");
    let batch = batch.into_bytes();
    let entry = BatchReader::new(&batch).expect("a batch").next().expect("one").expect("whole");
    (batch, entry.key, entry.value)
}

fn put(memtable: &dyn WritableMemtable, key: &[u8], seq: u64, value: &[u8]) {
    let (batch, key, value) = one_put(key, value);
    memtable.insert(&batch, key, value, Seq::new(seq), Kind::Put);
}

/// (user key, sequence, value) of every entry from where `cursor` stands on.
fn rest(cursor: &mut dyn InternalIterator) -> Vec<(Vec<u8>, u64, Vec<u8>)> {
    let mut entries = Vec::new();
    while cursor.is_valid() {
        let key = cursor.key();
        entries.push((key.user_key.to_vec(), key.seq.get(), cursor.value().to_vec()));
        cursor.next().expect("memory does not fail");
    }
    entries
}
