//! The commands, one a file: each has the `Arguments` it takes and one `run`.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod checkpoint;
pub(crate) mod compact;
pub(crate) mod count;
pub(crate) mod del;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod import;
mod range;
pub(crate) mod repair;
pub(crate) mod scan;
pub(crate) mod set;
pub(crate) mod stats;
pub(crate) mod tree;

use anyhow::Result;

use crate::args::{Arguments, Command};
use crate::output::Output;
use crate::shell;

/// Runs the command that was asked for; no command is the shell.
pub(crate) fn run(arguments: Arguments, output: &mut Output) -> Result<()> {
    let target = &arguments.target;
    match arguments.command.unwrap_or(Command::Shell) {
        Command::Shell => shell::run(target, output),
        Command::Get(arguments) => get::run(target, &arguments, output),
        Command::Set(arguments) => set::run(target, &arguments, output),
        Command::Del(arguments) => del::run(target, &arguments, output),
        Command::Scan(arguments) => scan::run(target, &arguments, output),
        Command::Count(arguments) => count::run(target, &arguments, output),
        Command::Import(arguments) => import::run(target, &arguments, output),
        Command::Export(arguments) => export::run(target, &arguments, output),
        Command::Stats => stats::run(target, output),
        Command::Tree(arguments) => tree::run(target, &arguments, output),
        Command::Check(arguments) => check::run(target, &arguments, output),
        Command::Repair(arguments) => repair::run(&arguments, output),
        Command::Compact => compact::run(target, output),
        Command::Checkpoint(arguments) => checkpoint::run(target, &arguments, output),
        Command::Bench(arguments) => bench::run(target, &arguments, output),
    }
}
