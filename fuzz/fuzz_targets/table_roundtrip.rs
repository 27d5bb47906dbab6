//! Entries of any shape, written under any options, read back in every way.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use alluvium_base::fs::read_file;
use alluvium_base::{
    Bytes, FileNumber, Fs, InternalIterator, InternalKey, KeyspaceId, Kind, MemFs, Seq,
};
use alluvium_fuzz::memory::Budget;
use alluvium_fuzz::reading::{self, Entry};
use alluvium_fuzz::table_bytes::{KEYSPACE, NUMBER};
use alluvium_table::{Compression, FilterKind, ReadOptions, TableBuilder, TableOptions, hash_key};
use alluvium_testkit::{ByteChoices, Choices};
use libfuzzer_sys::fuzz_target;

/// User key ascending, sequence descending: internal key order.
type Entries = BTreeMap<(Vec<u8>, std::cmp::Reverse<u64>), (Kind, Vec<u8>)>;

fn options(choices: &mut ByteChoices<'_>) -> TableOptions {
    let bits_per_key = choices.below(32) as u8 + 1;
    TableOptions {
        block_size: 64 << choices.below(11),
        compression: [Compression::Lz4, Compression::None][choices.below(2) as usize],
        filter: match choices.below(3) {
            0 => FilterKind::Blocked { bits_per_key },
            1 => FilterKind::Standard { bits_per_key },
            _ => FilterKind::None,
        },
    }
}

/// A few bytes, or rarely many: repeated ones, which compress, or pieces of a neighbour's key.
fn key(choices: &mut ByteChoices<'_>, last: &[u8]) -> Vec<u8> {
    let shared = choices.below(last.len() as u64 + 1) as usize;
    let mut key = last[..shared].to_vec();
    let len = if choices.chance(1, 64) { choices.below(1 << 16) } else { choices.below(8) };
    let room = 65_536 - key.len() as u64;
    let byte = choices.below(256) as u8;
    key.resize(key.len() + len.min(room) as usize, byte);
    key
}

fn entries(choices: &mut ByteChoices<'_>) -> Entries {
    let mut entries = Entries::new();
    let mut last = Vec::new();
    while !choices.is_exhausted() || entries.is_empty() {
        last = key(choices, &last);
        let seq = if choices.chance(1, 32) { choices.next_u64() >> 8 } else { choices.below(300) };
        let kind = [Kind::Put, Kind::Delete, Kind::PutExpiring][choices.below(3) as usize];
        let len = if choices.chance(1, 64) { choices.below(1 << 17) } else { choices.below(64) };
        let value = vec![choices.below(256) as u8; len as usize];
        let stored = match kind {
            Kind::PutExpiring => [&choices.next_u64().to_le_bytes()[..], &value].concat(),
            Kind::Delete => Vec::new(),
            _ => value,
        };
        entries.insert((last.clone(), std::cmp::Reverse(seq)), (kind, stored));
    }
    entries
}

fn build(options: &TableOptions, entries: &Entries) -> Vec<u8> {
    const MEMORY: &str = "memory has no way to fail";
    let (fs, path) = (MemFs::new(), Path::new("000007.table"));
    let (number, keyspace) = (FileNumber(NUMBER), KeyspaceId(KEYSPACE));
    let file = fs.create(path).expect(MEMORY);
    let mut builder = TableBuilder::new(file, path, number, keyspace, options).expect(MEMORY);
    for ((key, seq), (kind, value)) in entries {
        builder.add(InternalKey::new(key, Seq::new(seq.0), *kind), value).expect(MEMORY);
    }
    let summary = builder.finish().expect(MEMORY);
    let bytes = read_file(&fs, path, u64::MAX).expect(MEMORY);
    assert_eq!(summary.file_size, bytes.len() as u64);
    bytes
}

/// An entry of a few bytes can have a key of 64 KiB and a value of 128 KiB, and is held many times.
const BUDGET: Budget = Budget { fixed_bytes: 32 << 20, bytes_per_byte: 256 << 10 };

fuzz_target!(|data: &[u8]| BUDGET.bound(data.len(), || write_and_read(data)));

fn write_and_read(data: &[u8]) {
    let mut choices = ByteChoices::new(data);
    let options = options(&mut choices);
    let probe = key(&mut choices, b"");
    let at = choices.below(400);
    let entries = entries(&mut choices);
    let table = reading::open(&build(&options, &entries)).expect("just built");
    table.verify().expect("just built");
    assert_eq!(table.options(), &options);
    let expected: Vec<Entry> = entries
        .iter()
        .map(|((key, seq), (kind, value))| Entry {
            user_key: Bytes::copy_from_slice(key),
            seq: Seq::new(seq.0),
            kind: *kind,
            value: Bytes::copy_from_slice(value),
        })
        .collect();
    let cursor = &mut table.iter(ReadOptions::default());
    cursor.seek_to_first().expect("just built");
    for entry in &expected {
        assert_eq!(Entry::at(cursor).as_ref(), Some(entry));
        cursor.next().expect("just built");
    }
    assert!(!cursor.is_valid(), "there is more than went in");
    reading::ask_everything(&table);
    let newest = expected.iter().find(|entry| *entry.user_key == *probe && entry.seq.get() <= at);
    let found = table.get(&probe, hash_key(&probe), Seq::new(at)).expect("just built");
    assert_eq!(found.map(|found| found.seq), newest.map(|entry| entry.seq));
}
