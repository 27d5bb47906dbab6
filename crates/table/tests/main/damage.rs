//! Whatever happens to a file's bytes, reads give the same data or an error that names the file.

use alluvium_base::{
    Error, ErrorKind, FileNumber, Fs, InternalIterator, KeyspaceId, Kind, Result, Seq, Taken,
};
use alluvium_table::{
    BlockCache, Compression, FilterKind, ReadOptions, Table, TableOptions, hash_key,
};

use crate::support::{Disk, KEYSPACE, NUMBER, Owned, walk, walk_back};

/// A small table of several blocks, with every kind a writer makes and versions that straddle.
fn entries() -> Vec<Owned> {
    let mut entries = vec![
        Owned::put("apple", 9, b"a value that repeats, a value that repeats, repeats"),
        Owned::put("apple", 4, b"an older value that repeats, an older value, older"),
        Owned { kind: Kind::Delete, ..Owned::put("birch", 12, b"") },
        Owned { kind: Kind::PutExpiring, ..Owned::put("cedar", 300, b"\x10\0\0\0\0\0\0\0soon") },
    ];
    for i in 0..8 {
        entries.push(Owned::put(&format!("key-{i:03}"), 1000 + i, &[i as u8; 40]));
    }
    entries
}

fn options(filter: FilterKind, compression: Compression) -> TableOptions {
    TableOptions { block_size: 128, compression, filter }
}

const FILTERS: [FilterKind; 3] = [
    FilterKind::None,
    FilterKind::Blocked { bits_per_key: 10 },
    FilterKind::Standard { bits_per_key: 10 },
];

/// Checks every read path: each gives what was written, or an error that names the file. Returns
/// whether all of it, verification included, found nothing wrong.
fn check_reads(disk: &Disk, entries: &[Owned], context: &str) -> bool {
    let mut is_good = true;
    let mut check = |result: Result<()>| {
        if let Err(error) = result {
            is_good = false;
            assert!(error.to_string().contains("000007.table"), "{context}: {error}");
            let kinds = [ErrorKind::Corrupt, ErrorKind::Version];
            assert!(kinds.contains(&error.kind()), "{context}: {error}");
        }
    };
    let table = match disk.open(BlockCache::new(1 << 20)) {
        Ok(table) => table,
        Err(error) => {
            check(Err(error));
            return false;
        }
    };
    for entry in entries {
        check(table.get(&entry.user_key, hash_key(&entry.user_key), entry.seq).map(|found| {
            let found = found.unwrap_or_else(|| panic!("{context}: {entry:?} is gone"));
            assert_eq!((found.seq, &found.value[..]), (entry.seq, &entry.value[..]), "{context}");
        }));
    }
    for readahead in [false, true] {
        let read = ReadOptions { fill_cache: false, readahead };
        check(walk(&mut table.iter(read)).map(|found| assert!(found == entries, "{context}")));
        check(walk_back(&mut table.iter(read)).map(|mut found| {
            found.reverse();
            assert!(found == entries, "{context}");
        }));
    }
    check(table.verify());
    is_good
}

#[test]
fn every_flipped_bit_is_noticed_and_none_gives_wrong_data() {
    for filter in FILTERS {
        for compression in [Compression::None, Compression::Lz4] {
            let (disk, entries) = (Disk::new(), entries());
            disk.build(&entries, &options(filter, compression));
            assert!(check_reads(&disk, &entries, "untouched"));
            let good = disk.bytes();
            for bit in 0..8 * good.len() {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                disk.replace(&bad);
                let context = format!("{filter:?} {compression:?} bit {bit}");
                assert!(!check_reads(&disk, &entries, &context), "{context} went unnoticed");
            }
        }
    }
}

#[test]
fn every_truncation_and_extension_is_noticed() {
    let (disk, entries) = (Disk::new(), entries());
    disk.build(&entries, &TableOptions { block_size: 128, ..TableOptions::default() });
    let good = disk.bytes();
    for len in 0..good.len() {
        disk.replace(&good[..len]);
        let error = disk.open(BlockCache::new(0)).expect_err("its footer is missing");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    disk.replace(&[&good[..], b"\0"].concat());
    assert!(disk.open(BlockCache::new(0)).is_err());
}

/// A table that shrinks or changes after it was opened is noticed by whoever reads the place.
#[test]
fn damage_after_opening_is_noticed_by_each_read() {
    let (disk, entries) = (Disk::new(), entries());
    disk.build(&entries, &options(FILTERS[1], Compression::Lz4));
    let good = disk.bytes();
    let table = disk.open(BlockCache::new(0)).unwrap();
    disk.replace(&good[..10]);
    let first = &entries[0].user_key;
    let gone = table.get(first, hash_key(first), Seq::MAX).expect_err("the block is cut");
    assert_eq!(gone.kind(), ErrorKind::Corrupt, "{gone}");
    assert!(table.verify().is_err());
    assert!(walk(&mut table.iter(ReadOptions::default())).is_err());
    disk.replace(&good);
    table.verify().expect("whole again");
}

/// Whoever has enough at the end of a block is not told what is wrong with the next.
#[test]
fn nothing_is_read_beyond_what_was_asked_for() {
    let disk = Disk::new();
    let entries: Vec<_> = (0..40).map(|i| Owned::put(&format!("{i:04}"), 5, b"12345678")).collect();
    disk.build(&entries, &options(FILTERS[1], Compression::Lz4));
    let good = disk.bytes();
    let table = disk.open(BlockCache::new(0)).unwrap();
    let show = |enough: usize| {
        disk.replace(&good);
        let mut cursor = table.iter(ReadOptions::default());
        cursor.seek_to_first().expect("it is whole");
        disk.replace(&good[..10]);
        let mut count = 0;
        let shown = cursor.show_while(None, |_, _| {
            count += 1;
            if count == enough { Taken::Last } else { Taken::More }
        });
        (count, shown)
    };
    let (in_first_block, shown) = show(usize::MAX);
    shown.expect_err("the second block is cut off");
    assert!(in_first_block > 1 && in_first_block < entries.len());
    let (count, shown) = show(in_first_block);
    assert_eq!(count, in_first_block);
    shown.expect("the first block is in memory");
}

/// Blocks carry their place in their checksum: two good blocks exchanged are two bad ones.
#[test]
fn exchanged_blocks_of_equal_length_do_not_verify() {
    let disk = Disk::new();
    let entries: Vec<_> = (0..40).map(|i| Owned::put(&format!("{i:04}"), 5, b"12345678")).collect();
    disk.build(&entries, &options(FilterKind::None, Compression::None));
    let table = disk.open(BlockCache::new(0)).unwrap();
    let block = table.approximate_offset(b"0039") as usize / (table.block_count() - 1);
    let mut bytes = disk.bytes();
    assert_eq!(bytes[block - 9], 0, "a trailer's tag: blocks have equal lengths");
    let (first, rest) = bytes.split_at_mut(block);
    first.swap_with_slice(&mut rest[..block]);
    disk.replace(&bytes);
    assert!(table.get(b"0000", hash_key(b"0000"), Seq::MAX).is_err());
    assert!(table.verify().is_err());
}

#[test]
fn a_file_in_place_of_another_is_noticed() {
    let disk = Disk::new();
    disk.build(&entries(), &TableOptions::default());
    let open = |number, keyspace| {
        let file = disk.fs.open(&disk.path).unwrap();
        Table::open(file, &disk.path, number, keyspace, BlockCache::new(0))
    };
    assert!(open(NUMBER, KEYSPACE).is_ok());
    for (number, keyspace) in [(FileNumber(8), KEYSPACE), (NUMBER, KeyspaceId(4))] {
        let error = open(number, keyspace).expect_err("another table");
        assert!(error.to_string().contains("exchanged"), "{error}");
    }
}

#[test]
fn an_unknown_version_is_refused_by_name() {
    let disk = Disk::new();
    disk.build(&entries(), &TableOptions::default());
    let mut bytes = disk.bytes();
    let footer = bytes.len() - 96;
    bytes[footer + 80] = 3;
    let crc = alluvium_base::checksum::crc32(&bytes[footer..footer + 84]);
    bytes[footer + 84..footer + 88].copy_from_slice(&crc.to_le_bytes());
    disk.replace(&bytes);
    let error = disk.open(BlockCache::new(0)).expect_err("version 3");
    assert!(matches!(error, Error::Version { found: 3, .. }), "{error}");
}
