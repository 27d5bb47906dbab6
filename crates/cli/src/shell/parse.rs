//! A line of the shell: words, then what they ask for.
//!
//! Words are parted by blanks. `'…'` is taken as it stands; in `"…"` a backslash begins `\n`, `\r`,
//! `\t`, `\\`, `\"`, `\'` or `\xNN`. A word without quotes that begins with `0x` is bytes in
//! hexadecimal. A line that begins with `#` says nothing.

use crate::failure;
use crate::notation::{self, Shown};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Set { key: Vec<u8>, value: Vec<u8>, ttl_seconds: Option<u64> },
    Get { key: Vec<u8> },
    Del { key: Vec<u8> },
    Scan { prefix: Vec<u8>, limit: Option<u64> },
    Count,
    Use { keyspace: String },
    Keyspaces,
    Stats,
    Tree,
    Help,
    Exit,
}

/// A command of the shell, as `help` shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    pub(crate) takes: &'static str,
    pub(crate) does: &'static str,
}

/// Every command, in the order of `help`.
pub(crate) const VERBS: [Verb; 11] = [
    verb("set", "K V [TTL]", "set key K to value V, for TTL seconds or for ever"),
    verb("get", "K", "print the value of K, or (nil)"),
    verb("del", "K", "remove K"),
    verb("scan", "[PREFIX] [LIMIT]", "print keys and values in order"),
    verb("count", "", "count the keys"),
    verb("use", "KEYSPACE", "work on another keyspace; its first `set` makes it"),
    verb("keyspaces", "", "list the keyspaces"),
    verb("stats", "", "what the database holds"),
    verb("tree", "", "draw the levels"),
    verb("help", "", "this list"),
    verb("exit", "", "leave (so does Ctrl-D)"),
];

const fn verb(name: &'static str, takes: &'static str, does: &'static str) -> Verb {
    Verb { name, takes, does }
}

/// One word, and whether any of it stood in quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Word {
    bytes: Vec<u8>,
    is_quoted: bool,
}

/// What `line` asks for; `None` for an empty line or a comment.
///
/// # Errors
/// Wrong usage, with what would be right.
pub(crate) fn parse(line: &[u8]) -> anyhow::Result<Option<Request>> {
    if line.trim_ascii_start().starts_with(b"#") {
        return Ok(None);
    }
    let words = split(line).map_err(failure::usage)?;
    let Some((name, arguments)) = words.split_first() else { return Ok(None) };
    let arguments: Vec<Vec<u8>> = arguments
        .iter()
        .map(
            |word| {
                if word.is_quoted { Ok(word.bytes.clone()) } else { notation::parse(&word.bytes) }
            },
        )
        .collect::<Result<_, _>>()
        .map_err(failure::usage)?;
    request(&name.bytes.to_ascii_lowercase(), arguments).map(Some)
}

fn request(name: &[u8], arguments: Vec<Vec<u8>>) -> anyhow::Result<Request> {
    let wrong = |name: &str| {
        let verb = VERBS.iter().find(|verb| verb.name == name);
        let takes = verb.map_or("", |verb| verb.takes);
        failure::usage(format!("usage: {}", format!("{name} {takes}").trim_end()))
    };
    let mut arguments = arguments.into_iter();
    let mut next = |name: &str| arguments.next().ok_or_else(|| wrong(name));
    let request = match name {
        b"set" => Request::Set {
            key: next("set")?,
            value: next("set")?,
            ttl_seconds: arguments.next().map(|ttl| number(&ttl, "TTL", 1)).transpose()?,
        },
        b"get" => Request::Get { key: next("get")? },
        b"del" => Request::Del { key: next("del")? },
        b"scan" => Request::Scan {
            prefix: arguments.next().unwrap_or_default(),
            limit: arguments.next().map(|limit| number(&limit, "LIMIT", 0)).transpose()?,
        },
        b"count" => Request::Count,
        b"use" => Request::Use {
            keyspace: String::from_utf8(next("use")?)
                .map_err(|_| failure::usage("the name of a keyspace is UTF-8"))?,
        },
        b"keyspaces" => Request::Keyspaces,
        b"stats" => Request::Stats,
        b"tree" => Request::Tree,
        b"help" | b"?" => Request::Help,
        b"exit" | b"quit" => Request::Exit,
        unknown => return Err(failure::usage(unknown_command(unknown))),
    };
    if arguments.next().is_some() {
        let usage = wrong(&String::from_utf8_lossy(name));
        return Err(usage.context("too many words (quote what holds blanks)"));
    }
    Ok(request)
}

fn number(text: &[u8], what: &str, least: u64) -> anyhow::Result<u64> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    parsed.filter(|number| *number >= least).ok_or_else(|| {
        let shown = Shown::key(text);
        failure::usage(format!("{what} is a whole number from {least} on, not `{shown}`"))
    })
}

fn unknown_command(name: &[u8]) -> String {
    let nearest = VERBS
        .iter()
        .map(|verb| (distance(name, verb.name.as_bytes()), verb.name))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    let hint = match nearest {
        Some((_, verb)) => format!("did you mean `{verb}`?"),
        None => "`help` lists the commands".to_owned(),
    };
    format!("there is no command `{}`: {hint}", Shown::key(name))
}

/// How many letters must be added, removed or replaced to turn `a` into `b` (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The words of a line.
fn split(line: &[u8]) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut rest = line;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            byte if byte.is_ascii_whitespace() => words.extend(word.take()),
            b'\'' => {
                let word = word.get_or_insert_default();
                word.is_quoted = true;
                let end = rest.iter().position(|byte| *byte == b'\'').ok_or_else(unterminated)?;
                word.bytes.extend_from_slice(&rest[..end]);
                rest = &rest[end + 1..];
            }
            b'"' => {
                let word = word.get_or_insert_default();
                word.is_quoted = true;
                rest = double_quoted(rest, &mut word.bytes)?;
            }
            byte => word.get_or_insert_default().bytes.push(*byte),
        }
    }
    words.extend(word);
    Ok(words)
}

fn unterminated() -> String {
    "a quote is opened and never closed".to_owned()
}

/// Takes what stands up to the closing quote into `word`; answers what comes after it.
fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], String> {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] => {
                let (Some(high), Some(low)) = (notation::digit(*high), notation::digit(*low))
                else {
                    return Err("`\\x` wants two hexadecimal digits".to_owned());
                };
                word.push(high << 4 | low);
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'\\' | b'"' | b'\'' => *escaped,
                    other => {
                        let shown = Shown::key(std::slice::from_ref(other));
                        return Err(format!(
                            "`\\{shown}` is none of \\n \\r \\t \\\\ \\\" \\' \\xNN"
                        ));
                    }
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return Err(unterminated()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(line: &str) -> Request {
        parse(line.as_bytes()).unwrap().unwrap()
    }

    fn refused(line: &str) -> String {
        format!("{:#}", parse(line.as_bytes()).unwrap_err())
    }

    #[test]
    fn quotes_hold_blanks_and_hex_is_bytes_only_without_them() {
        let set = |key: &[u8], value: &[u8], ttl_seconds| Request::Set {
            key: key.to_vec(),
            value: value.to_vec(),
            ttl_seconds,
        };
        assert_eq!(ok("set a b"), set(b"a", b"b", None));
        assert_eq!(
            ok("  SET 'a b'\t\"c \\\"d\\\" \\x00\\n\" 60 "),
            set(b"a b", b"c \"d\" \0\n", Some(60))
        );
        assert_eq!(ok("set 0xff00 '0xff00'"), set(&[255, 0], b"0xff00", None));
        assert_eq!(ok("set a ''"), set(b"a", b"", None));
        assert_eq!(ok("set a{\\n} it's 'x"), set(b"a{\\n}", b"its x", None));
    }

    #[test]
    fn optional_words_may_be_left_out() {
        let scan = |prefix: &str, limit| Request::Scan { prefix: prefix.into(), limit };
        assert_eq!(ok("scan"), scan("", None));
        assert_eq!(ok("scan user: 10"), scan("user:", Some(10)));
        assert_eq!(ok("scan '' 10"), scan("", Some(10)));
        assert_eq!(parse(b"  ").unwrap(), None);
        assert_eq!(parse(b" # a comment 'with").unwrap(), None);
        assert_eq!(ok("quit"), Request::Exit);
    }

    #[test]
    fn wrong_lines_say_what_would_be_right() {
        for (line, said) in [
            ("set a", "usage: set K V [TTL]"),
            ("set a b 0", "TTL is a whole number from 1 on, not `0`"),
            ("get a b", "too many words"),
            ("count x", "too many words"),
            ("gte a", "did you mean `get`?"),
            ("frobnicate", "`help` lists the commands"),
            ("get 'a", "never closed"),
            ("get \"a\\", "never closed"),
            ("get \"\\xf\"", "two hexadecimal digits"),
            ("get \"\\q\"", "is none of"),
            ("get 0xabc", "even number of digits"),
            ("scan a b", "LIMIT is a whole number"),
        ] {
            assert!(refused(line).contains(said), "{line}: {}", refused(line));
        }
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance(b"", b"get"), 3);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }
}
