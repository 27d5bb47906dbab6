//! One table: built, looked up in, walked both ways; blocks from the cache and from disk.

use std::hint::black_box;
use std::sync::Arc;

use alluvium_base::Seq;
use alluvium_benches::{criterion, key, shuffled, table, walk, walk_back};
use alluvium_table::{BlockCache, Compression, ReadOptions, Table, TableOptions, hash_key};
use criterion::{Criterion, Throughput};

const ENTRIES: u64 = 100_000;
/// Holds every block.
const LARGE_CACHE: usize = 1 << 30;

/// Every second number: what lies between is absent, but inside the table's range.
fn build(options: &TableOptions, cache: &Arc<BlockCache>) -> Arc<Table> {
    table((0..ENTRIES).map(|n| 2 * n), options, cache)
}

fn options(compression: Compression) -> TableOptions {
    TableOptions { compression, ..TableOptions::default() }
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table/get");
    group.throughput(Throughput::Elements(1));
    let order = shuffled(ENTRIES);
    let mut next = order.iter().cycle().map(|n| 2 * n);
    let mut next = || next.next().expect("it goes round");
    let get = |table: &Table, key: &[u8]| {
        table.get(key, hash_key(key), Seq::MAX).expect("memory has no way to fail")
    };
    let cached = build(&options(Compression::Lz4), &BlockCache::new(LARGE_CACHE));
    walk(&mut cached.iter(ReadOptions::default()));
    group.bench_function("cache hit", |bencher| {
        bencher.iter(|| black_box(get(&cached, &key(next())).expect("it is there")));
    });
    group.bench_function("absent", |bencher| {
        bencher.iter(|| black_box(get(&cached, &key(next() + 1))));
    });
    group.bench_function("filter alone", |bencher| {
        bencher.iter(|| black_box(cached.may_contain(hash_key(&key(next() + 1)))));
    });
    for (name, compression) in [("lz4", Compression::Lz4), ("plain", Compression::None)] {
        let cold = build(&options(compression), &BlockCache::new(0));
        group.bench_function(format!("cache miss {name}"), |bencher| {
            bencher.iter(|| black_box(get(&cold, &key(next())).expect("it is there")));
        });
    }
    group.finish();
}

fn scans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table/scan");
    group.throughput(Throughput::Elements(ENTRIES));
    for (name, cache_bytes) in [("cached", LARGE_CACHE), ("from file", 0)] {
        let table = build(&options(Compression::Lz4), &BlockCache::new(cache_bytes));
        let read = ReadOptions { fill_cache: cache_bytes > 0, readahead: cache_bytes == 0 };
        walk(&mut table.iter(read));
        group.bench_function(format!("forward {name}"), |bencher| {
            bencher.iter(|| walk(&mut table.iter(read)));
        });
        group.bench_function(format!("backward {name}"), |bencher| {
            bencher.iter(|| walk_back(&mut table.iter(read)));
        });
    }
    group.finish();
}

fn building(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table/build");
    group.throughput(Throughput::Elements(ENTRIES));
    for (name, compression) in [("lz4", Compression::Lz4), ("plain", Compression::None)] {
        let cache = BlockCache::new(0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| build(&options(compression), &cache));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = criterion();
    lookups(&mut criterion);
    scans(&mut criterion);
    building(&mut criterion);
    criterion.final_summary();
}
