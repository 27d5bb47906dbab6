//! The fields of a CSV or TSV record (RFC 4180; TSV knows no quotes).
//!
//! A quote opens a field only where the field begins: `5" nail` is plain text.

use std::borrow::Cow;
use std::ops::Range;

/// Follows a record byte by byte and knows whether a quoted field is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Where a field begins.
    #[default]
    Start,
    /// In a field without quotes.
    Plain,
    /// In a quoted field.
    Open,
    /// After a quote in a quoted field: it ends the field, or another one follows.
    Closed,
}

impl Quotes {
    /// Goes on over `bytes`.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            *self = self.after(*byte);
        }
    }

    /// Whether a line end here would belong to a field.
    pub(super) fn is_open(self) -> bool {
        self == Self::Open
    }

    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Open, b'"') => Self::Closed,
            (Self::Open, _) | (Self::Start | Self::Closed, b'"') => Self::Open,
            (Self::Start | Self::Plain | Self::Closed, b',') => Self::Start,
            (Self::Start | Self::Plain | Self::Closed, _) => Self::Plain,
        }
    }
}

/// Where the fields of a CSV record stand in it, quotes included.
pub(super) fn split_csv(record: &[u8], fields: &mut Vec<Range<usize>>) {
    fields.clear();
    let mut quotes = Quotes::default();
    let mut start = 0;
    for (at, byte) in record.iter().enumerate() {
        if *byte == b',' && !quotes.is_open() {
            fields.push(start..at);
            start = at + 1;
        }
        quotes = quotes.after(*byte);
    }
    fields.push(start..record.len());
}

/// Where the fields of a TSV record stand in it.
pub(super) fn split_tsv(record: &[u8], fields: &mut Vec<Range<usize>>) {
    fields.clear();
    let mut start = 0;
    for field in record.split(|byte| *byte == b'\t') {
        fields.push(start..start + field.len());
        start += field.len() + 1;
    }
}

/// What a CSV field says: without its quotes, doubled ones inside made single.
pub(super) fn unquote(field: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let Some(rest) = field.strip_prefix(b"\"") else { return Ok(Cow::Borrowed(field)) };
    let Some(inside) = rest.strip_suffix(b"\"") else {
        return Err("there is text after the closing quote of a field".to_owned());
    };
    if !inside.contains(&b'"') {
        return Ok(Cow::Borrowed(inside));
    }
    let mut said = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'"' && bytes.next() != Some(&b'"') {
            return Err("a quote inside a quoted field is not doubled".to_owned());
        }
        said.push(*byte);
    }
    Ok(Cow::Owned(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(record: &str) -> Result<Vec<String>, String> {
        let mut ranges = Vec::new();
        split_csv(record.as_bytes(), &mut ranges);
        let text = |range: Range<usize>| {
            let said = unquote(&record.as_bytes()[range])?;
            Ok(String::from_utf8_lossy(&said).into_owned())
        };
        ranges.into_iter().map(text).collect()
    }

    #[test]
    fn csv_fields_lose_their_quotes() {
        assert_eq!(
            fields("a,,\"b,\"\"c\"\"\n\",5\" nail").unwrap(),
            ["a", "", "b,\"c\"\n", "5\" nail"]
        );
        assert_eq!(fields("\"\"").unwrap(), [""]);
        assert_eq!(fields("a,").unwrap(), ["a", ""]);
    }

    #[test]
    fn csv_with_text_after_a_quote_is_refused() {
        assert!(fields("\"a\"b,c").is_err());
        assert!(fields("\"a\"b\",c").is_err());
        assert!(fields("\"").is_err());
    }

    #[test]
    fn tsv_quotes_are_text() {
        let mut ranges = Vec::new();
        split_tsv(b"\"a\t\tb", &mut ranges);
        assert_eq!(ranges, [0..2, 3..3, 4..5]);
    }
}
