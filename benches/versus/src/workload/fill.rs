//! Writing: one by one, in batches, from several threads, synced.

use anyhow::Result;

use super::{Bench, Database, timed};
use crate::load::Key;

/// Entries of a batch.
const BATCH: u64 = 1000;

/// Ascending keys into an empty database, until drained.
pub fn sequential(bench: &Bench<'_>) -> Result<()> {
    let database = bench.fresh()?;
    fill(bench, &database, "fillseq", 1, |bench, n| bench.load.sequential(n))
}

/// Random keys into an empty database, until drained.
pub fn random(bench: &Bench<'_>, threads: u64) -> Result<Database> {
    let database = bench.fresh()?;
    let name = if threads == 1 { "fillrandom".to_owned() } else { format!("fillrandom@{threads}") };
    fill(bench, &database, &name, threads, |bench, n| bench.load.random(n))?;
    Ok(database)
}

/// The same keys again, in another order, until drained.
pub fn overwrite(bench: &Bench<'_>, database: &Database) -> Result<()> {
    fill(bench, database, "overwrite", 1, |bench, n| {
        bench.load.random((n.wrapping_mul(7_368_787) + 1) % bench.entries)
    })
}

fn fill(
    bench: &Bench<'_>,
    database: &Database,
    name: &str,
    threads: u64,
    key: impl Fn(&Bench<'_>, u64) -> Key + Sync,
) -> Result<()> {
    let meter = bench.meter(name, database)?;
    let writer = bench;
    let latency =
        timed(writer.entries, threads, |n| writer.put(&**database, &key(writer, n), false))?;
    database.drain()?;
    let measure = meter.finish(bench.entries, bench.entries * bench.load.entry_bytes(), latency)?;
    bench.show(&measure)
}

/// Random keys in batches of a thousand, until drained. An operation is an entry, a latency that of
/// a batch.
pub fn batches(bench: &Bench<'_>) -> Result<()> {
    let database = bench.fresh()?;
    let meter = bench.meter("batch1000", &database)?;
    let load = bench.load;
    let batches = (bench.entries / BATCH).max(1);
    let latency = timed(batches, 1, |batch| {
        let entry = |n| {
            let key = load.random(n);
            let mut value = Vec::new();
            load.value(&key, &mut value);
            (key, value)
        };
        let entries: Vec<_> = (batch * BATCH..(batch + 1) * BATCH).map(entry).collect();
        database.put_all(&entries)
    })?;
    database.drain()?;
    let entries = batches * BATCH;
    let measure = meter.finish(entries, entries * load.entry_bytes(), latency)?;
    bench.show(&measure)
}

/// Each write synced.
pub fn synced(bench: &Bench<'_>, threads: u64) -> Result<()> {
    let database = bench.fresh()?;
    let name = if threads == 1 { "fillsync".to_owned() } else { format!("fillsync@{threads}") };
    let meter = bench.meter(&name, &database)?;
    let writer = bench;
    let count = writer.args.sync_n * threads.min(8);
    let latency = timed(count, threads, |n| writer.put(&*database, &writer.load.random(n), true))?;
    let measure = meter.finish(count, count * bench.load.entry_bytes(), latency)?;
    bench.show(&measure)
}
