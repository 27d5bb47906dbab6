//! The fault sweep: every operation of the disk fails in every way, once and for good.
//!
//! Nothing acknowledged is lost, nothing wrong is read, nothing panics. A failed write or sync of
//! the log or the manifest poisons: writes are refused with the cause and reads go on, also once the
//! disk is sound again. Reopening recovers.

use alluvium::{Db, ErrorKind, Persist};
use alluvium_testkit::{Fault, FaultPlan, OpClass, OpRecord, SimFs, Survival};

use crate::layer::{Case, Failure, Layer, Threads, needs_nothing, spread};
use crate::option_sets::{self, OptionSet};
use crate::states::{Content, read_all};
use crate::workload::{Run, Step, random_script, short_script};

/// What is counted.
const RUNS: &str = "runs with a fault";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "fault",
    what: "every operation of the disk failing in every way that applies, once and for good",
    unit: RUNS,
    case,
    threads: Threads::AllCores,
    needs: needs_nothing,
};

/// Steps of a random workload.
const RANDOM_STEPS: usize = 25;

/// The first two seeds go through the fixed workload, with either log; the others through random
/// ones, each with the next set of options. Two of three have no cache, so that what was just written is
/// read from the disk, which may fail.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let sets = option_sets::deterministic();
    let mut set = sets[(case.seed % sets.len() as u64) as usize].clone();
    if !case.seed.is_multiple_of(3) {
        set.cache_bytes = 0;
    }
    let script =
        if case.seed < 2 { short_script() } else { random_script(case.seed, RANDOM_STEPS) };
    sweep(case, &set, &script)
}

/// One run of the workload with one fault.
#[derive(Clone, Copy, Debug)]
struct Trial {
    seed: u64,
    op: u64,
    fault: Fault,
    is_sticky: bool,
    /// Whether the operation syncs a folder.
    is_of_folder: bool,
}

impl Trial {
    fn name(&self) -> String {
        let how = if self.is_sticky { "sticky" } else { "once" };
        format!("{}:{:?}:{how}", self.op, self.fault)
    }

    fn plan(&self) -> FaultPlan {
        if self.is_sticky {
            FaultPlan::from_nth(self.op, self.fault)
        } else {
            FaultPlan::nth(self.op, self.fault)
        }
    }
}

/// The operations of the workload when nothing fails.
fn operations(seed: u64, set: &OptionSet, script: &[Step]) -> Result<Vec<OpRecord>, Failure> {
    let disk = SimFs::new(seed);
    disk.start_trace();
    let mut run = Run::new(disk.clone(), set.clone());
    run.go(script)?;
    Ok(disk.trace())
}

fn is_poisoned(db: &Db) -> bool {
    db.stats().is_ok_and(|stats| stats.poisoned.is_some())
}

/// Runs the workload with the fault until it cannot go on; what failed only in passing is retried.
fn run_with_fault(trial: &Trial, set: &OptionSet, script: &[Step]) -> Result<Run, String> {
    let disk = SimFs::new(trial.seed);
    disk.set_faults(trial.plan());
    let mut run = Run::new(disk, set.clone());
    if run.open().is_err() {
        return Ok(run);
    }
    for step in script {
        let Err(error) = run.step(step) else { continue };
        let Some(db) = &run.db else { return Ok(run) };
        let can_retry = match step {
            // What failed and did not poison has left nothing that the next attempt minds.
            Step::Commit(..)
            | Step::Persist
            | Step::Flush
            | Step::Compact
            | Step::Work
            | Step::Advance(_)
            | Step::Snapshot => true,
            // A checkpoint that failed has left a useless folder.
            Step::Checkpoint(_) => continue,
            Step::Create(_) | Step::Drop(_) | Step::Reopen => false,
        };
        if is_poisoned(db) || trial.is_sticky || !can_retry {
            return Ok(run);
        }
        run.step(step).map_err(|again| {
            format!("{step:?} failed once ({error}) and, without any fault, again: {again}")
        })?;
        // Here and now: what is written later may hide what the failure left.
        check_images(trial, &run).map_err(|what| format!("after {step:?} went on: {what}"))?;
    }
    Ok(run)
}

/// What would be found if the machine stopped now.
fn check_images(trial: &Trial, run: &Run) -> Result<(), String> {
    let history = &run.history;
    let images = [
        ("killed", run.disk.kill(), history.acknowledged()),
        ("power cut, nothing survives", run.disk.crash(Survival::None), history.durable()),
        ("power cut, some survives", run.disk.crash(Survival::Random(trial.op)), history.durable()),
        ("power cut, all survives", run.disk.crash(Survival::All), history.durable()),
    ];
    images.iter().try_for_each(|(what, disk, from)| find(trial, run, what, disk, *from))
}

/// A state from number `from` on is in the database, and what it shows is durable once a sync says so:
/// also what an earlier process wrote and could not sync.
fn find(trial: &Trial, run: &Run, what: &str, disk: &SimFs, from: usize) -> Result<(), String> {
    let open = |disk: &SimFs| -> alluvium::Result<(Db, Content)> {
        let db = run.set.builder(disk, &run.clock).open()?;
        let found = read_all(&db)?;
        Ok((db, found))
    };
    let (db, found) = open(disk).map_err(|error| format!("{what}: {error}"))?;
    let sought = run.history.find(&found, from, run.clock.now());
    sought.map_err(|lost| format!("{what}: {lost}"))?;
    // Only a sync that lost something leaves what looks durable and is not; the layer `crash` cuts the
    // power after all else. A file system whose log of names fails goes off: none goes on as if
    // nothing had happened.
    if trial.fault != Fault::SyncFailsOnce || trial.is_of_folder {
        return Ok(());
    }
    db.persist(Persist::Sync).map_err(|error| format!("{what}, then a sync: {error}"))?;
    let left = disk.crash(Survival::None);
    drop(db);
    let (_, again) = open(&left).map_err(|error| format!("{what}, power cut: {error}"))?;
    if again != found {
        return Err(format!(
            "{what}, synced, then a power cut: it does not show what it showed before"
        ));
    }
    Ok(())
}

/// What a database after a fault must still do.
fn check_survivor(trial: &Trial, run: &Run, db: &Db) -> Result<(), String> {
    let history = &run.history;
    let look = |when: &str| match read_all(db) {
        Ok(found) => match history.find(&found, history.acknowledged(), run.clock.now()) {
            Ok(()) => Ok(()),
            Err(what) => Err(format!("{when}: {what}")),
        },
        Err(_) if trial.is_sticky && when == "while it lasts" => Ok(()),
        Err(error) => Err(format!("{when}: reads fail: {error}")),
    };
    look("while it lasts")?;
    let poisoned = is_poisoned(db);
    run.disk.set_faults(FaultPlan::none());
    look("once the disk is sound again")?;
    if poisoned {
        for attempt in [db.insert("k", "v"), db.persist(Persist::Sync), db.flush()] {
            let Err(error) = attempt else {
                return Err("a poisoned database takes writes".to_owned());
            };
            if error.kind() != ErrorKind::Poisoned || !error.to_string().contains("simulated") {
                return Err(format!("poisoned, it should name the cause: {error}"));
            }
        }
        look("after refused writes")?;
    }
    Ok(())
}

fn try_one(trial: &Trial, set: &OptionSet, script: &[Step]) -> Result<(), String> {
    let mut run = run_with_fault(trial, set, script)?;
    let db = run.db.take();
    let checked = db.as_ref().map_or(Ok(()), |db| check_survivor(trial, &run, db));
    run.disk.set_faults(FaultPlan::none());
    checked?;
    check_images(trial, &run)?;
    drop(db);
    run.let_go();
    find(trial, &run, "reopened", &run.disk, run.history.acknowledged())
}

/// Every operation of the workload, every fault, once and for good.
fn sweep(case: &Case<'_>, set: &OptionSet, script: &[Step]) -> Result<(), Failure> {
    let operations = operations(case.seed, set, script)?;
    // However early the time is up, what was tried lies everywhere in the workload.
    for record in spread(operations.len()).filter_map(|at| operations.get(at)) {
        let is_of_folder = record.class == OpClass::SyncDir;
        for fault in Fault::ALL.into_iter().filter(|fault| fault.applies_to(record.class)) {
            for is_sticky in [false, true] {
                let trial =
                    Trial { seed: case.seed, op: record.op, fault, is_sticky, is_of_folder };
                if !case.wants(&trial.name()) {
                    continue;
                }
                try_one(&trial, set, script).map_err(|what| {
                    let path = record.path.display();
                    let what = format!("{fault:?} of {:?} {path}: {what}", record.class);
                    Failure::of(trial.name(), what)
                })?;
                case.count(RUNS, 1);
            }
        }
        case.count("operations", 1);
        if case.is_over() {
            break;
        }
    }
    Ok(())
}
