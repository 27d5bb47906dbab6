//! Inserting into memtables, looking up in them, walking over them.

use std::hint::black_box;
use std::sync::Arc;

use alluvium_base::key::hash_key;
use alluvium_base::{Bytes, Kind, Seq};
use alluvium_benches::{criterion, key, put, shuffled, value, walk, walk_back};
use alluvium_memtable::{
    Memtable, PackedMemtable, SkiplistMemtable, SortedEntry, SortedMemtable, WritableMemtable,
};
use alluvium_testkit::SeededRandom;
use criterion::{BatchSize, Criterion, Throughput};

const ENTRIES: u64 = 50_000;

type Make = fn() -> Arc<dyn WritableMemtable>;

const MEMTABLES: [(&str, Make); 2] = [
    ("packed", || Arc::new(PackedMemtable::with_pool(Arc::default(), 512 << 10))),
    ("skiplist", || Arc::new(SkiplistMemtable::new())),
];

fn fill(memtable: &dyn WritableMemtable, order: &[u64]) {
    let value = value(&mut SeededRandom::new(1));
    for (&n, seq) in order.iter().zip(1..) {
        put(memtable, &key(n), seq, &value);
    }
}

fn measure(criterion: &mut Criterion, (name, make): (&str, Make)) {
    let mut group = criterion.benchmark_group(format!("memtable/{name}"));
    let (ascending, random): (Vec<u64>, _) = ((0..ENTRIES).collect(), shuffled(ENTRIES));
    group.throughput(Throughput::Elements(ENTRIES));
    for (order, numbers) in [("ascending", &ascending), ("random", &random)] {
        group.bench_function(format!("insert {order}"), |bencher| {
            let insert = |memtable: Arc<dyn WritableMemtable>| {
                fill(&*memtable, numbers);
                memtable
            };
            bencher.iter_batched(make, insert, BatchSize::PerIteration);
        });
    }
    let memtable = make();
    fill(&*memtable, &random);
    group.bench_function("iterate", |bencher| {
        bencher.iter(|| walk(&mut *Arc::clone(&memtable).iter()));
    });
    group.bench_function("iterate back", |bencher| {
        bencher.iter(|| walk_back(&mut *Arc::clone(&memtable).iter()));
    });
    group.throughput(Throughput::Elements(1));
    let mut next = random.iter().cycle();
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            let &n = next.next().expect("it goes round");
            black_box(memtable.get(&key(n), Seq::MAX).expect("it is there"))
        });
    });
    group.bench_function("get absent", |bencher| {
        bencher.iter(|| {
            let &n = next.next().expect("it goes round");
            let mut absent = key(n);
            absent[15] = b'x';
            assert!(memtable.get(&absent, Seq::MAX).is_none());
        });
    });
    group.bench_function("filter", |bencher| {
        bencher.iter(|| {
            let &n = next.next().expect("it goes round");
            black_box(memtable.may_contain(hash_key(&key(n + ENTRIES))))
        });
    });
    group.finish();
}

/// What a large batch becomes, in place of as many insertions.
fn measure_sorted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memtable/sorted");
    let value = value(&mut SeededRandom::new(1));
    let order = shuffled(ENTRIES);
    let writes: Vec<u8> = order.iter().flat_map(|&n| [&key(n)[..], &value[..]].concat()).collect();
    let (buffer, key_len) = (Bytes::from(writes), key(0).len());
    let len = key_len + value.len();
    let entries: Vec<_> = (0..order.len())
        .map(|at| {
            let (start, seq) = (at * len, Seq::new(at as u64 + 1));
            let (key, value) = (start..start + key_len, start + key_len..start + len);
            SortedEntry::new((0, &buffer), key, value, seq, Kind::Put)
        })
        .collect();
    let sort = |entries| SortedMemtable::new(vec![buffer.clone()], entries);
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("sort", |bencher| {
        bencher.iter_batched(|| entries.clone(), sort, BatchSize::PerIteration);
    });
    let memtable: Arc<dyn Memtable> = Arc::new(sort(entries.clone()));
    group.bench_function("iterate", |bencher| {
        bencher.iter(|| walk(&mut *Arc::clone(&memtable).iter()));
    });
    group.throughput(Throughput::Elements(1));
    let mut next = order.iter().cycle();
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            let &n = next.next().expect("it goes round");
            black_box(memtable.get(&key(n), Seq::MAX).expect("it is there"))
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = criterion();
    for memtable in MEMTABLES {
        measure(&mut criterion, memtable);
    }
    measure_sorted(&mut criterion);
    criterion.final_summary();
}
