//! `repair`: a new database from what can still be read of a damaged one.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use alluvium::fs::StdFs;
use alluvium::{
    FileFate, Knowledge, Loss, OptionsSource, RepairOptions, RepairReport, RepairedFile,
    RepairedKeyspace, repair,
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::output::size::{Count, Size, counted};
use crate::output::table::of_numbers;

/// What `repair` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of the damaged database; it is only read
    #[arg(value_name = "FROM")]
    from: PathBuf,

    /// Folder of the new database: new or empty
    #[arg(value_name = "TO")]
    to: PathBuf,
}

/// Prints what was saved and what was not; if anything was lost or is doubtful the exit code is 1.
pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Result<()> {
    let Arguments { from, to } = arguments;
    let report = repair(Arc::new(StdFs), from, to, RepairOptions::default())?;
    if output.is_json() {
        output.json(&to_json(&report))?;
    } else {
        write_text(&report, output)?;
    }
    if report.is_complete() {
        let said = format!("nothing was lost: {} holds all of {}", to.display(), from.display());
        return if output.is_json() { Ok(()) } else { Ok(writeln!(output, "{said}")?) };
    }
    output.finish()?;
    Err(Failure::Incomplete(format!(
        "the new database in {} can be opened, but not all could be saved, or not all is certain: \
         see above. {} is as it was",
        to.display(),
        from.display()
    ))
    .into())
}

fn write_text(report: &RepairReport, output: &mut Output) -> Result<()> {
    let mut table =
        of_numbers(["file", "entries saved", "lost", "damaged pieces", "what became of it"]);
    for file in &report.files {
        let lost = match file.lost_entries {
            Some(lost) => Count(lost).to_string(),
            None => "unknown".to_owned(),
        };
        let (saved, pieces) = (Count(file.saved_entries), Count(file.losses.len() as u64));
        let fate = fate(file.fate).to_owned();
        table.add_row([file.name.clone(), saved.to_string(), lost, pieces.to_string(), fate]);
    }
    writeln!(output, "{table}")?;
    for file in &report.files {
        for loss in &file.losses {
            writeln!(output, "{}: {}", file.name, loss_text(file, loss))?;
        }
        for note in &file.notes {
            writeln!(output, "{}: {note}", file.name)?;
        }
    }
    let mut table = of_numbers(["keyspace", "versions", "tables", "size", "options"]);
    for keyspace in &report.keyspaces {
        table.add_row([
            name_text(keyspace),
            Count(keyspace.entries).to_string(),
            Count(keyspace.tables as u64).to_string(),
            Size(keyspace.table_bytes).to_string(),
            options(keyspace.options).to_owned(),
        ]);
    }
    writeln!(output, "{table}")?;
    for (first, last) in &report.missing_seqs {
        writeln!(
            output,
            "missing in the log: writes {first} to {last}. They survive only as far as tables hold \
             them; any key may show its value before them"
        )?;
    }
    if report.uncertain_keys > 0 {
        let keys = counted(report.uncertain_keys, "key");
        writeln!(output, "{keys} may show an older value: which version is newest is forgotten")?;
    }
    for doubt in &report.doubts {
        writeln!(output, "not certain: {doubt}")?;
    }
    writeln!(
        output,
        "{}; the last write known is {}",
        knowledge(report.knowledge),
        report.highest_seq
    )?;
    Ok(())
}

fn loss_text(file: &RepairedFile, loss: &Loss) -> String {
    let place = match (loss.offset, loss.bytes) {
        (0, 0) => String::new(),
        (offset, bytes) => format!("{} from offset {offset}: ", Size(bytes)),
    };
    let keys = match &loss.keys {
        None => String::new(),
        Some(keys) => {
            let shown = |key: Option<&[u8]>, open: &str| {
                key.map_or(open.to_owned(), |key| format!("`{}`", key.escape_ascii()))
            };
            format!(
                "; its keys lay between {} and {}{}",
                shown(keys.first.as_deref(), "the first"),
                shown(keys.last.as_deref(), "the last"),
                file.keyspace.as_ref().map_or_else(String::new, |name| format!(" of {name}")),
            )
        }
    };
    format!("{place}{}{keys}", loss.what)
}

fn name_text(keyspace: &RepairedKeyspace) -> String {
    let made_up = if keyspace.name_is_known { "" } else { " (its name is lost)" };
    format!("{}{made_up}", keyspace.name)
}

fn fate(fate: FileFate) -> &'static str {
    match fate {
        FileFate::Read => "read",
        FileFate::Unneeded => "not needed",
        FileFate::Missing => "missing",
        FileFate::Unusable => "unusable",
    }
}

fn options(source: OptionsSource) -> &'static str {
    match source {
        OptionsSource::Manifest => "as they were",
        OptionsSource::Table => "from a table",
        OptionsSource::Defaults => "the defaults",
    }
}

fn knowledge(knowledge: Knowledge) -> &'static str {
    match knowledge {
        Knowledge::Whole => "the manifest says which tables are live",
        Knowledge::Partial => "the manifest says of some tables only whether they are live",
        Knowledge::Nothing => "no manifest says which tables are live",
    }
}

fn to_json(report: &RepairReport) -> Value {
    let files: Vec<Value> = report.files.iter().map(file_to_json).collect();
    let keyspaces = report.keyspaces.iter().map(|keyspace| {
        json!({
            "id": keyspace.id,
            "name": keyspace.name,
            "name_is_known": keyspace.name_is_known,
            "options": options(keyspace.options),
            "entries": keyspace.entries,
            "tables": keyspace.tables,
            "table_bytes": keyspace.table_bytes,
        })
    });
    let missing = report.missing_seqs.iter().map(|(first, last)| [first.get(), last.get()]);
    json!({
        "complete": report.is_complete(),
        "live_tables_known": match report.knowledge {
            Knowledge::Whole => "all",
            Knowledge::Partial => "some",
            Knowledge::Nothing => "none",
        },
        "keyspaces": keyspaces.collect::<Vec<_>>(),
        "files": files,
        "missing_sequences": missing.collect::<Vec<_>>(),
        "highest_sequence": report.highest_seq.get(),
        "uncertain_keys": report.uncertain_keys,
        "doubts": report.doubts,
    })
}

fn file_to_json(file: &RepairedFile) -> Value {
    let losses = file.losses.iter().map(|loss| {
        let key = |key: Option<&[u8]>| key.map(|key| key.escape_ascii().to_string());
        let keys = loss.keys.as_ref().map(|keys| {
            json!({ "first": key(keys.first.as_deref()), "last": key(keys.last.as_deref()) })
        });
        json!({ "offset": loss.offset, "bytes": loss.bytes, "what": loss.what, "keys": keys })
    });
    json!({
        "name": file.name,
        "fate": fate(file.fate),
        "keyspace": file.keyspace,
        "saved_entries": file.saved_entries,
        "lost_entries": file.lost_entries,
        "losses": losses.collect::<Vec<_>>(),
        "notes": file.notes,
    })
}
