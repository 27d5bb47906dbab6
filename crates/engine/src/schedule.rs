//! Who works on what, and who waits for whom.
//!
//! Workers sleep on `work` until something was rotated or installed, or has come of age; writers
//! and `flush` callers sleep on `progress` until a worker has finished something. Nobody polls.
//!
//! A job that failed is tried again after a pause, longer each time, so that a full disk is not
//! hammered (pebble 908). Jobs of other keyspaces go on meanwhile: one damaged table does not stop
//! the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alluvium_base::priority::PoliteThread;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::{Condvar, Mutex, MutexGuard};
use alluvium_base::{FileNumber, KeyspaceId};

use crate::{Error, Result};

/// Shortest and longest pause after a job failed.
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
    /// Who flushes. Whoever waits for that [hurries](PoliteThread::hurry) them.
    pub(crate) flusher: PoliteThread,
}

/// The sorts of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    Flush,
    Compaction,
}

/// What workers agree on.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    pub(crate) is_stopping: bool,
    /// Keyspaces whose oldest memtable is being flushed.
    flushing: BTreeSet<KeyspaceId>,
    /// Tables that are being compacted.
    busy: BTreeMap<KeyspaceId, BTreeSet<FileNumber>>,
    /// Jobs whose last run failed.
    failures: BTreeMap<(Job, KeyspaceId), Failure>,
    /// How many runs of flushes and of compactions have failed, ever.
    failed_runs: [u32; 2],
}

#[derive(Debug)]
struct Failure {
    runs_in_a_row: u32,
    /// By the monotonic clock: not before this moment again.
    retry_at: Duration,
    error: Error,
}

impl Schedule {
    /// The tables of a keyspace that are being compacted.
    pub(crate) fn busy_tables(&self, id: KeyspaceId) -> BTreeSet<FileNumber> {
        self.busy.get(&id).cloned().unwrap_or_default()
    }

    pub(crate) fn mark_busy(&mut self, id: KeyspaceId, tables: impl Iterator<Item = FileNumber>) {
        self.busy.entry(id).or_default().extend(tables);
    }

    /// Claims the flush of a keyspace; answers false when somebody else has it.
    pub(crate) fn claim_flush(&mut self, id: KeyspaceId) -> bool {
        self.flushing.insert(id)
    }

    /// Whether nobody is at anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.flushing.is_empty() && self.busy.is_empty()
    }

    /// Whether a job failed so lately that it is not to be tried again yet.
    pub(crate) fn is_pausing(&self, job: Job, id: KeyspaceId, now: Duration) -> bool {
        self.failures.get(&(job, id)).is_some_and(|failure| now < failure.retry_at)
    }

    /// How long until the next job of this sort may be tried again, if any pauses at `now`. Jobs
    /// whose pause is over do not count: whoever could have claimed one has looked.
    pub(crate) fn until_retry(&self, job: Job, now: Duration) -> Option<Duration> {
        let of_job = self.failures.iter().filter(|((of, _), _)| *of == job);
        let pauses = of_job.filter_map(|(_, failure)| failure.retry_at.checked_sub(now));
        pauses.filter(|pause| !pause.is_zero()).min()
    }

    /// The keyspace is gone, and what failed for it is no concern any more.
    pub(crate) fn forget(&mut self, id: KeyspaceId) {
        self.failures.retain(|(_, of), _| *of != id);
    }

    /// The error of some job that failed and has not succeeded since.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failures.values().map(|failure| &failure.error).next()
    }

    fn failure_of(&self, job: Job) -> Option<&Error> {
        let of_job = self.failures.iter().filter(|((of, _), _)| *of == job);
        of_job.map(|(_, failure)| &failure.error).next()
    }

    /// A copy to ask "what if" with.
    pub(crate) fn probe(&self) -> Self {
        Self { busy: self.busy.clone(), ..Self::default() }
    }

    fn failed(&mut self, job: Job, id: KeyspaceId, error: Error, now: Duration) {
        self.failed_runs[job as usize] += 1;
        let earlier = self.failures.get(&(job, id)).map_or(0, |failure| failure.runs_in_a_row);
        let pause = if matches!(error, Error::Corrupt(_)) {
            PAUSE_AT_DAMAGE
        } else {
            FIRST_PAUSE.saturating_mul(1 << earlier.min(16)).min(LONGEST_PAUSE)
        };
        let pause = if is_planted(Bug::RetryWithoutPause) { Duration::ZERO } else { pause };
        let failure =
            Failure { runs_in_a_row: earlier.saturating_add(1), retry_at: now + pause, error };
        self.failures.insert((job, id), failure);
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

    /// Waits for work of this sort, at most for `wait` if one is given. A wait that went by ends
    /// the pauses too: a simulated clock may not have moved meanwhile.
    pub(crate) fn wait_for_work(
        &self,
        schedule: &mut MutexGuard<'_, Schedule>,
        job: Job,
        wait: Option<Duration>,
    ) {
        let Some(wait) = wait else { return self.work.wait(schedule) };
        if self.work.wait_for(schedule, wait).timed_out() {
            let of_job = schedule.failures.iter_mut().filter(|((of, _), _)| *of == job);
            of_job.for_each(|(_, failure)| failure.retry_at = Duration::ZERO);
        }
    }

    /// Waits while memtables are flushed, or until `is_pressing`.
    pub(crate) fn give_way_to_flushes(&self, is_pressing: impl Fn() -> bool) {
        let mut schedule = self.state.lock();
        while !schedule.flushing.is_empty() && !schedule.is_stopping && !is_pressing() {
            self.progress.wait(&mut schedule);
        }
    }

    /// Gives back the flush of a keyspace.
    pub(crate) fn release_flush(&self, id: KeyspaceId) {
        self.state.lock().flushing.remove(&id);
        self.notify_progress();
    }

    /// Gives back the inputs of a compaction.
    pub(crate) fn release_tables(&self, id: KeyspaceId, tables: impl Iterator<Item = FileNumber>) {
        let mut schedule = self.state.lock();
        if let Some(busy) = schedule.busy.get_mut(&id) {
            for table in tables {
                busy.remove(&table);
            }
            if busy.is_empty() {
                schedule.busy.remove(&id);
            }
        }
        drop(schedule);
        self.notify_progress();
    }

    /// Takes note of how a job ended, at the monotonic moment `now`.
    pub(crate) fn finished(&self, job: Job, id: KeyspaceId, result: Result<()>, now: Duration) {
        let mut schedule = self.state.lock();
        match result {
            Ok(()) => drop(schedule.failures.remove(&(job, id))),
            Err(error) => schedule.failed(job, id, error, now),
        }
        drop(schedule);
        self.notify_progress();
    }

    /// Waits for progress, giving back the guard meanwhile.
    pub(crate) fn wait_for_change(&self, mut schedule: MutexGuard<'_, Schedule>) {
        if !schedule.is_stopping {
            self.progress.wait(&mut schedule);
        }
    }

    /// Waits until `is_done`. Fails with the error of `job` once `patience` of its runs have failed
    /// since this call began: what failed before is no concern of the caller.
    pub(crate) fn wait_for_progress(
        &self,
        job: Job,
        patience: u32,
        is_done: impl Fn() -> bool,
    ) -> Result<()> {
        let _hurry = (job == Job::Flush).then(|| self.flusher.hurry());
        let mut schedule = self.state.lock();
        let before = schedule.failed_runs[job as usize];
        loop {
            if is_done() || schedule.is_stopping {
                return Ok(());
            }
            if schedule.failed_runs[job as usize].wrapping_sub(before) >= patience
                && let Some(error) = schedule.failure_of(job)
            {
                return Err(error.clone());
            }
            self.progress.wait(&mut schedule);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker slept for no time at all, over and over, for a job that it could not claim.
    #[test]
    fn a_pause_that_is_over_wakes_nobody() {
        let (mut schedule, id) = (Schedule::default(), KeyspaceId(7));
        let now = Duration::from_secs(1);
        schedule.failed(Job::Flush, id, Error::invalid("a reason"), now);
        assert_eq!(schedule.until_retry(Job::Flush, now), Some(FIRST_PAUSE));
        assert_eq!(schedule.until_retry(Job::Compaction, now), None);
        let later = now + FIRST_PAUSE;
        assert!(!schedule.is_pausing(Job::Flush, id, later));
        assert_eq!(schedule.until_retry(Job::Flush, later), None);
    }

    /// Waiting for idleness failed for ever with the error of a keyspace that was dropped.
    #[test]
    fn a_dropped_keyspace_takes_its_failures_along() {
        let (mut schedule, id) = (Schedule::default(), KeyspaceId(7));
        schedule.failed(Job::Compaction, id, Error::invalid("a reason"), Duration::ZERO);
        schedule.forget(KeyspaceId(8));
        assert!(schedule.failure().is_some());
        schedule.forget(id);
        assert!(schedule.failure().is_none());
    }
}
