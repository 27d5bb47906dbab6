use alluvium_base::{Fs, InternalKey, Kind, MemFs, Seq};

use super::*;
use crate::options::{Compression, FilterKind};
use crate::{TableBuilder, hash_key};

const NUMBER: FileNumber = FileNumber(7);
const KEYSPACE: KeyspaceId = KeyspaceId(3);

type Entries = Vec<(Vec<u8>, Seq)>;

fn key(n: u64) -> Vec<u8> {
    format!("key:{n:05}").into_bytes()
}

/// A table of many small blocks, and its entries.
fn sample(compression: Compression, filter: FilterKind) -> (Vec<u8>, Entries) {
    let fs = MemFs::new();
    let path = Path::new("000007.table");
    let options = TableOptions { block_size: 256, compression, filter };
    let file = fs.create(path).unwrap();
    let mut builder = TableBuilder::new(file, path, NUMBER, KEYSPACE, &options).unwrap();
    let mut entries = Vec::new();
    for n in 0..200 {
        let value = hash_key(&key(n)).to_le_bytes().repeat(3);
        let seq = Seq::new(1000 - n);
        builder.add(InternalKey::new(&key(n), seq, Kind::Put), &value).unwrap();
        entries.push((key(n), seq));
    }
    builder.finish().unwrap();
    (alluvium_base::fs::read_file(&fs, path, 1 << 20).unwrap(), entries)
}

fn open(bytes: &[u8]) -> SalvagedTable {
    let fs = MemFs::new();
    let path = Path::new("000007.table");
    fs.create(path).unwrap().write_all_at(bytes, 0).unwrap();
    SalvagedTable::open(fs.open(path).unwrap(), path, NUMBER).unwrap()
}

fn read(table: SalvagedTable) -> (Entries, Vec<LostStretch>) {
    let mut cursor = table.cursor();
    let mut entries = Vec::new();
    while cursor.advance() {
        let key = cursor.key();
        assert_eq!(cursor.value(), hash_key(key.user_key).to_le_bytes().repeat(3));
        entries.push((key.user_key.to_vec(), key.seq));
    }
    assert_eq!(cursor.entry_count(), entries.len() as u64);
    (entries, cursor.lost().to_vec())
}

/// Whatever is missing must lie in a stretch that is named.
fn assert_named(found: &Entries, lost: &[LostStretch], sound: &Entries, what: &str) {
    let missing = sound.iter().filter(|entry| !found.contains(entry));
    for (key, _) in missing {
        let is_named = |lost: &LostStretch| {
            lost.first_key.as_ref().is_none_or(|first| **first <= **key)
                && lost.last_key.as_ref().is_none_or(|last| **key <= **last)
        };
        assert!(lost.iter().any(is_named), "{what}: {} is not named", key.escape_ascii());
    }
    assert!(found.iter().all(|entry| sound.contains(entry)), "{what}");
}

fn kinds() -> impl Iterator<Item = (Compression, FilterKind)> {
    let blocked = FilterKind::Blocked { bits_per_key: 10 };
    [
        (Compression::None, FilterKind::None),
        (Compression::None, blocked),
        (Compression::Lz4, blocked),
        (Compression::Lz4, FilterKind::Standard { bits_per_key: 10 }),
    ]
    .into_iter()
}

#[test]
fn a_sound_table_is_read_whole() {
    for (compression, filter) in kinds() {
        let (bytes, entries) = sample(compression, filter);
        let table = open(&bytes);
        assert_eq!(table.keyspace(), Some(KEYSPACE));
        assert!(table.damage().is_empty());
        assert_eq!(read(table), (entries, Vec::new()));
    }
}

#[test]
fn a_flipped_byte_costs_one_block_at_most_and_says_which() {
    for (compression, filter) in kinds() {
        let (sound, entries) = sample(compression, filter);
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x40;
            let table = open(&bytes);
            assert!(table.keyspace().is_some() || !table.damage().is_empty());
            let damaged = table.damage().len();
            let (found, lost) = read(table);
            assert!(damaged + lost.len() > 0, "byte {at} goes unnoticed");
            assert_named(&found, &lost, &entries, &format!("{compression:?}, byte {at}"));
            assert!(found.len() + 12 >= entries.len(), "byte {at} costs {} entries", found.len());
        }
    }
}

#[test]
fn of_a_cut_table_every_whole_block_is_read() {
    for (compression, filter) in kinds() {
        let (sound, entries) = sample(compression, filter);
        let mut most = 0;
        for cut in 0..sound.len() {
            let (found, lost) = read(open(&sound[..cut]));
            assert!(found.len() >= most, "cut at {cut}");
            most = found.len();
            assert_eq!(found, entries[..found.len()]);
            let is_whole_block = lost.is_empty();
            assert!(is_whole_block || lost.last().unwrap().last_key.is_none() || most == 200);
        }
        assert_eq!(most, entries.len());
    }
}

/// The hardest case: no index and no footer, and a block in the middle that does not verify.
#[test]
fn blocks_behind_a_damaged_one_are_found_without_an_index() {
    for (compression, filter) in kinds() {
        let (sound, entries) = sample(compression, filter);
        let mut bytes = sound[..sound.len() * 2 / 3].to_vec();
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
        let (found, lost) = read(open(&bytes));
        assert_named(&found, &lost, &entries, &format!("{compression:?}"));
        let behind = found.iter().filter(|(key, _)| *key > entries[entries.len() / 2].0);
        assert!(behind.count() > 5, "{compression:?}: nothing is found behind the damage");
    }
}

#[test]
fn another_tables_blocks_are_not_taken_for_its_own() {
    let (bytes, _) = sample(Compression::None, FilterKind::None);
    let fs = MemFs::new();
    let path = Path::new("000008.table");
    fs.create(path).unwrap().write_all_at(&bytes, 0).unwrap();
    let table = SalvagedTable::open(fs.open(path).unwrap(), path, FileNumber(8)).unwrap();
    assert_eq!(table.keyspace(), None);
    assert_eq!(read(table).0, Vec::new());
}
