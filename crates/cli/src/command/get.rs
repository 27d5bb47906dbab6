//! `get`: the value of one key.

use std::io::Write;

use alluvium::Read;
use anyhow::Result;
use clap::Args;

use crate::database::Target;
use crate::failure::Failure;
use crate::notation::{Input, Shown};
use crate::output::Output;
use crate::output::entries::JsonEntry;

/// What `get` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The key, as text or 0x…
    key: Input,
    /// Write the value's bytes exactly, with no newline after them
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

/// Prints the value.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let database = target.open_existing()?;
    let key = &arguments.key.0;
    let value = database.keyspace.get(key)?;
    if output.is_json() {
        output.json(&JsonEntry::new(key, value.as_deref()))?;
    }
    let Some(value) = value else {
        let name = database.keyspace.name().to_owned();
        database.close()?;
        let key = Shown::key(key);
        let message = format!("the key `{key}` has no value in keyspace `{name}`");
        // The answer must be out before the failure is told.
        output.finish()?;
        return Err(Failure::KeyMissing(message).into());
    };
    if arguments.raw {
        output.write_all(&value)?;
    } else if !output.is_json() {
        writeln!(output, "{}", Shown::value(&value))?;
    }
    drop(value);
    database.close()
}
