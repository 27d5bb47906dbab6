//! Memtables against a `BTreeMap`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium_base::key::hash_key;
use alluvium_base::{BatchEntry, BatchReader, Bytes, KeyspaceId, Kind, Seq, WriteBatch};
use alluvium_memtable::{Memtable, SortedEntry, SortedMemtable};
use proptest::prelude::*;

use crate::{every_memtable, put, rest};

type Model = BTreeMap<(Vec<u8>, Reverse<u64>), (Kind, Vec<u8>)>;

/// Keys that collide often, share long prefixes, hold zero bytes, and may be empty.
fn any_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 0xff]), 0..4),
        4 => (0u16..400).prop_map(|n| format!("user:{n:04}").into_bytes()),
        2 => (0u16..400).prop_map(|n| format!("the same long beginning {n}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

#[derive(Clone, Debug)]
enum Write {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
}

fn any_write() -> impl Strategy<Value = Write> {
    prop_oneof![
        4 => (any_key(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(k, v)| Write::Put(k, v)),
        1 => any_key().prop_map(Write::Delete),
    ]
}

/// In which order the batches' entries reach the memtable: their sequences stay the same.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    InOrder,
    Backwards,
    SortedByKey,
    SortedBackwards,
}

fn any_arrival() -> impl Strategy<Value = Arrival> {
    prop::sample::select(vec![
        Arrival::InOrder,
        Arrival::Backwards,
        Arrival::SortedByKey,
        Arrival::SortedBackwards,
    ])
}

/// A write, the batch it is of, and its sequence.
type Arrived = (Vec<u8>, u64, Bytes, BatchEntry);

/// A memtable, and its name.
type Filled = (&'static str, Arc<dyn Memtable>);

/// Every memtable there is, filled with `batches`, the first write at sequence 1; and what they hold.
fn every_filled(batches: &[Vec<Write>], arrival: Arrival) -> (Vec<Filled>, Model) {
    let mut model = Model::new();
    let mut arrivals: Vec<Arrived> = Vec::new();
    let mut seq = 1;
    for writes in batches {
        let mut batch = WriteBatch::new();
        for write in writes {
            match write {
                Write::Put(key, value) => batch.put(KeyspaceId::DEFAULT, key, value),
                Write::Delete(key) => batch.delete(KeyspaceId::DEFAULT, key),
            }
            .expect("within limits");
        }
        let batch = batch.into_bytes();
        for entry in BatchReader::new(&batch).expect("a batch") {
            let entry = entry.expect("whole");
            let (key, value) =
                (batch[entry.key.clone()].to_vec(), batch[entry.value.clone()].to_vec());
            model.insert((key.clone(), Reverse(seq)), (entry.kind, value));
            arrivals.push((key, seq, batch.clone(), entry));
            seq += 1;
        }
    }
    match arrival {
        Arrival::InOrder => {}
        Arrival::Backwards => arrivals.reverse(),
        Arrival::SortedByKey => arrivals.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1))),
        Arrival::SortedBackwards => arrivals.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1))),
    }
    let mut filled: Vec<Filled> = vec![("sorted", Arc::new(sorted(&arrivals)))];
    for (name, memtable) in every_memtable() {
        for (_, seq, batch, entry) in arrivals.iter().cloned() {
            memtable.insert(&batch, entry.key, entry.value, Seq::new(seq), entry.kind);
        }
        filled.push((name, memtable));
    }
    (filled, model)
}

/// A memtable of writes whose place in the order was told it afterwards.
fn sorted(arrivals: &[Arrived]) -> SortedMemtable {
    let entries = arrivals.iter().zip(0..).map(|((_, seq, batch, entry), buffer)| {
        let (key, value) = (entry.key.clone(), entry.value.clone());
        SortedEntry::new((buffer, batch), key, value, Seq::new(seq - 1), entry.kind)
    });
    let entries = entries.collect();
    SortedMemtable::new(arrivals.iter().map(|arrived| arrived.2.clone()).collect(), entries)
        .shifted(1)
}

fn batches() -> impl Strategy<Value = Vec<Vec<Write>>> {
    prop::collection::vec(prop::collection::vec(any_write(), 1..40), 0..30)
}

/// One move of a cursor.
#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(Vec<u8>, u64),
    SeekBefore(Vec<u8>, u64),
    Next(usize),
    Prev(usize),
}

fn any_seq() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..1000, Just(Seq::MAX.get())]
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        3 => (any_key(), any_seq()).prop_map(|(key, seq)| Move::Seek(key, seq)),
        3 => (any_key(), any_seq()).prop_map(|(key, seq)| Move::SeekBefore(key, seq)),
        5 => (1usize..300).prop_map(Move::Next),
        5 => (1usize..300).prop_map(Move::Prev),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_lookup_finds_the_newest_version_at_or_before_its_sequence(
        batches in batches(),
        arrival in any_arrival(),
        lookups in prop::collection::vec((any_key(), any_seq()), 0..200),
    ) {
        let (filled, model) = every_filled(&batches, arrival);
        for (name, memtable) in filled {
            let present = model.keys().map(|(key, Reverse(seq))| (key.clone(), *seq));
            for (key, at) in present.chain(lookups.iter().cloned()) {
                let expected = model
                    .range((key.clone(), Reverse(at))..)
                    .next()
                    .filter(|((found, _), _)| *found == key)
                    .map(|((_, Reverse(seq)), (kind, value))| (*seq, *kind, value.clone()));
                let found = memtable.get(&key, Seq::new(at));
                let may_be_there = memtable.may_contain(hash_key(&key));
                prop_assert!(may_be_there || !model.keys().any(|(other, _)| *other == key));
                let found = found.map(|e| (e.seq.get(), e.kind, e.value.to_vec()));
                prop_assert_eq!(found, expected, "{}: {:?} at {}", name, key, at);
            }
            prop_assert_eq!(memtable.entry_count(), model.len());
            prop_assert_eq!(memtable.is_empty(), model.is_empty());
            let highest = Seq::new(model.len() as u64);
            let seqs = (!model.is_empty()).then_some((Seq::new(1), highest));
            prop_assert_eq!(memtable.seq_range(), seqs);
        }
    }

    #[test]
    fn a_cursor_moves_as_one_over_a_btree_map_does(
        batches in batches(),
        arrival in any_arrival(),
        moves in prop::collection::vec(any_move(), 0..60),
    ) {
        let (filled, model) = every_filled(&batches, arrival);
        for (name, memtable) in filled {
            let entries: Vec<_> = model.iter().collect();
            let mut cursor = memtable.iter();
            prop_assert!(!cursor.is_valid());
            // Where the cursor must stand, as an index into `entries`.
            let mut at: Option<usize> = None;
            for movement in &moves {
                let place = |key: &Vec<u8>, seq: u64| {
                    let target = (key.clone(), Reverse(seq));
                    entries.partition_point(|(place, _)| **place < target)
                };
                match movement {
                    Move::First => { cursor.seek_to_first()?; at = Some(0) }
                    Move::Last => { cursor.seek_to_last()?; at = entries.len().checked_sub(1) }
                    Move::Seek(key, seq) => {
                        cursor.seek(key, Seq::new(*seq))?;
                        at = Some(place(key, *seq));
                    }
                    Move::SeekBefore(key, seq) => {
                        cursor.seek_before(key, Seq::new(*seq))?;
                        at = place(key, *seq).checked_sub(1);
                    }
                    Move::Next(steps) => for _ in 0..*steps {
                        let Some(from) = at.filter(|_| cursor.is_valid()) else { break };
                        cursor.next()?;
                        at = Some(from + 1).filter(|at| *at < entries.len());
                        prop_assert_eq!(cursor.is_valid(), at.is_some(), "{}", name);
                    },
                    Move::Prev(steps) => for _ in 0..*steps {
                        let Some(from) = at.filter(|_| cursor.is_valid()) else { break };
                        cursor.prev()?;
                        at = from.checked_sub(1);
                        prop_assert_eq!(cursor.is_valid(), at.is_some(), "{}", name);
                    },
                }
                at = at.filter(|at| *at < entries.len());
                prop_assert_eq!(cursor.is_valid(), at.is_some(), "{}: {:?}", name, movement);
                if let Some(((key, Reverse(seq)), (kind, value))) = at.map(|at| entries[at]) {
                    let found = cursor.key();
                    prop_assert_eq!(found.user_key, &key[..], "{}: {:?}", name, movement);
                    prop_assert_eq!((found.seq.get(), found.kind), (*seq, *kind));
                    prop_assert_eq!(cursor.value(), &value[..]);
                    prop_assert_eq!(&cursor.key_bytes()[..], &key[..]);
                    prop_assert_eq!(&cursor.value_bytes()[..], &value[..]);
                }
            }
        }
    }
}

/// A long forward and backward scan crosses many chunks.
#[test]
fn a_scan_sees_every_entry_once_in_order_both_ways() {
    for (name, memtable) in every_memtable() {
        for n in 0..10_000u64 {
            let key = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16).to_be_bytes();
            put(&*memtable, &key, n + 1, b"");
        }
        let mut cursor = memtable.iter();
        cursor.seek_to_first().expect("memory does not fail");
        let forward = rest(&mut *cursor);
        assert_eq!(forward.len(), 10_000, "{name}");
        assert!(forward.is_sorted_by(|a, b| a.0 < b.0), "{name}");
        let mut backward = Vec::new();
        cursor.seek_to_last().expect("memory does not fail");
        while cursor.is_valid() {
            backward.push(cursor.key().user_key.to_vec());
            cursor.prev().expect("memory does not fail");
        }
        backward.reverse();
        assert!(backward.iter().eq(forward.iter().map(|(key, ..)| key)), "{name}");
    }
}

/// A cursor owns what it needs: it works after the last handle is gone, on another thread.
#[test]
fn a_cursor_outlives_the_handle_it_came_from() {
    for (_, memtable) in every_memtable() {
        put(&*memtable, b"k", 1, b"v");
        let mut cursor = Arc::clone(&memtable).iter();
        drop(memtable);
        std::thread::spawn(move || {
            cursor.seek_to_first().expect("memory does not fail");
            assert_eq!(rest(&mut *cursor), [(b"k".to_vec(), 1, b"v".to_vec())]);
        })
        .join()
        .expect("the thread ends well");
    }
}

/// Many versions of one key span leaves and chunks; each reader finds its own.
#[test]
fn every_version_of_a_hot_key_is_found_at_its_sequence() {
    for (name, memtable) in every_memtable() {
        put(&*memtable, b"cold", 1, b"");
        put(&*memtable, b"zone", 2, b"");
        for seq in (10..2000u64).step_by(2) {
            put(&*memtable, b"hot", seq, &seq.to_le_bytes());
        }
        assert_eq!(memtable.get(b"hot", Seq::new(9)), None, "{name}");
        for at in 10..2001 {
            let found = memtable.get(b"hot", Seq::new(at)).expect("a version at or before");
            assert_eq!(found.seq.get(), (at & !1).min(1998), "{name}");
            assert_eq!(found.value[..], found.seq.get().to_le_bytes(), "{name}");
        }
    }
}

#[test]
fn a_second_entry_at_the_same_place_is_refused() {
    for (name, memtable) in every_memtable() {
        put(&*memtable, b"k", 1, b"v");
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            put(&*memtable, b"k", 1, b"w");
        }));
        assert!(again.is_err(), "{name}");
        assert_eq!(memtable.get(b"k", Seq::MAX).expect("still there").value, "v", "{name}");
    }
}

/// A large value that is found is a slice of its batch, not a copy.
#[test]
fn a_large_value_that_is_found_shares_its_batch() {
    for (_, memtable) in every_memtable() {
        let (batch, key, value) = crate::one_put(b"k", &[7; 5000]);
        let expected = batch[value.clone()].as_ptr();
        memtable.insert(&batch, key, value, Seq::new(1), Kind::Put);
        assert_eq!(memtable.get(b"k", Seq::MAX).expect("there").value.as_ptr(), expected);
    }
}

/// Many versions of one key, and keys that begin alike, reach over many samples.
#[test]
fn a_sorted_memtable_finds_its_way_among_equal_prefixes() {
    let puts = |key: &str| Write::Put(key.as_bytes().to_vec(), Vec::new());
    let mut writes: Vec<_> = (0..500).map(|n| puts(&format!("the same {n:03}"))).collect();
    writes.extend((0..500).map(|_| puts("hot")));
    let (filled, _) = every_filled(&[writes], Arrival::InOrder);
    let (name, memtable) = &filled[0];
    assert_eq!(*name, "sorted");
    for n in 0..500u64 {
        let found = memtable.get(format!("the same {n:03}").as_bytes(), Seq::MAX);
        assert_eq!(found.expect("it is there").seq, Seq::new(n + 1));
        assert_eq!(memtable.get(b"the same", Seq::MAX), None);
        let found = memtable.get(b"hot", Seq::new(501 + n)).expect("it is there");
        assert_eq!(found.seq, Seq::new(501 + n));
    }
}
