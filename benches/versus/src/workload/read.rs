//! Reading: by key, several keys at once, by seeks and by scans.

use anyhow::{Result, ensure};

use super::{Bench, Database, timed};
use crate::engines::Order;
use crate::load::Key;
use crate::measure::Latency;

/// Keys of a [`get_many`](crate::engines::Engine::get_many).
const MANY: usize = 64;

/// Every workload that only reads.
pub fn all(bench: &Bench<'_>, database: &Database) -> Result<()> {
    let uniform = bench.load.uniform(bench.entries, bench.reads());
    // Once unmeasured, so that every engine's cache has seen the data.
    get(bench, database, None, &uniform, 1)?;
    get(bench, database, Some("readrandom"), &uniform, 1)?;
    get(bench, database, Some("readrandom@2"), &uniform, 2)?;
    let skewed = bench.load.zipfian(bench.entries, bench.reads());
    get(bench, database, Some("readzipf"), &skewed, 1)?;
    missing(bench, database, &uniform)?;
    many(bench, database, &uniform)?;
    seek(bench, database, "seek10", &uniform, 10, Order::Ascending)?;
    seek(bench, database, "seek100", &uniform, 100, Order::Ascending)?;
    seek(bench, database, "seek10prev", &uniform, 10, Order::Descending)?;
    scan(bench, database, "scan", Order::Ascending)?;
    scan(bench, database, "scanback", Order::Descending)
}

/// Keys that are there.
pub fn points(bench: &Bench<'_>, database: &Database) -> Result<()> {
    let uniform = bench.load.uniform(bench.entries, bench.reads() / 5);
    get(bench, database, None, &uniform, 1)?;
    get(bench, database, Some("readrandom"), &uniform, 1)
}

/// Keys that are there, and a scan.
pub fn points_and_scan(bench: &Bench<'_>, database: &Database) -> Result<()> {
    points(bench, database)?;
    scan(bench, database, "scan", Order::Ascending)
}

fn get(
    bench: &Bench<'_>,
    database: &Database,
    name: Option<&str>,
    numbers: &[u64],
    threads: u64,
) -> Result<()> {
    let meter = bench.meter(name.unwrap_or_default(), database)?;
    let reader = bench;
    let latency = timed(numbers.len() as u64, threads, |at| {
        let key = reader.load.random(numbers[at as usize]);
        ensure!(reader.get(&**database, &key)? == Some(true), "a wrong answer for {key:?}");
        Ok(())
    })?;
    let measure = meter.finish(numbers.len() as u64, 0, latency)?;
    if name.is_some() { bench.show(&measure) } else { Ok(()) }
}

/// Keys that are not there.
fn missing(bench: &Bench<'_>, database: &Database, numbers: &[u64]) -> Result<()> {
    let meter = bench.meter("readmissing", database)?;
    let reader = bench;
    let latency = timed(numbers.len() as u64, 1, |at| {
        let key = reader.load.missing(numbers[at as usize]);
        ensure!(reader.get(&**database, &key)?.is_none(), "an answer for {key:?}");
        Ok(())
    })?;
    let measure = meter.finish(numbers.len() as u64, 0, latency)?;
    bench.show(&measure)
}

/// Keys that are there, in one call each. An operation is a key, a latency that of a call.
fn many(bench: &Bench<'_>, database: &Database, numbers: &[u64]) -> Result<()> {
    let meter = bench.meter("getmany64", database)?;
    let load = bench.load;
    let calls = numbers.len() / MANY;
    let latency = timed(calls as u64, 1, |call| {
        let chosen = numbers[call as usize * MANY..][..MANY].iter();
        let keys: Vec<Key> = chosen.map(|&number| load.random(number)).collect();
        let (mut wanted, mut right) = (Vec::new(), 0);
        database.get_many(&keys, &mut |at, value| {
            load.value(&keys[at], &mut wanted);
            right += usize::from(value == wanted);
        })?;
        ensure!(right == MANY, "{right} of {MANY} answers are right");
        Ok(())
    })?;
    let measure = meter.finish((calls * MANY) as u64, 0, latency)?;
    bench.show(&measure)
}

/// A seek and some steps.
fn seek(
    bench: &Bench<'_>,
    database: &Database,
    name: &str,
    numbers: &[u64],
    steps: usize,
    order: Order,
) -> Result<()> {
    let count = (numbers.len() / steps).max(1000).min(numbers.len());
    let meter = bench.meter(name, database)?;
    let load = bench.load;
    let latency = timed(count as u64, 1, |at| {
        let from = load.random(numbers[at as usize]);
        let (mut first, mut last, mut ascends) = (None, from, true);
        let seen = database.scan(Some(&from), steps, order, &mut |key, value| {
            let key: Key = key.try_into().unwrap_or_default();
            first.get_or_insert(key);
            ascends &= key == from || (last < key) == (order == Order::Ascending);
            ascends &= !value.is_empty();
            last = key;
        })?;
        ensure!(first == Some(from) && ascends && seen <= steps, "a wrong seek to {from:?}");
        Ok(())
    })?;
    let measure = meter.finish(count as u64, 0, latency)?;
    bench.show(&measure)
}

/// Every entry. An operation is an entry.
fn scan(bench: &Bench<'_>, database: &Database, name: &str, order: Order) -> Result<()> {
    let meter = bench.meter(name, database)?;
    let mut last: Option<Key> = None;
    let mut is_sorted = true;
    let seen = database.scan(None, usize::MAX, order, &mut |key, value| {
        let key: Key = key.try_into().unwrap_or_default();
        is_sorted &= last.is_none_or(|last| (last < key) == (order == Order::Ascending));
        is_sorted &= !value.is_empty();
        last = Some(key);
    })? as u64;
    ensure!(is_sorted && seen == bench.entries, "the scan saw {seen} of {} entries", bench.entries);
    let measure = meter.finish(seen, 0, Latency::default())?;
    bench.show(&measure)
}
