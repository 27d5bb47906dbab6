//! Stretches of keys where nothing is visible, so that scans can step over them.
//!
//! A queue leaves a tombstone for everything that was popped, and each look for the head would walk
//! over all of them again. So a scan that walked over many dead entries leaves a note behind, and
//! later scans seek to the end of the stretch instead:
//!
//! ```text
//!   keys    x x x x x x x x x x x x x x │ a  b  c  d  e  f  g
//!           start ──── dead ──── end    │        ▲
//!           └────────── skipped ───────►│        └ fresh: the first key put since
//!                                          scans may extend the stretch up to here
//! ```
//!
//! A stretch is dead for every reader at or after the sequence and the moment at which a scan found
//! it so, as long as nothing is put there. Writers see to that: whoever puts a key cuts the stretch
//! at it, after the memtable has it and before it is visible. A scan may only speak for what it saw
//! and for what was watched since: writes up to `since` it saw, those after it were watched.
//!
//! Invariants:
//! - What a reader at or after `as_of` skips holds nothing that it could see.
//! - Every put after `since` at or behind `start`, and before the next stretch, has cut the stretch
//!   or is not before `fresh`.
//! - Memory is bounded: there are at most [`MOST`] stretches.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Weak;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::Mutex;
use alluvium_base::sync::atomic::{AtomicUsize, Ordering};
use alluvium_base::{Kind, Seq};

use crate::core::CommitState;

/// A walk over this many dead entries is worth a note.
pub(crate) const WORTH_A_NOTE: u32 = 16;

/// Most stretches of a keyspace; the one used longest ago makes place.
const MOST: usize = 64;

/// The dead stretches of a keyspace.
#[derive(Debug)]
pub(crate) struct DeadStretches {
    /// How many there are, so that whoever meets none takes no lock.
    count: AtomicUsize,
    /// A leaf lock but for [`DeadStretches::watch`], which takes it inside the commit lock.
    runs: Mutex<Runs>,
    /// Gone once the database is closed.
    commit: Weak<Mutex<CommitState>>,
}

/// By the first key of each. They do not overlap.
#[derive(Debug, Default)]
struct Runs {
    by_start: BTreeMap<Vec<u8>, Run>,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Run {
    /// The first key behind it.
    end: Vec<u8>,
    /// Dead for whoever reads at or after this sequence and this moment.
    as_of: (Seq, u64),
    /// Puts after this sequence are watched.
    since: Seq,
    /// The first key behind the stretch that was put since.
    fresh: Option<Vec<u8>>,
    used: u64,
}

/// What a scan walked over: from `start` up to `end` it could see nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    pub(crate) start: &'a [u8],
    pub(crate) end: &'a [u8],
    /// What the scan reads at.
    pub(crate) seq: Seq,
    pub(crate) now_ms: u64,
}

impl DeadStretches {
    pub(crate) fn new(commit: Weak<Mutex<CommitState>>) -> Self {
        Self { count: AtomicUsize::new(0), runs: Mutex::default(), commit }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Where a scan that stands at `key` can go on, if that is in a dead stretch.
    #[inline]
    pub(crate) fn end_of(&self, key: &[u8], seq: Seq, now_ms: u64) -> Option<Vec<u8>> {
        self.find(key, seq, now_ms, |_, run| run.end.clone())
    }

    /// The first key of the dead stretch that `key` is in: a scan backwards goes on before it.
    #[inline]
    pub(crate) fn start_of(&self, key: &[u8], seq: Seq, now_ms: u64) -> Option<Vec<u8>> {
        self.find(key, seq, now_ms, |start, _| start.to_vec())
    }

    #[inline]
    fn find<T>(
        &self,
        key: &[u8],
        seq: Seq,
        now_ms: u64,
        answer: impl FnOnce(&[u8], &Run) -> T,
    ) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut runs = self.runs.lock();
        runs.clock += 1;
        let used = runs.clock;
        let (start, run) = runs.at(key)?;
        if key >= &*run.end || seq < run.as_of.0 || now_ms < run.as_of.1 {
            return None;
        }
        run.used = used;
        Some(answer(start, run))
    }

    /// A writer has inserted an entry of `key`, which nobody sees yet.
    #[inline]
    pub(crate) fn wrote(&self, key: &[u8], kind: Kind) {
        let is_alive = kind != Kind::Delete;
        if is_alive && !self.is_empty() {
            self.cut(key);
        }
    }

    fn cut(&self, key: &[u8]) {
        if is_planted(Bug::DeadStretchNotCut) {
            return;
        }
        let mut runs = self.runs.lock();
        let Some((start, run)) = runs.at(key) else { return };
        if key == start {
            runs.remove(key);
            self.count.store(runs.by_start.len(), Ordering::Release);
            return;
        }
        if key < &*run.end {
            run.end = key.to_vec();
        }
        if run.fresh.as_deref().is_none_or(|fresh| key < fresh) {
            run.fresh = Some(key.to_vec());
        }
    }

    /// Takes note of a walk over dead entries.
    pub(crate) fn note(&self, walk: &Walk<'_>) {
        if walk.start >= walk.end {
            return;
        }
        let is_extended = {
            let mut runs = self.runs.lock();
            runs.extend(walk)
        };
        if !is_extended {
            self.watch(walk);
        }
    }

    /// Begins to watch puts at and behind the stretch, or begins anew. If nothing was written since
    /// the walk, the walk counts; else the next one will.
    fn watch(&self, walk: &Walk<'_>) {
        let Some(commit) = self.commit.upgrade() else { return };
        // Whoever gets a sequence after this one takes the lock after us, and finds the stretch. A
        // reader does not wait for writers: another walk will come by.
        let Some(commit) = commit.try_lock() else { return };
        let since = commit.next_seq.prev();
        let mut runs = self.runs.lock();
        let start = match runs.at(walk.start) {
            Some((start, run)) if walk.start <= &*run.end => {
                run.since = since;
                run.fresh = None;
                start.to_vec()
            }
            Some(_) | None => {
                let (end, as_of) = (walk.start.to_vec(), (walk.seq, walk.now_ms));
                let run = Run { end, as_of, since, fresh: None, used: 0 };
                runs.by_start.insert(walk.start.to_vec(), run);
                walk.start.to_vec()
            }
        };
        runs.make_place(&start);
        self.count.store(runs.by_start.len(), Ordering::Release);
        drop(commit);
        runs.extend(walk);
    }
}

impl Runs {
    /// The last stretch that begins at or before `key`: the one that `key` is in, if any.
    fn at(&mut self, key: &[u8]) -> Option<(&[u8], &mut Run)> {
        let (start, run) =
            self.by_start.range_mut::<[u8], _>((Unbounded, Included(key))).next_back()?;
        Some((start, run))
    }

    /// Extends the stretch that the walk began in, or at the end of, to where the walk ended.
    /// Answers false when nobody watches that far, so that it takes a new watch.
    fn extend(&mut self, walk: &Walk<'_>) -> bool {
        self.clock += 1;
        let used = self.clock;
        let next = self.by_start.range::<[u8], _>((Excluded(walk.start), Unbounded));
        let next = next.map(|(start, _)| start.clone()).next();
        let Some((_, run)) = self.at(walk.start) else { return false };
        if walk.start > &*run.end {
            return false;
        }
        if walk.seq < run.since {
            // Nobody watched what came between; a later walk will do.
            return true;
        }
        run.used = used;
        // The next stretch watches what is put behind its start.
        let end = next.as_deref().map_or(walk.end, |next| walk.end.min(next));
        let reach = run.fresh.as_deref().map_or(end, |fresh| end.min(fresh));
        if reach > &*run.end {
            run.end = reach.to_vec();
            run.as_of = (run.as_of.0.max(walk.seq), run.as_of.1.max(walk.now_ms));
        }
        reach == end
    }

    /// Drops what was used longest ago, but not the stretch at `start`.
    fn make_place(&mut self, start: &[u8]) {
        while self.by_start.len() > MOST {
            let others = self.by_start.iter().filter(|(of, _)| **of != start);
            let Some(oldest) = others.min_by_key(|(_, run)| run.used) else { return };
            let oldest = oldest.0.clone();
            self.remove(&oldest);
        }
    }

    /// Drops the stretch at `start`. The one before it has not watched what was put behind there.
    fn remove(&mut self, start: &[u8]) {
        self.by_start.remove(start);
        if let Some((_, before)) = self.at(start)
            && before.fresh.as_deref().is_none_or(|fresh| start < fresh)
        {
            before.fresh = Some(start.to_vec());
        }
    }
}
