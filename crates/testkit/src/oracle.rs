//! What a database must answer, kept so simply that it is right.
//!
//! ```text
//!   commits:    1     2     3     4     5     6
//!               ├─────┴─────┤                 ▲ len: all there is
//!               │           ▲ durable: must survive a power cut
//!               └─ recovery must find one of the states after 3, 4, 5 or 6 commits,
//!                  with every commit whole: a *prefix*
//! ```
//!
//! Every commit gets a position, its number from 1; every version of a key remembers the position
//! it was written at. So the oracle answers reads of any moment, and knows after a crash whether
//! what was recovered is a state the database was ever in.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use crate::op::{Direction, KeyspaceSlot, Write};

/// All keyspaces with all that is visible in them, empty keyspaces included.
pub type Content = BTreeMap<KeyspaceSlot, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What is stored: a value, and when it expires.
type Stored = Option<(Vec<u8>, Option<u64>)>;

/// The versions of one key, by ascending position.
type Versions = Vec<(usize, Stored)>;

/// Answers what a database must answer.
///
/// ```
/// use alluvium_testkit::{Content, Oracle, Write};
/// let mut oracle = Oracle::new();
/// let put = |value: &str| Write::Put { keyspace: 0, key: b"k".to_vec(), value: value.into() };
/// oracle.commit(&[put("1")], 0);
/// oracle.mark_durable();
/// oracle.commit(&[put("2")], 0);
/// assert_eq!(oracle.get(0, b"k", oracle.len(), 0), Some(&b"2"[..]));
/// assert_eq!(oracle.get(0, b"k", 1, 0), Some(&b"1"[..]));
///
/// // After a power cut the second commit may be missing, but not the first:
/// let found = |value: &str| Content::from([(0, [(b"k".to_vec(), value.into())].into())]);
/// assert_eq!(oracle.check_prefix(&found("1"), 0), Ok(vec![1]));
/// assert_eq!(oracle.check_prefix(&found("2"), 0), Ok(vec![2]));
/// assert!(oracle.check_prefix(&Content::from([(0, [].into())]), 0).is_err());
/// ```
///
/// Creating and dropping a keyspace takes effect and is durable at once, whatever else is lost. When
/// a test does not know whether such a call took effect (it failed halfway), it keeps a clone from
/// before the call and accepts what matches either.
#[derive(Clone, Debug)]
pub struct Oracle {
    keyspaces: BTreeMap<KeyspaceSlot, BTreeMap<Vec<u8>, Versions>>,
    /// The keys that each commit wrote.
    history: Vec<Vec<(KeyspaceSlot, Vec<u8>)>>,
    durable: usize,
}

/// Recovered content that is no state the database may be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is an earlier state: commits that were durable are lost.
    Lost {
        /// How many commits were durable.
        durable: usize,
        /// How many, at most, were found.
        found: usize,
    },
    /// The keyspaces are not the ones there must be.
    Keyspaces {
        /// Those there must be.
        expected: Vec<KeyspaceSlot>,
        /// Those that were found.
        found: Vec<KeyspaceSlot>,
    },
    /// It is no state the database was ever in: a hole, a torn batch or a wrong value.
    NoPrefix {
        /// How many commits the most similar state has.
        closest: usize,
        /// Some of the keys that differ from it.
        differences: Vec<Difference>,
    },
}

/// One key that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub keyspace: KeyspaceSlot,
    /// The key.
    pub key: Vec<u8>,
    /// What it should be.
    pub expected: Option<Vec<u8>>,
    /// What it is.
    pub found: Option<Vec<u8>>,
}

/// How many differences a [`Mismatch`] reports.
const REPORTED_DIFFERENCES: usize = 5;

impl Default for Oracle {
    fn default() -> Self {
        Self::new()
    }
}

impl Oracle {
    /// An empty database with the default keyspace.
    pub fn new() -> Self {
        Self { keyspaces: BTreeMap::from([(0, BTreeMap::new())]), history: vec![], durable: 0 }
    }

    /// How many commits there were: the position of the latest.
    pub fn len(&self) -> usize {
        self.history.len()
    }

    /// Whether nothing was committed yet.
    pub fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// How many commits must survive a power cut.
    pub fn durable(&self) -> usize {
        self.durable
    }

    /// Commits a batch at the time `now_ms` and returns its position. A write to a keyspace that is
    /// not there is left out, as a test's driver leaves it out: see [`has_keyspace`](Self::has_keyspace).
    ///
    /// A commit whose outcome is unknown, because it failed or was cut off, is committed here too:
    /// as the last and not durable one, it may or may not be recovered.
    pub fn commit(&mut self, writes: &[Write], now_ms: u64) -> usize {
        let position = self.history.len() + 1;
        let mut keys = Vec::with_capacity(writes.len());
        for write in writes {
            let Some(keyspace) = self.keyspaces.get_mut(&write.keyspace()) else { continue };
            let stored = match write {
                Write::Put { value, .. } => Some((value.clone(), None)),
                Write::PutExpiring { value, ttl_ms, .. } => {
                    Some((value.clone(), Some(now_ms.saturating_add(*ttl_ms))))
                }
                Write::Remove { .. } => None,
            };
            let versions = keyspace.entry(write.key().to_vec()).or_default();
            match versions.last_mut() {
                Some(last) if last.0 == position => last.1 = stored,
                Some(_) | None => versions.push((position, stored)),
            }
            keys.push((write.keyspace(), write.key().to_vec()));
        }
        self.history.push(keys);
        position
    }

    /// All commits so far must survive from now on.
    pub fn mark_durable(&mut self) {
        self.durable = self.history.len();
    }

    /// The first `count` commits must survive from now on.
    pub fn mark_durable_up_to(&mut self, count: usize) {
        self.durable = self.durable.max(count.min(self.history.len()));
    }

    /// Creates a keyspace, durably; no matter if it is there.
    pub fn create_keyspace(&mut self, slot: KeyspaceSlot) {
        self.keyspaces.entry(slot).or_default();
    }

    /// Drops a keyspace and all versions in it, durably.
    pub fn drop_keyspace(&mut self, slot: KeyspaceSlot) {
        self.keyspaces.remove(&slot);
    }

    /// Whether there is such a keyspace.
    pub fn has_keyspace(&self, slot: KeyspaceSlot) -> bool {
        self.keyspaces.contains_key(&slot)
    }

    /// The keyspaces there are.
    pub fn keyspaces(&self) -> impl Iterator<Item = KeyspaceSlot> {
        self.keyspaces.keys().copied()
    }

    /// What a read of `key` finds after the first `at` commits, at the time `now_ms`. A value is
    /// gone from the very millisecond it expires.
    pub fn get(&self, slot: KeyspaceSlot, key: &[u8], at: usize, now_ms: u64) -> Option<&[u8]> {
        visible(self.keyspaces.get(&slot)?.get(key)?, at, now_ms)
    }

    /// What a scan finds after the first `at` commits, at the time `now_ms`, in the order in which
    /// a scan in that direction yields it.
    pub fn scan(
        &self,
        slot: KeyspaceSlot,
        (start, end): (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        direction: Direction,
        at: usize,
        now_ms: u64,
    ) -> Vec<(&[u8], &[u8])> {
        let Some(keyspace) = self.keyspaces.get(&slot) else { return Vec::new() };
        let all = keyspace.iter().filter(|(key, _)| lies_between(key, start, end));
        let mut found: Vec<_> = all
            .filter_map(|(key, versions)| Some((&**key, visible(versions, at, now_ms)?)))
            .collect();
        match direction {
            Direction::Forward => {}
            Direction::Backward => found.reverse(),
            Direction::Alternating => {
                let mut left = found.into_iter();
                let mut order = Vec::new();
                while let Some(first) = left.next() {
                    order.push(first);
                    order.extend(left.next_back());
                }
                return order;
            }
        }
        found
    }

    /// Everything visible after the first `at` commits, at the time `now_ms`.
    pub fn content(&self, at: usize, now_ms: u64) -> Content {
        let visible_in = |keyspace: &BTreeMap<Vec<u8>, Versions>| {
            keyspace
                .iter()
                .filter_map(|(key, versions)| {
                    Some((key.clone(), visible(versions, at, now_ms)?.to_vec()))
                })
                .collect()
        };
        self.keyspaces.iter().map(|(&slot, keyspace)| (slot, visible_in(keyspace))).collect()
    }

    /// After a crash: which numbers of commits explain the `recovered` content as it is visible at
    /// the time `now_ms`, from the durable ones up to all. There may be several, when commits
    /// changed nothing that is visible.
    pub fn check_prefix(&self, recovered: &Content, now_ms: u64) -> Result<Vec<usize>, Mismatch> {
        if !recovered.keys().eq(self.keyspaces.keys()) {
            let expected = self.keyspaces.keys().copied().collect();
            let found = recovered.keys().copied().collect();
            return Err(Mismatch::Keyspaces { expected, found });
        }
        let wrong_counts = self.wrong_counts(recovered, now_ms);
        let matching = |(at, &wrong): (usize, &usize)| (wrong == 0).then_some(at);
        let matches: Vec<_> = wrong_counts.iter().enumerate().filter_map(matching).collect();
        let allowed: Vec<_> = matches.iter().copied().filter(|&at| at >= self.durable).collect();
        if !allowed.is_empty() {
            return Ok(allowed);
        }
        if let Some(&found) = matches.last() {
            return Err(Mismatch::Lost { durable: self.durable, found });
        }
        let closest = (0..=self.len()).min_by_key(|&at| wrong_counts[at]).unwrap_or(0);
        let differences = self.differences(recovered, closest, now_ms);
        Err(Mismatch::NoPrefix { closest, differences })
    }

    /// For each number of commits, how many keys of `recovered` differ from the state after them.
    fn wrong_counts(&self, recovered: &Content, now_ms: u64) -> Vec<usize> {
        let is_wrong = |slot: KeyspaceSlot, key: &[u8], at: usize| {
            self.get(slot, key, at, now_ms) != found_in(recovered, slot, key)
        };
        // Before the first commit everything recovered is wrong.
        let mut wrong: usize = recovered.values().map(BTreeMap::len).sum();
        let mut counts = vec![wrong];
        for (index, keys) in self.history.iter().enumerate() {
            let mut keys: Vec<_> = keys.iter().collect();
            keys.sort_unstable();
            keys.dedup();
            for (slot, key) in keys {
                wrong += usize::from(is_wrong(*slot, key, index + 1));
                wrong -= usize::from(is_wrong(*slot, key, index));
            }
            counts.push(wrong);
        }
        counts
    }

    fn differences(&self, recovered: &Content, at: usize, now_ms: u64) -> Vec<Difference> {
        let mut keys: Vec<(KeyspaceSlot, &Vec<u8>)> = Vec::new();
        for (&slot, found) in recovered {
            keys.extend(found.keys().map(|key| (slot, key)));
        }
        for (&slot, expected) in &self.keyspaces {
            keys.extend(expected.keys().map(|key| (slot, key)));
        }
        keys.sort_unstable();
        keys.dedup();
        let differences = keys.into_iter().filter_map(|(keyspace, key)| {
            let expected = self.get(keyspace, key, at, now_ms);
            let found = found_in(recovered, keyspace, key);
            (expected != found).then(|| Difference {
                keyspace,
                key: key.clone(),
                expected: expected.map(<[u8]>::to_vec),
                found: found.map(<[u8]>::to_vec),
            })
        });
        differences.take(REPORTED_DIFFERENCES).collect()
    }

    /// Recovery has settled on the first `at` commits: the others never happened, and these are
    /// durable now.
    pub fn recover_to(&mut self, at: usize) {
        for keyspace in self.keyspaces.values_mut() {
            for versions in keyspace.values_mut() {
                versions.retain(|(position, _)| *position <= at);
            }
            keyspace.retain(|_, versions| !versions.is_empty());
        }
        self.history.truncate(at);
        self.durable = self.history.len();
    }
}

fn visible(versions: &Versions, at: usize, now_ms: u64) -> Option<&[u8]> {
    let count = versions.partition_point(|(position, _)| *position <= at);
    let (value, expiry_ms) = versions[..count].last()?.1.as_ref()?;
    expiry_ms.is_none_or(|expiry_ms| expiry_ms > now_ms).then_some(&**value)
}

fn found_in<'a>(content: &'a Content, slot: KeyspaceSlot, key: &[u8]) -> Option<&'a [u8]> {
    content.get(&slot)?.get(key).map(|value| &**value)
}

/// Unlike `BTreeMap::range`, takes bounds in any order: crossed ones have nothing between them.
fn lies_between(key: &[u8], start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> bool {
    let is_after_start = match start {
        Bound::Included(start) => key >= &**start,
        Bound::Excluded(start) => key > &**start,
        Bound::Unbounded => true,
    };
    let is_before_end = match end {
        Bound::Included(end) => key <= &**end,
        Bound::Excluded(end) => key < &**end,
        Bound::Unbounded => true,
    };
    is_after_start && is_before_end
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { durable, found } => write!(
                f,
                "acknowledged commits are lost: {durable} were durable, and only the first {found} \
                 are there"
            ),
            Self::Keyspaces { expected, found } => {
                write!(f, "there must be the keyspaces {expected:?}, and there are {found:?}")
            }
            Self::NoPrefix { closest, differences } => {
                write!(f, "the database was never in this state; after {closest} commits")?;
                for difference in differences {
                    let Difference { keyspace, key, expected, found } = difference;
                    let key = key.escape_ascii();
                    write!(f, ", keyspace {keyspace} key \"{key}\" was ")?;
                    write!(f, "{} and is {}", Shown(expected.as_ref()), Shown(found.as_ref()))?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Mismatch {}

/// A value, short enough to read.
struct Shown<'a>(Option<&'a Vec<u8>>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = self.0 else { return f.write_str("absent") };
        let front = value[..value.len().min(24)].escape_ascii();
        write!(f, "\"{front}\" ({} bytes)", value.len())
    }
}

#[cfg(test)]
mod tests;
