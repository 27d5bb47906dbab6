//! The database through its public API, on the real disk.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use alluvium::{Db, KeyValue, Persist, Read, Result};
use alluvium_benches::{criterion, key, shuffled, value};
use alluvium_testkit::SeededRandom;
use criterion::{Criterion, Throughput};

const ENTRIES: u64 = 200_000;
const SCANNED: usize = 100;
const DISK: &str = "the disk works and has room";

fn writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/write");
    let value = value(&mut SeededRandom::new(1));
    for (name, order) in [("ascending", (0..ENTRIES).collect()), ("random", shuffled(ENTRIES))] {
        let dir = tempfile::tempdir().expect(DISK);
        let db = Db::open(dir.path()).expect(DISK);
        let mut next = order.iter().cycle();
        let mut next = || key(*next.next().expect("it goes round"));
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("insert {name}"), |bencher| {
            bencher.iter(|| db.insert(next(), value).expect(DISK));
        });
        let keyspace = db.default_keyspace();
        group.throughput(Throughput::Elements(1_000));
        group.bench_function(format!("batch of 1000 {name}"), |bencher| {
            bencher.iter(|| {
                let mut batch = db.batch();
                for _ in 0..1_000 {
                    batch.insert(&keyspace, next(), value);
                }
                batch.commit(Persist::Buffer).expect(DISK);
            });
        });
    }
    group.finish();
}

/// Half of the entries in tables and all of those cached, the other half in the memtable.
fn filled(dir: &std::path::Path) -> Db {
    let db = Db::open(dir).expect(DISK);
    let mut random = SeededRandom::new(1);
    let order = shuffled(ENTRIES);
    let (old, new) = order.split_at(order.len() / 2);
    for &n in old {
        db.insert(key(2 * n), value(&mut random)).expect(DISK);
    }
    db.compact().expect(DISK);
    for &n in new {
        db.insert(key(2 * n), value(&mut random)).expect(DISK);
    }
    assert_eq!(db.count().expect(DISK), ENTRIES);
    db
}

fn walk(scan: impl Iterator<Item = Result<KeyValue>>) -> usize {
    scan.map(|entry| entry.expect(DISK).1.len()).sum()
}

fn reads(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect(DISK);
    let db = filled(dir.path());
    let order = shuffled(ENTRIES);
    let mut next = order.iter().cycle();
    let mut next = || 2 * *next.next().expect("it goes round");
    let mut group = criterion.benchmark_group("engine/read");
    group.throughput(Throughput::Elements(1));
    group.bench_function("get", |bencher| {
        bencher.iter(|| black_box(db.get(key(next())).expect(DISK).expect("it is there")));
    });
    group.bench_function("get absent", |bencher| {
        bencher.iter(|| assert!(db.get(key(next() + 1)).expect(DISK).is_none()));
    });
    group.throughput(Throughput::Elements(64));
    group.bench_function("get many of 64", |bencher| {
        bencher.iter(|| {
            let keys: [_; 64] = std::array::from_fn(|_| key(next()));
            black_box(db.get_many(keys).expect(DISK))
        });
    });
    group.throughput(Throughput::Elements(SCANNED as u64));
    group.bench_function("seek and 100 next", |bencher| {
        bencher.iter(|| walk(db.range(key(next())..).take(SCANNED)));
    });
    group.bench_function("seek and 100 next back", |bencher| {
        bencher.iter(|| walk(db.range(..key(next())).rev().take(SCANNED)));
    });
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("full scan", |bencher| {
        bencher.iter(|| walk(db.iter()));
    });
    group.bench_function("full scan back", |bencher| {
        bencher.iter(|| walk(db.iter().rev()));
    });
    group.finish();
    tables_only(criterion, &db);
}

/// The same without memtables, and with one run of tables: nothing is merged.
fn tables_only(criterion: &mut Criterion, db: &Db) {
    db.compact().expect(DISK);
    let order = shuffled(ENTRIES);
    let mut next = order.iter().cycle();
    let mut next = || 2 * *next.next().expect("it goes round");
    let mut group = criterion.benchmark_group("engine/tables");
    group.throughput(Throughput::Elements(1));
    group.bench_function("get", |bencher| {
        bencher.iter(|| black_box(db.get(key(next())).expect(DISK).expect("it is there")));
    });
    group.throughput(Throughput::Elements(64));
    group.bench_function("get many of 64", |bencher| {
        bencher.iter(|| {
            let keys: [_; 64] = std::array::from_fn(|_| key(next()));
            black_box(db.get_many(keys).expect(DISK))
        });
    });
    group.throughput(Throughput::Elements(10));
    group.bench_function("seek and 10 next", |bencher| {
        bencher.iter(|| walk(db.range(key(next())..).take(10)));
    });
    group.bench_function("seek and 10 next back", |bencher| {
        bencher.iter(|| walk(db.range(..=key(next())).rev().take(10)));
    });
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("full scan", |bencher| bencher.iter(|| walk(db.iter())));
    group.bench_function("full scan back", |bencher| {
        bencher.iter(|| walk(db.iter().rev()));
    });
    let count = |bytes: &mut usize, value: &[u8]| {
        *bytes += value.len();
        ControlFlow::Continue(())
    };
    group.bench_function("full visit", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            db.iter().visit(|_, value| count(&mut bytes, value)).expect(DISK);
            bytes
        });
    });
    group.bench_function("full visit back", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            db.iter().visit_back(|_, value| count(&mut bytes, value)).expect(DISK);
            bytes
        });
    });
    group.finish();
}

/// Several threads that write at once: time by the clock for each entry of all of them.
#[expect(clippy::disallowed_methods, reason = "a benchmark times itself")]
fn together(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/together");
    let value = value(&mut SeededRandom::new(1));
    let dir = tempfile::tempdir().expect(DISK);
    let db = Db::open(dir.path()).expect(DISK);
    let cases = [(2, Persist::Buffer), (8, Persist::Sync), (32, Persist::Sync)];
    for (threads, persist) in cases {
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{threads} writers, {persist:?}"), |bencher| {
            bencher.iter_custom(|entries| {
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for thread in 0..threads {
                        let db = &db;
                        scope.spawn(move || {
                            for n in (thread..entries).step_by(threads as usize) {
                                let mut batch = db.batch();
                                let key = key(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                                batch.insert(&db.default_keyspace(), key, value);
                                batch.commit(persist).expect(DISK);
                            }
                        });
                    }
                });
                start.elapsed()
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = criterion();
    writes(&mut criterion);
    reads(&mut criterion);
    together(&mut criterion);
    criterion.final_summary();
}
