//! What becomes of one entry in a compaction.
//!
//! Snapshots cut the order of writes into *stripes*. Readers at any snapshot, and those after all
//! of them, see of each stripe at most its newest version, so of several versions in one stripe
//! only the newest stays:
//!
//! ```text
//!   versions of "k"    2 ──── 4 ──────── 7 ──── 9 ──► sequence
//!   snapshots                    5                      no other
//!   stripes           └── ≤ 5 ────┘└────── > 5 ──────
//!   stays                     4                 9       2 is hidden by 4, 7 by 9
//! ```
//!
//! A dead version (a tombstone, or a value whose expiry has passed for every reader) still hides
//! older ones. It goes only where there are none: see [`fate`].

use alluvium_base::key::split_expiry;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, InternalKey, Kind, Result, Seq};

use crate::below::Below;

/// What the garbage rules know of readers: every live snapshot, and how late it is for all of them.
///
/// It stays right while readers come and go: a snapshot released meanwhile only makes it too
/// careful, and one taken meanwhile stands, as must its clock, at or after everything compacted.
#[derive(Clone, Debug)]
pub struct GcContext {
    /// Ascending, each once.
    snapshots: Vec<Seq>,
    now_ms: u64,
}

impl GcContext {
    /// The rules for live `snapshots` (in any order) and `now_ms`, which no live or later reader's
    /// clock may be behind: the oldest snapshot's clock, or the present where there is none.
    pub fn new(mut snapshots: Vec<Seq>, now_ms: u64) -> Self {
        snapshots.sort_unstable();
        snapshots.dedup();
        Self { snapshots, now_ms }
    }

    /// The moment up to which values count as expired, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether no reader sees one of the two and not the other: no snapshot lies between them.
    pub fn same_stripe(&self, a: Seq, b: Seq) -> bool {
        if is_planted(Bug::SnapshotsForgotten) {
            return true;
        }
        // Mostly there are no snapshots, or both versions are newer than all of them.
        let Some(&newest) = self.snapshots.last() else { return true };
        if a > newest && b > newest {
            return true;
        }
        self.stripe(a) == self.stripe(b)
    }

    /// Whether every reader there is and will be sees what was written at `seq`.
    #[inline]
    pub fn seen_by_all(&self, seq: Seq) -> bool {
        self.snapshots.first().is_none_or(|&oldest| seq <= oldest)
    }

    /// How many snapshots lie before `seq`. A snapshot sees what was written at its own sequence.
    fn stripe(&self, seq: Seq) -> usize {
        self.snapshots.partition_point(|&snapshot| snapshot < seq)
    }
}

/// What the garbage rules know of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryMeta {
    /// Its place in the order of writes.
    pub seq: Seq,
    /// What it does.
    pub kind: Kind,
    /// When it expires, for [`Kind::PutExpiring`].
    pub expiry_ms: Option<u64>,
}

impl EntryMeta {
    /// Whether a reader whose clock shows `now_ms` finds no value here: a tombstone, or a value
    /// from its expiry on.
    #[inline]
    pub fn is_dead(&self, now_ms: u64) -> bool {
        match self.kind {
            Kind::Delete => true,
            Kind::PutExpiring => self.expiry_ms.is_some_and(|expiry| expiry <= now_ms),
            Kind::Put | Kind::Merge | Kind::DeleteRange => false,
        }
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is written as it is.
    Keep,
    /// It is written as a tombstone, without its value: it only hides what lies below.
    Bury,
    /// It is not written.
    Drop,
}

/// Decides what compaction does with one entry. Pure: same arguments, same fate.
///
/// `newer` is the next newer version of the same user key among the inputs, whatever became of it;
/// `is_bottom` says that no version of the user key lies outside the inputs and below their output.
/// The reserved kinds have no rules yet and stay as they are.
#[inline]
pub fn fate(entry: EntryMeta, newer: Option<Seq>, gc: &GcContext, is_bottom: bool) -> Fate {
    if entry.kind.is_reserved() {
        return Fate::Keep;
    }
    // Every reader that could reach this version reaches the newer one first.
    if newer.is_some_and(|newer| gc.same_stripe(entry.seq, newer)) {
        return Fate::Drop;
    }
    if !entry.is_dead(gc.now_ms) {
        return Fate::Keep;
    }
    // A dead entry still hides older versions: below it, or in an older snapshot's stripe. Dropping
    // it early would bring them back to life.
    let is_bottom = is_bottom || is_planted(Bug::TombstonesDropped);
    if is_bottom && gc.seen_by_all(entry.seq) { Fate::Drop } else { Fate::Bury }
}

/// How a surviving entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survivor {
    pub(crate) seq: Seq,
    pub(crate) kind: Kind,
    /// Whether its value is written: a buried entry has none.
    pub(crate) has_value: bool,
}

/// Runs [`fate`] over the entries of a compaction, which come in internal key order.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    gc: &'a GcContext,
    below: Below,
    /// The user key of the entry before, kept to reuse its memory; meaningless before the first.
    user_key: Vec<u8>,
    /// The entry before in `user_key`; `None` before the first entry of all.
    newer: Option<Seq>,
    /// Whether `user_key` has no versions further down; asked for once per key, and only if needed.
    is_bottom: Option<bool>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(gc: &'a GcContext, below: Below) -> Self {
        Self { gc, below, user_key: Vec::new(), newer: None, is_bottom: None }
    }

    /// Whether `user_key` differs from that of the entry before: only here may a table end.
    #[inline]
    pub(crate) fn begins_key(&self, user_key: &[u8]) -> bool {
        self.newer.is_none() || self.user_key != user_key
    }

    /// What to write for the next entry, or `None` when it is not to be written.
    #[inline]
    pub(crate) fn decide(
        &mut self,
        key: InternalKey<'_>,
        value: &[u8],
        begins_key: bool,
    ) -> Result<Option<Survivor>> {
        let newer = if begins_key {
            self.user_key.clear();
            self.user_key.extend_from_slice(key.user_key);
            self.is_bottom = None;
            None
        } else {
            self.newer
        };
        self.newer = Some(key.seq);

        let entry = EntryMeta { seq: key.seq, kind: key.kind, expiry_ms: expiry(key, value)? };
        // Asking where the bottom is costs a comparison or more; hidden versions need no answer.
        let is_seen = self.gc.seen_by_all(key.seq);
        let is_bottom = is_seen && self.is_bottom();
        Ok(match fate(entry, newer, self.gc, is_bottom) {
            Fate::Drop => None,
            Fate::Bury => Some(Survivor { seq: key.seq, kind: Kind::Delete, has_value: false }),
            // All readers see it and nothing older is left, so its age says nothing any more. Zeroes
            // compress, and later compactions know by them that the key has one version.
            Fate::Keep if is_bottom || is_planted(Bug::SeqZeroedTooEarly) => {
                Some(Survivor { seq: Seq::ZERO, kind: key.kind, has_value: true })
            }
            Fate::Keep => Some(Survivor { seq: key.seq, kind: key.kind, has_value: true }),
        })
    }

    #[inline]
    fn is_bottom(&mut self) -> bool {
        let (below, user_key) = (&mut self.below, &self.user_key);
        *self.is_bottom.get_or_insert_with(|| !below.may_hold(user_key))
    }
}

/// When the entry expires. Refuses the reserved kinds: they hide and survive by rules of their own,
/// and an entry treated by the wrong ones would be lost.
#[inline]
fn expiry(key: InternalKey<'_>, value: &[u8]) -> Result<Option<u64>> {
    match key.kind {
        Kind::Put | Kind::Delete => Ok(None),
        Kind::PutExpiring => match split_expiry(value) {
            Some((expiry_ms, _)) => Ok(Some(expiry_ms)),
            None => Err(Error::invalid(format!("{key:?} is to expire but does not say when"))),
        },
        Kind::Merge | Kind::DeleteRange => Err(Error::invalid(format!(
            "{key:?} is of a reserved kind that this version cannot compact"
        ))),
    }
}

#[cfg(test)]
mod tests;
