//! `count`: how many keys have a value.

use alluvium::{Keyspace, Read};
use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::range::Range;
use crate::database::Target;
use crate::output::Output;

/// What `count` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    range: Range,
}

/// Counts by walking over the keys: a key can have several versions in several tables.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let database = target.open_existing()?;
    let count = count(&arguments.range, &database.keyspace)?;
    database.close()?;
    output.answer(&count.to_string(), &json!({ "count": count }))
}

fn count(range: &Range, keyspace: &Keyspace) -> Result<u64> {
    if range.is_everything() {
        return Ok(keyspace.count()?);
    }
    let mut count = 0;
    for entry in range.scan(keyspace) {
        entry?;
        count += 1;
    }
    Ok(count)
}
