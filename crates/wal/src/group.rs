//! Who syncs, and for whom.
//!
//! ```text
//!  thread A  append ─ sync_to ─ leader: ├───────── sync ─────────┤ done
//!  thread B     append ─ sync_to ─ waits for A ·················· └ leader: ├── sync ──┤ done
//!  thread C         append ─ sync_to ─ waits ···················· · waits ············ └ done
//! ```
//!
//! A leader syncs everything written when it begins; whoever comes later waits, and one of them
//! leads the next sync, for all of them. So there are never more than two crowds: those whom the sync
//! under way is for, and those who gather for the next. Each has a place to wait of its own, and
//! nobody is woken before there is something to do: with many threads, waking costs more than syncing.
//!
//! Left to themselves, threads that write and sync in turn fall into two crowds of half their number,
//! one of which always waits for the other. So a leader gives way for a moment to those whom the last
//! sync was for: most of them are about to come back, and one sync then serves all
//! (`docs/decisions/0021`).
//!
//! Invariants:
//! - One thread syncs at a time, and not under the lock.
//! - While nobody leads and a crowd gathers, one of it was woken, or somebody else is about to lead it.
//! - A sync that failed is never repeated: the kernel may have dropped the pages and would answer
//!   with success. All who waited for it fail, and all who come later.

use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::{AtomicU64, Ordering};
use alluvium_base::sync::{Condvar, Mutex, OnceLock, thread};
use alluvium_base::{Error, Result};

use crate::writer::LogEnd;

#[cfg(all(test, loom))]
mod models;

/// How often a leader gives way to those who may come back, at most: some ten microseconds where nobody
/// does.
const MOST_YIELDS: usize = if cfg!(any(loom, shuttle)) { 1 } else { 32 };

/// Threads that share syncs, and the failure that ends them all.
#[derive(Debug)]
pub(crate) struct SyncGroup {
    /// Never taken together with another lock.
    state: Mutex<State>,
    /// Where crowds wait, in turn.
    places: [Condvar; 2],
    /// As `State::synced`, to be read without the lock.
    synced: AtomicU64,
    /// The first failure, which is final.
    poison: OnceLock<Arc<Error>>,
}

#[derive(Debug, Default)]
struct State {
    has_leader: bool,
    /// The number of the crowd that gathers.
    crowd: usize,
    /// How many wait in each place.
    waiting: [usize; 2],
    /// How many there were when the last sync ended: those whom it was for, and those who had gathered.
    expected: usize,
    /// The furthest end that any thread has waited for.
    wanted: LogEnd,
    synced: LogEnd,
}

impl SyncGroup {
    /// Nothing is synced yet.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            places: [Condvar::new(), Condvar::new()],
            synced: AtomicU64::new(0),
            poison: OnceLock::new(),
        }
    }

    /// Fails once the log is poisoned.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        match self.poison.get() {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
        }
    }

    /// Makes `error` final, unless an earlier one is; returns it.
    pub(crate) fn poison(&self, error: Error) -> Error {
        self.poison.get_or_init(|| Arc::new(error.clone()));
        error
    }

    /// Everything up to here is durable.
    pub(crate) fn synced(&self) -> LogEnd {
        LogEnd(self.synced.load(Ordering::Acquire))
    }

    /// Whether some thread waits for more than `end`.
    pub(crate) fn is_wanted_beyond(&self, end: LogEnd) -> bool {
        self.state.lock().wanted > end
    }

    /// Returns once everything up to `end` is durable: by a sync of another thread, or by `sync`,
    /// which makes durable all that is written when it begins, `end` included, and answers how far
    /// that is.
    pub(crate) fn sync_to(&self, end: LogEnd, sync: impl FnOnce() -> Result<LogEnd>) -> Result<()> {
        self.check()?;
        if self.synced() >= end {
            return Ok(());
        }
        let mut state = self.state.lock();
        state.wanted = state.wanted.max(end);
        let place = state.crowd % 2;
        while state.synced < end && state.has_leader {
            state.waiting[place] += 1;
            self.places[place].wait(&mut state);
            state.waiting[place] -= 1;
        }
        if state.synced >= end {
            self.wake_leader(&state);
            return Ok(());
        }
        // Its own crowd: the one before it was led, or there would be a leader or a sync to wait for.
        state.has_leader = true;
        for _ in 0..MOST_YIELDS {
            if 1 + state.waiting[place] >= state.expected {
                break;
            }
            drop(state);
            thread::yield_now();
            state = self.state.lock();
        }
        let served = 1 + state.waiting[place];
        state.crowd += 1;
        let led = (state.crowd - 1) % 2;
        drop(state);
        // Checked by each leader: those who waited for a sync that failed fail too.
        let synced = self.check().and_then(|()| sync());
        let is_forgiven = is_planted(Bug::FailedSyncRetried);
        let synced = synced.map_err(|error| if is_forgiven { error } else { self.poison(error) });
        let mut state = self.state.lock();
        state.has_leader = false;
        state.expected = served + state.waiting[1 - led];
        if let Ok(synced) = synced {
            assert!(synced >= end, "a sync covers what was written before it began");
            state.synced = synced;
            self.synced.store(synced.0, Ordering::Release);
        }
        self.places[led].notify_all();
        if synced.is_ok() {
            self.wake_leader(&state);
        } else {
            self.places[1 - led].notify_all();
        }
        drop(state);
        synced.map(drop)
    }

    /// Has one of the crowd that gathers lead it, unless somebody does.
    fn wake_leader(&self, state: &State) {
        let place = state.crowd % 2;
        if !state.has_leader && state.waiting[place] > 0 {
            self.places[place].notify_one();
        }
    }
}
