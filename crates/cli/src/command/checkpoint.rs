//! `checkpoint`: a copy of the database in another folder.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::database::Target;
use crate::output::Output;

/// What `checkpoint` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of the copy: new or empty, on the same file system
    #[arg(value_name = "DIR")]
    to: PathBuf,
}

/// Makes the copy.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let db = target.open_existing_db()?;
    db.checkpoint(&arguments.to)?;
    db.close()?;
    let to = arguments.to.display().to_string();
    output.answer(&format!("checkpoint written to {to}"), &json!({ "checkpoint": to }))
}
