//! Reads of every kind, each compared with the oracle.

use std::ops::Bound;

use alluvium::{Bytes, Error, Expiry, Read, Result, Scan, Snapshot};
use alluvium_testkit::{Direction, KeyspaceSlot, View};

use super::{Driver, Held, Outcome};

/// Keys and values, in some order.
type Pairs = Vec<(Bytes, Bytes)>;

impl Driver {
    /// What a view is to see, and its snapshot if it has one.
    pub(super) fn moment(&self, view: View) -> (usize, u64, Option<&Snapshot>) {
        let held = match view {
            View::Latest => None,
            View::Snapshot(slot) => self.snapshots.get(&slot),
        };
        match held {
            Some(Held { snapshot, at: (at, now_ms) }) => (*at, *now_ms, Some(snapshot)),
            None => (self.oracle.len(), self.clock.now(), None),
        }
    }

    pub(super) fn get(&self, slot: KeyspaceSlot, key: &[u8], view: View) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        let (at, now_ms, snapshot) = self.moment(view);
        let read = || match snapshot {
            Some(snapshot) => {
                let view = snapshot.of(&keyspace);
                Ok((view.get(key)?, view.expires_at(key)?))
            }
            None => Ok((keyspace.get(key)?, keyspace.expires_at(key)?)),
        };
        let (found, expiry) = match read() {
            Ok(found) => found,
            Err(error) => return self.explain_read(error),
        };
        let expected = |moment_ms| self.oracle.get(slot, key, at, moment_ms);
        let name = key.escape_ascii();
        assert_eq!(found.as_deref(), expected(now_ms), "step {}: get \"{name}\"", self.step);
        let is_right = match expiry {
            None => found.is_none(),
            Some(Expiry::Never) => expected(u64::MAX - 1).is_some(),
            Some(Expiry::AtMs(ms)) => {
                ms > now_ms && expected(ms - 1).is_some() && expected(ms).is_none()
            }
        };
        assert!(is_right, "step {}: \"{name}\" expires {expiry:?}", self.step);
        Outcome::Done
    }

    pub(super) fn scan(
        &self,
        slot: KeyspaceSlot,
        bounds: (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        direction: Direction,
        view: View,
    ) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        let (at, now_ms, snapshot) = self.moment(view);
        let range = (bounds.0.clone(), bounds.1.clone());
        let mut scan: Scan = match snapshot {
            Some(snapshot) => snapshot.of(&keyspace).range(range),
            None => keyspace.range(range),
        };
        let mut found = Vec::new();
        for turn in 0.. {
            let is_forward = match direction {
                Direction::Forward => true,
                Direction::Backward => false,
                Direction::Alternating => turn % 2 == 0,
            };
            let entry = if is_forward { scan.next() } else { scan.next_back() };
            match entry {
                Some(Ok(entry)) => found.push(entry),
                Some(Err(error)) => return self.explain_read(error),
                None => break,
            }
        }
        let expected = self.oracle.scan(slot, bounds, direction, at, now_ms);
        let found: Vec<_> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(found, expected, "step {}: scan {bounds:?} {direction:?}", self.step);
        Outcome::Done
    }

    /// Many keys at one moment.
    pub(super) fn get_many(&self, slot: KeyspaceSlot, keys: &[Vec<u8>]) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        let found = match keyspace.get_many(keys) {
            Ok(found) => found,
            Err(error) => return self.explain_read(error),
        };
        let (at, now_ms) = (self.oracle.len(), self.clock.now());
        let expected = keys.iter().map(|key| self.oracle.get(slot, key, at, now_ms));
        let is_same = found.iter().map(Option::as_deref).eq(expected);
        assert!(is_same, "step {}: get_many {keys:?} found {found:?}", self.step);
        Outcome::Done
    }

    /// The first, the last, how many, and those with a prefix from the back.
    pub(super) fn ends(&self, slot: KeyspaceSlot, prefix: &[u8]) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        let read = || -> Result<_> {
            let backward: Result<Pairs> = keyspace.prefix(prefix).rev().collect();
            Ok((keyspace.first()?, keyspace.last()?, keyspace.count()?, backward?))
        };
        let (first, last, count, backward) = match read() {
            Ok(found) => found,
            Err(error) => return self.explain_read(error),
        };
        let (at, now_ms) = (self.oracle.len(), self.clock.now());
        let all = (&Bound::Unbounded, &Bound::Unbounded);
        let expected = self.oracle.scan(slot, all, Direction::Forward, at, now_ms);
        let step = self.step;
        assert_eq!(plain(first.as_ref()), expected.first().copied(), "step {step}: first");
        assert_eq!(plain(last.as_ref()), expected.last().copied(), "step {step}: last");
        assert_eq!(count, expected.len() as u64, "step {step}: count");
        let with_prefix = expected.iter().rev().filter(|(key, _)| key.starts_with(prefix));
        let found = backward.iter().map(|(key, value)| (&**key, &**value));
        assert!(found.eq(with_prefix.copied()), "step {step}: prefix {prefix:?}: {backward:?}");
        Outcome::Done
    }

    /// A read that fails harms nobody: no restart.
    pub(super) fn explain_read(&self, error: Error) -> Outcome {
        let _outcome = self.explain(Err(error));
        Outcome::Done
    }
}

fn plain(pair: Option<&(Bytes, Bytes)>) -> Option<(&[u8], &[u8])> {
    pair.map(|(key, value)| (&**key, &**value))
}
