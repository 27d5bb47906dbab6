use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::key::Kind;

/// A cursor over a sorted vector; `None` is before the first entry and past the last.
struct VecIterator {
    entries: Vec<(Vec<u8>, Seq)>,
    at: Option<usize>,
    steps_until_error: usize,
}

impl VecIterator {
    fn new(mut entries: Vec<(Vec<u8>, Seq)>) -> Self {
        entries.sort_by(|a, b| crate::key::compare(&a.0, a.1, &b.0, b.1));
        Self { entries, at: None, steps_until_error: usize::MAX }
    }

    fn position(&self, user_key: &[u8], seq: Seq) -> usize {
        self.entries
            .partition_point(|entry| crate::key::compare(&entry.0, entry.1, user_key, seq).is_lt())
    }
}

impl InternalIterator for VecIterator {
    fn is_valid(&self) -> bool {
        self.at.is_some()
    }
    fn key(&self) -> InternalKey<'_> {
        let (key, seq) = &self.entries[self.at.expect("valid")];
        InternalKey::new(key, *seq, Kind::Put)
    }
    fn value(&self) -> &[u8] {
        b""
    }
    fn seek_to_first(&mut self) -> Result<()> {
        self.at = (!self.entries.is_empty()).then_some(0);
        Ok(())
    }
    fn seek_to_last(&mut self) -> Result<()> {
        self.at = self.entries.len().checked_sub(1);
        Ok(())
    }
    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        self.at = Some(self.position(user_key, seq)).filter(|&at| at < self.entries.len());
        Ok(())
    }
    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        self.at = self.position(user_key, seq).checked_sub(1);
        Ok(())
    }
    fn next(&mut self) -> Result<()> {
        if self.steps_until_error == 0 {
            self.at = None;
            return Err(Error::invalid("injected"));
        }
        self.steps_until_error -= 1;
        self.at = self.at.map(|at| at + 1).filter(|&at| at < self.entries.len());
        Ok(())
    }
    fn prev(&mut self) -> Result<()> {
        self.at = self.at.and_then(|at| at.checked_sub(1));
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(u8, u64),
    SeekBefore(u8, u64),
    Next,
    Prev,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        2 => (0u8..20, 0u64..60).prop_map(|(key, seq)| Move::Seek(key, seq)),
        2 => (0u8..20, 0u64..60).prop_map(|(key, seq)| Move::SeekBefore(key, seq)),
        8 => Just(Move::Next),
        8 => Just(Move::Prev),
    ]
}

/// Keys longer than eight bytes that share them, so that prefixes tie.
fn key(n: u8) -> Vec<u8> {
    if n.is_multiple_of(2) { vec![b'k', n] } else { [b"long-prefix-".as_slice(), &[n]].concat() }
}

proptest! {
    #[test]
    fn a_merge_walks_like_the_sorted_union(
        entries in proptest::collection::btree_map(1u64..60, (0u8..20, 0usize..5), 0..50),
        moves in proptest::collection::vec(moves(), 1..80),
    ) {
        let mut sources: BTreeMap<usize, Vec<(Vec<u8>, Seq)>> = BTreeMap::new();
        let mut all = Vec::new();
        for (seq, (n, source)) in entries {
            sources.entry(source).or_default().push((key(n), Seq::new(seq)));
            all.push((key(n), Seq::new(seq)));
        }
        let mut expected = VecIterator::new(all);
        let mut merge =
            MergingIterator::new(sources.into_values().map(VecIterator::new).collect());
        for step in moves {
            for cursor in [&mut expected as &mut dyn InternalIterator, &mut merge] {
                match &step {
                    Move::First => cursor.seek_to_first(),
                    Move::Last => cursor.seek_to_last(),
                    Move::Seek(n, seq) => cursor.seek(&key(*n), Seq::new(*seq)),
                    Move::SeekBefore(n, seq) => cursor.seek_before(&key(*n), Seq::new(*seq)),
                    Move::Next if cursor.is_valid() => cursor.next(),
                    Move::Prev if cursor.is_valid() => cursor.prev(),
                    Move::Next | Move::Prev => Ok(()),
                }.expect("no source fails");
            }
            prop_assert_eq!(expected.is_valid(), merge.is_valid());
            if expected.is_valid() {
                prop_assert_eq!(expected.key(), merge.key());
            }
        }
    }
}

/// RocksDB 11782: an iterator's error read as its end made compaction lose data.
#[test]
fn an_error_of_a_source_is_an_error_of_the_merge() {
    let mut failing = VecIterator::new(vec![(key(0), Seq::new(1)), (key(2), Seq::new(2))]);
    failing.steps_until_error = 0;
    let healthy = VecIterator::new(vec![(key(4), Seq::new(3))]);
    let mut merge = MergingIterator::new(vec![failing, healthy]);
    merge.seek_to_first().expect("seeking works");
    merge.next().expect_err("the step fails");
    assert!(!merge.is_valid());
}
