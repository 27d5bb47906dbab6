//! Chores of the repository, as `cargo xtask <chore>`.
//!
//! | chore | what it does |
//! |---|---|
//! | `layers` | fails on a dependency that the design's layers do not allow |
//! | `tidy` | fails on what the compiler and clippy cannot see: lengths, words, links, formats |
//! | `fuzz` | runs the fuzz targets on all cores, for as long as it is told |
//! | `concurrency` | models of what threads share, schedules of the whole engine, sanitizers |
//! | `torture` | tries to lose data, for as long as it is told, and publishes the figures |
//! | `bench-gate` | fails when we have become slower, compared with fjall in the same run |
//! | `ci` | everything a change must pass, in order; `.ci/run` runs exactly this |
//!
//! Each chore is a function from the repository to an outcome; only this file turns outcomes into
//! an exit code.
#![allow(clippy::print_stdout, reason = "a chore talks to the person who ran it")]
#![allow(
    clippy::disallowed_methods,
    reason = "chores read the real disk and the real clock; nothing here is ever simulated"
)]

mod bench_gate;
mod ci;
mod concurrency;
mod fuzz;
mod layers;
mod tidy;
mod torture;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Chores of the Alluvium repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Check every dependency against the layers of the design.
    Layers,
    /// Check files for length, words, links, formats and docs.
    Tidy {
        /// Print the rules instead of checking them.
        #[arg(long)]
        list: bool,
    },
    /// Run the fuzz targets on all cores; needs nightly.
    Fuzz(fuzz::Arguments),
    /// Try what many threads do to each other: loom, shuttle, sanitizers, miri.
    Concurrency(concurrency::Arguments),
    /// Try to lose data, for as long as told; `--list` shows the layers, `--help` the options.
    #[command(disable_help_flag = true)]
    Torture {
        /// Layers and options, as the torture program takes them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compare with fjall in one run, and fail below the floors; for a nightly run.
    BenchGate(bench_gate::Arguments),
    /// Run everything a change must pass.
    Ci {
        /// Leave out the release build, the fuzz smoke and miri.
        #[arg(long)]
        fast: bool,
    },
}

/// What a chore found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Clean,
    Broken,
}

impl Outcome {
    /// Broken as soon as there is one finding.
    fn of_findings(count: usize) -> Self {
        if count == 0 { Self::Clean } else { Self::Broken }
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = repository_root()?;
    let outcome = match arguments.chore {
        Chore::Layers => layers::run(&root)?,
        Chore::Tidy { list: true } => tidy::list(),
        Chore::Tidy { list: false } => tidy::run(&root)?,
        Chore::Fuzz(arguments) => fuzz::run(&root, &arguments)?,
        Chore::Concurrency(arguments) => {
            concurrency::run(&ci::machine::Machine::new(&root), &arguments)?
        }
        Chore::Torture { arguments } => torture::run(&root, &arguments)?,
        Chore::BenchGate(arguments) => bench_gate::run(&root, &arguments)?,
        Chore::Ci { fast } => {
            ci::run(&root, if fast { ci::Extent::Fast } else { ci::Extent::Full })
        }
    };
    Ok(match outcome {
        Outcome::Clean => ExitCode::SUCCESS,
        Outcome::Broken => ExitCode::FAILURE,
    })
}

/// The folder of the workspace this program was built from, or of the one it is run in by `cargo`.
fn repository_root() -> Result<PathBuf> {
    let own_folder = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = own_folder.ancestors().nth(2).map(Path::to_path_buf);
    root.with_context(|| format!("{} is not crates/xtask", own_folder.display()))
}
