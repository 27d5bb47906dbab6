//! The same workloads against Alluvium and its rivals, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/versus/Cargo.toml -- --n 2000000
//! ```
//!
//! Each round gives every engine a fresh folder and runs all workloads on it, engines alternating;
//! the table shows medians over the rounds and Alluvium's ratio to each rival. Every value read is
//! compared with what was written. Losses are shown like wins.

mod engines;
mod load;
mod report;
mod workload;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use crate::engines::EngineName;
use crate::report::Report;
use crate::workload::{Workload, run};

/// The same allocator for every engine, as the paper on performance asks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the same workloads against several storage engines.
#[derive(Debug, Parser)]
pub struct Args {
    /// Engines, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "alluvium,fjall,redb")]
    engines: Vec<EngineName>,
    /// Workloads, separated by commas; all when left out. They run in their own fixed order.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Entries.
    #[arg(long, default_value_t = 1_000_000)]
    n: u64,
    /// Synced writes in each fillsync workload.
    #[arg(long, default_value_t = 4_000)]
    sync_n: u64,
    /// Bytes of a value, half of them compressible.
    #[arg(long, default_value_t = 100)]
    value_size: usize,
    /// Rounds; medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Memory for cached blocks, in MiB.
    #[arg(long, default_value_t = 256)]
    cache_mib: u64,
    /// Where the databases are made: must be on a disk.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Seed of keys and values.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut report = Report::new(&args.engines);
    for round in 0..args.rounds {
        for &engine in &args.engines {
            eprintln!("round {} of {}: {engine:?}", round + 1, args.rounds);
            run(&args, engine, &mut report)?;
        }
    }
    println!(
        "seed {}, {} entries of 16 + {} bytes, {} MiB cache, medians of {} rounds",
        args.seed, args.n, args.value_size, args.cache_mib, args.rounds
    );
    println!("{report}");
    Ok(())
}
