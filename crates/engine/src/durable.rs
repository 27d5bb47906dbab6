//! Callbacks that wait for the disk: the other half of `commit_then`.
//!
//! One thread takes all that wait, syncs the log once up to the last of them, and calls them in the
//! order of their batches.

use alluvium_wal::LogEnd;
use parking_lot::{Condvar, Mutex};

use crate::Result;
use crate::core::Core;
use crate::options::{Background, Persist};

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
    callbacks: Vec<(LogEnd, Callback)>,
    is_stopping: bool,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("callbacks", &self.callbacks.len()).finish_non_exhaustive()
    }
}

impl DurabilityQueue {
    /// Serves callbacks until [`stop`](Self::stop), then those left.
    pub(crate) fn serve(&self, core: &Core) {
        loop {
            let mut waiting = self.state.lock();
            while waiting.callbacks.is_empty() && !waiting.is_stopping {
                self.changed.wait(&mut waiting);
            }
            let callbacks = std::mem::take(&mut waiting.callbacks);
            drop(waiting);
            if callbacks.is_empty() {
                return;
            }
            let end = callbacks.iter().map(|(end, _)| *end).max().unwrap_or_default();
            let outcome = core.sync_to(end);
            for (_, callback) in callbacks {
                callback(outcome.clone());
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().is_stopping = true;
        self.changed.notify_all();
    }
}

impl Core {
    /// Calls `callback` once the log is as durable up to `end` as `persist` says.
    pub(crate) fn when_durable(&self, persist: Persist, end: LogEnd, callback: Callback) {
        if persist == Persist::Buffer {
            return callback(Ok(()));
        }
        let mut waiting = self.durable.state.lock();
        if self.background == Background::Manual || waiting.is_stopping {
            drop(waiting);
            return callback(self.sync_to(end));
        }
        waiting.callbacks.push((end, callback));
        drop(waiting);
        self.durable.changed.notify_one();
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
