//! What every way to lose data has in common: cases made from seeds, figures, failures.
//!
//! ```text
//!   seed S ──► case S, case S+1, case S+2 … ──► each counts what it tried, or fails
//!                                                 │
//!              replay: --seed S+n --cases 1 ◄─────┘
//! ```
//!
//! Invariant: a case depends on its seed alone, so the seed in a failure replays it. Where threads
//! or processes take part, chance remains, and the case is what is repeated, not its every turn.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alluvium_base::{Clock, SystemClock};
use parking_lot::Mutex;

/// One way to try to lose data: a row of the published table.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// As the command line calls it.
    pub name: &'static str,
    /// What is done, in one line of the table.
    pub what: &'static str,
    /// What the figure that counts is of.
    pub unit: &'static str,
    /// Tries one case. An error is a promise that was broken.
    pub case: fn(&Case<'_>) -> Result<(), Failure>,
    /// Whether cases may run at once: not when they load the machine themselves.
    pub threads: Threads,
    /// What must be there before a case can be tried; an error says what is missing.
    pub needs: fn() -> Result<(), String>,
}

/// How many cases run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as there are cores.
    AllCores,
    /// One after the other.
    One,
}

/// Nothing is needed.
pub fn needs_nothing() -> Result<(), String> {
    Ok(())
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was found.
    pub what: String,
    /// The one trial of the case that failed, as `--only` takes it, where there is such a thing.
    pub only: Option<String>,
}

impl Failure {
    /// A failure of one trial.
    pub fn of(only: impl Into<String>, what: impl Into<String>) -> Self {
        Self { what: what.into(), only: Some(only.into()) }
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self { what, only: None }
    }
}

impl From<alluvium::Error> for Failure {
    fn from(error: alluvium::Error) -> Self {
        Self { what: format!("an operation failed: {error}"), only: None }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { what: format!("the machine: {error}"), only: None }
    }
}

/// What was tried so far: by unit, how many.
pub type Figures = BTreeMap<&'static str, u64>;

/// What all cases of a run share.
#[derive(Debug)]
pub struct Session {
    /// The one trial to be made, of those that a case is made of.
    pub only: Option<String>,
    /// The program that children are made from: this one, see [`crate::kill::child`].
    pub child: PathBuf,
    end: Arc<End>,
    figures: Mutex<Figures>,
}

/// When a session is over. Shared with what watches a disk from outside of a case.
#[derive(Debug)]
pub struct End {
    clock: SystemClock,
    /// When it is to end, in monotonic time.
    deadline: Option<std::time::Duration>,
    is_stopped: AtomicBool,
}

impl End {
    /// Whether the time is up, or a case has failed.
    pub fn is_over(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| self.clock.monotonic() >= deadline)
    }
}

impl Session {
    /// A session that ends `time` from now, if that is given.
    pub fn new(time: Option<std::time::Duration>, only: Option<String>, child: PathBuf) -> Self {
        let clock = SystemClock::new();
        let deadline = time.map(|time| clock.monotonic() + time);
        let end = Arc::new(End { clock, deadline, is_stopped: AtomicBool::new(false) });
        Self { only, child, end, figures: Mutex::default() }
    }

    /// When it is over.
    pub fn end(&self) -> Arc<End> {
        Arc::clone(&self.end)
    }

    /// Whether the time is up, or a case has failed.
    pub fn is_over(&self) -> bool {
        self.end.is_over()
    }

    /// Lets the other cases end.
    pub fn stop(&self) {
        self.end.is_stopped.store(true, Ordering::Relaxed);
    }

    /// What was tried so far.
    pub fn figures(&self) -> Figures {
        self.figures.lock().clone()
    }

    /// Time since the session's clock began, for progress lines.
    pub fn elapsed(&self) -> std::time::Duration {
        self.end.clock.monotonic()
    }
}

/// One case: its seed, and where its figures go.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Everything about the case follows from it.
    pub seed: u64,
    /// What it shares with the others.
    pub session: &'a Session,
}

impl Case<'_> {
    /// Counts `n` more of `unit`.
    pub fn count(&self, unit: &'static str, n: u64) {
        *self.session.figures.lock().entry(unit).or_default() += n;
    }

    /// Whether the time is up: a long case ends early, with what it has tried.
    pub fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// Whether the trial of this name is to be made.
    pub fn wants(&self, trial: &str) -> bool {
        self.session.only.as_deref().is_none_or(|only| only == trial)
    }
}

/// All numbers below `count`, each once, in an order whose every beginning is spread evenly over
/// them: by steps of about the golden section.
pub fn spread(count: usize) -> impl Iterator<Item = usize> {
    let is_coprime = |step: usize| {
        let (mut a, mut b) = (count, step);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    let golden = (count as f64 * 0.618_034) as usize;
    let step = (golden..=count).find(|&step| is_coprime(step)).unwrap_or(1);
    (0..count).map(move |n| n.wrapping_mul(step) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_visits_each_once_and_far_from_the_one_before() {
        for count in [0, 1, 2, 3, 7, 100, 1313, 117_000] {
            let mut seen: Vec<_> = spread(count).collect();
            assert!(seen.windows(2).all(|pair| pair[0].abs_diff(pair[1]) * 4 >= count));
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count), "{count}");
        }
    }
}
