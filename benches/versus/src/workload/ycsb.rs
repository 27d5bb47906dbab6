//! The core workloads of YCSB, with one thread.
//!
//! | | reads | writes | choice |
//! |---|---|---|---|
//! | A | 50 % | 50 % updates | Zipfian |
//! | B | 95 % | 5 % updates | Zipfian |
//! | C | 100 % | | Zipfian |
//! | D | 95 % | 5 % inserts | the latest |
//! | E | 95 % scans of up to 100 | 5 % inserts | Zipfian |
//! | F | 50 % | 50 % read, change, write | Zipfian |
//!
//! Source: Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", `SoCC` 2010.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};

use super::{Bench, Database, timed};
use crate::engines;

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Read,
    ReadLatest,
    Scan,
    Update,
    Insert,
    Change,
}

/// Name, how often of a hundred the first step is made, the first step, the other.
const WORKLOADS: [(&str, u64, Step, Step); 6] = [
    // Those that change least come first: all share one database.
    ("ycsb-c", 100, Step::Read, Step::Read),
    ("ycsb-b", 95, Step::Read, Step::Update),
    ("ycsb-d", 95, Step::ReadLatest, Step::Insert),
    ("ycsb-e", 95, Step::Scan, Step::Insert),
    ("ycsb-a", 50, Step::Read, Step::Update),
    ("ycsb-f", 50, Step::Read, Step::Change),
];

/// Loads the entries, then runs all six.
pub fn all(bench: &Bench<'_>) -> Result<()> {
    let database = bench.fresh()?;
    let loader = bench;
    timed(loader.entries, 1, |n| loader.put(&*database, &loader.load.random(n), false))?;
    database.drain()?;
    let there = AtomicU64::new(bench.entries);
    for (name, share, first, other) in WORKLOADS {
        one(bench, &database, &there, (name, share, first, other))?;
    }
    Ok(())
}

fn one(
    bench: &Bench<'_>,
    database: &Database,
    there: &AtomicU64,
    (name, share, first, other): (&str, u64, Step, Step),
) -> Result<()> {
    let count = if first == Step::Scan { bench.reads() / 10 } else { bench.reads() };
    let chosen = match first {
        Step::ReadLatest => bench.load.ages(bench.entries, count),
        _ => bench.load.zipfian(bench.entries, count),
    };
    let draws = bench.load.uniform(10_000, count);
    let writes = AtomicU64::new(0);
    let meter = bench.meter(name, database)?;
    let client = bench;
    let latency = timed(count, 1, |at| {
        let (number, draw) = (chosen[at as usize], draws[at as usize]);
        let step = if draw % 100 < share { first } else { other };
        if !matches!(step, Step::Read | Step::ReadLatest | Step::Scan) {
            writes.fetch_add(1, Ordering::Relaxed);
        }
        perform(client, database, there, step, number, draw / 100)
    })?;
    let written = writes.into_inner() * bench.load.entry_bytes();
    let measure = meter.finish(count, written, latency)?;
    bench.show(&measure)
}

/// One operation on entry `number`; a scan has up to `length` and one entries.
fn perform(
    client: &Bench<'_>,
    database: &Database,
    there: &AtomicU64,
    step: Step,
    number: u64,
    length: u64,
) -> Result<()> {
    let key = client.load.random(number);
    let read = |key| -> Result<()> {
        ensure!(client.get(&**database, key)? == Some(true), "a wrong answer for {key:?}");
        Ok(())
    };
    match step {
        Step::Read => read(&key),
        Step::ReadLatest => {
            let newest = there.load(Ordering::Relaxed) - 1;
            read(&client.load.random(newest - number.min(newest)))
        }
        Step::Scan => {
            let limit = length as usize + 1;
            let order = engines::Order::Ascending;
            let mut bytes = 0;
            let seen = database.scan(Some(&key), limit, order, &mut |_, value| {
                bytes += value.len();
            })?;
            ensure!(seen > 0 && bytes > 0, "an empty scan from {key:?}");
            Ok(())
        }
        Step::Update => client.put(&**database, &key, false),
        Step::Insert => {
            let key = client.load.random(there.fetch_add(1, Ordering::Relaxed));
            client.put(&**database, &key, false)
        }
        Step::Change => {
            read(&key)?;
            client.put(&**database, &key, false)
        }
    }
}
