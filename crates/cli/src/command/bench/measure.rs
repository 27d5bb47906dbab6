//! One workload, measured: threads, clocks, histograms.

use std::sync::Barrier;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::operations::Setup;
use super::workload::Workload;
use crate::stopwatch::Stopwatch;

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;
/// Longest latency that is told apart from longer ones, in nanoseconds: an hour.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// What one thread noted.
#[derive(Debug)]
pub(super) struct Share {
    /// Latencies in nanoseconds.
    latencies: Histogram<u64>,
    bytes: u64,
    /// Lookups that found something, or entries that were read.
    pub(super) found: u64,
    clock: Stopwatch,
}

impl Share {
    fn new() -> Self {
        let latencies = Histogram::new_with_max(LONGEST_NANOS, DIGITS);
        let latencies = latencies.expect("an hour and three digits are within the limits");
        Self { latencies, bytes: 0, found: 0, clock: Stopwatch::start() }
    }

    /// An operation is done: its latency is the time since the one before.
    pub(super) fn note(&mut self, bytes: usize) {
        let nanos = self.clock.lap().as_nanos() as u64;
        self.latencies.saturating_record(nanos);
        self.bytes += bytes as u64;
    }
}

/// A measured workload.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) workload: Workload,
    /// Operations that were made.
    pub(super) operations: u64,
    /// From the first operation to the last acknowledgement.
    pub(super) elapsed: Duration,
    /// From there until background work had nothing left to do.
    pub(super) drain: Duration,
    /// Keys and values read or written.
    pub(super) bytes: u64,
    /// Lookups that found something, or entries that were read.
    pub(super) found: u64,
    /// Latencies in nanoseconds.
    pub(super) latencies: Histogram<u64>,
}

impl Row {
    /// Operations a second.
    pub(super) fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Keys and values, in bytes a second.
    pub(super) fn byte_rate(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Runs `workload` to its end.
pub(super) fn measure(setup: &Setup, workload: Workload) -> Result<Row> {
    let operations = workload.operations(setup.keys);
    let threads = u64::from(setup.threads);
    let start = Barrier::new(usize::from(setup.threads));
    let clock = Stopwatch::start();
    let shares: Vec<_> = std::thread::scope(|scope| {
        let spawn = |thread: u16| {
            let start = &start;
            let at = u64::from(thread);
            let places = operations * at / threads..operations * (at + 1) / threads;
            scope.spawn(move || {
                start.wait();
                // Each thread looks at the clock itself: nobody knows when another one got a processor.
                let begin = clock.elapsed();
                let mut share = Share::new();
                setup.run(workload, places, thread, &mut share)?;
                anyhow::Ok((share, begin..clock.elapsed()))
            })
        };
        let running: Vec<_> = (0..setup.threads).map(spawn).collect();
        running.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let clock = Stopwatch::start();
    setup.db.wait_idle()?;
    let mut whole = Share::new();
    let mut busy = Duration::MAX..Duration::ZERO;
    for share in shares {
        let share = share.map_err(|_| anyhow::anyhow!("a thread of the benchmark panicked"))?;
        let (share, its_time) = share?;
        busy = busy.start.min(its_time.start)..busy.end.max(its_time.end);
        whole.latencies.add(&share.latencies).context("latencies do not add up")?;
        whole.bytes += share.bytes;
        whole.found += share.found;
    }
    Ok(Row {
        workload,
        operations: whole.latencies.len(),
        elapsed: busy.end.saturating_sub(busy.start),
        drain: clock.elapsed(),
        bytes: whole.bytes,
        found: whole.found,
        latencies: whole.latencies,
    })
}

#[cfg(test)]
mod tests {
    use alluvium::{Db, Persist};

    use super::*;
    use crate::command::bench::values::Values;

    /// Every moment of a thread belongs to one operation: the latencies add up to the time.
    #[test]
    fn latencies_add_up_to_the_time_taken() {
        let db = Db::in_memory().unwrap();
        let (keyspace, values) = (db.default_keyspace(), Values::new(100_000, 1));
        let persist = Persist::Buffer;
        let setup = Setup { db, keyspace, keys: 200, threads: 2, seed: 1, persist, values };
        for workload in [Workload::FillRandom, Workload::ReadRandom, Workload::ReadSeq] {
            let row = measure(&setup, workload).unwrap();
            assert_eq!(row.operations, 200);
            let sum = Duration::from_nanos((row.latencies.mean() * 200.0) as u64);
            // Both threads work within the row's time; a thousandth is lost to rounding.
            assert!(sum <= 2 * row.elapsed + row.elapsed / 100, "{sum:?} in {:?}", row.elapsed);
            let most = Duration::from_nanos(row.latencies.max());
            assert!(most * 200 >= sum, "{workload:?}: {most:?} of {sum:?}");
        }
    }

    #[test]
    fn long_latencies_are_kept() {
        let mut share = Share::new();
        share.latencies.saturating_record(5_000_000_000);
        share.latencies.saturating_record(1_000);
        let kept = share.latencies.max();
        assert!((4_990_000_000..5_010_000_000).contains(&kept), "{kept}");
        assert_eq!(share.latencies.min(), 1_000);
    }
}
