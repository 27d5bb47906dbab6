//! `tree`: the levels, drawn.

use anyhow::Result;
use clap::Args;

use crate::database::Target;
use crate::output::{Output, tree};

/// What `tree` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Width of the drawing, in columns [default: that of the terminal, else COLUMNS, else 100]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..))]
    width: Option<u16>,
}

/// Draws the keyspace that was named, or all of them.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let database = target.open_existing()?;
    let mut stats = database.db.stats()?;
    if target.named_keyspace().is_some() {
        stats.keyspaces.retain(|keyspace| keyspace.name == database.keyspace.name());
    }
    tree::write(&stats, arguments.width, output)?;
    database.close()
}
