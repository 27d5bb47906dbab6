//! Runs the cases of a layer on all cores, until the time is up, the cases are done or one fails.

use std::any::Any;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alluvium_base::{Clock, SystemClock};
use parking_lot::Mutex;

use crate::layer::{Case, Failure, Figures, Layer, Session, Threads};

/// How often a progress line is printed.
const PROGRESS: Duration = Duration::from_secs(5);

/// How long a layer is run, and from which seed on.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The seed of the first case; the next ones follow.
    pub seed: u64,
    /// How long; without it, until the cases are done.
    pub time: Option<Duration>,
    /// How many cases; without it, until the time is up.
    pub cases: Option<u64>,
    /// How many at once, instead of one a core.
    pub jobs: Option<usize>,
    /// The one trial of a case to be made.
    pub only: Option<String>,
    /// The program that children are made from.
    pub child: PathBuf,
}

/// What a run tried and found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By unit, how many were tried.
    pub figures: Figures,
    /// How many cases that took.
    pub cases: u64,
    /// How long it took.
    pub took: Duration,
    /// The first failure, with the seed of its case.
    pub failure: Option<(u64, Failure)>,
}

impl Outcome {
    /// What was counted of `unit`.
    pub fn count(&self, unit: &str) -> u64 {
        self.figures.get(unit).copied().unwrap_or_default()
    }

    /// The figures in one line.
    pub fn summary(&self) -> String {
        let figures = self.figures.iter().map(|(unit, n)| format!("{} {unit}", grouped(*n)));
        let figures: Vec<_> = figures.collect();
        format!("{} in {:.1} s", figures.join(", "), self.took.as_secs_f64())
    }
}

/// 1234567 as 1,234,567.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    let groups = groups.iter().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}

/// The command that replays a failure.
pub fn replay(layer: &Layer, seed: u64, failure: &Failure) -> String {
    let only = failure.only.as_ref().map_or(String::new(), |only| format!(" --only {only}"));
    format!("cargo xtask torture {} --seed {seed} --cases 1{only}", layer.name)
}

/// Runs `layer` within `limits`; `progress` is handed a line now and then.
pub fn run(layer: &Layer, limits: &Limits, progress: &(dyn Fn(&str) + Sync)) -> Outcome {
    let session = Session::new(limits.time, limits.only.clone(), limits.child.clone());
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = match layer.threads {
        Threads::AllCores => limits.jobs.unwrap_or(cores).max(1),
        Threads::One => 1,
    };
    let shared = Shared {
        layer,
        session: &session,
        first_seed: limits.seed,
        cases: limits.cases.unwrap_or(u64::MAX),
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        failure: Mutex::new(None),
    };
    let begin = session.elapsed();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| shared.work())).collect();
        scope.spawn(|| tell(layer, &session, &is_done, progress));
        for worker in workers {
            // What a case panics with was caught and is its failure.
            worker.join().expect("a worker does not panic");
        }
        is_done.store(true, Ordering::Relaxed);
    });
    Outcome {
        figures: session.figures(),
        cases: shared.done.load(Ordering::Relaxed),
        took: session.elapsed().saturating_sub(begin),
        failure: shared.failure.into_inner(),
    }
}

struct Shared<'a> {
    layer: &'a Layer,
    session: &'a Session,
    first_seed: u64,
    cases: u64,
    next: AtomicU64,
    done: AtomicU64,
    failure: Mutex<Option<(u64, Failure)>>,
}

impl Shared<'_> {
    fn work(&self) {
        while !self.session.is_over() {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.cases {
                return;
            }
            let seed = self.first_seed.wrapping_add(n);
            let case = Case { seed, session: self.session };
            let tried = catch_unwind(AssertUnwindSafe(|| (self.layer.case)(&case)))
                .unwrap_or_else(|panic| Err(Failure::from(said_by(&*panic))));
            self.done.fetch_add(1, Ordering::Relaxed);
            if let Err(failure) = tried {
                self.session.stop();
                self.failure.lock().get_or_insert((seed, failure));
            }
        }
    }
}

/// What a panic said.
pub fn said_by(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without words"))
}

/// Says from time to time how far the run is.
fn tell(layer: &Layer, session: &Session, is_done: &AtomicBool, progress: &(dyn Fn(&str) + Sync)) {
    const TICK: Duration = Duration::from_millis(20);
    let clock = SystemClock::new();
    let mut last = clock.monotonic();
    let begin = last;
    while !is_done.load(Ordering::Relaxed) {
        clock.sleep(TICK);
        let now = clock.monotonic();
        if now.saturating_sub(last) < PROGRESS {
            continue;
        }
        last = now;
        let seconds = now.saturating_sub(begin).as_secs_f64();
        let count = session.figures().get(layer.unit).copied().unwrap_or_default();
        let rate = count as f64 / seconds;
        progress(&format!(
            "{}: {} {} in {seconds:.0} s, {rate:.0} a second",
            layer.name,
            grouped(count),
            layer.unit
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::needs_nothing;

    const FAILS_AT_SEVEN: Layer = Layer {
        name: "seven",
        what: "fails at seed 7",
        unit: "numbers",
        case: |case| {
            case.count("numbers", 1);
            assert!(case.seed != 8, "eight");
            if case.seed == 7 { Err(Failure::of("x", "seven")) } else { Ok(()) }
        },
        threads: Threads::One,
        needs: needs_nothing,
    };

    fn limits(seed: u64, cases: u64) -> Limits {
        let child = PathBuf::new();
        Limits { seed, time: None, cases: Some(cases), jobs: None, only: None, child }
    }

    #[test]
    fn the_first_failure_ends_the_run_and_says_how_to_replay_it() {
        let outcome = run(&FAILS_AT_SEVEN, &limits(3, 100), &|_| {});
        let (seed, failure) = outcome.failure.clone().unwrap();
        assert_eq!((seed, outcome.cases, outcome.count("numbers")), (7, 5, 5));
        assert_eq!(
            replay(&FAILS_AT_SEVEN, seed, &failure),
            "cargo xtask torture seven --seed 7 --cases 1 --only x"
        );
    }

    #[test]
    fn a_panic_is_a_failure_like_any_other() {
        let outcome = run(&FAILS_AT_SEVEN, &limits(8, 2), &|_| {});
        assert_eq!(outcome.failure.unwrap().1.what, "panicked: eight");
        assert!(run(&FAILS_AT_SEVEN, &limits(9, 2), &|_| {}).failure.is_none());
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(["1", "123", "1,234", "1,234,567"], [1, 123, 1234, 1_234_567].map(grouped)[..]);
    }
}
