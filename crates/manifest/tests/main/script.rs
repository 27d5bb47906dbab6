//! Script tests: text files of commands and what they answer.
//!
//! ```text
//! # A comment.
//! command argument argument
//! input line
//! ----
//! expected output, up to the next empty line
//! ```
//!
//! `REWRITE=1` writes the answers into the file instead of comparing them.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, Fs, Seq, StdFs, fs::read_file};
use alluvium_manifest::{Level, TableMeta};

/// One command of a script.
pub(crate) struct Command<'a> {
    pub(crate) words: Vec<&'a str>,
    pub(crate) input: Vec<&'a str>,
}

/// Runs `tests/testdata/<name>`: `run` answers each command.
pub(crate) fn run(name: &str, mut run: impl FnMut(&Command<'_>) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata").join(name);
    let text = String::from_utf8(read_file(&StdFs, &path, 1 << 20).unwrap()).unwrap();
    let mut answered = String::new();
    for block in text.trim_end().split("\n\n") {
        let asked = block.split_once("\n----").map_or(block, |(asked, _)| asked);
        let code: Vec<&str> = asked.lines().filter(|line| !line.starts_with('#')).collect();
        let (command, input) = code.split_first().expect("a block holds a command");
        let command = Command { words: command.split(' ').collect(), input: input.to_vec() };
        let output = run(&command);
        let output = if output.is_empty() { "nothing" } else { output.trim_end() };
        write!(answered, "{asked}\n----\n{output}\n\n").unwrap();
    }
    let answered = format!("{}\n", answered.trim_end());
    if std::env::var_os("REWRITE").is_some() {
        StdFs.create(&path).unwrap().write_all_at(answered.as_bytes(), 0).unwrap();
    } else {
        for (at, (expected, found)) in text.lines().zip(answered.lines()).enumerate() {
            assert_eq!(expected, found, "{name}:{}: REWRITE=1 takes the answers over", at + 1);
        }
        assert_eq!(text.len(), answered.len(), "{name}: REWRITE=1 takes the answers over");
    }
}

/// `L1 7 a..c #1-5`: a table of 100 bytes and ten entries.
pub(crate) fn parse_table(words: &[&str]) -> (Level, Arc<TableMeta>) {
    let [level, number, keys, seqs] = words else { panic!("no table: {words:?}") };
    let (smallest, largest) = keys.split_once("..").unwrap();
    let (low, high) = seqs.strip_prefix('#').unwrap().split_once('-').unwrap();
    let table = TableMeta {
        number: parse_number(number),
        size_bytes: 100,
        entry_count: 10,
        tombstone_count: 0,
        expiring_count: 0,
        earliest_expiry_ms: None,
        latest_expiry_ms: None,
        smallest: Bytes::copy_from_slice(smallest.as_bytes()),
        largest: Bytes::copy_from_slice(largest.as_bytes()),
        smallest_seq: Seq::new(low.parse().unwrap()),
        largest_seq: Seq::new(high.parse().unwrap()),
        raw_key_bytes: 10,
        raw_value_bytes: 90,
        created_ms: 0,
    };
    (parse_level(level), Arc::new(table))
}

pub(crate) fn parse_level(word: &str) -> Level {
    Level(word.strip_prefix('L').unwrap().parse().unwrap())
}

pub(crate) fn parse_number(word: &str) -> FileNumber {
    FileNumber(word.parse().unwrap())
}
