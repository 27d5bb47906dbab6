//! Several tables seen as one: their keys interleaved, so that every step changes the source, or
//! apart, so that one source owns each stretch.

use std::sync::Arc;

use alluvium_base::MergingIterator;
use alluvium_benches::{criterion, table, walk, walk_back};
use alluvium_table::{BlockCache, ReadOptions, Table, TableIterator, TableOptions};
use criterion::Throughput;

const ENTRIES: u64 = 64_000;

/// The numbers of source `source` of `count`.
type Share = fn(source: u64, count: u64) -> Vec<u64>;

const SHARES: [(&str, Share); 2] = [
    ("interleaved", |source, count| (source..ENTRIES).step_by(count as usize).collect()),
    ("apart", |source, count| {
        let share = ENTRIES / count;
        (source * share..(source + 1) * share).collect()
    }),
];

fn merge(tables: &[Arc<Table>]) -> MergingIterator<TableIterator> {
    MergingIterator::new(tables.iter().map(|table| table.iter(ReadOptions::default())).collect())
}

fn main() {
    let mut criterion = criterion();
    for (name, share) in SHARES {
        let mut group = criterion.benchmark_group(format!("merge/{name}"));
        group.throughput(Throughput::Elements(ENTRIES));
        for count in [1, 2, 4, 8] {
            let cache = BlockCache::new(1 << 30);
            let tables: Vec<_> = (0..count)
                .map(|source| {
                    table(share(source, count).into_iter(), &TableOptions::default(), &cache)
                })
                .collect();
            assert_eq!(walk(&mut merge(&tables)).0, ENTRIES);
            group.bench_function(format!("{count} forward"), |bencher| {
                bencher.iter(|| walk(&mut merge(&tables)));
            });
        }
        let cache = BlockCache::new(1 << 30);
        let numbers = |source| share(source, 4).into_iter();
        let tables: Vec<_> =
            (0..4).map(|source| table(numbers(source), &TableOptions::default(), &cache)).collect();
        group.bench_function("4 backward", |bencher| {
            bencher.iter(|| walk_back(&mut merge(&tables)));
        });
        group.finish();
    }
    criterion.final_summary();
}
