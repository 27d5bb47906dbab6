//! Keys and values: key, tab, value, one entry a line; or one JSON object a line.

use std::io::Write;

use alluvium::KeyValue;
use anyhow::Result;
use serde::Serialize;

use super::Output;
use crate::notation::{JsonBytes, Shown};

/// An entry as a line of JSON.
#[derive(Debug, Serialize)]
pub(crate) struct JsonEntry<'a> {
    key: JsonBytes<'a>,
    value: Option<JsonBytes<'a>>,
}

impl<'a> JsonEntry<'a> {
    /// A key, and its value if it has one.
    pub(crate) fn new(key: &'a [u8], value: Option<&'a [u8]>) -> Self {
        Self { key: JsonBytes(key), value: value.map(JsonBytes) }
    }
}

/// Writes the entries as they come; answers how many there were.
pub(crate) fn write(
    entries: impl Iterator<Item = alluvium::Result<KeyValue>>,
    output: &mut Output,
) -> Result<u64> {
    let mut count = 0;
    for entry in entries {
        let (key, value) = entry?;
        if output.is_json() {
            output.json(&JsonEntry::new(&key, Some(&value)))?;
        } else {
            writeln!(output, "{}\t{}", Shown::key(&key), Shown::value(&value))?;
        }
        count += 1;
    }
    Ok(count)
}
