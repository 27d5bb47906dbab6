//! The `alluvium` command: a shell, single commands, imports, inspection and benchmarks.
//!
//! ```text
//!   main ──► args       what was asked, refused with a suggestion if it makes no sense
//!        ──► command/*  one file a command; `shell` is the one that asks for more
//!        ──► output     everything printed passes one locked, buffered writer
//!        ──► failure    what went wrong becomes a message and an exit code
//! ```
//!
//! Answers go to standard output, everything else to standard error. When whoever reads the output
//! has gone (`alluvium scan | head`), the command ends quietly and well.

mod address_space;
mod args;
mod command;
mod database;
mod failure;
mod notation;
mod output;
mod shell;
mod stopwatch;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::output::Output;

/// Small allocations from several threads are what a storage engine does all day.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    address_space::start_thrifty();
    let arguments = Arguments::parse();
    let mut output = Output::to_stdout(arguments.format());
    let outcome = command::run(arguments, &mut output).and_then(|()| output.finish());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
