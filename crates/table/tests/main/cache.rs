//! Many tables and threads share one cache.

use std::sync::Arc;

use alluvium_base::{InternalIterator, Seq};
use alluvium_table::{BlockCache, ReadOptions, Table, TableOptions, hash_key};

use crate::support::{Disk, Owned};

const ENTRIES: usize = 3000;

fn build(cache: &Arc<BlockCache>) -> Arc<Table> {
    let disk = Disk::new();
    let entries: Vec<_> =
        (0..ENTRIES).map(|i| Owned::put(&format!("{i:06}"), 1, &[i as u8; 60])).collect();
    disk.build(&entries, &TableOptions { block_size: 1024, ..TableOptions::default() });
    disk.open(cache.clone()).unwrap()
}

fn get(table: &Table, i: usize) {
    let key = format!("{i:06}");
    let found = table.get(key.as_bytes(), hash_key(key.as_bytes()), Seq::MAX).unwrap().unwrap();
    assert_eq!(found.value, vec![i as u8; 60]);
}

#[test]
fn a_second_lookup_hits_and_a_dropped_table_returns_its_charge() {
    let cache = BlockCache::new(1 << 20);
    let (table, other) = (build(&cache), build(&cache));
    get(&table, 0);
    get(&table, 1);
    get(&other, 0);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (1, 2));
    drop(table);
    let left = cache.stats().used_bytes;
    assert!(left > 0 && left < stats.used_bytes);
    drop(other);
    assert_eq!(cache.stats().used_bytes, 0);
}

#[test]
fn a_cursor_that_must_not_fill_the_cache_leaves_it_alone() {
    let cache = BlockCache::new(1 << 20);
    let table = build(&cache);
    get(&table, 17);
    let before = cache.stats();
    let mut cursor = table.iter(ReadOptions { fill_cache: false, readahead: true });
    cursor.seek_to_first().unwrap();
    let mut count = 0;
    while cursor.is_valid() {
        count += 1;
        cursor.next().unwrap();
    }
    assert_eq!(count, ENTRIES);
    assert_eq!(cache.stats(), before);
}

/// A cursor walks over far more than fits, while one key is asked for all the time.
#[test]
fn what_is_read_once_leaves_alone_what_is_read_often() {
    let cache = BlockCache::new(40_000);
    let table = build(&cache);
    let mut cursor = table.iter(ReadOptions::default());
    cursor.seek_to_first().unwrap();
    for i in 0..ENTRIES {
        get(&table, ENTRIES - 1);
        assert_eq!(cursor.value(), vec![i as u8; 60]);
        cursor.next().unwrap();
    }
    let stats = cache.stats();
    let passed = table.block_count();
    assert!(passed > 200 && stats.misses as usize <= passed + 2, "{passed}, {stats:?}");
    // A few blocks are kept for luck.
    assert!(stats.evictions < 10, "{stats:?}");
    assert!(stats.used_bytes <= 40_000);
}

/// Every block is looked into twice, at most, before it is kept.
#[test]
fn what_is_looked_into_without_being_kept_is_right() {
    let cache = BlockCache::new(1500);
    let table = build(&cache);
    for i in 0..ENTRIES {
        get(&table, i * 7 % ENTRIES);
    }
    assert!(cache.stats().hits < 300, "{:?}", cache.stats());
    let missing = table.get(b"000007a", hash_key(b"000007a"), Seq::MAX).unwrap();
    assert_eq!(missing, None);
}

#[test]
fn a_value_outlives_its_block_and_its_table() {
    let cache = BlockCache::new(4000);
    let table = build(&cache);
    let value = table.get(b"000007", hash_key(b"000007"), Seq::MAX).unwrap().unwrap().value;
    for i in 0..ENTRIES {
        get(&table, i);
    }
    drop(table);
    assert_eq!(value, vec![7; 60]);
}

#[test]
fn concurrent_readers_keep_within_the_budget() {
    let budget = 40_000;
    let cache = BlockCache::new(budget);
    let tables: Vec<_> = (0..3).map(|_| build(&cache)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (tables, cache) = (&tables, &cache);
            scope.spawn(move || {
                let mut at = 31 * thread + 7;
                for round in 0..3000 {
                    at = (at * 48_271) % 2_147_483_647;
                    get(&tables[at % 3], at / 3 % ENTRIES);
                    if round % 64 == 0 {
                        let mut cursor = tables[at % 3].iter(ReadOptions::default());
                        cursor.seek(format!("{:06}", at % ENTRIES).as_bytes(), Seq::MAX).unwrap();
                        for _ in 0..50 {
                            if cursor.is_valid() {
                                cursor.prev().unwrap();
                            }
                        }
                    }
                    assert!(cache.stats().used_bytes <= budget);
                }
            });
        }
    });
    let stats = cache.stats();
    assert!(stats.evictions > 100 && stats.hits > 100, "{stats:?}");
    drop(tables);
    assert_eq!(cache.stats().used_bytes, 0);
}
