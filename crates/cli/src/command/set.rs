//! `set`: one key to one value, for ever or for a time.

use std::time::Duration;

use alluvium::Put;
use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::database::Target;
use crate::notation::Input;
use crate::output::Output;

/// What `set` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The key, as text or 0x…
    #[arg(allow_negative_numbers = true)]
    key: Input,
    /// The value, as text or 0x…
    #[arg(allow_negative_numbers = true)]
    value: Input,
    /// How long the value stays, in seconds [default: for ever]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    ttl: Option<u64>,
}

/// Writes it.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let database = target.open_or_create()?;
    let put = Put { ttl: arguments.ttl.map(Duration::from_secs), ..Put::default() };
    database.keyspace.put(&arguments.key.0, &arguments.value.0, put)?;
    database.close()?;
    output.answer("OK", &json!({ "ok": true }))
}
