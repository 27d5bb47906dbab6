//! What reads cost, for whoever tunes them:
//! `cargo test --release -p alluvium-table -- --ignored --nocapture speed`.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use alluvium_base::{
    Clock, FileNumber, Fs, InternalIterator, InternalKey, KeyspaceId, Kind, Seq, StdFs, SystemClock,
};
use alluvium_table::{BlockCache, ReadOptions, Table, TableBuilder, TableOptions, hash_key};

const ENTRIES: u64 = 1_000_000;

fn key_of(i: u64) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    let mut rest = i;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Half compressible: fifty random bytes, fifty of one value.
fn value_of(i: u64) -> [u8; 100] {
    let mut value = [b'v'; 100];
    let mut state = i;
    for byte in &mut value[..50] {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    value
}

fn report(what: &str, count: u64, run: impl FnOnce()) {
    let clock = SystemClock::new();
    run();
    let ns = clock.monotonic().as_nanos() as f64 / count as f64;
    println!("{what:<44} {ns:>8.1} ns");
}

fn scan(table: &Arc<Table>, read: ReadOptions) {
    let mut cursor = table.iter(read);
    cursor.seek_to_first().unwrap();
    while cursor.is_valid() {
        black_box((cursor.key().user_key[0], cursor.value()[0]));
        cursor.next().unwrap();
    }
}

fn scan_back(table: &Arc<Table>, read: ReadOptions) {
    let mut cursor = table.iter(read);
    cursor.seek_to_last().unwrap();
    while cursor.is_valid() {
        black_box((cursor.key().user_key[0], cursor.value()[0]));
        cursor.prev().unwrap();
    }
}

#[test]
#[ignore = "measures; run it alone, in release"]
fn speed_of_a_million_entries() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("000001.table");
    let (number, keyspace) = (FileNumber(1), KeyspaceId::DEFAULT);
    for options in [
        TableOptions::default(),
        TableOptions { compression: alluvium_table::Compression::None, ..TableOptions::default() },
    ] {
        println!("{options:?}");
        measure(&path, number, keyspace, &options);
    }
}

fn measure(path: &Path, number: FileNumber, keyspace: KeyspaceId, options: &TableOptions) {
    report("build, synced", ENTRIES, || {
        let file = StdFs.create(path).unwrap();
        let mut builder = TableBuilder::new(file, path, number, keyspace, options).unwrap();
        for i in 0..ENTRIES {
            let key = key_of(2 * i);
            let key = InternalKey::new(&key, Seq::new(i + 100_000), Kind::Put);
            builder.add(key, &value_of(i)).unwrap();
        }
        println!("{} bytes", builder.finish().unwrap().file_size);
    });
    let cache = BlockCache::new(1 << 30);
    let table =
        Table::open(StdFs.open(path).unwrap(), path, number, keyspace, cache.clone()).unwrap();
    let once = ReadOptions { fill_cache: false, readahead: true };
    report("scan from the page cache, read ahead", ENTRIES, || scan(&table, once));
    report("scan back from the page cache, read ahead", ENTRIES, || scan_back(&table, once));
    report("verify", ENTRIES, || table.verify().unwrap());
    report("scan that fills the cache", ENTRIES, || scan(&table, ReadOptions::default()));
    for _ in 0..2 {
        report("scan, cached", ENTRIES, || scan(&table, ReadOptions::default()));
        report("scan back, cached", ENTRIES, || scan_back(&table, ReadOptions::default()));
    }
    // A few blocks over and over: what the processor does when it waits for nothing.
    report("scan of a few cached blocks", ENTRIES, || {
        let mut cursor = table.iter(ReadOptions::default());
        for _ in 0..ENTRIES / 1000 {
            cursor.seek_to_first().unwrap();
            for _ in 0..1000 {
                black_box((cursor.key().user_key[0], cursor.value()[0]));
                cursor.next().unwrap();
            }
        }
    });
    measure_lookups(&table);
    println!("{:?}, index and filter {} bytes", cache.stats(), table.memory_bytes());
}

/// Lookups in a table whose blocks are all cached.
fn measure_lookups(table: &Arc<Table>) {
    let mut state = 1u64;
    let probes: Vec<_> = (0..ENTRIES)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 20) % ENTRIES
        })
        .collect();
    let get = |i: u64| {
        let key = key_of(i);
        table.get(&key, hash_key(&key), Seq::MAX).unwrap()
    };
    for _ in 0..2 {
        report("get of a random key, cached", ENTRIES, || {
            for &i in &probes {
                assert!(black_box(get(2 * i)).is_some());
            }
        });
        report("get of a random absent key", ENTRIES, || {
            for &i in &probes {
                assert!(black_box(get(2 * i + 1)).is_none());
            }
        });
        report("get among 1000 hot keys", ENTRIES, || {
            for &i in &probes {
                assert!(black_box(get(2 * (i % 1000) * 997)).is_some());
            }
        });
        report("seek and ten steps, cached", ENTRIES / 4, || {
            let mut cursor = table.iter(ReadOptions::default());
            for &i in &probes[..ENTRIES as usize / 4] {
                cursor.seek(&key_of(2 * i), Seq::MAX).unwrap();
                for _ in 0..10 {
                    if cursor.is_valid() {
                        black_box(cursor.value()[0]);
                        cursor.next().unwrap();
                    }
                }
            }
        });
    }
}
