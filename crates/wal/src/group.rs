//! Who syncs, and for whom.
//!
//! ```text
//!  thread A  append ─ sync_to ─ leader: ├───────── sync ─────────┤ done
//!  thread B     append ─ sync_to ─ waits for A ·················· └ leader: ├── sync ──┤ done
//!  thread C         append ─ sync_to ─ waits ···················· · waits ············ └ done
//! ```
//!
//! A leader syncs everything written when it begins; whoever comes later waits, and one of them
//! leads the next sync, for all of them.
//!
//! Invariants:
//! - One thread syncs at a time, and not under the lock.
//! - A sync that failed is never repeated: the kernel may have dropped the pages and would answer
//!   with success. All who waited for it fail, and all who come later.

use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::{AtomicU64, Ordering};
use alluvium_base::sync::{Condvar, Mutex, OnceLock};
use alluvium_base::{Error, Result};

use crate::writer::LogEnd;

#[cfg(all(test, loom))]
mod models;

/// Threads that share syncs, and the failure that ends them all.
#[derive(Debug)]
pub(crate) struct SyncGroup {
    /// Never taken together with another lock.
    state: Mutex<State>,
    finished: Condvar,
    /// As `State::synced`, to be read without the lock.
    synced: AtomicU64,
    /// The first failure, which is final.
    poison: OnceLock<Arc<Error>>,
}

#[derive(Debug, Default)]
struct State {
    has_leader: bool,
    /// The furthest end that any thread has waited for.
    wanted: LogEnd,
    synced: LogEnd,
}

impl SyncGroup {
    /// Nothing is synced yet.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            finished: Condvar::new(),
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
        loop {
            if state.synced >= end {
                return Ok(());
            }
            if !state.has_leader {
                break;
            }
            self.finished.wait(&mut state);
        }
        state.has_leader = true;
        drop(state);
        // Checked by each leader: those who waited for a sync that failed fail too.
        let synced = self.check().and_then(|()| sync());
        let is_forgiven = is_planted(Bug::FailedSyncRetried);
        let synced = synced.map_err(|error| if is_forgiven { error } else { self.poison(error) });
        let mut state = self.state.lock();
        state.has_leader = false;
        if let Ok(synced) = synced {
            assert!(synced >= end, "a sync covers what was written before it began");
            state.synced = synced;
            self.synced.store(synced.0, Ordering::Release);
        }
        drop(state);
        self.finished.notify_all();
        synced.map(drop)
    }
}
