//! Runs a script: blocks of a command, its input lines, a rule, and what it is to print.
//!
//! ```text
//! # a comment
//! command argument…
//! input line
//! ----
//! output line
//! ```
//!
//! A blank line ends a block.

use std::fmt::Write as _;
use std::path::PathBuf;

use alluvium_base::{Fs, StdFs, fs};

/// Runs the script `name` of `testdata`; fails at the first command that prints something else than
/// written down, unless `REWRITE` is set: then the script is rewritten with what was printed.
pub(crate) fn run<S>(
    name: &str,
    state: &mut S,
    mut command: impl FnMut(&mut S, &str, &[&str], &[&str]) -> String,
) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/testdata");
    let path = dir.join(name);
    let disk = StdFs;
    let bytes = fs::read_file(&disk, &path, 1 << 20).expect("the script can be read");
    let text = String::from_utf8(bytes).expect("the script is text");
    let rewrites = std::env::var_os("REWRITE").is_some();

    let mut rewritten = String::new();
    for block in text.split("\n\n").map(|block| block.trim_matches('\n')) {
        let lines: Vec<&str> = block.lines().collect();
        let comments = lines.iter().take_while(|line| line.starts_with('#')).count();
        let Some(head) = lines.get(comments) else {
            writeln!(rewritten, "{block}\n").expect("a string");
            continue;
        };
        let rule = lines.iter().position(|line| *line == "----").unwrap_or(lines.len());
        let words: Vec<&str> = head.split_whitespace().collect();
        let printed = command(state, words[0], &words[1..], &lines[comments + 1..rule]);
        let printed = printed.trim_end();
        let expected = lines[lines.len().min(rule + 1)..].join("\n");
        assert!(
            rewrites || printed == expected,
            "{}: {head}\nexpected:\n{expected}\nfound:\n{printed}",
            path.display()
        );
        writeln!(rewritten, "{}\n----", lines[..rule].join("\n")).expect("a string");
        writeln!(rewritten, "{printed}{}", if printed.is_empty() { "" } else { "\n" })
            .expect("a string");
    }
    if rewrites {
        let file = disk.create(&path).expect("the script can be written");
        file.write_all_at(format!("{}\n", rewritten.trim_end()).as_bytes(), 0).expect("written");
    }
}
