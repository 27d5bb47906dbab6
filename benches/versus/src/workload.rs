//! The workloads, in scenarios: what runs one after the other in a process of its own.

mod fill;
mod queue;
mod read;
mod reopen;
mod together;
mod ycsb;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;
use hdrhistogram::Histogram;

use crate::Args;
use crate::confine;
use crate::engines::{Engine, EngineName};
use crate::load::{Key, Load};
use crate::measure::{Latency, Measure, Meter};

/// Most operations of a workload of reads.
const MOST_READS: u64 = 1_000_000;
/// What the scenario `larger` may have, page cache and all.
const LIMIT_BYTES: u64 = 1 << 30;

/// Workloads that share a process, and some of them a database. `@N` is the number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// fillseq
    Sequential,
    /// fillrandom, overwrite, readrandom, readrandom@2, readzipf, readmissing, getmany64, seek10,
    /// seek100, seek10prev, scan, scanback
    Random,
    /// fillrandom@2
    Parallel,
    /// batch1000
    Batch,
    /// fillsync, fillsync@8, fillsync@32
    Sync,
    /// ycsb-a to ycsb-f
    Ycsb,
    /// readwhilewriting
    Mixed,
    /// synclatency, paced
    Latency,
    /// queue
    Queue,
    /// fillrandom, readrandom and scan with values of 1,000 bytes
    Large,
    /// open, after a crash with a full log
    Reopen,
    /// fillrandom and readrandom with four times as much data as memory
    Larger,
}

/// A scenario under way on one engine.
pub struct Bench<'a> {
    pub args: &'a Args,
    pub engine: EngineName,
    pub load: Load,
    pub entries: u64,
    /// What follows the names of workloads.
    suffix: &'static str,
}

/// Runs a scenario in this process and writes each measure to standard output, as a line of JSON.
pub fn run(args: &Args, engine: EngineName, scenario: Scenario) -> Result<()> {
    let load = Load::new(args.seed, args.value_size);
    let mut bench = Bench { args, engine, load, entries: args.n, suffix: "" };
    match scenario {
        Scenario::Sequential => fill::sequential(&bench),
        Scenario::Random => {
            let database = fill::random(&bench, 1)?;
            fill::overwrite(&bench, &database)?;
            read::all(&bench, &database)
        }
        Scenario::Parallel => fill::random(&bench, 2).map(drop),
        Scenario::Batch => fill::batches(&bench),
        Scenario::Sync => [1, 8, 32].iter().try_for_each(|&threads| fill::synced(&bench, threads)),
        Scenario::Ycsb => ycsb::all(&bench),
        Scenario::Mixed => together::read_while_writing(&bench),
        Scenario::Latency => {
            together::sync_latency(&bench)?;
            together::paced(&bench)
        }
        Scenario::Queue => queue::push_and_pop(&bench),
        Scenario::Large => {
            bench.load = Load::new(args.seed, 1000);
            bench.entries = (args.n / 5).max(1000);
            bench.suffix = "-1k";
            let database = fill::random(&bench, 1)?;
            read::points_and_scan(&bench, &database)
        }
        Scenario::Reopen => reopen::after_a_crash(&bench),
        Scenario::Larger => {
            confine::memory(LIMIT_BYTES)?;
            bench.load = Load::new(args.seed, 1000);
            bench.entries = 4 * LIMIT_BYTES / bench.load.entry_bytes();
            bench.suffix = "-larger";
            let database = fill::random(&bench, 1)?;
            read::points(&bench, &database)
        }
    }
}

/// Fills the log of a database in `dir` and dies: half of the scenario `reopen`.
pub fn die(args: &Args, engine: EngineName, dir: &Path) -> Result<()> {
    let load = Load::new(args.seed, args.value_size);
    reopen::fill_and_die(&Bench { args, engine, load, entries: args.n, suffix: "" }, dir)
}

impl Bench<'_> {
    /// A fresh database.
    pub fn fresh(&self) -> Result<Database> {
        let dir = tempfile::Builder::new().prefix("versus-").tempdir_in(&self.args.dir)?;
        let engine = self.open(dir.path())?;
        Ok(Database { engine, dir })
    }

    pub fn open(&self, dir: &Path) -> Result<Arc<dyn Engine>> {
        self.engine.open(dir, self.args.cache_mib << 20)
    }

    /// How many operations a workload of reads has.
    pub fn reads(&self) -> u64 {
        self.entries.min(MOST_READS)
    }

    pub fn meter(&self, workload: &str, database: &Database) -> Result<Meter> {
        Meter::start(&format!("{workload}{}", self.suffix), database.dir.path())
    }

    pub fn show(&self, measure: &Measure) -> Result<()> {
        println!("{}", serde_json::to_string(measure)?);
        Ok(())
    }

    /// Writes the entry of `key`.
    pub fn put(&self, engine: &dyn Engine, key: &Key, is_synced: bool) -> Result<()> {
        thread_local! { static VALUE: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) }; }
        VALUE.with_borrow_mut(|value| {
            self.load.value(key, value);
            engine.put(key, value, is_synced)
        })
    }

    /// Reads `key`: `None` when it is not there, else whether its value is the right one.
    pub fn get(&self, engine: &dyn Engine, key: &Key) -> Result<Option<bool>> {
        thread_local! { static WANTED: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) }; }
        WANTED.with_borrow_mut(|wanted| {
            self.load.value(key, wanted);
            engine.get(key, &mut |value| value == wanted)
        })
    }
}

/// A database in a folder that goes with it.
pub struct Database {
    engine: Arc<dyn Engine>,
    dir: tempfile::TempDir,
}

impl Deref for Database {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.engine
    }
}

/// Runs `each(n)` for `0..count`, split over some threads, and takes the time of each.
fn timed(count: u64, threads: u64, each: impl Fn(u64) -> Result<()> + Sync) -> Result<Latency> {
    let one = |thread: u64| -> Result<Histogram<u64>> {
        let mut histogram = Histogram::new(3)?;
        let mut last = Instant::now();
        for n in (thread..count).step_by(threads as usize) {
            each(n)?;
            let now = Instant::now();
            histogram.record((now - last).as_nanos() as u64)?;
            last = now;
        }
        Ok(histogram)
    };
    if threads == 1 {
        return Ok(Latency::of(&one(0)?));
    }
    let histograms: Result<Vec<_>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    let mut all = Histogram::new(3)?;
    for histogram in histograms? {
        all.add(histogram)?;
    }
    Ok(Latency::of(&all))
}
