//! Runs a model through its schedules and says how many there were.
//!
//! | variable | what it sets |
//! |---|---|
//! | `ALLUVIUM_MODEL_SECONDS` | how long one model is explored, at most for loom, at least for shuttle |
//! | `ALLUVIUM_MODEL_SEED` | shuttle: explore what follows from this seed alone, once |
//! | `LOOM_MAX_PREEMPTIONS` | loom: how often threads are interrupted against their will, at most |
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a model tells what it did")]

#[cfg(shuttle)]
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Most preemptions that loom tries in one execution. Nearly all mistakes need two; three is the
/// bound that loom's authors recommend.
#[cfg(loom)]
const PREEMPTIONS: usize = 3;

fn seconds() -> Option<Duration> {
    let seconds = std::env::var("ALLUVIUM_MODEL_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("ALLUVIUM_MODEL_SECONDS is a number")))
}

/// Runs `model` in every interleaving, up to the bound on preemptions, and panics at the first that
/// fails. Prints how many there were.
#[cfg(loom)]
pub fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let preemptions = *builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.max_branches = 10_000;
    builder.checkpoint_interval = 1_000;
    builder.max_duration = seconds();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let started = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let took = started.elapsed();
    let is_whole = builder.max_duration.is_none_or(|most| took < most);
    println!(
        "loom: {name}: {} executions in {:.1} s, {}",
        count.load(Ordering::Relaxed),
        took.as_secs_f64(),
        if is_whole {
            format!("all with {preemptions} preemptions")
        } else {
            "cut short".to_owned()
        }
    );
}

/// Schedules that follow from one seed.
#[cfg(shuttle)]
const BATCH: usize = 25;

/// Runs `model` under schedules that are drawn at random and by PCT, in turn, and panics at the
/// first that fails, printing the command that replays it. Prints how many there were.
///
/// Only what [`shuttle::rand`] draws may be random in the model.
#[cfg(shuttle)]
pub fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let first_seed = std::env::var("ALLUVIUM_MODEL_SEED")
        .map_or(0, |seed| seed.parse().expect("ALLUVIUM_MODEL_SEED is a number"));
    let least = seconds().unwrap_or_default();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let model: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    tell_how_to_replay();
    let started = Instant::now();
    for seed in first_seed.. {
        BATCH_NOW.set(Some((name.to_owned(), seed)));
        run_batch(seed, Arc::clone(&model));
        BATCH_NOW.set(None);
        if started.elapsed() >= least {
            break;
        }
    }
    println!(
        "shuttle: {name}: {} schedules in {:.1} s, from seed {first_seed}",
        count.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64(),
    );
}

/// Even seeds draw the next thread at random; odd ones change the priorities of threads a few times,
/// which finds what needs a thread to be held up for long.
#[cfg(shuttle)]
fn run_batch(seed: u64, model: Arc<dyn Fn() + Send + Sync>) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};

    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = shuttle::MaxSteps::FailAfter(2_000_000);
    config.failure_persistence = shuttle::FailurePersistence::None;
    config.silence_warnings = true;
    if seed.is_multiple_of(2) {
        let scheduler = RandomScheduler::new_from_seed(seed, BATCH);
        shuttle::Runner::new(scheduler, config).run(move || model());
    } else {
        let depth = 2 + (seed / 2 % 4) as usize;
        let scheduler = PctScheduler::new_from_seed(seed, depth, BATCH);
        shuttle::Runner::new(scheduler, config).run(move || model());
    }
}

#[cfg(shuttle)]
thread_local! {
    /// The test that runs on this thread, and the seed of its schedules.
    static BATCH_NOW: RefCell<Option<(String, u64)>> = const { RefCell::new(None) };
}

/// Has a panic followed by the command that replays it. At once: destructors may panic as well, and
/// then the process ends.
#[cfg(shuttle)]
fn tell_how_to_replay() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            BATCH_NOW.with_borrow(|batch| {
                if let Some((name, seed)) = batch {
                    let command = "cargo xtask concurrency shuttle";
                    println!("replay: {command} --only {name} --seed {seed} --time 0s");
                }
            });
        }));
    });
}

/// A number below `limit`, which is drawn anew in each execution and replays with it.
#[cfg(shuttle)]
pub fn draw(limit: u64) -> u64 {
    use shuttle::rand::Rng as _;
    shuttle::rand::thread_rng().gen_range(0..limit)
}
