//! Background workers: who flushes, who compacts, and one step of either for tests.

use std::sync::Arc;
use std::time::Duration;

use alluvium_base::KeyspaceId;
use alluvium_base::sync::atomic::Ordering;
use alluvium_base::sync::thread::{Builder, JoinHandle};
use alluvium_compaction::next_due_ms;

use crate::compact::Compaction;
use crate::core::Core;
use crate::options::Background;
use crate::schedule::{Job, Schedule};
use crate::{Error, Result};

/// Longest nap of a compaction worker that waits for values to expire: the clock may be set.
const LONGEST_NAP: Duration = Duration::from_mins(1);

/// Starts the threads that the options ask for, and adds them to `threads`: also those that run when
/// another cannot be started.
pub(crate) fn spawn(core: &Arc<Core>, threads: &mut Vec<JoinHandle<()>>) -> Result<()> {
    let Background::Threads(compactors) = core.background else { return Ok(()) };
    let mut start = |name: String, work: fn(&Core)| {
        let shared = Arc::clone(core);
        let thread = Builder::new().name(name).spawn(move || work(&shared));
        let thread = thread.map_err(|error| Error::io("start a thread for", &core.dir, error));
        thread.map(|thread| threads.push(thread))
    };
    start("alluvium-flush".to_owned(), flush_until_stopped)?;
    start("alluvium-durable".to_owned(), Core::serve_callbacks)?;
    start("alluvium-memory".to_owned(), |core| core.memtables.pool.stock_until_stopped())?;
    (0..compactors)
        .try_for_each(|at| start(format!("alluvium-compact-{at}"), compact_until_stopped))
}

fn flush_until_stopped(core: &Core) {
    let _guard = PoisonOnPanic(core);
    let _begun = core.flushes_give_way.then(|| core.schedule.flusher.begin());
    loop {
        let id = {
            let mut schedule = core.schedule.lock();
            loop {
                if schedule.is_stopping {
                    return;
                }
                // Before the claim: a pause that ends in between is noticed by the next look.
                let now = core.clock.monotonic();
                if let Some(id) = core.claim_flush(&mut schedule) {
                    break id;
                }
                let nap = schedule.until_retry(Job::Flush, now);
                core.schedule.flusher.relax();
                core.schedule.wait_for_work(&mut schedule, Job::Flush, nap);
            }
        };
        let result = core.run_flush(id);
        core.finished(Job::Flush, id, result);
    }
}

fn compact_until_stopped(core: &Core) {
    let _guard = PoisonOnPanic(core);
    loop {
        let compaction = {
            let mut schedule = core.schedule.lock();
            loop {
                if schedule.is_stopping {
                    return;
                }
                let now = core.clock.monotonic();
                if let Some(compaction) = core.claim_compaction(&mut schedule) {
                    break compaction;
                }
                let retry = schedule.until_retry(Job::Compaction, now);
                let nap = core.until_next_expiry().into_iter().chain(retry).min();
                core.schedule.wait_for_work(&mut schedule, Job::Compaction, nap);
            }
        };
        let result = core.run_compaction(&compaction);
        core.finished(Job::Compaction, compaction.keyspace(), result);
    }
}

/// A worker that dies leaves nobody to wait for: those who would are told why.
struct PoisonOnPanic<'a>(&'a Core);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let bug = "a background thread panicked: please report it with its message";
            self.0.poison(&Error::invalid(bug));
        }
    }
}

/// Gives back the flush of a keyspace, however it ends.
struct FlushClaim<'a>(&'a Core, KeyspaceId);

impl Drop for FlushClaim<'_> {
    fn drop(&mut self) {
        self.0.schedule.release_flush(self.1);
    }
}

impl Core {
    /// Finds a keyspace with an immutable memtable that nobody flushes, and claims it.
    fn claim_flush(&self, schedule: &mut Schedule) -> Option<KeyspaceId> {
        if self.poison.get().is_some() {
            return None;
        }
        let now = self.clock.monotonic();
        let view = self.view.load();
        let mut waiting: Vec<_> = view
            .trees()
            .filter(|tree| !schedule.is_pausing(Job::Flush, tree.id, now))
            .map(|tree| (tree.immutable.len(), tree.id))
            .filter(|(memtables, _)| *memtables > 0)
            .collect();
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        waiting.into_iter().map(|(_, id)| id).find(|&id| schedule.claim_flush(id))
    }

    fn run_flush(&self, id: KeyspaceId) -> Result<()> {
        let _claim = FlushClaim(self, id);
        self.flush_oldest(id)
    }

    /// Takes note of how a worker's job ended. Giving up because the database closes or the
    /// keyspace was dropped is no failure.
    fn finished(&self, job: Job, id: KeyspaceId, result: Result<()>) {
        let is_pointless =
            self.cancel.load(Ordering::Acquire) || self.view.load().tree(id).is_err();
        let result = result.or_else(|error| if is_pointless { Ok(()) } else { Err(error) });
        if let Err(error) = &result {
            tracing::warn!(%error, ?job, "background work failed and is tried again");
        }
        self.schedule.finished(job, id, result, self.clock.monotonic());
        if self.view.load().tree(id).is_err() {
            // Dropped since the first look.
            self.schedule.lock().forget(id);
        }
    }

    /// Whether a flush or a compaction is due.
    pub(crate) fn has_work(&self, schedule: &Schedule) -> bool {
        let view = self.view.load();
        if view.trees().any(|tree| !tree.immutable.is_empty()) {
            return true;
        }
        drop(view);
        let mut probe = schedule.probe();
        self.claim_compaction(&mut probe).is_some()
    }

    /// Does one piece of background work on the caller's thread; answers whether there was any.
    pub(crate) fn step(&self) -> Result<bool> {
        let _inside = self.enter()?;
        self.check_writable()?;
        let flush = self.claim_flush(&mut self.schedule.lock());
        if let Some(id) = flush {
            return self.run_flush(id).map(|()| true);
        }
        let compaction: Option<Compaction> = self.claim_compaction(&mut self.schedule.lock());
        match compaction {
            Some(compaction) => self.run_compaction(&compaction).map(|()| true),
            None => Ok(false),
        }
    }

    /// How long until time alone makes some table worth compacting: its values will have expired,
    /// and its space can be taken back without anyone reading it.
    fn until_next_expiry(&self) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        let view = self.view.load();
        let due = view.trees().filter_map(|tree| next_due_ms(&tree.version, now_ms));
        let next = due.min()?;
        Some(Duration::from_millis((next - now_ms).saturating_add(1)).min(LONGEST_NAP))
    }
}
