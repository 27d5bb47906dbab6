//! `import`: records from a file or pipe, the record being the value.
//!
//! ```text
//!   file ──► records    one at a time, exact bytes, with the number of its line
//!        ──► keys       which bytes of it are the key; or what is wrong with it
//!        ──► sink       batches, committed in the order of the file
//! ```
//!
//! Memory holds one record and one batch, however long the file. Whatever ends the import early,
//! what was committed before stays and is made durable: the message says how many records.

mod columns;
mod json_path;
mod keys;
mod progress;
mod records;
mod sink;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use self::keys::{Keys, Layout};
use self::progress::Progress;
use self::records::{Found, Records};
use self::sink::Sink;
use crate::database::Target;
use crate::failure;
use crate::notation::Input;
use crate::output::Output;
use crate::output::size::{Size, counted};
use crate::stopwatch::Stopwatch;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;
/// Bad lines that are named one by one; the rest are counted.
const MOST_NAMED: u64 = 20;

const EXAMPLES: &str = "\
Each record is stored as the value, byte for byte, without its line end (\\n or \\r\\n); empty lines are
passed over. `export` gives the same bytes back.

The key is the field that --key names:
  jsonl  a path into each object, as `id` or `user.name`; the text of a string, the digits of a number.
         Without --key it is the number of the line, in twelve digits: keys keep the file's order. A second
         file would replace the first one's records; --key-prefix keeps them apart.
  csv    the name of a column, when the first line holds names (it is not stored then), or the number
  tsv    of a column, from 1 on, when every line is a record. Without --key it is the first column.
         TSV knows no quotes; CSV quotes with \"…\", and a quoted field may hold line ends.

Examples:
  alluvium import people.jsonl --key id
  alluvium import --format tsv --key 1 /usr/share/dict/words
  curl -s … | alluvium import - --format csv --key isbn --skip-bad";

/// What `import` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Arguments {
    /// File to read; `-` for standard input
    file: PathBuf,
    /// Format of the records [default: by the file's name (.csv, .tsv), else jsonl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Field that is the key
    #[arg(long, value_name = "FIELD")]
    key: Option<String>,
    /// Put this before every key
    #[arg(long, value_name = "PREFIX")]
    key_prefix: Option<Input>,
    /// The first line of a CSV or TSV file holds the names of the columns
    #[arg(long, conflicts_with = "no_header")]
    header: bool,
    /// The first line is a record like any other, and --key the number of a column
    #[arg(long)]
    no_header: bool,
    /// Records of a CSV or TSV file may have different numbers of columns
    #[arg(long)]
    flexible: bool,
    /// Pass over bad lines, naming the first ones, instead of stopping at the first
    #[arg(long)]
    skip_bad: bool,
}

/// How the file is divided into records and fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON value a line
    Jsonl,
    /// Comma-separated values (RFC 4180)
    Csv,
    /// Tab-separated values, without quotes
    Tsv,
}

/// What has come of the file so far.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    bad: u64,
    empty: u64,
}

/// Reads the file to its end or to the first thing that stops it, and reports either way.
pub(crate) fn run(target: &Target, arguments: &Arguments, output: &mut Output) -> Result<()> {
    let format = arguments.format.unwrap_or_else(|| format_of(&arguments.file));
    let mut keys = Keys::new(&layout(arguments, format)).map_err(failure::usage)?;
    // The file first: a name that is wrong should not make a database.
    let (file, len) = open(&arguments.file)?;
    let database = target.open_or_create()?;
    let watch = Stopwatch::start();
    let progress = Progress::start(len);
    let mut sink = Sink::new(&database, target.persist());
    let mut summary = Summary::default();
    let mut records = Records::new(BufReader::with_capacity(READ_BYTES, file), format);
    let read = copy(&mut records, &mut keys, &mut sink, &progress, &mut summary, arguments);
    // Before anything is said about it, what was read is made durable.
    let durable = sink.finish();
    progress.finish();
    let imported = sink.imported();
    let bytes = sink.bytes();
    drop(sink);
    let closed = database.close();
    let stopped = read.err().or(durable.err()).or(closed.err());
    if let Some(error) = stopped {
        return Err(explain(error, imported));
    }
    name_rest(summary.bad);
    let seconds = watch.elapsed().as_secs_f64();
    let text = sentence(imported, bytes, seconds, summary);
    output.answer(
        &text,
        &json!({
            "imported": imported.durable, "bytes": bytes, "bad": summary.bad,
            "empty": summary.empty, "durable": true, "seconds": seconds,
        }),
    )
}

/// How many records are committed, and how many of those are known to be on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Imported {
    committed: u64,
    durable: u64,
}

/// Moves records from the file to the sink until the end or the first thing that stops it.
fn copy(
    records: &mut Records<impl io::BufRead>,
    keys: &mut Keys,
    sink: &mut Sink<'_>,
    progress: &Progress,
    summary: &mut Summary,
    arguments: &Arguments,
) -> Result<()> {
    let name = &arguments.file;
    loop {
        let next = records.next().with_context(|| format!("cannot read {}", name.display()))?;
        let Some(Found { line, record }) = next else { return Ok(()) };
        let problem = match record {
            Ok(b"") => {
                summary.empty += 1;
                continue;
            }
            Ok(record) => match keys.of(record, line) {
                Ok(Some(key)) => {
                    if sink.add(key, record)? {
                        progress.show(sink.imported().committed, records.bytes_read());
                    }
                    continue;
                }
                Ok(None) => continue,
                Err(problem) => problem,
            },
            Err(problem) => problem,
        };
        if !arguments.skip_bad || keys.want_header() {
            bail!(failure::Failure::Data(format!("line {line} of {}: {problem}", name.display())));
        }
        summary.bad += 1;
        if summary.bad <= MOST_NAMED {
            progress.say(&format!("skipped line {line}: {problem}"));
        }
    }
}

/// The error that stopped the import, with what is safe of it.
fn explain(error: Error, imported: Imported) -> Error {
    let Imported { committed, durable } = imported;
    let mut safe = format!("{} imported and durable", was(durable));
    if committed > durable {
        let more = committed - durable;
        safe = format!("{safe}; {} written, durable only if a reopen finds them", was(more));
    }
    let hint = match error.downcast_ref::<failure::Failure>() {
        Some(failure::Failure::Data(_)) => "; correct the line, or pass over such with --skip-bad",
        _ => "",
    };
    error.context(format!("the import stopped: {safe}{hint}"))
}

fn was(records: u64) -> String {
    let verb = if records == 1 { "was" } else { "were" };
    format!("{} {verb}", counted(records, "record"))
}

fn name_rest(bad: u64) {
    if bad > MOST_NAMED {
        failure::say(format_args!("skipped {} more", counted(bad - MOST_NAMED, "bad line")));
    }
}

fn sentence(imported: Imported, bytes: u64, seconds: f64, summary: Summary) -> String {
    let rate = (imported.durable as f64 / seconds.max(1e-9)) as u64;
    let bad = match summary.bad {
        0 => String::new(),
        bad => format!("; skipped {}", counted(bad, "bad line")),
    };
    let empty = match summary.empty {
        0 => String::new(),
        empty => format!("; passed over {}", counted(empty, "empty line")),
    };
    format!(
        "imported {} ({}) in {seconds:.2} s, {} a second; all are durable{bad}{empty}",
        counted(imported.durable, "record"),
        Size(bytes),
        counted(rate, "record"),
    )
}

fn format_of(file: &Path) -> Format {
    let extension = file.extension().map(OsStr::to_ascii_lowercase);
    match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("csv") => Format::Csv,
        Some("tsv" | "tab") => Format::Tsv,
        _ => Format::Jsonl,
    }
}

fn layout(arguments: &Arguments, format: Format) -> Layout<'_> {
    // A name needs a line of names; a number does not.
    let is_name = |key: &str| key.parse::<usize>().is_err();
    let has_header =
        arguments.header || (!arguments.no_header && arguments.key.as_deref().is_some_and(is_name));
    Layout {
        format,
        field: arguments.key.as_deref(),
        prefix: arguments.key_prefix.as_ref().map_or(&[], |prefix| &prefix.0),
        has_header: has_header && format != Format::Jsonl,
        is_flexible: arguments.flexible,
    }
}

/// The file and its length, if it has one.
#[allow(
    clippy::disallowed_methods,
    reason = "a file of the user, not of the database: no simulated disk stands in for it"
)]
fn open(name: &Path) -> Result<(Box<dyn Read>, Option<u64>)> {
    if name == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let context = || format!("cannot open {}", name.display());
    let file = File::open(name).with_context(context)?;
    let metadata = file.metadata().with_context(context)?;
    if metadata.is_dir() {
        bail!("{} is a folder: import one file at a time", name.display());
    }
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}
