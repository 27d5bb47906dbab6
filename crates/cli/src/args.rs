//! What can be asked on the command line.

use clap::{Parser, Subcommand};

use crate::command;
use crate::database::Target;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  alluvium                                    open the shell on ./alluvium-data
  alluvium set greeting hello                 write
  alluvium get greeting                       read
  alluvium scan --prefix user: --limit 10     the first ten keys that begin with `user:`
  alluvium import people.jsonl --key id       read a file of JSON lines
  alluvium tree                               draw the levels
  alluvium repair DAMAGED NEW                 save what can be read of a damaged database
  echo 'count' | alluvium --db DIR            commands from a pipe
  alluvium bench fillrandom,readrandom        measure this machine

Keys and values are text, or bytes as 0x…; what is no text is shown as \\xNN.
Exit codes: 0 it worked, 1 it failed, 2 wrong usage, 3 no such key, 4 a file is damaged.";

/// Alluvium: an LSM-tree storage engine, on the command line.
///
/// Without a command it opens the shell, or runs the commands piped into it.
#[derive(Debug, Parser)]
#[command(name = "alluvium", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Answer in JSON, one object a line
    #[arg(long, global = true, help_heading = "Options of every command")]
    json: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Arguments {
    /// How answers are to be written.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }
}

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Type commands, with history and completion; or run commands from a pipe
    Shell,
    /// Print the value of a key; exit code 3 when it has none
    Get(command::get::Arguments),
    /// Set a key to a value
    Set(command::set::Arguments),
    /// Remove a key; it need not have a value
    Del(command::del::Arguments),
    /// Print keys and values in order: key, tab, value, one a line
    Scan(command::scan::Arguments),
    /// Count the keys that have a value
    Count(command::count::Arguments),
    /// Read records from a file or pipe: JSON lines, CSV or TSV
    Import(command::import::Arguments),
    /// Write values, or keys and values, to a file or pipe
    Export(command::export::Arguments),
    /// What the database holds: keyspaces, levels, log, cache
    Stats,
    /// Draw the levels: tables as boxes over the keys they hold
    Tree(command::tree::Arguments),
    /// Verify the files without opening the database; exit code 4 when one is damaged
    Check(command::check::Arguments),
    /// Save what can be read of a damaged database to a new folder; exit code 1 when not all is saved
    Repair(command::repair::Arguments),
    /// Compact everything down to the last level: dead entries give back their space
    Compact,
    /// Copy the database to a new folder, itself an openable database
    Checkpoint(command::checkpoint::Arguments),
    /// Measure throughput and latency
    Bench(command::bench::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
