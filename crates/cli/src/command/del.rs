//! `del`: removes one key.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::database::Target;
use crate::notation::Input;
use crate::output::Output;

/// What `del` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The key, as text or 0x…
    #[arg(allow_negative_numbers = true)]
    key: Input,
}

/// Removes it: a tombstone is written blindly, so a key without a value is no error.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let database = target.open_existing()?;
    database.keyspace.remove(&arguments.key.0)?;
    database.close()?;
    output.answer("OK", &json!({ "ok": true }))
}
