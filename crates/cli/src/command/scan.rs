//! `scan`: keys and values in order.

use anyhow::Result;
use clap::Args;

use super::range::Range;
use crate::database::Target;
use crate::output::{Output, entries};

/// What `scan` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    range: Range,
    /// From the greatest key to the smallest
    #[arg(long)]
    reverse: bool,
    /// At most this many entries
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Prints the entries as they are read: memory stays small however many there are.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let database = target.open_existing()?;
    let scan = arguments.range.scan(&database.keyspace);
    let limit = arguments.limit.unwrap_or(usize::MAX);
    if arguments.reverse {
        entries::write(scan.rev().take(limit), output)?;
    } else {
        entries::write(scan.take(limit), output)?;
    }
    database.close()
}
