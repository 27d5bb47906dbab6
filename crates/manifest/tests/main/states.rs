//! Edits and the states that they lead to, by script.

use std::fmt::Write;

use alluvium_base::{Bytes, FileNumber, KeyspaceId, Seq};
use alluvium_manifest::{Cause, KeyspaceChange, Record, State, VersionEdit};

use crate::script::{self, parse_level, parse_number, parse_table};

#[test]
fn states_follow_the_script() {
    let mut state = State::new();
    script::run("states.txt", |command| match command.words[..] {
        ["edit", next_file] => {
            let edit = parse_edit(&command.input);
            let record = state.record(edit, parse_number(next_file));
            match state.apply(&record) {
                Ok(next) => {
                    check(&record, &next);
                    state = next;
                    describe(&state)
                }
                Err(what) => format!("refused: {what}"),
            }
        }
        _ => panic!("no such command: {:?}", command.words),
    });
}

/// Every record survives its encoding, and every state its snapshot.
fn check(record: &Record, state: &State) {
    assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(record));
    let snapshot = state.snapshot(Cause::Snapshot, 7, state.next_file);
    let decoded = Record::decode(&snapshot.encode()).unwrap();
    assert_eq!(State::new().apply(&decoded).as_ref(), Ok(state));
}

fn parse_edit(input: &[&str]) -> VersionEdit {
    let mut edit = VersionEdit::new(Cause::Flush, 1000);
    for line in input {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["create", id, name, options] => {
                // A name of underscores stands for what a line cannot hold.
                let name = if name == "_" { String::new() } else { name.replace("__", "xxxxxxxx") };
                let options = Bytes::copy_from_slice(options.as_bytes());
                edit.created.push((parse_id(id), name, options));
            }
            ["drop", id] => edit.dropped.push(parse_id(id)),
            ["options", id, options] => {
                edit.options.push((parse_id(id), Bytes::copy_from_slice(options.as_bytes())));
            }
            ["last-seq", seq] => edit.last_seq = Some(parse_seq(seq)),
            ["keyspace", id] => edit.changes.push(KeyspaceChange::new(parse_id(id))),
            ["flushed", seq] => last(&mut edit).flushed = Some(parse_seq(seq)),
            ["remove", level, number] => {
                last(&mut edit).removed.push((parse_level(level), parse_number(number)));
            }
            ["add", ..] => last(&mut edit).added.push(parse_table(&words[1..])),
            _ => panic!("no such line: {line}"),
        }
    }
    edit
}

fn last(edit: &mut VersionEdit) -> &mut KeyspaceChange {
    edit.changes.last_mut().expect("a keyspace is named first")
}

fn parse_id(word: &str) -> KeyspaceId {
    KeyspaceId(word.parse().unwrap())
}

fn parse_seq(word: &str) -> Seq {
    Seq::new(word.parse().unwrap())
}

fn describe(state: &State) -> String {
    let FileNumber(next_file) = state.next_file;
    let (next_keyspace, last_seq) = (state.next_keyspace.0, state.last_seq);
    let mut out = format!("next {next_file}, {next_keyspace}; last seq {last_seq}\n");
    for keyspace in state.keyspaces.values() {
        let (id, name, options) = (keyspace.id.0, &keyspace.name, &keyspace.options);
        let (created_at, flushed) = (keyspace.created_at, keyspace.flushed);
        writeln!(out, "{id} {name:?} {options:?} since {created_at}, flushed {flushed}").unwrap();
        for line in keyspace.version.to_string().lines() {
            writeln!(out, "  {line}").unwrap();
        }
    }
    out
}
