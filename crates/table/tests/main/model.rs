//! Tables and runs give the answers of a sorted list, whatever their options.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium_base::{FileNumber, Fs, InternalIterator, InternalKey, Kind, Seq};
use alluvium_table::{
    BlockCache, Compression, FilterKind, ReadOptions, RunIterator, Table, TableBuilder,
    TableOptions, hash_key,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{Disk, KEYSPACE, Owned, walk, walk_back};

type Model = BTreeMap<(Vec<u8>, Reverse<Seq>), (Kind, Vec<u8>)>;

fn user_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(select(b"ab\0\xff".as_slice()), 0..4),
        3 => (0u32..200).prop_map(|n| format!("shared-prefix-{n:04}").into_bytes()),
        1 => vec(any::<u8>(), 0..300),
    ]
}

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![3 => 0u64..20, 1 => 0u64..=Seq::MAX.get()].prop_map(Seq::new)
}

fn kind_and_value() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    let kind = select(vec![Kind::Delete, Kind::Put, Kind::PutExpiring]);
    let value = prop_oneof![
        vec(any::<u8>(), 8..40),
        (8usize..600, any::<u8>()).prop_map(|(len, byte)| vec![byte; len])
    ];
    (kind, value).prop_map(|(kind, value)| match kind {
        Kind::Delete => (kind, Vec::new()),
        Kind::Put | Kind::PutExpiring | Kind::Merge | Kind::DeleteRange => (kind, value),
    })
}

fn options() -> impl Strategy<Value = TableOptions> {
    let filter = prop_oneof![
        Just(FilterKind::None),
        (1u8..=32).prop_map(|bits_per_key| FilterKind::Blocked { bits_per_key }),
        (1u8..=32).prop_map(|bits_per_key| FilterKind::Standard { bits_per_key }),
    ];
    (
        select(vec![64usize, 100, 300, 4096, 1 << 20]),
        select(vec![Compression::None, Compression::Lz4]),
        filter,
    )
        .prop_map(|(block_size, compression, filter)| TableOptions {
            block_size,
            compression,
            filter,
        })
}

fn model() -> impl Strategy<Value = Model> {
    btree_map((user_key(), seq().prop_map(Reverse)), kind_and_value(), 1..120)
}

/// One move of a cursor.
#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(Vec<u8>, Seq),
    SeekBefore(Vec<u8>, Seq),
    Next(u8),
    Prev(u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    vec(
        prop_oneof![
            1 => Just(Move::First),
            1 => Just(Move::Last),
            3 => (user_key(), seq()).prop_map(|(key, seq)| Move::Seek(key, seq)),
            3 => (user_key(), seq()).prop_map(|(key, seq)| Move::SeekBefore(key, seq)),
            3 => (1u8..30).prop_map(Move::Next),
            3 => (1u8..30).prop_map(Move::Prev),
        ],
        1..40,
    )
}

fn owned(model: &Model) -> Vec<Owned> {
    let entries = model.iter().map(|((user_key, seq), (kind, value))| Owned {
        user_key: user_key.clone(),
        seq: seq.0,
        kind: *kind,
        value: value.clone(),
    });
    entries.collect()
}

/// How many of `entries` come before a position.
fn count_before(entries: &[Owned], user_key: &[u8], seq: Seq) -> usize {
    entries.partition_point(|entry| {
        InternalKey::new(&entry.user_key, entry.seq, entry.kind).cmp_position(user_key, seq).is_lt()
    })
}

/// Makes the moves on the cursor and on a place in the list, which must agree after each.
fn check_moves(cursor: &mut impl InternalIterator, entries: &[Owned], moves: &[Move]) {
    let mut at: Option<usize> = None;
    for step in moves {
        match step {
            Move::First => {
                cursor.seek_to_first().unwrap();
                at = Some(0);
            }
            Move::Last => {
                cursor.seek_to_last().unwrap();
                at = entries.len().checked_sub(1);
            }
            Move::Seek(key, seq) => {
                cursor.seek(key, *seq).unwrap();
                at = Some(count_before(entries, key, *seq));
            }
            Move::SeekBefore(key, seq) => {
                cursor.seek_before(key, *seq).unwrap();
                at = count_before(entries, key, *seq).checked_sub(1);
            }
            Move::Next(count) => {
                for _ in 0..*count {
                    if at.is_some() {
                        cursor.next().unwrap();
                        at = at.map(|at| at + 1).filter(|&at| at < entries.len());
                    }
                }
            }
            Move::Prev(count) => {
                for _ in 0..*count {
                    if at.is_some() {
                        cursor.prev().unwrap();
                        at = at.and_then(|at| at.checked_sub(1));
                    }
                }
            }
        }
        at = at.filter(|&at| at < entries.len());
        assert_eq!(Owned::at(cursor), at.map(|at| entries[at].clone()), "after {step:?}");
    }
}

fn check_gets(table: &Table, model: &Model, probes: &[(Vec<u8>, Seq)]) {
    let present = model.keys().map(|(key, seq)| (key.clone(), seq.0));
    for (key, at) in probes.iter().cloned().chain(present) {
        let expected = model
            .range((key.clone(), Reverse(at))..)
            .next()
            .filter(|((found, _), _)| *found == key)
            .map(|((_, seq), (kind, value))| (seq.0, *kind, value.clone()));
        let found = table.get(&key, hash_key(&key), at).unwrap();
        assert_eq!(found.map(|entry| (entry.seq, entry.kind, entry.value.to_vec())), expected);
    }
}

fn check_summary(table: &Table, entries: &[Owned]) {
    let summary = table.summary();
    let count = |kind| entries.iter().filter(|entry| entry.kind == kind).count() as u64;
    assert_eq!(summary.entry_count, entries.len() as u64);
    assert_eq!(summary.tombstone_count, count(Kind::Delete));
    assert_eq!(summary.expiring_count, count(Kind::PutExpiring));
    let expiries = entries.iter().filter(|entry| entry.kind == Kind::PutExpiring);
    let expiries = expiries.map(|entry| alluvium_base::key::split_expiry(&entry.value).unwrap().0);
    assert_eq!(summary.earliest_expiry_ms, expiries.clone().min());
    assert_eq!(summary.latest_expiry_ms, expiries.max());
    assert_eq!(summary.smallest, entries[0].user_key);
    assert_eq!(summary.largest, entries[entries.len() - 1].user_key);
    assert_eq!(Some(summary.smallest_seq), entries.iter().map(|entry| entry.seq).min());
    assert_eq!(Some(summary.largest_seq), entries.iter().map(|entry| entry.seq).max());
}

/// The ways to read: with and without filling a cache, far ahead or not.
const READS: [ReadOptions; 4] = [
    ReadOptions { fill_cache: true, readahead: false },
    ReadOptions { fill_cache: true, readahead: true },
    ReadOptions { fill_cache: false, readahead: false },
    ReadOptions { fill_cache: false, readahead: true },
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_table_answers_like_a_sorted_list(
        model in model(),
        options in options(),
        moves in moves(),
        probes in vec((user_key(), seq()), 0..20),
        budget in select(vec![0usize, 2000, 1 << 20]),
    ) {
        let (disk, entries) = (Disk::new(), owned(&model));
        let summary = disk.build(&entries, &options);
        let cache = BlockCache::new(budget);
        let table = disk.open(cache.clone()).unwrap();
        prop_assert_eq!(table.summary(), &summary);
        prop_assert_eq!(table.options(), &options);
        check_summary(&table, &entries);
        table.verify().unwrap();
        check_gets(&table, &model, &probes);
        for read in READS {
            check_moves(&mut table.iter(read), &entries, &moves);
            prop_assert_eq!(&walk(&mut table.iter(read)).unwrap(), &entries);
            let mut backwards = walk_back(&mut table.iter(read)).unwrap();
            backwards.reverse();
            prop_assert_eq!(&backwards, &entries);
        }
        prop_assert!(cache.stats().used_bytes <= budget);
        drop(table);
        prop_assert_eq!(cache.stats().used_bytes, 0);
    }

    #[test]
    fn a_run_answers_like_a_sorted_list(
        model in model(),
        options in options(),
        moves in moves(),
        keys_per_table in 1usize..30,
    ) {
        let entries = owned(&model);
        let tables = build_run(&entries, &options, keys_per_table);
        for read in READS {
            let mut run = RunIterator::new(tables.clone(), read);
            check_moves(&mut run, &entries, &moves);
            prop_assert_eq!(&walk(&mut run).unwrap(), &entries);
        }
        let mut backwards =
            walk_back(&mut RunIterator::new(tables, ReadOptions::default())).unwrap();
        backwards.reverse();
        prop_assert_eq!(&backwards, &entries);
    }
}

/// Spreads entries over tables of so many user keys each.
fn build_run(
    entries: &[Owned],
    options: &TableOptions,
    keys_per_table: usize,
) -> Arc<[Arc<Table>]> {
    let disk = Disk::new();
    let cache = BlockCache::new(1 << 20);
    let versions: Vec<_> = entries.chunk_by(|a, b| a.user_key == b.user_key).collect();
    let tables = versions.chunks(keys_per_table).zip(1..).map(|(keys, number)| {
        let number = FileNumber(number);
        let path = disk.path.with_file_name(format!("{number}.table"));
        let file = disk.fs.create(&path).unwrap();
        let mut builder =
            TableBuilder::new(file.clone(), &path, number, KEYSPACE, options).unwrap();
        for entry in keys.iter().copied().flatten() {
            let key = InternalKey::new(&entry.user_key, entry.seq, entry.kind);
            builder.add(key, &entry.value).unwrap();
        }
        builder.finish().unwrap();
        Table::open(file, &path, number, KEYSPACE, cache.clone()).unwrap()
    });
    tables.collect()
}

#[test]
fn an_empty_run_has_no_entries() {
    let mut run = RunIterator::new(Arc::new([]), ReadOptions::default());
    check_moves(&mut run, &[], &[Move::First, Move::Last, Move::Seek(vec![], Seq::MAX)]);
}

#[test]
fn many_versions_of_one_key_are_found_across_blocks() {
    let disk = Disk::new();
    let versions = (0..500).rev().map(|seq| Owned::put("hot", seq, b"0123456789"));
    let mut entries = vec![Owned::put("cold", 7, b"first")];
    entries.extend(versions);
    entries.push(Owned::put("warm", 7, b"last"));
    disk.build(&entries, &TableOptions { block_size: 200, ..TableOptions::default() });
    let table = disk.open(BlockCache::new(1 << 20)).unwrap();
    assert!(table.block_count() > 30);
    table.verify().unwrap();
    for at in 0..500 {
        let found = table.get(b"hot", hash_key(b"hot"), Seq::new(at)).unwrap().unwrap();
        assert_eq!(found.seq, Seq::new(at));
        let mut cursor = table.iter(ReadOptions::default());
        cursor.seek_before(b"hot", Seq::new(at)).unwrap();
        let before = if at == 499 { &entries[0] } else { &entries[499 - at as usize] };
        assert_eq!(Owned::at(&cursor).as_ref(), Some(before));
    }
    assert_eq!(table.get(b"warm", hash_key(b"warm"), Seq::new(6)).unwrap(), None);
}

#[test]
fn a_value_of_many_blocks_has_a_block_of_its_own() {
    let disk = Disk::new();
    let large: Vec<u8> = (0..3_000_000u32).map(|n| n.wrapping_mul(2_654_435_761) as u8).collect();
    let entries =
        [Owned::put("a", 1, b"small"), Owned::put("b", 2, &large), Owned::put("c", 3, b"small")];
    disk.build(&entries, &TableOptions::default());
    let table = disk.open(BlockCache::new(8 << 20)).unwrap();
    assert_eq!(table.block_count(), 3);
    for read in READS {
        assert!(walk(&mut table.iter(read)).unwrap() == entries, "{read:?}");
    }
    assert_eq!(table.get(b"b", hash_key(b"b"), Seq::MAX).unwrap().unwrap().value, large);
}

#[test]
fn approximate_offsets_ascend_to_the_end_of_the_data() {
    let disk = Disk::new();
    let entries: Vec<_> =
        (0..2000).map(|i| Owned::put(&format!("{i:06}"), 1, &[i as u8; 50])).collect();
    let summary = disk.build(&entries, &TableOptions::default());
    let table = disk.open(BlockCache::new(0)).unwrap();
    let offsets: Vec<_> =
        entries.iter().map(|entry| table.approximate_offset(&entry.user_key)).collect();
    assert!(offsets.is_sorted() && offsets[0] == 0);
    assert!(table.approximate_offset(b"zzz") < summary.file_size);
    assert!(table.approximate_offset(b"zzz") > offsets[1999]);
    assert!(table.memory_bytes() > 2000 * 10 / 8, "index and filter count");
}

#[test]
#[should_panic(expected = "ascending")]
fn entries_out_of_order_are_a_bug_of_the_caller() {
    Disk::new()
        .build(&[Owned::put("b", 1, b""), Owned::put("a", 1, b"")], &TableOptions::default());
}

#[test]
fn calls_that_make_no_sense_are_refused() {
    let disk = Disk::new();
    let new = |options: &TableOptions| {
        let file = disk.fs.create(&disk.path).unwrap();
        TableBuilder::new(file, &disk.path, FileNumber(1), KEYSPACE, options)
    };
    let defaults = TableOptions::default();
    assert!(new(&TableOptions { block_size: 0, ..defaults.clone() }).is_err());
    let filter = FilterKind::Blocked { bits_per_key: 0 };
    assert!(new(&TableOptions { filter, ..defaults.clone() }).is_err());
    assert!(new(&defaults).unwrap().finish().is_err(), "a table has entries");
    let mut builder = new(&defaults).unwrap();
    assert!(builder.add(InternalKey::new(b"k", Seq::ZERO, Kind::Delete), b"v").is_err());
    assert!(builder.add(InternalKey::new(b"k", Seq::ZERO, Kind::PutExpiring), b"v").is_err());
    let long = vec![0; alluvium_base::key::MAX_KEY_BYTES + 1];
    assert!(builder.add(InternalKey::new(&long, Seq::ZERO, Kind::Put), b"v").is_err());
    builder.add(InternalKey::new(b"k", Seq::ZERO, Kind::Put), b"v").unwrap();
    assert_eq!(builder.finish().unwrap().entry_count, 1);
}
