//! `export`: values, or keys and values, to a file or standard output, in key order.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::range::Range;
use crate::database::Target;
use crate::failure;
use crate::output::Output;
use crate::output::entries::JsonEntry;
use crate::output::size::{Size, counted};

const EXAMPLES: &str = "\
The default, raw, gives back what `import` took: each value's exact bytes and a newline, in the order of
the keys. So a file that was sorted by its key comes back byte for byte:

  alluvium import people.jsonl && alluvium export | cmp - people.jsonl

In jsonl and tsv the keys are written too. jsonl: {\"key\": …, \"value\": …}, where bytes that are no
UTF-8 are {\"hex\": \"…\"}. tsv: key, tab, value, with \\\\ \\t \\n \\r in place of those characters.

Examples:
  alluvium export people.jsonl
  alluvium export --prefix user: --format tsv | sort -k2
  alluvium export --keyspace users --format jsonl users.jsonl";

/// What `export` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// File to write, replaced as a whole once everything is in it [default: standard output]
    file: Option<PathBuf>,
    /// How entries are written
    #[arg(long, value_name = "FORMAT", default_value = "raw")]
    format: Format,
    #[command(flatten)]
    range: Range,
}

/// How an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The value's exact bytes, one value a line
    Raw,
    /// {"key": …, "value": …}, one entry a line
    Jsonl,
    /// Key, tab, value, one entry a line
    Tsv,
}

/// How much was written.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    entries: u64,
    bytes: u64,
}

/// Writes the entries as they are read: memory stays small however many there are.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let database = target.open_existing()?;
    let scan = arguments.range.scan(&database.keyspace);
    // With `--json` the answer is JSON too, unless the bytes were asked for in another form.
    let format = match arguments.format {
        Format::Raw if output.is_json() && arguments.file.is_none() => Format::Jsonl,
        Format::Raw => Format::Raw,
        Format::Jsonl => Format::Jsonl,
        Format::Tsv => Format::Tsv,
    };
    let file = arguments.file.as_deref().filter(|file| *file != Path::new("-"));
    match file {
        None => {
            write(scan, format, output)?;
        }
        Some(file) => {
            let written = to_file(file, |writer| write(scan, format, writer))?;
            let Written { entries, bytes } = written;
            let name = file.display().to_string();
            let of = counted(entries, "record");
            output.answer(
                &format!("exported {of} ({}) to {name}", Size(bytes)),
                &json!({ "exported": entries, "bytes": bytes, "file": name }),
            )?;
        }
    }
    database.close()
}

fn write(scan: alluvium::Scan, format: Format, writer: &mut dyn Write) -> Result<Written> {
    let mut written = Written::default();
    let mut line = Vec::new();
    for entry in scan {
        let (key, value) = entry?;
        line.clear();
        match format {
            Format::Raw => line.extend_from_slice(&value),
            Format::Jsonl => serde_json::to_writer(&mut line, &JsonEntry::new(&key, Some(&value)))?,
            Format::Tsv => {
                escape(&key, &mut line);
                line.push(b'\t');
                escape(&value, &mut line);
            }
        }
        line.push(b'\n');
        writer.write_all(&line)?;
        written.entries += 1;
        written.bytes += line.len() as u64;
    }
    Ok(written)
}

/// Appends `bytes` to `line`; what would end a field or a line is escaped.
fn escape(bytes: &[u8], line: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
}

/// Writes `entries` to `file`: under another name first, so that half an export is never mistaken
/// for a whole one. What is no regular file (a pipe, a device) is written directly.
#[allow(
    clippy::disallowed_methods,
    reason = "a file of the user, not of the database: no simulated disk stands in for it"
)]
fn to_file(
    file: &Path,
    entries: impl FnOnce(&mut dyn Write) -> Result<Written>,
) -> Result<Written> {
    let is_special = file.metadata().is_ok_and(|metadata| !metadata.is_file());
    if is_special {
        let opened = File::options().write(true).open(file);
        let opened = opened.with_context(|| format!("cannot open {}", file.display()))?;
        return fill(opened, entries).map(|(_, written)| written);
    }
    let name = file
        .file_name()
        .ok_or_else(|| failure::usage(format!("{} is the name of no file", file.display())))?;
    let mut partial = name.to_owned();
    partial.push(".partial");
    let partial = file.with_file_name(partial);
    let created = File::create(&partial);
    let created = created.with_context(|| format!("cannot create {}", partial.display()))?;
    let outcome = fill(created, entries).and_then(|(partial_file, written)| {
        let finished = partial_file.sync_all().and_then(|()| std::fs::rename(&partial, file));
        finished.with_context(|| format!("cannot write {}", file.display()))?;
        Ok(written)
    });
    if outcome.is_err() {
        // Best effort: the error that is already on its way matters more.
        drop(std::fs::remove_file(&partial));
    }
    outcome
}

fn fill(
    file: File,
    entries: impl FnOnce(&mut dyn Write) -> Result<Written>,
) -> Result<(File, Written)> {
    let mut writer = BufWriter::with_capacity(256 << 10, file);
    let written = entries(&mut writer)?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok((file, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tsv_escapes_what_would_end_a_field_or_line() {
        let mut line = Vec::new();
        escape(b"a\\b\tc\nd\re\xff", &mut line);
        assert_eq!(line, b"a\\\\b\\tc\\nd\\re\xff");
    }
}
