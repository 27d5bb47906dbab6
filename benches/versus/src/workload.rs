//! The workloads, in the order in which they run on one database.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use hdrhistogram::Histogram;

use crate::Args;
use crate::engines::{Engine, EngineName, Order};
use crate::load::Load;
use crate::report::{Measure, Report};

/// What is measured. `@N` is the number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "lower")]
pub enum Workload {
    /// Ascending keys into an empty database, until drained.
    Fillseq,
    /// Random keys into an empty database, until drained.
    Fillrandom,
    /// Random keys again, until drained.
    Overwrite,
    /// Keys that are there, in random order.
    Readrandom,
    /// The same from two threads.
    #[value(name = "readrandom@2")]
    Readrandom2,
    /// Keys that are not there.
    Readmissing,
    /// A seek and ten steps.
    Seek10,
    /// A seek and a hundred steps.
    Seek100,
    /// A seek and ten steps back.
    Seek10prev,
    /// Every entry, ascending.
    Scan,
    /// Every entry, descending.
    Scanback,
    /// Each write synced, one thread.
    Fillsync,
    /// Each write synced, eight threads.
    #[value(name = "fillsync@8")]
    Fillsync8,
}

/// Runs the chosen workloads on one engine and adds what they measured.
pub fn run(args: &Args, name: EngineName, report: &mut Report) -> Result<()> {
    let load = Load::new(args.seed, args.value_size);
    let chosen =
        |workload: Workload| args.workloads.is_empty() || args.workloads.contains(&workload);
    if chosen(Workload::Fillseq) {
        let fresh = Fresh::open(args, name)?;
        let measure = fill(&*fresh.engine, args.n, 1, false, &load, Load::sequential, true)?;
        report.add(name, Workload::Fillseq, measure);
    }
    for (workload, threads) in [(Workload::Fillsync, 1), (Workload::Fillsync8, 8)] {
        if chosen(workload) {
            let fresh = Fresh::open(args, name)?;
            let key = |n| load.random(n);
            let measure = fill(&*fresh.engine, args.sync_n, threads, true, &load, key, false)?;
            report.add(name, workload, measure);
        }
    }
    let fresh = Fresh::open(args, name)?;
    let engine = &*fresh.engine;
    let key = |n| load.random(n);
    let measure = fill(engine, args.n, 1, false, &load, key, true)?;
    report.add(name, Workload::Fillrandom, measure);
    if chosen(Workload::Overwrite) {
        let shuffled = |n: u64| load.random((n.wrapping_mul(7_368_787) + 1) % args.n);
        report.add(
            name,
            Workload::Overwrite,
            fill(engine, args.n, 1, false, &load, shuffled, true)?,
        );
    }
    reads(args, name, engine, &load, &chosen, report)?;
    for (workload, order) in
        [(Workload::Scan, Order::Ascending), (Workload::Scanback, Order::Descending)]
    {
        if chosen(workload) {
            report.add(name, workload, scan(engine, args.n, order)?);
        }
    }
    Ok(())
}

fn reads(
    args: &Args,
    name: EngineName,
    engine: &dyn Engine,
    load: &Load,
    chosen: &dyn Fn(Workload) -> bool,
    report: &mut Report,
) -> Result<()> {
    let count = args.n.min(1_000_000);
    // Once unmeasured, so that every engine's cache has seen the data.
    get(engine, args.n, count, 1, load, true, args.seed)?;
    for (workload, threads, is_there) in [
        (Workload::Readrandom, 1, true),
        (Workload::Readrandom2, 2, true),
        (Workload::Readmissing, 1, false),
    ] {
        if chosen(workload) {
            let measure = get(engine, args.n, count, threads, load, is_there, args.seed + 1)?;
            report.add(name, workload, measure);
        }
    }
    for (workload, steps, order) in [
        (Workload::Seek10, 10, Order::Ascending),
        (Workload::Seek100, 100, Order::Ascending),
        (Workload::Seek10prev, 10, Order::Descending),
    ] {
        if chosen(workload) {
            let count = (count / steps as u64).max(1000);
            report.add(name, workload, seek(engine, args.n, count, load, steps, order)?);
        }
    }
    Ok(())
}

/// A database in a folder that goes with it.
struct Fresh {
    engine: Arc<dyn Engine>,
    _dir: tempfile::TempDir,
}

impl Fresh {
    fn open(args: &Args, name: EngineName) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("versus-").tempdir_in(&args.dir)?;
        let engine = name.open(dir.path(), args.cache_mib << 20)?;
        Ok(Self { engine, _dir: dir })
    }
}

/// Runs `each(n)` for `0..count` on some threads; the measure is of operations.
fn timed(
    count: u64,
    threads: u64,
    finish: impl FnOnce() -> Result<()>,
    each: impl Fn(u64, u64) -> Result<()> + Sync,
) -> Result<Measure> {
    let start = Instant::now();
    let histograms: Result<Vec<Histogram<u64>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let each = &each;
                scope.spawn(move || -> Result<Histogram<u64>> {
                    let mut histogram = Histogram::new(3)?;
                    let mut n = thread;
                    let mut last = Instant::now();
                    while n < count {
                        each(thread, n)?;
                        let now = Instant::now();
                        histogram.record((now - last).as_nanos() as u64)?;
                        last = now;
                        n += threads;
                    }
                    Ok(histogram)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    let mut latency = Histogram::new(3)?;
    for histogram in histograms? {
        latency.add(histogram)?;
    }
    finish()?;
    Ok(Measure { per_second: count as f64 / start.elapsed().as_secs_f64(), latency })
}

fn fill(
    engine: &dyn Engine,
    count: u64,
    threads: u64,
    is_synced: bool,
    load: &Load,
    key: impl Fn(u64) -> [u8; 16] + Sync,
    is_drained: bool,
) -> Result<Measure> {
    let finish = || if is_drained { engine.drain() } else { Ok(()) };
    thread_local! { static VALUE: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) }; }
    timed(count, threads, finish, |_, n| {
        VALUE.with_borrow_mut(|value| {
            let key = key(n);
            load.value(&key, value);
            engine.put(&key, value, is_synced)
        })
    })
}

fn get(
    engine: &dyn Engine,
    n: u64,
    count: u64,
    threads: u64,
    load: &Load,
    is_there: bool,
    seed: u64,
) -> Result<Measure> {
    thread_local! { static WANTED: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) }; }
    timed(
        count,
        threads,
        || Ok(()),
        |_, at| {
            let number = fastrand::Rng::with_seed(seed ^ at).u64(..n);
            let key = if is_there { load.random(number) } else { load.missing(number) };
            WANTED.with_borrow_mut(|wanted| {
                load.value(&key, wanted);
                let is_right = engine.get(&key, &mut |value| value == wanted)?;
                ensure!(is_right == is_there.then_some(true), "wrong answer for {key:?}");
                Ok(())
            })
        },
    )
}

fn seek(
    engine: &dyn Engine,
    n: u64,
    count: u64,
    load: &Load,
    steps: usize,
    order: Order,
) -> Result<Measure> {
    timed(
        count,
        1,
        || Ok(()),
        |_, at| {
            let from = load.random(fastrand::Rng::with_seed(at).u64(..n));
            let mut bytes = 0;
            let seen = engine.scan(Some(&from), steps, order, &mut |key, value| {
                bytes += key.len() + value.len();
            })?;
            ensure!(seen <= steps && bytes > 0);
            Ok(())
        },
    )
}

fn scan(engine: &dyn Engine, n: u64, order: Order) -> Result<Measure> {
    let start = Instant::now();
    let mut last: Option<[u8; 16]> = None;
    let mut is_sorted = true;
    let seen = engine.scan(None, usize::MAX, order, &mut |key, value| {
        let key: [u8; 16] = key.try_into().unwrap_or_default();
        is_sorted &= last.is_none_or(|last| (last < key) == (order == Order::Ascending));
        is_sorted &= !value.is_empty();
        last = Some(key);
    })?;
    ensure!(is_sorted && seen as u64 == n, "the scan saw {seen} of {n} entries");
    let mut latency = Histogram::new(3)?;
    let elapsed = start.elapsed();
    latency.record((elapsed.as_nanos() as u64 / n).max(1))?;
    Ok(Measure { per_second: n as f64 / elapsed.as_secs_f64(), latency })
}
