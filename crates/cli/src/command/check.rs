//! `check`: verifies the files without opening the database.

use std::io::Write;
use std::sync::Arc;

use alluvium::fs::StdFs;
use alluvium::{CheckReport, Depth, Error, check};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::database::Target;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::size::{Size, counted};

/// What `check` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Read every block of every table too, not only what opening would read
    #[arg(long)]
    deep: bool,
}

/// Prints what was found; damage is a failure with exit code 4.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let depth = if arguments.deep { Depth::Deep } else { Depth::Quick };
    target.refuse_missing()?;
    let report = check(Arc::new(StdFs), target.dir(), depth)?;
    if output.is_json() {
        output.json(&to_json(&report, arguments.deep))?;
    } else {
        write_text(&report, arguments.deep, output)?;
    }
    if report.damage.is_empty() {
        return Ok(());
    }
    output.finish()?;
    let pieces = counted(report.damage.len() as u64, "damaged piece");
    Err(Failure::Damaged(format!(
        "{pieces} in {}: restore what is named from a checkpoint or backup",
        target.dir().display()
    ))
    .into())
}

fn write_text(report: &CheckReport, is_deep: bool, output: &mut Output) -> Result<()> {
    let CheckReport { keyspaces, tables, table_bytes, table_entries, log_records, .. } = report;
    writeln!(
        output,
        "{}, {} with {} in {}, {} in the log",
        counted(*keyspaces as u64, "keyspace"),
        counted(*tables as u64, "table"),
        counted(*table_entries, "stored version"),
        Size(*table_bytes),
        counted(*log_records, "record"),
    )?;
    if report.torn_bytes > 0 {
        writeln!(
            output,
            "the log ends in {} that a crash left behind: never acknowledged as durable, no damage",
            Size(report.torn_bytes)
        )?;
    }
    for damage in &report.damage {
        writeln!(output, "{damage}")?;
    }
    if report.damage.is_empty() {
        let hint = if is_deep { "" } else { " (--deep reads every block too)" };
        writeln!(output, "no damage found{hint}")?;
    }
    Ok(())
}

fn to_json(report: &CheckReport, is_deep: bool) -> Value {
    let damage: Vec<Value> = report.damage.iter().map(damage_to_json).collect();
    json!({
        "ok": report.damage.is_empty(),
        "deep": is_deep,
        "keyspaces": report.keyspaces,
        "tables": report.tables,
        "table_bytes": report.table_bytes,
        "table_entries": report.table_entries,
        "log_records": report.log_records,
        "torn_bytes": report.torn_bytes,
        "damage": damage,
    })
}

fn damage_to_json(damage: &Error) -> Value {
    let Error::Corrupt(corruption) = damage else {
        return json!({ "message": damage.to_string() });
    };
    json!({
        "file": corruption.file.display().to_string(),
        "offset": corruption.offset,
        "what": corruption.what,
        "message": damage.to_string(),
    })
}
