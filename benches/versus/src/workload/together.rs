//! What one thread notices of another, and of the work in the background.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::{Bench, timed};
use crate::measure::Latency;

/// How long reads go on beside a writer, and synced writes beside compactions.
const TIME: Duration = Duration::from_secs(8);
/// A synced write begins so often.
const BETWEEN_SYNCS: Duration = Duration::from_millis(2);
/// The share of what can be sustained that a paced writer asks for.
const PACE: f64 = 0.8;

/// Reads by one thread while another overwrites as fast as it can. Counted are the reads.
pub fn read_while_writing(bench: &Bench<'_>) -> Result<()> {
    let database = bench.fresh()?;
    let client = bench;
    let (load, entries) = (client.load, client.entries);
    timed(entries, 1, |n| client.put(&*database, &load.random(n), false))?;
    database.drain()?;
    let numbers = load.uniform(entries, client.reads());
    let meter = bench.meter("readwhilewriting", &database)?;
    let (is_over, client) = (AtomicBool::new(false), bench);
    let (reads, writes, latency) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<u64> {
            let mut writes = 0;
            while !is_over.load(Ordering::Relaxed) {
                let n = (writes * 7_368_787 + 1) % entries;
                client.put(&*database, &load.random(n), false)?;
                writes += 1;
            }
            Ok(writes)
        });
        let (start, mut reads, mut histogram) = (Instant::now(), 0, Histogram::new(3)?);
        let mut last = start;
        while last - start < TIME {
            let key = load.random(numbers[reads as usize % numbers.len()]);
            ensure!(client.get(&*database, &key)? == Some(true), "a wrong answer for {key:?}");
            let now = Instant::now();
            histogram.record((now - last).as_nanos() as u64)?;
            (last, reads) = (now, reads + 1);
        }
        is_over.store(true, Ordering::Relaxed);
        let writes = writer.join().expect("no panic")?;
        anyhow::Ok((reads, writes, Latency::of(&histogram)))
    })?;
    let measure =
        meter.finish_after(TIME.as_secs_f64(), reads, writes * load.entry_bytes(), latency)?;
    bench.show(&measure)
}

/// Synced writes by one thread, one every two milliseconds, while another fills the database as fast
/// as it can, so that flushes and compactions never end.
pub fn sync_latency(bench: &Bench<'_>) -> Result<()> {
    let database = bench.fresh()?;
    let load = bench.load;
    let meter = bench.meter("synclatency", &database)?;
    let (is_over, client) = (AtomicBool::new(false), bench);
    let (syncs, writes, latency) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<u64> {
            let mut writes = 0;
            while !is_over.load(Ordering::Relaxed) {
                client.put(&*database, &load.random(writes), false)?;
                writes += 1;
            }
            Ok(writes)
        });
        let (start, mut syncs, mut histogram) = (Instant::now(), 0, Histogram::new(3)?);
        while start.elapsed() < TIME {
            let before = Instant::now();
            client.put(&*database, &load.sequential(syncs), true)?;
            let took = before.elapsed();
            histogram.record(took.as_nanos() as u64)?;
            std::thread::sleep(BETWEEN_SYNCS.saturating_sub(took));
            syncs += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        let writes = writer.join().expect("no panic")?;
        anyhow::Ok((syncs, writes, Latency::of(&histogram)))
    })?;
    let written = (syncs + writes) * load.entry_bytes();
    let measure = meter.finish_after(TIME.as_secs_f64(), syncs, written, latency)?;
    bench.show(&measure)
}

/// Random writes at four fifths of the rate that can be sustained. A latency counts from the moment
/// at which a write was due, so that what a stall delays counts as well.
pub fn paced(bench: &Bench<'_>) -> Result<()> {
    let load = bench.load;
    let sustained = {
        let (database, client, start) = (bench.fresh()?, bench, Instant::now());
        timed(client.entries, 1, |n| client.put(&*database, &load.random(n), false))?;
        database.drain()?;
        client.entries as f64 / start.elapsed().as_secs_f64()
    };
    let database = bench.fresh()?;
    let meter = bench.meter("paced", &database)?;
    let (client, mut histogram) = (bench, Histogram::<u64>::new(3)?);
    let gap = Duration::from_secs_f64(1.0 / (sustained * PACE));
    let start = Instant::now();
    for n in 0..client.entries {
        let due = start + gap.mul_f64(n as f64);
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        client.put(&*database, &load.random(n), false)?;
        histogram.record(due.elapsed().as_nanos() as u64)?;
    }
    let entries = bench.entries;
    let latency = Latency::of(&histogram);
    let measure = meter.finish(entries, entries * load.entry_bytes(), latency)?;
    bench.show(&measure)
}
