use std::collections::BTreeMap;

use alluvium_manifest::Level;
use proptest::prelude::*;
use std::sync::Arc;

use super::*;
use crate::testing::{table, version};

const NOW_MS: u64 = 100;

fn seqs(numbers: &[u64]) -> Vec<Seq> {
    numbers.iter().map(|&n| Seq::new(n)).collect()
}

fn entry(seq: u64, kind: Kind) -> EntryMeta {
    let expiry_ms = (kind == Kind::PutExpiring).then_some(NOW_MS);
    EntryMeta { seq: Seq::new(seq), kind, expiry_ms }
}

#[test]
fn a_snapshot_between_two_versions_keeps_both() {
    let gc = GcContext::new(seqs(&[5]), NOW_MS);
    assert!(gc.same_stripe(Seq::new(2), Seq::new(5)), "the snapshot sees its own sequence");
    assert!(!gc.same_stripe(Seq::new(5), Seq::new(6)));
    assert!(gc.same_stripe(Seq::new(6), Seq::new(900)));
    let old = entry(2, Kind::Put);
    assert_eq!(fate(old, Some(Seq::new(4)), &gc, false), Fate::Drop);
    assert_eq!(fate(old, Some(Seq::new(6)), &gc, true), Fate::Keep);
}

#[test]
fn all_readers_see_what_the_oldest_snapshot_sees() {
    let gc = GcContext::new(seqs(&[9, 5, 9]), NOW_MS);
    assert!(gc.seen_by_all(Seq::new(5)) && !gc.seen_by_all(Seq::new(6)));
    assert!(GcContext::new(Vec::new(), NOW_MS).seen_by_all(Seq::MAX));
}

/// An expired value at the bottom disappears; anywhere else it must keep hiding what is below.
#[test]
fn expired_value_is_buried_until_the_bottom() {
    let gc = GcContext::new(Vec::new(), NOW_MS);
    let expired = entry(7, Kind::PutExpiring);
    assert_eq!(fate(expired, None, &gc, false), Fate::Bury);
    assert_eq!(fate(expired, None, &gc, true), Fate::Drop);
    let later = EntryMeta { expiry_ms: Some(NOW_MS + 1), ..expired };
    assert_eq!(fate(later, None, &gc, true), Fate::Keep);
}

/// `RocksDB` 2722: a tombstone dropped while an older snapshot still held the value back brought the
/// value back to life for everyone else.
#[test]
fn tombstone_stays_while_a_snapshot_reads_below_it() {
    let gc = GcContext::new(seqs(&[5]), NOW_MS);
    assert_eq!(fate(entry(7, Kind::Delete), None, &gc, true), Fate::Bury);
    assert_eq!(fate(entry(5, Kind::Delete), None, &gc, true), Fate::Drop);
}

/// Nothing is lost to rules that do not exist yet, and nothing is hidden by them.
#[test]
fn reserved_kinds_are_kept_by_fate_and_refused_by_the_collector() {
    let gc = GcContext::new(Vec::new(), NOW_MS);
    for kind in [Kind::Merge, Kind::DeleteRange] {
        assert_eq!(fate(entry(7, kind), Some(Seq::new(8)), &gc, true), Fate::Keep);
        let mut collector = Collector::new(&gc, Below::nothing());
        let key = InternalKey::new(b"k", Seq::new(7), kind);
        assert!(collector.decide(key, b"", true).is_err());
    }
}

#[test]
fn a_value_too_short_for_its_expiry_is_refused() {
    let gc = GcContext::new(Vec::new(), NOW_MS);
    let mut collector = Collector::new(&gc, Below::nothing());
    let key = InternalKey::new(b"k", Seq::new(7), Kind::PutExpiring);
    assert!(collector.decide(key, b"short", true).is_err());
}

/// A write to one of four keys, with the value that tells it from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Write {
    key: u8,
    entry: EntryMeta,
    id: u64,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let kind = prop_oneof![
        Just((Kind::Put, None)),
        Just((Kind::Delete, None)),
        (NOW_MS - 2..NOW_MS + 4).prop_map(|expiry| (Kind::PutExpiring, Some(expiry))),
    ];
    prop::collection::vec((0..4_u8, kind), 0..24).prop_map(|writes| {
        let numbered = writes.into_iter().zip(1..);
        numbered
            .map(|((key, (kind, expiry_ms)), id)| {
                let entry = EntryMeta { seq: Seq::new(id), kind, expiry_ms };
                Write { key, entry, id }
            })
            .collect()
    })
}

/// What a reader finds: the newest version it sees, if that is alive.
fn read(writes: &[Write], key: u8, at: Seq, now_ms: u64) -> Option<u64> {
    let seen = writes.iter().filter(|write| write.key == key && write.entry.seq <= at);
    let newest = seen.max_by_key(|write| write.entry.seq)?;
    (!newest.entry.is_dead(now_ms)).then_some(newest.id)
}

/// Runs `inputs` through the collector, with a table below for each key that has older versions.
fn collect(inputs: &[Write], older: &[Write], gc: &GcContext) -> Vec<Write> {
    let below: BTreeMap<u8, _> = older
        .iter()
        .map(|write| (write.key, table(u64::from(write.key), &[write.key], &[write.key])))
        .collect();
    let version = version(below.into_values().map(|table| (6, table)).collect());
    let input = [(Level(4), Arc::new(table(99, &[0], &[u8::MAX])))];
    let mut collector = Collector::new(gc, Below::of(&version, Level(5), &input));

    let mut sorted = inputs.to_vec();
    sorted.sort_by(|a, b| a.key.cmp(&b.key).then(b.entry.seq.cmp(&a.entry.seq)));
    let mut survivors = Vec::new();
    for write in sorted {
        let value = write.entry.expiry_ms.map_or_else(Vec::new, |ms| ms.to_le_bytes().to_vec());
        let user_key = [write.key];
        let key = InternalKey::new(&user_key, write.entry.seq, write.entry.kind);
        let begins_key = collector.begins_key(&user_key);
        if let Some(survivor) = collector.decide(key, &value, begins_key).expect("sound") {
            let expiry_ms = write.entry.expiry_ms.filter(|_| survivor.has_value);
            let entry = EntryMeta { seq: survivor.seq, kind: survivor.kind, expiry_ms };
            survivors.push(Write { entry, ..write });
        }
    }
    survivors
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Every reader that can exist, at every snapshot and with every clock from the oldest on, finds
    /// the same before and after.
    #[test]
    fn no_reader_can_tell_that_a_compaction_ran(
        writes in writes(),
        split in 0..25_u64,
        snapshots in prop::collection::vec(0..26_u64, 0..4),
    ) {
        let gc = GcContext::new(seqs(&snapshots), NOW_MS);
        let (older, inputs): (Vec<_>, Vec<_>) =
            writes.iter().copied().partition(|write| write.id <= split);
        let survivors = collect(&inputs, &older, &gc);
        let mut after = older.clone();
        after.extend(&survivors);
        let mut readers = seqs(&snapshots);
        readers.push(Seq::MAX);
        for key in 0..4 {
            for &at in &readers {
                for now_ms in NOW_MS..NOW_MS + 5 {
                    prop_assert_eq!(
                        read(&writes, key, at, now_ms),
                        read(&after, key, at, now_ms),
                        "key {} at {} for a clock of {}", key, at, now_ms
                    );
                }
            }
        }
        prop_assert_eq!(collect(&survivors, &older, &gc), survivors, "once is enough");
    }

    /// At the bottom, what is left is what some reader needs: without snapshots the live keys alone.
    #[test]
    fn dead_things_vanish_at_the_bottom(writes in writes()) {
        let gc = GcContext::new(Vec::new(), NOW_MS);
        let survivors = collect(&writes, &[], &gc);
        let live = (0..4).filter(|&key| read(&writes, key, Seq::MAX, NOW_MS).is_some());
        prop_assert_eq!(survivors.len(), live.count());
        prop_assert!(survivors.iter().all(|write| write.entry.seq == Seq::ZERO));
        prop_assert!(survivors.iter().all(|write| !write.entry.is_dead(NOW_MS)));
    }

    /// Per key there are never more versions than stripes.
    #[test]
    fn each_stripe_keeps_at_most_one_version(
        writes in writes(),
        snapshots in prop::collection::vec(0..26_u64, 0..4),
    ) {
        let gc = GcContext::new(seqs(&snapshots), NOW_MS);
        let survivors = collect(&writes, &[], &gc);
        for pair in survivors.windows(2).filter(|pair| pair[0].key == pair[1].key) {
            prop_assert!(!gc.same_stripe(pair[0].entry.seq, pair[1].entry.seq));
        }
    }
}
