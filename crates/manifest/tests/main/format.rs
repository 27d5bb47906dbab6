//! `FORMAT.md` against the code: its hex dump is a record, byte for byte.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, KeyspaceId, Seq, StdFs, fs::read_file};
use alluvium_manifest::current::{decode_current, encode_current};
use alluvium_manifest::{Cause, KeyspaceChange, Level, Record, TableMeta, VersionEdit};

#[test]
fn the_documented_record_is_what_the_code_reads_and_writes() {
    let record = documented_record();
    let documented = documented_bytes();
    assert_eq!(documented, record.encode(), "FORMAT.md should say:\n{}", dump(&record.encode()));
    assert_eq!(Record::decode(&documented), Ok(record));
}

#[test]
fn the_documented_current_is_what_the_code_reads_and_writes() {
    let text = format_md();
    let line = text.lines().find(|line| line.starts_with("MANIFEST-")).unwrap();
    let content = format!("{line}\n");
    let number = decode_current(content.as_bytes());
    assert_eq!(number, Some(FileNumber(12)), "should be {}", encode_current(FileNumber(12)));
}

/// The first record of a manifest: one keyspace with one table in L6.
fn documented_record() -> Record {
    let keyspace = KeyspaceId(0);
    let table = TableMeta {
        number: FileNumber(9),
        size_bytes: 4_096,
        entry_count: 300,
        tombstone_count: 2,
        expiring_count: 1,
        earliest_expiry_ms: Some(1_800_000_000_000),
        latest_expiry_ms: Some(1_800_000_000_000),
        smallest: Bytes::from("clay"),
        largest: Bytes::from("silt"),
        smallest_seq: Seq::new(0),
        largest_seq: Seq::new(700),
        raw_key_bytes: 1_200,
        raw_value_bytes: 9_000,
        created_ms: 1_767_225_600_000,
    };
    let mut edit = VersionEdit::new(Cause::Open, 1_767_225_600_000);
    edit.last_seq = Some(Seq::new(1_000));
    edit.created.push((keyspace, "default".to_owned(), Bytes::from_static(b"\x01\x02")));
    edit.changes.push(KeyspaceChange {
        keyspace,
        flushed: Some(Seq::new(900)),
        removed: Vec::new(),
        added: vec![(Level::BOTTOM, Arc::new(table))],
    });
    Record {
        format_version: Some(3),
        next_file: FileNumber(13),
        next_keyspace: KeyspaceId(1),
        created_at: vec![Seq::ZERO],
        edit,
    }
}

/// The lines of the dump: an offset, a colon, bytes, and what they are behind a bar.
fn documented_bytes() -> Vec<u8> {
    let text = format_md();
    let dump = text.split("```hex\n").nth(1).unwrap().split("```").next().unwrap();
    let mut bytes = Vec::new();
    for line in dump.lines() {
        let (offset, rest) = line.split_once(':').unwrap();
        assert_eq!(usize::from_str_radix(offset, 16), Ok(bytes.len()), "offset of {line}");
        let hex = rest.split('|').next().unwrap();
        bytes.extend(hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

fn format_md() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("FORMAT.md");
    String::from_utf8(read_file(&StdFs, &path, 1 << 20).unwrap()).unwrap()
}

fn dump(bytes: &[u8]) -> String {
    let line = |(at, line): (usize, &[u8])| {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{:04x}: {}\n", at * 16, hex.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}
