//! Versions, by script.

use std::fmt::Write;

use alluvium_manifest::{Level, Version};

use crate::script::{self, parse_level, parse_number, parse_table};

#[test]
fn versions_follow_the_script() {
    let mut version = Version::default();
    script::run("versions.txt", |command| match command.words[..] {
        ["new"] => {
            version = Version::default();
            String::new()
        }
        ["apply"] => match apply(&version, &command.input) {
            Ok(next) => {
                version = next;
                version.to_string()
            }
            Err(what) => format!("refused: {what}"),
        },
        ["overlapping", level, keys] => {
            let (smallest, largest) = keys.split_once("..").unwrap();
            let level = parse_level(level);
            let hits = version.overlapping(level, smallest.as_bytes(), largest.as_bytes());
            let numbers: Vec<_> = hits.iter().map(|table| table.number.to_string()).collect();
            numbers.join("\n")
        }
        ["find", level, key] => {
            let found = version.find(parse_level(level), key.as_bytes());
            found.map_or("none".to_owned(), |table| table.number.to_string())
        }
        ["sizes"] => {
            let mut out =
                format!("{} tables, {} B\n", version.table_count(), version.total_bytes());
            for level in Level::all() {
                writeln!(out, "{level} {}", version.level_bytes(level)).unwrap();
            }
            writeln!(out, "deepest {:?}", version.deepest()).unwrap();
            out
        }
        ["json"] => serde_json::to_string(&version).unwrap(),
        _ => panic!("no such command: {:?}", command.words),
    });
}

fn apply(version: &Version, input: &[&str]) -> Result<Version, String> {
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for line in input {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["remove", level, number] => removed.push((parse_level(level), parse_number(number))),
            ["add", ..] => added.push(parse_table(&words[1..])),
            _ => panic!("no such line: {line}"),
        }
    }
    let before = version.clone();
    let after = version.apply(&removed, &added);
    assert_eq!(&before, version, "a version never changes");
    after
}
