//! A stream divided into records: exact bytes, each with the number of its first line.
//!
//! A line ends in `\n` or `\r\n`, the last one perhaps in neither. In CSV a quoted field may hold
//! line ends, so a record can be several lines. A line that is too long is passed over without being
//! held in memory.

use std::io::{self, BufRead, Read};

use super::Format;
use super::columns::Quotes;

/// Longest record, in bytes: the longest value.
const MAX_RECORD: usize = 256 << 20;
/// Memory kept between records, in bytes.
const KEPT_BYTES: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The records of a stream.
#[derive(Debug)]
pub(super) struct Records<R> {
    reader: R,
    format: Format,
    buffer: Vec<u8>,
    /// Lines begun so far.
    lines: u64,
    bytes_read: u64,
    max_record: usize,
}

/// A record, or what is wrong with the line.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The number of its first line, from 1 on.
    pub(super) line: u64,
    /// Its bytes without the line end; empty for an empty line.
    pub(super) record: Result<&'a [u8], String>,
}

/// How a line came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Whole,
    TooLong,
    /// There is none: the stream has ended.
    End,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(reader: R, format: Format) -> Self {
        let buffer = Vec::new();
        Self { reader, format, buffer, lines: 0, bytes_read: 0, max_record: MAX_RECORD }
    }

    /// Bytes consumed so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        let line = self.lines + 1;
        let problem = match self.read_line()? {
            Line::End => return Ok(None),
            Line::TooLong => Some(self.too_long("it")),
            Line::Whole => {
                if line == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
                    self.buffer.drain(..BYTE_ORDER_MARK.len());
                }
                if self.format == Format::Csv { self.read_quoted_lines(line)? } else { None }
            }
        };
        let record = match problem {
            Some(problem) => Err(problem),
            None => Ok(self.record()),
        };
        Ok(Some(Found { line, record }))
    }

    fn too_long(&self, what: &str) -> String {
        let mib = self.max_record >> 20;
        format!("{what} is longer than {mib} MiB, the most a value can have")
    }

    /// The record in the buffer, without its line end.
    fn record(&self) -> &[u8] {
        let record = &*self.buffer;
        let record =
            record.strip_suffix(b"\n").map_or(record, |r| r.strip_suffix(b"\r").unwrap_or(r));
        let is_blank = self.format == Format::Jsonl && record.trim_ascii().is_empty();
        if is_blank { b"" } else { record }
    }

    /// Appends one line, its end included, to the buffer.
    fn read_line(&mut self) -> io::Result<Line> {
        // One more for each byte of a line end.
        let most = (self.max_record + 2).saturating_sub(self.buffer.len()) as u64;
        let read = (&mut self.reader).take(most).read_until(b'\n', &mut self.buffer)?;
        self.bytes_read += read as u64;
        if read == 0 && most > 0 {
            return Ok(Line::End);
        }
        self.lines += 1;
        let has_end = self.buffer.last() == Some(&b'\n');
        if !has_end && self.buffer.len() >= self.max_record + 2 {
            self.bytes_read += self.reader.skip_until(b'\n')? as u64;
            return Ok(Line::TooLong);
        }
        Ok(if self.record().len() > self.max_record { Line::TooLong } else { Line::Whole })
    }

    /// Appends lines until no quoted field is open. Answers what is wrong, if anything is.
    fn read_quoted_lines(&mut self, first_line: u64) -> io::Result<Option<String>> {
        let mut quotes = Quotes::default();
        let mut seen = 0;
        loop {
            quotes.pass(&self.buffer[seen..]);
            if !quotes.is_open() {
                return Ok(None);
            }
            seen = self.buffer.len();
            match self.read_line()? {
                Line::Whole => {}
                Line::TooLong => return Ok(Some(self.too_long("a record with a quoted field"))),
                Line::End => {
                    let last = self.lines;
                    return Ok(Some(format!(
                        "a quoted field is opened and never closed: lines {first_line} to {last} \
                         are one record"
                    )));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], format: Format, max_record: usize) -> Vec<(u64, Result<String, String>)> {
        // A tiny buffer, so that every record is read in pieces.
        let mut records = Records::new(io::BufReader::with_capacity(3, input), format);
        records.max_record = max_record;
        let mut found = Vec::new();
        while let Some(Found { line, record }) = records.next().unwrap() {
            found.push((line, record.map(|record| String::from_utf8_lossy(record).into_owned())));
        }
        assert_eq!(records.bytes_read(), input.len() as u64);
        found
    }

    fn ok(line: u64, record: &str) -> (u64, Result<String, String>) {
        (line, Ok(record.to_owned()))
    }

    #[test]
    fn line_ends_are_not_part_of_a_record() {
        let found = all(b"\xef\xbb\xbfone\r\n\ntwo\n \t\nthree\r", Format::Jsonl, 100);
        let expected = [ok(1, "one"), ok(2, ""), ok(3, "two"), ok(4, ""), ok(5, "three\r")];
        assert_eq!(found, expected);
        assert_eq!(all(b" \n", Format::Tsv, 100), [ok(1, " ")]);
        assert_eq!(all(b"", Format::Tsv, 100), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_passed_over() {
        let found = all(b"12345\n123456\r\n1234567\nlong long long line\nx", Format::Jsonl, 6);
        let lines: Vec<(u64, bool)> = found.iter().map(|(line, r)| (*line, r.is_ok())).collect();
        assert_eq!(lines, [(1, true), (2, true), (3, false), (4, false), (5, true)]);
        assert!(found[3].1.as_ref().unwrap_err().contains("longer than"));
    }

    #[test]
    fn a_quoted_field_may_hold_line_ends() {
        let found = all(b"a,\"b\r\nc\",d\r\n5\" nail,x\ne", Format::Csv, 100);
        assert_eq!(found, [ok(1, "a,\"b\r\nc\",d"), ok(3, "5\" nail,x"), ok(4, "e")]);
    }

    #[test]
    fn an_open_quote_at_the_end_names_its_lines() {
        let found = all(b"a\n\"b\nc\n", Format::Csv, 100);
        assert_eq!(found[1].0, 2);
        assert!(found[1].1.as_ref().unwrap_err().contains("lines 2 to 3"));
    }
}
