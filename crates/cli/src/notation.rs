//! How bytes are written by people and shown to them.
//!
//! Input: text stands for its bytes, `0x…` for the bytes of its hexadecimal digits. Output: text is
//! shown as it is; bytes that are no UTF-8, and control characters, which could break the line or
//! the terminal, are shown as `\n`, `\t`, `\r` or `\xNN`.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser, ValueParserFactory};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// A key or value as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input(pub(crate) Vec<u8>);

impl ValueParserFactory for Input {
    type Parser = ValueParser;

    fn value_parser() -> ValueParser {
        let parse = |given: OsString| parse(&given.into_vec()).map(Input);
        OsStringValueParser::new().try_map(parse).into()
    }
}

/// The bytes that `given` stands for.
pub(crate) fn parse(given: &[u8]) -> Result<Vec<u8>, String> {
    match given {
        [b'0', b'x' | b'X', digits @ ..] => parse_hex(digits).ok_or_else(|| {
            format!(
                "`{}` is not bytes in hexadecimal: `0x` wants an even number of digits 0-9 and a-f \
                 (text that begins with 0x is itself written as hexadecimal)",
                Shown::key(given)
            )
        }),
        text => Ok(text.to_vec()),
    }
}

fn parse_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// The value of one hexadecimal digit.
pub(crate) fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Bytes as they are shown: one line, whatever they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    bytes: &'a [u8],
    is_key: bool,
}

impl<'a> Shown<'a> {
    /// A key: no tab either, for a tab ends it.
    pub(crate) fn key(bytes: &'a [u8]) -> Self {
        Self { bytes, is_key: true }
    }

    /// A value: tabs stand as they are, for it ends with the line.
    pub(crate) fn value(bytes: &'a [u8]) -> Self {
        Self { bytes, is_key: false }
    }

    fn must_escape(&self, c: char) -> bool {
        c.is_control() && (self.is_key || c != '\t')
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            let mut text = chunk.valid();
            while let Some(at) = text.find(|c| self.must_escape(c)) {
                f.write_str(&text[..at])?;
                let len = text[at..].chars().next().map_or(1, char::len_utf8);
                escape(&text.as_bytes()[at..at + len], f)?;
                text = &text[at + len..];
            }
            f.write_str(text)?;
            escape(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

fn escape(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| match byte {
        b'\n' => f.write_str("\\n"),
        b'\r' => f.write_str("\\r"),
        b'\t' => f.write_str("\\t"),
        byte => write!(f, "\\x{byte:02X}"),
    })
}

/// Bytes in JSON: a string when they are UTF-8, else `{"hex": "…"}`. Exact either way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonBytes<'a>(pub(crate) &'a [u8]);

impl Serialize for JsonBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", &Hex(self.0))?;
        map.end()
    }
}

struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_itself_and_0x_is_bytes() {
        assert_eq!(parse(b"abc").unwrap(), b"abc");
        assert_eq!(parse(b"0xff00").unwrap(), [0xff, 0]);
        assert_eq!(parse(b"0XAb").unwrap(), [0xab]);
        assert_eq!(parse(b"0x").unwrap(), b"");
        assert_eq!(parse(b"\xff\xfe").unwrap(), [0xff, 0xfe]);
        for wrong in ["0xf", "0xfg", "0x+1"] {
            assert!(parse(wrong.as_bytes()).unwrap_err().contains("hexadecimal"), "{wrong}");
        }
    }

    #[test]
    fn shown_bytes_stay_on_one_line() {
        assert_eq!(Shown::key("größe\t".as_bytes()).to_string(), "größe\\t");
        assert_eq!(Shown::value(b"a\tb\nc\x1b[0m").to_string(), "a\tb\\nc\\x1B[0m");
        assert_eq!(Shown::value(b"ok\xff\xc3").to_string(), "ok\\xFF\\xC3");
        assert_eq!(Shown::value("\u{85}".as_bytes()).to_string(), "\\xC2\\x85");
    }

    #[test]
    fn json_keeps_bytes_exactly() {
        assert_eq!(serde_json::to_string(&JsonBytes(b"a\n")).unwrap(), "\"a\\n\"");
        assert_eq!(serde_json::to_string(&JsonBytes(b"\xff\x01")).unwrap(), "{\"hex\":\"ff01\"}");
    }
}
