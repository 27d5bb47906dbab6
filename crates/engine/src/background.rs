//! Background workers: who flushes, who compacts, and one step of either for tests.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use alluvium_base::KeyspaceId;
use alluvium_compaction::next_due_ms;

use crate::compact::Compaction;
use crate::core::Core;
use crate::options::Background;
use crate::schedule::Schedule;
use crate::{Error, Result};

/// Longest nap of a compaction worker that waits for values to expire: the clock may be set.
const LONGEST_NAP: Duration = Duration::from_mins(1);

/// Starts the threads that the options ask for.
pub(crate) fn spawn(core: &Arc<Core>) -> Result<Vec<JoinHandle<()>>> {
    let Background::Threads(compactors) = core.background else { return Ok(Vec::new()) };
    let mut threads = Vec::with_capacity(compactors + 2);
    let mut start = |name: String, work: fn(&Core)| {
        let core = Arc::clone(core);
        let thread = Builder::new().name(name).spawn(move || work(&core));
        thread.map(|thread| threads.push(thread)).map_err(|e| Error::io("start a thread", "", e))
    };
    start("alluvium-flush".to_owned(), flush_until_stopped)?;
    start("alluvium-durable".to_owned(), |core| core.durable.serve(core))?;
    for at in 0..compactors {
        start(format!("alluvium-compact-{at}"), compact_until_stopped)?;
    }
    Ok(threads)
}

fn flush_until_stopped(core: &Core) {
    loop {
        let id = {
            let mut schedule = core.schedule.lock();
            loop {
                if schedule.is_stopping {
                    return;
                }
                if let Some(id) = core.claim_flush(&mut schedule) {
                    break id;
                }
                core.schedule.wait_for_work(&mut schedule, None);
            }
        };
        let result = core.run_flush(id);
        core.schedule.finished(core.report("flush", result));
    }
}

fn compact_until_stopped(core: &Core) {
    loop {
        let compaction = {
            let mut schedule = core.schedule.lock();
            loop {
                if schedule.is_stopping {
                    return;
                }
                if let Some(compaction) = core.claim_compaction(&mut schedule) {
                    break compaction;
                }
                let nap = core.until_next_expiry();
                core.schedule.wait_for_work(&mut schedule, nap);
            }
        };
        let result = core.run_compaction(&compaction);
        core.schedule.finished(core.report("compaction", result));
    }
}

impl Core {
    /// Finds a keyspace with an immutable memtable that nobody flushes, and claims it.
    fn claim_flush(&self, schedule: &mut Schedule) -> Option<KeyspaceId> {
        if self.poison.get().is_some() {
            return None;
        }
        let view = self.view.load();
        let waiting = view
            .trees()
            .filter(|tree| !tree.immutable.is_empty() && !schedule.flushing.contains(&tree.id));
        let id = waiting.max_by_key(|tree| tree.immutable.len())?.id;
        schedule.flushing.insert(id);
        Some(id)
    }

    fn run_flush(&self, id: KeyspaceId) -> Result<()> {
        let result = self.flush_oldest(id);
        self.schedule.lock().flushing.remove(&id);
        result
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

    /// Giving up because the database closes is no failure; anything else is worth a line.
    fn report(&self, work: &str, result: Result<()>) -> Result<()> {
        let is_cancelled = self.cancel.load(std::sync::atomic::Ordering::Acquire);
        match result {
            Err(error) if !is_cancelled => {
                tracing::warn!(%error, "{work} failed and is tried again");
                Err(error)
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// How long until time alone makes some table worth compacting: its values will have expired,
    /// and its space can be taken back without anyone reading it.
    fn until_next_expiry(&self) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        let view = self.view.load();
        let due = view.trees().filter_map(|tree| next_due_ms(&tree.version, now_ms));
        let next = due.min()?;
        Some(Duration::from_millis(next - now_ms + 1).min(LONGEST_NAP))
    }
}
