//! Standard output: locked once, buffered, and never a panic when its reader has gone.

pub(crate) mod entries;
pub(crate) mod size;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod tree;

use std::io::{self, BufWriter, StdoutLock, Write};

use anyhow::Result;
use serde::Serialize;

/// How much is gathered before it is written, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON value a line.
    Json,
}

/// Where all answers go.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<StdoutLock<'static>>,
    format: Format,
}

impl Output {
    /// Takes standard output for the whole run.
    pub(crate) fn to_stdout(format: Format) -> Self {
        let writer = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
        Self { writer, format }
    }

    /// Whether answers are for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes `value` as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        // An error of the writer must come back as what it is, so that a closed pipe is known.
        serde_json::to_writer(&mut self.writer, value).map_err(io::Error::from)?;
        self.writer.write_all(b"\n")?;
        Ok(())
    }

    /// Writes a short answer: `text`, or `value` as JSON.
    pub(crate) fn answer(&mut self, text: &str, value: &impl Serialize) -> Result<()> {
        if self.is_json() {
            return self.json(value);
        }
        writeln!(self.writer, "{text}")?;
        Ok(())
    }

    /// Hands everything to the reader.
    pub(crate) fn finish(&mut self) -> Result<()> {
        Ok(self.writer.flush()?)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
