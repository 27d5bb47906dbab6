//! `bench`: throughput and latency of this machine, one workload after another on one database.
//!
//! ```text
//!   workload ──► threads, each over its share of the keys ──► histograms, merged ──► one row
//! ```
//!
//! Keys are 16 digits. Values are half compressible: the first half is random, the second repeats
//! it. The same seed makes the same operations. The clock stops at the last acknowledged operation;
//! what background work then still has to do is measured beside it, as *drain*.

mod folder;
mod measure;
mod operations;
mod report;
mod values;
mod workload;

use alluvium::Read;
use anyhow::Result;
use clap::Args;

use self::folder::Folder;
use self::measure::measure;
use self::operations::Setup;
use self::values::Values;
use self::workload::Workload;
use crate::database::Target;
use crate::failure;
use crate::output::Output;
use crate::output::size::{Size, counted};

const EXAMPLES: &str = "\
Workloads:
  fillseq      write new keys in order            readrandom   get keys that are there
  fillrandom   write each key once, in disorder   readmissing  get keys that are not there
  overwrite    write keys drawn at random         seekrandom   go to a random key, read 10 entries
  fillsync     write keys, each durable on return readseq      read everything, forwards
                                                  readreverse  read everything, backwards

A workload that reads from an empty database fills it first, unmeasured. fillsync makes at most 10,000
operations.

Examples:
  alluvium bench fillrandom,readrandom,readseq
  alluvium bench fillsync --threads 8 --n 10000 --json";

/// What `bench` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What to measure, in this order
    #[arg(value_name = "WORKLOAD,…", value_delimiter = ',', required = true)]
    workloads: Vec<Workload>,
    /// Keys, and operations of each workload
    #[arg(long, value_name = "N", default_value = "1000000",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    n: u64,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value = "100",
          value_parser = clap::value_parser!(u32).range(0..=64 << 20))]
    value_size: u32,
    /// Threads that share the operations of a workload
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Makes the operations: the same seed, the same operations
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Run in a database that holds other data: entries with 16 digits as keys are overwritten
    #[arg(long)]
    force: bool,
}

/// Measures each workload and prints a table, or a line of JSON for each.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let folder = Folder::choose(target)?;
    let target = target.in_dir(folder.path());
    let database = target.open_or_create()?;
    if !arguments.force {
        folder::refuse_other_data(&database)?;
    }
    let setup = Setup {
        keyspace: database.keyspace.clone(),
        db: database.db.clone(),
        keys: arguments.n,
        threads: arguments.threads,
        seed: arguments.seed,
        persist: target.persist(),
        values: Values::new(arguments.value_size as usize, arguments.seed),
    };
    let mut rows = Vec::new();
    for workload in &arguments.workloads {
        if workload.reads() && setup.keyspace.first()?.is_none() {
            failure::say(format_args!("filling the empty database first, unmeasured …"));
            measure(&setup, Workload::FillRandom)?;
        }
        let row = measure(&setup, *workload)?;
        if output.is_json() {
            output.json(&report::to_json(&row, arguments))?;
            output.finish()?;
        } else {
            failure::say(format_args!("{} done", row.workload.name()));
        }
        rows.push(row);
    }
    drop(setup);
    database.close()?;
    if !output.is_json() {
        let value_size = Size(u64::from(arguments.value_size));
        let threads = counted(u64::from(arguments.threads), "thread");
        let head = format!("values of {value_size}, {threads}, seed {}", arguments.seed);
        report::write(&head, &rows, output)?;
    }
    Ok(())
}
