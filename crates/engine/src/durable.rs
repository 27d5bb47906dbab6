//! Callbacks that wait for the disk: the other half of `commit_then`.
//!
//! One thread takes all that wait, syncs the log once up to the last of them, and calls them in the
//! order of their batches.

use std::panic::{AssertUnwindSafe, catch_unwind};

use alluvium_base::Seq;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::{Condvar, Mutex};
use alluvium_wal::LogEnd;

use crate::Result;
use crate::commit::PreparedBatch;
use crate::core::Core;
use crate::options::{Background, Persist};

#[cfg(all(test, loom))]
mod models;

/// Called once, with how it went.
pub(crate) type Callback = Box<dyn FnOnce(Result<()>) + Send>;

/// Callbacks that wait for the disk.
#[derive(Debug, Default)]
pub(crate) struct DurabilityQueue {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// In the order of their writes: they are added under the commit lock.
    callbacks: Vec<Entry>,
    is_stopping: bool,
}

struct Entry {
    /// The write is visible once this is.
    seq: Seq,
    log_end: LogEnd,
    callback: Callback,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("callbacks", &self.callbacks.len()).finish_non_exhaustive()
    }
}

impl DurabilityQueue {
    /// Serves callbacks until [`stop`](Self::stop), then those left. `make_durable` makes durable
    /// all up to the end of a record in the log, once its sequence is visible.
    pub(crate) fn serve(&self, make_durable: impl Fn(Seq, LogEnd) -> Result<()>) {
        loop {
            let mut waiting = self.state.lock();
            while waiting.callbacks.is_empty() && !waiting.is_stopping {
                self.changed.wait(&mut waiting);
            }
            let entries = std::mem::take(&mut waiting.callbacks);
            drop(waiting);
            let Some(last) = entries.last() else { return };
            let outcome = if is_planted(Bug::CallbackBeforeSync) {
                Ok(())
            } else {
                make_durable(last.seq, last.log_end)
            };
            for entry in entries {
                call(entry.callback, outcome.clone());
            }
        }
    }

    /// Adds a callback. Under the commit lock, so that the order is that of the writes.
    fn add(&self, seq: Seq, log_end: LogEnd, callback: Callback) {
        self.state.lock().callbacks.push(Entry { seq, log_end, callback });
        self.changed.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().is_stopping = true;
        self.changed.notify_all();
    }
}

/// A callback that panics must not take those behind it with it.
fn call(callback: Callback, outcome: Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| callback(outcome))).is_err() {
        tracing::error!("a callback of commit_then panicked");
    }
}

impl Core {
    /// Calls back those who wait for the disk, until the database closes.
    pub(crate) fn serve_callbacks(&self) {
        self.durable.serve(|seq, log_end| {
            self.publisher.wait_for(seq);
            self.sync_to(log_end)
        });
    }

    /// Writes a batch, if there is one, and calls `callback` once it and all before it are as
    /// durable as `persist` says.
    pub(crate) fn write_then(
        &self,
        batch: Option<&PreparedBatch>,
        persist: Persist,
        callback: Callback,
    ) -> Result<()> {
        if persist == Persist::Buffer || self.background == Background::Manual {
            match batch {
                Some(batch) => drop(self.write(batch, Persist::Buffer)?),
                None => self.check_writable()?,
            }
            call(callback, self.persist(persist));
            return Ok(());
        }
        let Some(batch) = batch else {
            let commit = self.commit.lock();
            self.check_writable()?;
            self.durable.add(commit.next_seq.prev(), commit.log.end(), callback);
            return Ok(());
        };
        let queue = |seq, log_end| self.durable.add(seq, log_end, callback);
        self.write_if(batch, |_, _| Ok(true), queue).map(drop)
    }

    /// Makes everything written so far as durable as `persist` says.
    pub(crate) fn persist(&self, persist: Persist) -> Result<()> {
        self.check_writable()?;
        match persist {
            // Writes are the operating system's as soon as they are acknowledged.
            Persist::Buffer => Ok(()),
            Persist::Sync => self.sync_to(self.wal.written()),
        }
    }
}
