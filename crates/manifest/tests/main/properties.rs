//! Properties of records and versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium_base::codec::{put_slice, put_varint};
use alluvium_base::{Bytes, FileNumber, Seq};
use alluvium_manifest::{Level, Record, State, TableMeta, Version};
use proptest::prelude::*;

use crate::generate::record;
use crate::script::parse_table;

proptest! {
    #[test]
    fn records_decode_to_what_was_encoded(record in record()) {
        let bytes = record.encode();
        let decoded = Record::decode(&bytes);
        prop_assert_eq!(decoded.as_ref(), Ok(&record));
        prop_assert_eq!(Record::decode_format_version(&bytes), record.format_version);
        // No record, however senseless, makes a state panic.
        State::new().apply(&record).ok();
    }

    #[test]
    fn any_bytes_decode_without_panic(bytes: Vec<u8>) {
        Record::decode(&bytes).ok();
        Record::decode_format_version(&bytes);
    }

    /// Damage that a checksum missed is an error or another record, never a panic.
    #[test]
    fn a_damaged_record_never_panics(record in record(), at: prop::sample::Index, byte: u8) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(other) = Record::decode(&bytes) {
            State::new().apply(&other).ok();
        }
        prop_assert!(Record::decode(&bytes[..at]) != Ok(record));
    }

    /// A reader skips an even tag that it does not know, and refuses an odd one.
    #[test]
    fn unknown_fields_are_skipped_or_refused_by_their_tag(record in record(), tag in 100u64..200) {
        let mut bytes = record.encode();
        put_varint(&mut bytes, tag);
        put_slice(&mut bytes, b"from the future");
        match Record::decode(&bytes) {
            Ok(decoded) => {
                prop_assert_eq!(tag % 2, 0);
                prop_assert_eq!(decoded, record);
            }
            Err(error) => {
                prop_assert_eq!(tag % 2, 1);
                prop_assert!(error.what.contains("later version"), "{}", error);
            }
        }
    }

    /// A version against a map of what should be in it.
    #[test]
    fn versions_hold_what_a_model_holds(steps in prop::collection::vec(step(), 1..60)) {
        let mut version = Version::default();
        let mut model: BTreeMap<FileNumber, (Level, Arc<TableMeta>)> = BTreeMap::new();
        for Step { remove, add } in steps {
            let live: Vec<_> = model.iter().map(|(number, (level, _))| (*level, *number)).collect();
            let removed: Vec<_> =
                remove.filter(|_| !live.is_empty()).map(|at| *at.get(&live)).into_iter().collect();
            let mut next = model.clone();
            for (_, number) in &removed {
                next.remove(number);
            }
            let (level, table) = add;
            let overlaps = next.values().any(|(other_level, other)| {
                *other_level == level && level.is_sorted_run()
                    && other.overlaps(&table.smallest, &table.largest)
            });
            let is_sound = !overlaps && !next.contains_key(&table.number);
            let applied = version.apply(&removed, &[(level, table.clone())]);
            prop_assert_eq!(applied.is_ok(), is_sound, "{:?}", applied);
            if let Ok(applied) = applied {
                version = applied;
                next.insert(table.number, (level, table));
                model = next;
            }
            compare(&version, &model)?;
        }
    }
}

#[derive(Clone, Debug)]
struct Step {
    remove: Option<prop::sample::Index>,
    add: (Level, Arc<TableMeta>),
}

fn step() -> impl Strategy<Value = Step> {
    let table = (0..3u8, 0..30u64, 0..20u8, 0..4u8, 0..9u64);
    (any::<Option<prop::sample::Index>>(), table).prop_map(
        |(remove, (level, number, start, length, seq))| {
            let (_, table) = parse_table(&["L0", "1", "a..b", "#1-2"]);
            let table = TableMeta {
                number: FileNumber(number),
                smallest: Bytes::from(vec![b'a' + start]),
                largest: Bytes::from(vec![b'a' + start + length]),
                smallest_seq: Seq::ZERO,
                largest_seq: Seq::new(seq),
                ..Arc::unwrap_or_clone(table)
            };
            Step { remove, add: (Level(level), Arc::new(table)) }
        },
    )
}

fn compare(
    version: &Version,
    model: &BTreeMap<FileNumber, (Level, Arc<TableMeta>)>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(version.table_count(), model.len());
    let bytes: u64 = model.values().map(|(_, table)| table.size_bytes).sum();
    prop_assert_eq!(version.total_bytes(), bytes);
    for (level, tables) in version.levels() {
        let age = |table: &TableMeta| (table.largest_seq, table.number);
        let is_ordered = tables.windows(2).all(|pair| {
            let [first, second] = pair else { unreachable!("windows of two") };
            if level.is_sorted_run() {
                first.largest < second.smallest
            } else {
                age(first) > age(second)
            }
        });
        prop_assert!(is_ordered, "{}", version);
        for table in tables {
            prop_assert_eq!(model.get(&table.number), Some(&(level, table.clone())));
            prop_assert_eq!(version.level_of(table.number), Some(level));
        }
        for key in b'a'..=b'z' {
            let expected: Vec<_> =
                tables.iter().filter(|table| table.contains(&[key])).cloned().collect();
            prop_assert_eq!(&version.overlapping(level, &[key], &[key]), &expected);
            if level.is_sorted_run() {
                prop_assert_eq!(version.find(level, &[key]), expected.first());
            }
        }
    }
    Ok(())
}
