//! What the micro-benchmarks measure with: one shape of data for all, and short runs.
//!
//! | bench | what |
//! |---|---|
//! | `memtable` | insert, get, iterate |
//! | `wal` | one append, mapped and buffered |
//! | `table` | build; get: hit, miss, absent by filter; scan both ways |
//! | `merge` | *k* sources seen as one |
//! | `engine` | insert, get, scan through the public API |
//!
//! `cargo bench -p alluvium-benches` measures; `-- --quick` is good for a first look. Rivals are in
//! `benches/versus`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alluvium_base::{
    BatchReader, Bytes, File, FileNumber, Fs, InternalIterator, InternalKey, KeyspaceId, Kind,
    MemFs, Seq, WriteBatch,
};
use alluvium_memtable::WritableMemtable;
use alluvium_table::{BlockCache, Table, TableBuilder, TableOptions};
use alluvium_testkit::{Choices, SeededRandom};
use criterion::Criterion;

/// Bytes of every key.
pub const KEY_BYTES: usize = 16;
/// Bytes of every value.
pub const VALUE_BYTES: usize = 100;

const MEMORY: &str = "memory has no way to fail";

/// A key of decimal digits.
pub type Key = [u8; KEY_BYTES];

/// Short runs: each measurement takes about a second.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args()
}

/// Key number `n`: ascending with `n`.
pub fn key(n: u64) -> Key {
    let mut key = [b'0'; KEY_BYTES];
    let mut left = n;
    for digit in key.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    key
}

/// A value, half of which LZ4 can take away.
pub fn value(random: &mut SeededRandom) -> [u8; VALUE_BYTES] {
    let mut value = [b' '; VALUE_BYTES];
    random.fill(&mut value[..VALUE_BYTES / 2]);
    value
}

/// The numbers below `count` in an order without rhyme or reason, the same each time.
pub fn shuffled(count: u64) -> Vec<u64> {
    let mut random = SeededRandom::new(count);
    let mut numbers: Vec<u64> = (0..count).collect();
    for end in (1..numbers.len()).rev() {
        numbers.swap(end, random.below(end as u64 + 1) as usize);
    }
    numbers
}

/// Puts one entry into a memtable, as a write of one does.
pub fn put(memtable: &dyn WritableMemtable, key: &[u8], seq: u64, value: &[u8]) {
    let mut batch = WriteBatch::with_capacity(key.len() + value.len() + 16);
    batch.put(KeyspaceId::DEFAULT, key, value).expect("within the limits");
    let batch = batch.into_bytes();
    let entry = BatchReader::new(&batch).ok().and_then(|mut entries| entries.next());
    let entry = entry.expect("it has one entry").expect("just encoded");
    memtable.insert(&batch, entry.key, entry.value, Seq::new(seq), Kind::Put);
}

/// An open table in memory that holds the keys with these ascending numbers.
pub fn table(
    numbers: impl Iterator<Item = u64>,
    options: &TableOptions,
    cache: &Arc<BlockCache>,
) -> Arc<Table> {
    let (path, number) = (Path::new("000001.table"), FileNumber(1));
    let file: Arc<dyn File> = MemFs::new().create(path).expect(MEMORY);
    let keyspace = KeyspaceId::DEFAULT;
    let mut builder =
        TableBuilder::new(Arc::clone(&file), path, number, keyspace, options).expect(MEMORY);
    let mut random = SeededRandom::new(1);
    for n in numbers {
        let (key, value) = (key(n), value(&mut random));
        builder.add(InternalKey::new(&key, Seq::new(n + 1), Kind::Put), &value).expect(MEMORY);
    }
    builder.finish().expect(MEMORY);
    Table::open(file, path, number, keyspace, Arc::clone(cache)).expect("just built")
}

/// Walks a cursor to the end; returns how many entries it passed and the bytes of their keys and
/// values.
pub fn walk(cursor: &mut dyn InternalIterator) -> (u64, usize) {
    let (mut count, mut bytes) = (0, 0);
    cursor.seek_to_first().expect(MEMORY);
    while cursor.is_valid() {
        count += 1;
        bytes += cursor.key().user_key.len() + cursor.value().len();
        cursor.next().expect(MEMORY);
    }
    (count, bytes)
}

/// The same from back to front.
pub fn walk_back(cursor: &mut dyn InternalIterator) -> (u64, usize) {
    let (mut count, mut bytes) = (0, 0);
    cursor.seek_to_last().expect(MEMORY);
    while cursor.is_valid() {
        count += 1;
        bytes += cursor.key().user_key.len() + cursor.value().len();
        cursor.prev().expect(MEMORY);
    }
    (count, bytes)
}

/// A record of a log: the batch of one entry.
pub fn record(random: &mut SeededRandom) -> Bytes {
    let mut batch = WriteBatch::new();
    let (key, value) = (key(random.below(1 << 40)), value(random));
    batch.put(KeyspaceId::DEFAULT, &key, &value).expect("within the limits");
    batch.into_bytes()
}
