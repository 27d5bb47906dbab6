//! A queue: pushed at its tail, popped at its head by a scan for the first entry. Everything that
//! was popped is a tombstone that the next scan may have to walk over.

use anyhow::{Result, ensure};

use super::{Bench, timed};
use crate::engines::Order;
use crate::load::Key;

/// How long the queue is before the first pop.
const LENGTH: u64 = 20_000;

/// Each operation pushes one entry and pops one.
pub fn push_and_pop(bench: &Bench<'_>) -> Result<()> {
    let database = bench.fresh()?;
    let load = bench.load;
    let client = bench;
    timed(LENGTH, 1, |n| client.put(&*database, &load.sequential(n), false))?;
    let count = bench.args.queue_n;
    let meter = bench.meter("queue", &database)?;
    let latency = timed(count, 1, |n| {
        client.put(&*database, &load.sequential(LENGTH + n), false)?;
        let mut head: Option<Key> = None;
        database.scan(None, 1, Order::Ascending, &mut |key, _| head = key.try_into().ok())?;
        ensure!(head == Some(load.sequential(n)), "the head is {head:?}");
        database.remove(&load.sequential(n))
    })?;
    let measure = meter.finish(count, count * load.entry_bytes(), latency)?;
    bench.show(&measure)
}
