//! The same workloads against Alluvium and its rivals, in one run.
//!
//! ```text
//!   rounds × scenarios × engines ─► a process each ─► measures ─► medians ─► table, plots
//! ```
//!
//! Each process has a fresh folder, so that memory and processor time are those of one engine and
//! one scenario. Engines take turns, and another one begins each round. Every value read is compared
//! with what was written. Losses are shown like wins.

mod confine;
mod engines;
mod load;
mod machine;
mod measure;
mod plot;
mod report;
mod workload;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::engines::EngineName;
use crate::measure::Measure;
use crate::report::Report;
use crate::workload::Scenario;

/// The same allocator for every engine that takes one: the bindings to C and C++ bring their own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the same workloads against several storage engines.
#[derive(Debug, Parser)]
pub struct Args {
    /// Engines, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "alluvium,fjall,redb,sled")]
    engines: Vec<EngineName>,
    /// Scenarios, separated by commas; all but `larger` when left out.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// Entries.
    #[arg(long, default_value_t = 1_000_000)]
    n: u64,
    /// Synced writes of each thread in the fillsync workloads; of 8 threads when there are more.
    #[arg(long, default_value_t = 3_000)]
    sync_n: u64,
    /// Pushes and pops of the queue.
    #[arg(long, default_value_t = 20_000)]
    queue_n: u64,
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
    /// A folder for the table, the plots and all measures; only the table is printed without.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The one scenario that this process runs, on the first engine.
    #[arg(long, hide = true)]
    child: Option<Scenario>,
    /// Fill the log of a database in this folder, then die.
    #[arg(long, hide = true)]
    die_in: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!args.engines.is_empty() && args.n > 0, "name an engine, and have it hold something");
    if let Some(dir) = &args.die_in {
        return workload::die(&args, args.engines[0], dir);
    }
    if let Some(scenario) = args.child {
        return workload::run(&args, args.engines[0], scenario);
    }
    let mut report = Report::default();
    for round in 0..args.rounds {
        for scenario in chosen(&args) {
            for turn in 0..args.engines.len() {
                let engine = args.engines[(turn + round) % args.engines.len()];
                eprintln!("round {} of {}: {scenario:?}, {engine:?}", round + 1, args.rounds);
                match measure(&args, engine, scenario) {
                    Ok(measures) => report.add(engine, measures),
                    Err(error) => report.failed(engine, scenario, &error),
                }
            }
        }
    }
    let text = report.markdown(&args);
    println!("{text}");
    args.out.as_deref().map_or(Ok(()), |out| {
        std::fs::create_dir_all(out)?;
        std::fs::write(out.join("README.md"), &text)?;
        std::fs::write(out.join("measures.json"), report.json()?)?;
        plot::write(&report, &args.engines, out)
    })
}

fn chosen(args: &Args) -> Vec<Scenario> {
    if args.scenarios.is_empty() {
        let all = Scenario::value_variants().iter().copied();
        return all.filter(|&scenario| scenario != Scenario::Larger).collect();
    }
    args.scenarios.clone()
}

/// Runs a scenario in a process of its own.
fn measure(args: &Args, engine: EngineName, scenario: Scenario) -> Result<Vec<Measure>> {
    let mut child = Command::new(std::env::current_exe()?);
    let scenario = scenario.to_possible_value().context("a hidden scenario")?;
    child.args(["--engines", &engine.argument(), "--child", scenario.get_name()]);
    for (name, value) in [
        ("--n", args.n),
        ("--sync-n", args.sync_n),
        ("--queue-n", args.queue_n),
        ("--value-size", args.value_size as u64),
        ("--cache-mib", args.cache_mib),
        ("--seed", args.seed),
    ] {
        child.arg(name).arg(value.to_string());
    }
    let output = child.arg("--dir").arg(&args.dir).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the process ended with {}", output.status);
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
