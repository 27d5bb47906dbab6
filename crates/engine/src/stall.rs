//! Admission: writes are slowed before compaction falls behind, and wait only at hard limits.
//!
//! Pressure runs from 0 (at the slowdown limit) to 1 (at the stop limit), the worst of three:
//! tables in L0, compaction debt, and the last memtable that may be filled before a flush, from
//! where half of it is full. Each written byte then costs
//!
//! ```text
//!   delay per byte = unit × p / (1 − p)          p = 0: none   p = ½: one unit   p → 1: no bound
//! ```
//!
//! so there is no cliff: the delay grows smoothly, and long before the stop limit writers are as
//! slow as compaction can follow. Delays are added up and slept in sub-millisecond pieces.
//! Waiting at a hard limit is by condition variable, and ends with the error of the background work
//! if that work cannot get on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alluvium_base::sync::thread;
use serde::Serialize;

use crate::core::Core;
use crate::options::Background;
use crate::schedule::Job;
use crate::view::{ReadView, TreeView};
use crate::{Error, Result};

/// Delay per byte at pressure ½, in picoseconds: 32 MB/s.
const UNIT_PICOS: f64 = 31_250.0;
/// Delays shorter than this are owed to the next write: a sleep costs about 60 µs anyway.
const LEAST_SLEEP: Duration = Duration::from_micros(200);
/// One sleep is never longer, so that a relieved writer gets on at once.
const LONGEST_SLEEP: Duration = Duration::from_millis(1);
/// Compaction debt from which writes are slowed, and at which they wait, in bytes.
const DEBT_SLOWDOWN_BYTES: u64 = 2 << 30;
const DEBT_STOP_BYTES: u64 = 16 << 30;
/// A writer gives up once background work has failed this often in a row.
const PATIENCE: u32 = 4;

/// Why a write was slowed or had to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StallCause {
    /// All memtables are full and the flush is not done.
    Memtables,
    /// L0 has too many tables.
    L0Tables,
    /// Compaction owes too many bytes.
    Debt,
    /// Somebody waits for a sync of the log, and what is written meanwhile makes the next one longer.
    Sync,
}

impl StallCause {
    /// Who relieves it.
    fn job(self) -> Job {
        match self {
            Self::Memtables => Job::Flush,
            Self::L0Tables | Self::Debt | Self::Sync => Job::Compaction,
        }
    }
}

const CAUSES: [StallCause; 4] =
    [StallCause::Memtables, StallCause::L0Tables, StallCause::Debt, StallCause::Sync];

/// How much may be appended to the log while a sync is under way: about what a disk writes in a
/// millisecond. Whoever writes without a sync runs no further ahead of one.
const SYNC_LEAD_BYTES: u64 = 256 << 10;
/// How long a write is held back by syncs at most, in naps.
const MOST_NAPS: u32 = 20;
/// How long a piece of a table waits for syncs at most, in naps.
const MOST_NAPS_OF_WORKERS: u32 = 30;
const NAP: Duration = Duration::from_micros(100);

/// How long writes were held back for one cause since the database was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StallStats {
    /// The cause.
    pub cause: StallCause,
    /// How many writes were held back.
    pub writes: u64,
    /// For how long in sum, in microseconds.
    pub micros: u64,
}

/// Slows writers by the state of the view.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    /// Picoseconds a byte; 0 nearly always.
    picos_per_byte: AtomicU64,
    /// Index into [`CAUSES`] of what causes the delay.
    delay_cause: AtomicU64,
    /// Whether some keyspace fills the last memtable that it may before a flush.
    is_last_memtable: AtomicBool,
    /// Delay owed and not yet slept, in picoseconds.
    owed_picos: AtomicU64,
    held: [Held; CAUSES.len()],
}

#[derive(Debug, Default)]
struct Held {
    writes: AtomicU64,
    nanos: AtomicU64,
}

impl Core {
    /// Called between two pieces of a table: while somebody waits for the log to reach the disk, which
    /// takes a millisecond or two, nothing more is put in its way.
    pub(crate) fn let_syncs_pass(&self) {
        for _ in 0..MOST_NAPS_OF_WORKERS {
            if !self.wal.is_syncing() {
                return;
            }
            self.clock.sleep(NAP);
        }
    }
}

/// How near `value` is to `stop` from `slowdown` on, from 0 to 1.
fn pressure(value: u64, slowdown: u64, stop: u64) -> f64 {
    if value <= slowdown {
        return 0.0;
    }
    ((value - slowdown) as f64 / (stop - slowdown).max(1) as f64).min(1.0)
}

/// The pressures of one keyspace, each with its cause.
fn pressures(tree: &TreeView) -> [(f64, StallCause); 2] {
    let options = &tree.options;
    let l0 = tree.tables.l0.len() as u64;
    let debt = alluvium_compaction::debt_bytes(&tree.version, &options.compaction());
    [
        (pressure(l0, options.l0_slowdown as u64, options.l0_stop as u64), StallCause::L0Tables),
        (pressure(debt, DEBT_SLOWDOWN_BYTES, DEBT_STOP_BYTES), StallCause::Debt),
    ]
}

/// Whether no other memtable may follow the one that `tree` fills, before a flush.
fn fills_last_memtable(tree: &TreeView) -> bool {
    tree.immutable.len() + 1 >= tree.options.max_write_buffers
}

/// The pressure of memtables that wait for a flush. It changes with every write.
fn memtable_pressure(view: &ReadView) -> f64 {
    let of_last = |tree: &Arc<TreeView>| {
        let full = tree.options.write_buffer_size;
        pressure(tree.active.memtable.memory_bytes() as u64, full / 2, full)
    };
    let last = view.trees().filter(|tree| fills_last_memtable(tree));
    last.map(of_last).fold(0.0, f64::max)
}

/// The delay per byte that `pressure` asks for, in picoseconds.
fn delay_picos(pressure: f64) -> u64 {
    // Bounded: at the stop limit itself writers wait for progress instead.
    let bounded = pressure.min(0.999);
    (UNIT_PICOS * bounded / (1.0 - bounded)) as u64
}

impl Stalls {
    /// Takes note of a new view: what writes cost from now on.
    pub(crate) fn update(&self, view: &ReadView) {
        let worst = view
            .trees()
            .flat_map(|tree| pressures(tree))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((0.0, StallCause::Debt));
        self.delay_cause.store(worst.1 as u64, Ordering::Relaxed);
        self.picos_per_byte.store(delay_picos(worst.0), Ordering::Relaxed);
        let is_last = view.trees().any(|tree| fills_last_memtable(tree));
        self.is_last_memtable.store(is_last, Ordering::Relaxed);
    }

    /// Holds back a write of `bytes` as the pressure asks for.
    #[inline]
    pub(crate) fn admit(&self, core: &Core, bytes: u64) -> Result<()> {
        if core.wal.is_ahead_of_sync(SYNC_LEAD_BYTES) {
            self.let_sync_go_on(core);
        }
        if self.is_last_memtable.load(Ordering::Relaxed) {
            self.delay_for_flushes(core, bytes);
        }
        let picos_per_byte = self.picos_per_byte.load(Ordering::Relaxed);
        if picos_per_byte == 0 {
            return Ok(());
        }
        self.delay(core, bytes.saturating_mul(picos_per_byte))
    }

    /// Holds back a write of `bytes` as the last memtable's pressure asks for: while writers sleep, the
    /// flusher has their processor, and nobody has to wait for all of a flush.
    #[cold]
    fn delay_for_flushes(&self, core: &Core, bytes: u64) {
        // Where nobody works while we sleep, there is nothing to wait for.
        if core.background == Background::Manual {
            return;
        }
        let pressure = memtable_pressure(&core.view.load());
        // At the limit itself the write waits for the flush, once it asks for room.
        if pressure < 1.0 {
            let picos = bytes.saturating_mul(delay_picos(pressure));
            self.sleep(core, picos, StallCause::Memtables);
        }
    }

    /// Waits until the sync that is under way has ended, but not for ever.
    #[cold]
    fn let_sync_go_on(&self, core: &Core) {
        let start = core.clock.monotonic();
        for _ in 0..MOST_NAPS {
            if !core.wal.is_ahead_of_sync(SYNC_LEAD_BYTES) {
                break;
            }
            core.clock.sleep(NAP);
        }
        self.note(StallCause::Sync, core.clock.monotonic().saturating_sub(start));
    }

    #[cold]
    fn delay(&self, core: &Core, picos: u64) -> Result<()> {
        let cause = CAUSES[self.delay_cause.load(Ordering::Relaxed) as usize % CAUSES.len()];
        if at_stop_limit(&core.view.load(), cause) {
            return self.wait_for_progress(core, cause);
        }
        if core.background == Background::Manual {
            // Nobody works while we sleep: work instead.
            return core.step().map(drop);
        }
        self.sleep(core, picos, cause);
        Ok(())
    }

    /// Sleeps for so long, or owes it to the next write.
    fn sleep(&self, core: &Core, picos: u64, cause: StallCause) {
        let owed = self.owed_picos.fetch_add(picos, Ordering::Relaxed).saturating_add(picos);
        let owed_time = Duration::from_nanos(owed / 1000);
        if owed_time < LEAST_SLEEP {
            return;
        }
        let sleep = owed_time.min(LONGEST_SLEEP);
        let paid = (sleep.as_nanos() as u64 * 1000).max(owed / 2);
        // Others pay too: together they must not pay more than is owed.
        let pay = |owed: u64| Some(owed.saturating_sub(paid));
        self.owed_picos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).unwrap_or_default();
        let start = core.clock.monotonic();
        core.clock.sleep(sleep);
        self.note(cause, core.clock.monotonic().saturating_sub(start));
    }

    /// Waits until background work has got on, once. Fails when it cannot.
    pub(crate) fn wait_for_progress(&self, core: &Core, cause: StallCause) -> Result<()> {
        let start = core.clock.monotonic();
        let waited = if core.background == Background::Manual {
            core.step().and_then(|worked| {
                if worked || !is_stuck(core, cause) {
                    thread::yield_now();
                    return Ok(());
                }
                Err(stuck(core))
            })
        } else {
            core.schedule.wait_for_progress(cause.job(), PATIENCE, || {
                core.check_writable().is_err() || !must_wait(core, &core.view.load(), cause)
            })
        };
        self.note(cause, core.clock.monotonic().saturating_sub(start));
        waited?;
        core.check_writable()
    }

    /// How often a write waited for a flush.
    pub(crate) fn waits_for_flushes(&self) -> u64 {
        self.held[StallCause::Memtables as usize].writes.load(Ordering::Relaxed)
    }

    /// Whether writes are slowed at present.
    pub(crate) fn is_slowing(&self) -> bool {
        self.picos_per_byte.load(Ordering::Relaxed) > 0
    }

    fn note(&self, cause: StallCause, time: Duration) {
        let held = &self.held[cause as usize];
        held.writes.fetch_add(1, Ordering::Relaxed);
        held.nanos.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> Vec<StallStats> {
        let of = |cause: StallCause| {
            let held = &self.held[cause as usize];
            StallStats {
                cause,
                writes: held.writes.load(Ordering::Relaxed),
                micros: held.nanos.load(Ordering::Relaxed) / 1000,
            }
        };
        CAUSES.into_iter().map(of).collect()
    }
}

fn at_stop_limit(view: &ReadView, cause: StallCause) -> bool {
    view.trees().flat_map(|tree| pressures(tree)).any(|(p, of)| of == cause && p >= 1.0)
}

/// Whether the limit of `cause` is reached in some keyspace.
fn must_wait(core: &Core, view: &ReadView, cause: StallCause) -> bool {
    match cause {
        StallCause::Memtables => {
            core.must_free_memory(view)
                || core.is_log_far_too_long(view)
                || view.trees().any(|tree| tree.has_no_room())
        }
        StallCause::L0Tables | StallCause::Debt => at_stop_limit(view, cause),
        StallCause::Sync => false,
    }
}

/// Whether a writer has to wait for work that nobody does and nobody could do. All of it must hold
/// at one moment: another thread may be at work, or just done, with more to do behind it.
fn is_stuck(core: &Core, cause: StallCause) -> bool {
    let schedule = core.schedule.lock();
    let view = core.view.load();
    schedule.is_idle()
        && must_wait(core, &view, cause)
        && !core.has_work(&schedule)
        && Arc::ptr_eq(&view, &core.view.load())
}

fn stuck(core: &Core) -> Error {
    core.poison.get().cloned().unwrap_or_else(|| Error::WouldStall {
        reason: "limits are reached and no flush or compaction can relieve them: \
                 raise l0_stop or max_write_buffers"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_grows_smoothly_from_nothing_to_a_crawl() {
        assert_eq!(delay_picos(pressure(12, 12, 36)), 0);
        let delays: Vec<u64> = (12..=36).map(|l0| delay_picos(pressure(l0, 12, 36))).collect();
        assert!(delays.is_sorted());
        // No step is more than ten times the one before it, but for the stop itself.
        assert!(delays[1..24].windows(2).all(|pair| pair[1] <= 10 * pair[0].max(1)));
        assert_eq!(delay_picos(0.5), UNIT_PICOS as u64);
    }
}
