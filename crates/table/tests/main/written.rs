//! Blocks that are kept while their table is written.

use std::sync::Arc;

use alluvium_base::{FileNumber, Fs, InternalIterator, InternalKey, Kind, Seq};
use alluvium_table::{
    BlockCache, Keep, ReadOptions, Table, TableBuilder, TableOptions, WrittenBlocks, hash_key,
};

use crate::support::{Disk, KEYSPACE, NUMBER};

const ENTRIES: usize = 3000;
const ROOMY: usize = 1 << 20;

fn key(i: usize) -> Vec<u8> {
    format!("{i:06}").into_bytes()
}

/// Writes a table of some three hundred blocks; `is_cached` says of which entries the blocks are to be kept.
fn write(disk: &Disk, blocks: &Arc<WrittenBlocks>, is_cached: impl Fn(usize) -> bool) {
    let options = TableOptions { block_size: 800, ..TableOptions::default() };
    let file = disk.fs.create(&disk.path).unwrap();
    let mut builder = TableBuilder::new(file, &disk.path, NUMBER, KEYSPACE, &options).unwrap();
    builder.keep_blocks(blocks);
    for i in 0..ENTRIES {
        let key = key(i);
        builder.add(InternalKey::new(&key, Seq::new(1), Kind::Put), &[i as u8; 60]).unwrap();
        builder.note_cached(is_cached(i));
    }
    builder.finish().unwrap();
}

fn get(table: &Table, i: usize) -> bool {
    let key = key(i);
    let found = table.get(&key, hash_key(&key), Seq::MAX).unwrap();
    found.is_some_and(|entry| entry.value == vec![i as u8; 60])
}

#[test]
fn a_table_begins_with_the_blocks_that_its_writer_had() {
    let (disk, cache) = (Disk::new(), BlockCache::new(ROOMY));
    let blocks = WrittenBlocks::new(&cache, Keep::IfThereIsRoom);
    write(&disk, &blocks, |_| false);
    let table = disk.open(Arc::clone(&cache)).unwrap();
    let before = cache.stats().used_bytes;
    table.adopt(&blocks);
    assert_eq!(cache.stats().used_bytes, before, "they are moved");
    assert!((0..ENTRIES).all(|i| get(&table, i)));
    assert_eq!((cache.stats().misses, cache.stats().hits), (0, ENTRIES as u64));

    // What was kept is what is read: a cursor sees the same through another cache.
    let other = disk.open(BlockCache::new(ROOMY)).unwrap();
    let (mut kept, mut read) =
        (table.iter(ReadOptions::default()), other.iter(ReadOptions::default()));
    for i in (0..ENTRIES).step_by(7) {
        kept.seek(&key(i), Seq::MAX).unwrap();
        read.seek(&key(i), Seq::MAX).unwrap();
        assert!(kept.is_cached() && !read.is_cached() || i > 0);
        assert_eq!((kept.key(), kept.value()), (read.key(), read.value()));
    }
    assert!(table.block_count() > 256 && cache.stats().misses == 0);
    drop((kept, read, table, blocks));
    assert_eq!(cache.stats().used_bytes, 0);
}

#[test]
fn blocks_of_few_large_entries_are_not_kept() {
    let (disk, cache) = (Disk::new(), BlockCache::new(ROOMY));
    let blocks = WrittenBlocks::new(&cache, Keep::IfThereIsRoom);
    let file = disk.fs.create(&disk.path).unwrap();
    let options = TableOptions::default();
    let mut builder = TableBuilder::new(file, &disk.path, NUMBER, KEYSPACE, &options).unwrap();
    builder.keep_blocks(&blocks);
    for i in 0..100 {
        builder.add(InternalKey::new(&key(i), Seq::new(1), Kind::Put), &[0; 1000]).unwrap();
    }
    builder.finish().unwrap();
    assert_eq!(cache.stats().inserted_bytes, 0);
}

#[test]
fn new_blocks_that_nobody_asked_for_push_out_nothing() {
    let disk = Disk::new();
    let cache = BlockCache::new(40_000);
    let first = WrittenBlocks::new(&cache, Keep::IfThereIsRoom);
    write(&disk, &first, |_| true);
    let table = disk.open(Arc::clone(&cache)).unwrap();
    table.adopt(&first);
    let full = cache.stats();
    assert!(full.used_bytes > 38_000 && full.evictions == 0, "{full:?}");
    let second = WrittenBlocks::new(&cache, Keep::IfThereIsRoom);
    write(&Disk::new(), &second, |_| true);
    assert_eq!(cache.stats(), full);
}

#[test]
fn what_was_cached_is_read_once_its_table_is_open_and_there_is_room() {
    let (disk, cache) = (Disk::new(), BlockCache::new(300_000));
    let old_disk = Disk::new();
    let old = WrittenBlocks::new(&cache, Keep::IfThereIsRoom);
    write(&old_disk, &old, |_| true);
    let old_table = old_disk.open(Arc::clone(&cache)).unwrap();
    old_table.adopt(&old);
    let full = cache.stats().used_bytes;
    let new = WrittenBlocks::new(&cache, Keep::WhatWasCached);
    write(&disk, &new, |i| i < ENTRIES / 4);
    let table = disk.open(Arc::clone(&cache)).unwrap();
    table.adopt(&new);
    assert_eq!(cache.stats().used_bytes, full, "the old blocks are of use until they are replaced");
    drop(old_table);
    table.read_noted(&new, || false);
    assert!((0..ENTRIES / 4 - 10).all(|i| get(&table, i)));
    assert_eq!((cache.stats().misses, cache.stats().evictions), (0, 0));
    assert!(get(&table, ENTRIES / 4 + 10) && cache.stats().misses == 1);

    // Not while others need the room, nor when it is enough.
    for (room, is_enough) in [(0, false), (300_000, true)] {
        let (disk, cache) = (Disk::new(), BlockCache::new(room));
        let new = WrittenBlocks::new(&cache, Keep::WhatWasCached);
        write(&disk, &new, |_| true);
        let table = disk.open(Arc::clone(&cache)).unwrap();
        table.read_noted(&new, || is_enough);
        assert_eq!(cache.stats().inserted_bytes, 0);
    }
}

#[test]
fn what_was_kept_of_a_table_that_is_not_opened_is_dropped() {
    let (disk, cache) = (Disk::new(), BlockCache::new(ROOMY));
    let blocks = WrittenBlocks::new(&cache, Keep::IfThereIsRoom);
    write(&disk, &blocks, |_| false);
    assert!(cache.stats().used_bytes > ENTRIES * 60);
    let bytes = disk.bytes();
    disk.replace(&bytes[..bytes.len() - 1]);
    assert!(disk.open(Arc::clone(&cache)).is_err());
    drop(blocks);
    assert_eq!(cache.stats().used_bytes, 0);

    // Nor does it stay where the writing is given up.
    let blocks = WrittenBlocks::new(&cache, Keep::IfThereIsRoom);
    let file = disk.fs.create(&disk.path).unwrap();
    let options = TableOptions::default();
    let mut builder =
        TableBuilder::new(file, &disk.path, FileNumber(8), KEYSPACE, &options).unwrap();
    builder.keep_blocks(&blocks);
    for i in 0..ENTRIES {
        builder.add(InternalKey::new(&key(i), Seq::new(1), Kind::Put), &[0; 60]).unwrap();
    }
    assert!(cache.stats().used_bytes > 0);
    drop(builder);
    assert_eq!(cache.stats().used_bytes, 0);
}
