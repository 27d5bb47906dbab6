//! Histories: what several threads do at once must look as if it had been done one after the other.
//!
//! ```text
//!   thread 0   ──[put a=1]─────[get b: 2]──           │
//!   thread 1   ────[batch a=3, b=2]──[scan: …]──      │  all wait, all keys are read, next round
//!   thread 2   ──[snapshot ─ ─ ─ ─ ─ ─ read: a=3 ]──  │
//! ```
//!
//! Two to six threads put, remove, write on conditions, write batches across keyspaces, get one key
//! and many, scan and take snapshots, on few keys, while memtables rotate, tables are flushed and
//! compacted and the clock moves. Rounds are short, and [`search`] looks in each for an order that
//! explains all answers. Between rounds all keys are read, so each begins with a known state. In the
//! end, what is there must still be there after a kill and after a reopen.

pub mod event;
pub mod search;
pub mod shared;
pub mod worker;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use alluvium::Background;
use alluvium_testkit::{Choices, SeededRandom, SimClock, SimFs};
use parking_lot::Mutex;

use crate::layer::{Case, Failure, Layer, Threads, needs_nothing};
use crate::option_sets::{self, OptionSet};
use crate::run::said_by;
use event::{Event, History, State};
use shared::{Expiries, Shared};
use worker::Worker;

/// What is counted.
const HISTORIES: &str = "histories";
/// And what they are made of.
const OPERATIONS: &str = "concurrent operations";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "history",
    what: "operations of two to six threads at once: each history has one order that explains \
           every answer",
    unit: HISTORIES,
    case,
    threads: Threads::AllCores,
    needs: needs_nothing,
};

/// Rounds of one case, each a history.
const ROUNDS: usize = 150;
/// Operations of all threads in one round.
const ROUND_OPS: usize = 36;

/// The set of options of a case. Two of three times threads flush and compact, whatever it says.
fn option_set(seed: u64) -> OptionSet {
    let sets = option_sets::all();
    let mut set = sets[(seed % sets.len() as u64) as usize].clone();
    if !seed.is_multiple_of(3) {
        set.background = Background::Threads(1 + (seed % 2) as usize);
    }
    set
}

/// Everything about the case but the turns of its threads follows from the seed.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let set = option_set(case.seed);
    run(case, &set).map_err(|failure| {
        let hint = "threads took part, so chance remains: run the command again until it fails";
        Failure { what: format!("{}\nwith {}; {hint}", failure.what, set.name), ..failure }
    })
}

fn run(case: &Case<'_>, set: &OptionSet) -> Result<(), Failure> {
    let (disk, clock) = (SimFs::new(case.seed), SimClock::new(1_000_000));
    disk.observe(Some(Arc::new(|_, at| {
        // Whoever is about to use the disk lets others go first now and then.
        if SeededRandom::new(at).chance(1, 3) {
            std::thread::yield_now();
        }
    })));
    let shared = Shared::open(set, &disk, &clock)?;
    let (histories, last) = record(case, &shared)?;
    for history in &histories {
        if !search::is_linearizable(history) {
            return Err(search::explain(history).into());
        }
        case.count(HISTORIES, 1);
        case.count(OPERATIONS, history.len() as u64);
    }
    check_what_stays(&disk, shared, set, last)
}

/// The histories of all rounds, and what is there in the end.
fn record(case: &Case<'_>, shared: &Shared) -> Result<(Vec<History>, State), Failure> {
    let threads = 2 + SeededRandom::with_stream(case.seed, 99).below(5) as usize;
    let turns = Turns {
        begin: Barrier::new(threads + 1),
        end: Barrier::new(threads + 1),
        is_over: AtomicBool::new(false),
        done: Mutex::new(vec![(Vec::new(), Expiries::new()); threads]),
        failure: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (turns, seed) = (&turns, case.seed);
            scope.spawn(move || turns.work(Worker::new(shared, seed, thread as u64), thread));
        }
        // The others wait for their turn, whatever becomes of this thread.
        let conducted = catch_unwind(AssertUnwindSafe(|| turns.conduct(case, shared)))
            .unwrap_or_else(|panic| Err(said_by(&*panic).into()));
        turns.is_over.store(true, Ordering::Release);
        turns.begin.wait();
        let failure = turns.failure.lock().take();
        failure.map_or(conducted, Err)
    })
}

/// How threads begin and end their rounds together.
struct Turns {
    begin: Barrier,
    end: Barrier,
    is_over: AtomicBool,
    /// By thread, the round that has ended.
    done: Mutex<Vec<(Vec<Event>, Expiries)>>,
    failure: Mutex<Option<Failure>>,
}

impl Turns {
    /// One thread: round after round, until told that it is over.
    fn work(&self, mut worker: Worker<'_>, thread: usize) {
        let count = ROUND_OPS / self.done.lock().len();
        for number in 0.. {
            self.begin.wait();
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            let round = catch_unwind(AssertUnwindSafe(|| worker.round(number, count)))
                .unwrap_or_else(|panic| Err(said_by(&*panic).into()));
            match round {
                Ok(round) => self.done.lock()[thread] = round,
                Err(failure) => drop(self.failure.lock().get_or_insert(failure)),
            }
            self.end.wait();
        }
    }

    /// Begins the rounds and collects what they bring, until one fails.
    fn conduct(&self, case: &Case<'_>, shared: &Shared) -> Result<(Vec<History>, State), Failure> {
        let (mut histories, mut start) = (Vec::new(), State::default());
        let mut expiries: HashMap<_, _> = HashMap::new();
        for _ in 0..ROUNDS {
            if case.is_over() {
                break;
            }
            self.begin.wait();
            self.end.wait();
            if self.failure.lock().is_some() {
                break;
            }
            let (last, event) = shared.read_at_last()?;
            let mut threads = Vec::new();
            // Values of earlier rounds matter as long as they are there.
            expiries.retain(|value, _| start.contains(value));
            for done in &mut *self.done.lock() {
                let (events, more) = std::mem::take(done);
                threads.push(events);
                expiries.extend(more);
            }
            threads.push(vec![event]);
            histories.push(History { start, threads, expiries: expiries.clone() });
            start = last;
        }
        Ok((histories, start))
    }
}

/// Killed or closed, the database is found as it was left. The clock stands still meanwhile.
fn check_what_stays(
    disk: &SimFs,
    shared: Shared,
    set: &OptionSet,
    last: State,
) -> Result<(), Failure> {
    let killed = disk.kill();
    let Shared { db, clock, .. } = shared;
    db.close()?;
    for (how, disk) in [("killed", &killed), ("closed", disk)] {
        let (found, _) = Shared::open(set, disk, &clock)?.read_at_last()?;
        if found != last {
            return Err(format!("{how}, it has {found:?} and had {last:?}").into());
        }
    }
    Ok(())
}
