//! Who works on what, and who waits for whom.
//!
//! Workers sleep on `work` until something was rotated, installed or has come of age; writers and
//! `flush` callers sleep on `progress` until a worker has installed something. Nobody polls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alluvium_base::{FileNumber, KeyspaceId};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{Error, Result};

/// Shortest and longest pause after background work failed.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A damaged table stays damaged: reading it again and again helps nobody.
const PAUSE_AT_DAMAGE: Duration = Duration::from_mins(1);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    state: Mutex<Schedule>,
    work: Condvar,
    progress: Condvar,
}

/// What workers agree on.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    pub(crate) is_stopping: bool,
    /// Keyspaces whose oldest memtable is being flushed.
    pub(crate) flushing: BTreeSet<KeyspaceId>,
    /// Tables that are being compacted.
    pub(crate) busy: BTreeMap<KeyspaceId, BTreeSet<FileNumber>>,
    /// Keyspaces a caller compacts by hand; workers leave them alone.
    pub(crate) manual: BTreeSet<KeyspaceId>,
    /// Failures in a row, and the last of them.
    pub(crate) failures: u32,
    pub(crate) last_failure: Option<Error>,
}

impl Schedule {
    /// The tables of a keyspace that are being compacted.
    pub(crate) fn busy_tables(&self, id: KeyspaceId) -> BTreeSet<FileNumber> {
        self.busy.get(&id).cloned().unwrap_or_default()
    }

    pub(crate) fn mark_busy(&mut self, id: KeyspaceId, tables: impl Iterator<Item = FileNumber>) {
        self.busy.entry(id).or_default().extend(tables);
    }

    pub(crate) fn unmark_busy(&mut self, id: KeyspaceId, tables: impl Iterator<Item = FileNumber>) {
        if let Some(busy) = self.busy.get_mut(&id) {
            for table in tables {
                busy.remove(&table);
            }
            if busy.is_empty() {
                self.busy.remove(&id);
            }
        }
    }

    /// Whether no worker is at anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.flushing.is_empty() && self.busy.is_empty()
    }

    /// A copy to ask "what if" with.
    pub(crate) fn probe(&self) -> Self {
        Self { busy: self.busy.clone(), manual: self.manual.clone(), ..Self::default() }
    }

    /// How long to pause before trying again.
    fn pause(&self) -> Duration {
        if matches!(self.last_failure, Some(Error::Corrupt(_))) {
            return PAUSE_AT_DAMAGE;
        }
        FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE)
    }
}

impl Scheduler {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.state.lock()
    }

    /// Something was rotated or installed: workers look again.
    pub(crate) fn notify_work(&self) {
        drop(self.state.lock());
        self.work.notify_all();
    }

    /// Something was installed, poisoned or closed: whoever waits looks again.
    pub(crate) fn notify_progress(&self) {
        drop(self.state.lock());
        self.progress.notify_all();
        self.work.notify_all();
    }

    /// Tells workers to stop and everyone who waits to look again.
    pub(crate) fn stop(&self) {
        self.state.lock().is_stopping = true;
        self.work.notify_all();
        self.progress.notify_all();
    }

    /// Waits for work, at most until `deadline` if one is given.
    pub(crate) fn wait_for_work(
        &self,
        schedule: &mut MutexGuard<'_, Schedule>,
        deadline: Option<Duration>,
    ) {
        match deadline {
            Some(wait) => drop(self.work.wait_for(schedule, wait)),
            None => self.work.wait(schedule),
        }
    }

    /// Takes note of how a job ended. After a failure the worker pauses, longer each time, before
    /// it tries again: a full disk is not hammered (pebble 908).
    pub(crate) fn finished(&self, result: Result<()>) {
        let mut schedule = self.state.lock();
        match result {
            Ok(()) => {
                schedule.failures = 0;
                schedule.last_failure = None;
                drop(schedule);
                self.notify_progress();
            }
            Err(error) => {
                schedule.failures = schedule.failures.saturating_add(1);
                schedule.last_failure = Some(error);
                self.progress.notify_all();
                let pause = schedule.pause();
                // Woken early only by `stop`; other wake-ups end the pause too, which is harmless.
                if !schedule.is_stopping {
                    self.work.wait_for(&mut schedule, pause);
                }
            }
        }
    }

    /// Waits for progress, giving back the guard meanwhile.
    pub(crate) fn wait_for_change(&self, mut schedule: MutexGuard<'_, Schedule>) {
        if !schedule.is_stopping {
            self.progress.wait(&mut schedule);
        }
    }

    /// Keeps workers away from a keyspace, once nobody else does and none is at its tables.
    pub(crate) fn claim_by_hand(&self, id: KeyspaceId) {
        let mut schedule = self.state.lock();
        while schedule.manual.contains(&id) && !schedule.is_stopping {
            self.progress.wait(&mut schedule);
        }
        schedule.manual.insert(id);
        while schedule.busy.contains_key(&id) && !schedule.is_stopping {
            self.progress.wait(&mut schedule);
        }
    }

    /// Waits until `is_done`, or fails with the background's error once it failed `patience` times
    /// in a row.
    pub(crate) fn wait_for_progress(
        &self,
        patience: u32,
        is_done: impl Fn() -> bool,
    ) -> Result<()> {
        let mut schedule = self.state.lock();
        loop {
            if is_done() || schedule.is_stopping {
                return Ok(());
            }
            if schedule.failures >= patience
                && let Some(error) = &schedule.last_failure
            {
                return Err(error.clone());
            }
            self.progress.wait(&mut schedule);
        }
    }
}
