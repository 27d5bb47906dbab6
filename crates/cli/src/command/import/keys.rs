//! Which bytes of a record are its key.

use std::borrow::Cow;
use std::ops::Range;

use super::columns::{split_csv, split_tsv, unquote};
use super::{Format, json_path};

/// Longest key, in bytes.
const MAX_KEY: usize = 64 << 10;
/// Digits of a line's number as a key: enough for any file, so that keys keep the file's order.
const LINE_DIGITS: usize = 12;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout<'a> {
    pub(super) format: Format,
    /// The field that is the key, by path, name or number.
    pub(super) field: Option<&'a str>,
    /// What stands before every key.
    pub(super) prefix: &'a [u8],
    /// Whether the first line names the columns.
    pub(super) has_header: bool,
    /// Whether records may have different numbers of columns.
    pub(super) is_flexible: bool,
}

/// Finds the key of each record.
#[derive(Debug)]
pub(super) struct Keys {
    rule: Rule,
    prefix: Vec<u8>,
    /// The key last found; kept so that its memory is used again.
    key: Vec<u8>,
}

#[derive(Debug)]
enum Rule {
    LineNumber,
    JsonPath(String),
    Column(Columns),
}

/// The rule for CSV and TSV.
#[derive(Debug)]
struct Columns {
    is_quoted: bool,
    column: Column,
    has_header: bool,
    is_flexible: bool,
    /// How many columns the first line had.
    count: Option<usize>,
    fields: Vec<Range<usize>>,
}

#[derive(Debug)]
enum Column {
    /// By its number, from 0 on.
    At(usize),
    /// By a name that the first line will place.
    Named(String),
}

impl Keys {
    /// The rule for `layout`, or what is wrong with it.
    pub(super) fn new(layout: &Layout<'_>) -> Result<Self, String> {
        let rule = match (layout.format, layout.field) {
            (Format::Jsonl, None) => Rule::LineNumber,
            (Format::Jsonl, Some(path)) => Rule::JsonPath(path.to_owned()),
            (Format::Csv | Format::Tsv, field) => Rule::Column(Columns {
                is_quoted: layout.format == Format::Csv,
                column: column(field, layout.has_header)?,
                has_header: layout.has_header,
                is_flexible: layout.is_flexible,
                count: None,
                fields: Vec::new(),
            }),
        };
        Ok(Self { rule, prefix: layout.prefix.to_vec(), key: Vec::new() })
    }

    /// Whether the line that names the columns has yet to come: without it nothing can be read.
    pub(super) fn want_header(&self) -> bool {
        matches!(&self.rule, Rule::Column(columns) if columns.has_header && columns.count.is_none())
    }

    /// The key of `record`, which stands on `line`; `None` for the line that names the columns.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub(super) fn of(&mut self, record: &[u8], line: u64) -> Result<Option<&[u8]>, String> {
        self.key.clear();
        self.key.extend_from_slice(&self.prefix);
        match &mut self.rule {
            Rule::LineNumber => {
                json_path::check(text(record)?)?;
                self.key.extend_from_slice(format!("{line:0LINE_DIGITS$}").as_bytes());
            }
            Rule::JsonPath(path) => {
                let found = json_path::find(text(record)?, path)?;
                self.key.extend_from_slice(found.as_bytes());
            }
            Rule::Column(columns) => {
                let Some(found) = columns.find(record)? else { return Ok(None) };
                self.key.extend_from_slice(&found);
            }
        }
        match self.key.len() {
            0 => Err("the key field is empty".to_owned()),
            len if len > MAX_KEY => Err(format!("its key has {len} bytes, more than 64 KiB")),
            len if len == self.prefix.len() => Err("the key field is empty".to_owned()),
            _ => Ok(Some(&self.key)),
        }
    }
}

fn column(field: Option<&str>, has_header: bool) -> Result<Column, String> {
    let Some(field) = field else { return Ok(Column::At(0)) };
    match field.parse::<usize>() {
        Ok(0) => Err("columns are counted from 1 on".to_owned()),
        // A header may name a column `2`: only without one a number is a place.
        Ok(number) if !has_header => Ok(Column::At(number - 1)),
        Err(_) if !has_header => {
            Err(format!("--key {field} is no number: with --no-header columns have no names"))
        }
        Ok(_) | Err(_) => Ok(Column::Named(field.to_owned())),
    }
}

fn text(record: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(record)
        .map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to() + 1))
}

impl Columns {
    fn find<'r>(&mut self, record: &'r [u8]) -> Result<Option<Cow<'r, [u8]>>, String> {
        let split = if self.is_quoted { split_csv } else { split_tsv };
        split(record, &mut self.fields);
        let is_first = self.count.is_none();
        if is_first && self.has_header {
            if let Column::Named(name) = &self.column {
                self.column = Column::At(self.place(record, name)?);
            }
            self.count = Some(self.fields.len());
            return Ok(None);
        }
        let expected = *self.count.get_or_insert(self.fields.len());
        if expected != self.fields.len() && !self.is_flexible {
            return Err(format!(
                "it has {} columns and the first line {expected} (--flexible allows that)",
                self.fields.len()
            ));
        }
        if self.is_quoted {
            // Every field, so that a record is either sound or refused, whichever column is the key.
            self.fields.iter().try_for_each(|field| unquote(&record[field.clone()]).map(drop))?;
        }
        let Column::At(at) = self.column else { return Err("no line names the columns".into()) };
        let field = self.fields.get(at).ok_or_else(|| {
            format!("it has {} columns, and the key is number {}", self.fields.len(), at + 1)
        })?;
        self.said(&record[field.clone()]).map(Some)
    }

    /// Where the column `name` stands in the line of names.
    fn place(&self, record: &[u8], name: &str) -> Result<usize, String> {
        let names: Vec<_> = self
            .fields
            .iter()
            .map(|field| self.said(&record[field.clone()]))
            .collect::<Result<_, _>>()?;
        let by_name = names.iter().position(|found| **found == *name.as_bytes());
        // No column is called `2`: then the second is meant.
        let by_number = || name.parse().ok().and_then(|at: usize| at.checked_sub(1));
        let place = by_name.or_else(|| by_number().filter(|at| *at < names.len()));
        place.ok_or_else(|| {
            let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
            format!("it names no column `{name}`, but {}", names.join(", "))
        })
    }

    fn said<'r>(&self, field: &'r [u8]) -> Result<Cow<'r, [u8]>, String> {
        if self.is_quoted { unquote(field) } else { Ok(Cow::Borrowed(field)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(format: Format, field: Option<&str>, has_header: bool) -> Keys {
        let layout = Layout { format, field, prefix: b"p:", has_header, is_flexible: false };
        Keys::new(&layout).unwrap()
    }

    fn key(keys: &mut Keys, record: &str) -> Result<Option<String>, String> {
        let found = keys.of(record.as_bytes(), 7)?;
        Ok(found.map(|key| String::from_utf8_lossy(key).into_owned()))
    }

    #[test]
    fn json_keys_are_a_field_or_the_line() {
        let mut by_line = keys(Format::Jsonl, None, false);
        assert_eq!(key(&mut by_line, "{}"), Ok(Some("p:000000000007".into())));
        assert!(key(&mut by_line, "{").is_err());
        assert!(by_line.of(b"\"\xff\"", 1).unwrap_err().contains("not UTF-8 from byte 2"));
        let mut by_path = keys(Format::Jsonl, Some("a.b"), false);
        assert_eq!(key(&mut by_path, r#"{"a":{"b":5}}"#), Ok(Some("p:5".into())));
        assert!(key(&mut by_path, r#"{"a":{"b":""}}"#).unwrap_err().contains("empty"));
    }

    #[test]
    fn a_named_column_is_placed_by_the_first_line() {
        let mut named = keys(Format::Csv, Some("id"), true);
        assert!(named.want_header());
        assert_eq!(key(&mut named, "name,\"id\""), Ok(None));
        assert_eq!(key(&mut named, "Ada,\"7,\"\"8\"\"\""), Ok(Some("p:7,\"8\"".into())));
        assert!(key(&mut named, "Ada").unwrap_err().contains("1 columns"));
        let mut missing = keys(Format::Csv, Some("id"), true);
        assert!(key(&mut missing, "a,b").unwrap_err().contains("no column `id`, but a, b"));
        let mut numbered = keys(Format::Tsv, Some("2"), true);
        assert_eq!(key(&mut numbered, "a\tb"), Ok(None));
        assert_eq!(key(&mut numbered, "x\ty"), Ok(Some("p:y".into())));
    }

    #[test]
    fn a_numbered_column_needs_no_names() {
        assert_eq!(key(&mut keys(Format::Tsv, Some("2"), false), "a\tb"), Ok(Some("p:b".into())));
        assert_eq!(key(&mut keys(Format::Tsv, None, false), "\"a\tb"), Ok(Some("p:\"a".into())));
        assert!(key(&mut keys(Format::Tsv, Some("3"), false), "a\tb").is_err());
        assert!(column(Some("0"), false).is_err() && column(Some("id"), false).is_err());
    }

    #[test]
    fn long_keys_are_refused() {
        let long = "x".repeat(MAX_KEY);
        assert!(key(&mut keys(Format::Tsv, None, false), &long).unwrap_err().contains("64 KiB"));
    }
}
