//! The fault sweep: every operation of the disk fails in every way, once and for good.
//!
//! Nothing acknowledged is lost, nothing wrong is read, nothing panics. A failed write or sync of
//! the log or the manifest poisons: writes are refused with the cause and reads go on, also once the
//! disk is sound again. Reopening recovers.
//!
//! To replay a failure, set what it prints: `ALLUVIUM_FAULT=mapped:123:Eio:once`.

use std::collections::BTreeSet;

use alluvium::{Db, ErrorKind, LogMode, Persist};
use alluvium_testkit::{Fault, FaultPlan, OpRecord, SimFs, Survival};

use crate::history::read_all;
use crate::workload::{Run, Step, builder, short_script};

const DISK_SEED: u64 = 7;

/// One run of the workload with one fault.
#[derive(Clone, Copy, Debug)]
struct Trial {
    mode: LogMode,
    op: u64,
    fault: Fault,
    is_sticky: bool,
}

impl Trial {
    fn name(&self) -> String {
        let how = if self.is_sticky { "sticky" } else { "once" };
        format!("{}:{}:{:?}:{how}", format!("{:?}", self.mode).to_lowercase(), self.op, self.fault)
    }

    fn plan(&self) -> FaultPlan {
        if self.is_sticky {
            FaultPlan::from_nth(self.op, self.fault)
        } else {
            FaultPlan::nth(self.op, self.fault)
        }
    }
}

fn disk_for(mode: LogMode) -> SimFs {
    let disk = SimFs::new(DISK_SEED);
    disk.set_mapping_supported(mode == LogMode::Mapped);
    disk
}

/// The operations of the workload when nothing fails.
fn operations(mode: LogMode) -> Vec<OpRecord> {
    let disk = disk_for(mode);
    disk.start_trace();
    let mut run = Run::new(disk.clone(), mode);
    run.go(&short_script()).unwrap();
    disk.trace()
}

fn is_poisoned(db: &Db) -> bool {
    db.stats().is_ok_and(|stats| stats.poisoned.is_some())
}

/// Runs the workload with the fault until it cannot go on; what failed only in passing is retried.
fn run_with_fault(trial: &Trial, script: &[Step]) -> Result<Run, String> {
    let disk = disk_for(trial.mode);
    disk.set_faults(trial.plan());
    let mut run = Run::new(disk, trial.mode);
    if run.open().is_err() {
        return Ok(run);
    }
    for step in script {
        let Err(error) = run.step(step) else { continue };
        let Some(db) = &run.db else { return Ok(run) };
        let can_retry = match step {
            Step::Flush | Step::Compact | Step::Work | Step::Advance(_) => true,
            // A checkpoint that failed has left a useless folder.
            Step::Checkpoint(_) => continue,
            Step::Commit(..) | Step::Persist | Step::Create(_) | Step::Drop(_) | Step::Reopen => {
                false
            }
        };
        if is_poisoned(db) || trial.is_sticky || !can_retry {
            return Ok(run);
        }
        run.step(step).map_err(|again| {
            format!("{step:?} failed once ({error}) and, without any fault, again: {again}")
        })?;
    }
    Ok(run)
}

/// What a database after a fault must still do.
fn check_survivor(trial: &Trial, run: &Run, db: &Db) -> Result<(), String> {
    let history = &run.history;
    let look = |when: &str| match read_all(db) {
        Ok(found) => match history.find(&found, history.acknowledged, run.clock.now()) {
            Ok(_) => Ok(()),
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

fn try_one(trial: &Trial, script: &[Step]) -> Result<(), String> {
    let mut run = run_with_fault(trial, script)?;
    let db = run.db.take();
    let checked = db.as_ref().map_or(Ok(()), |db| check_survivor(trial, &run, db));
    run.disk.set_faults(FaultPlan::none());
    checked?;
    let (history, now_ms) = (&run.history, run.clock.now());
    let images = [
        ("killed", run.disk.kill(), history.acknowledged),
        ("power cut, nothing survives", run.disk.crash(Survival::None), history.durable),
        ("power cut, some survives", run.disk.crash(Survival::Random(trial.op)), history.durable),
        ("power cut, all survives", run.disk.crash(Survival::All), history.durable),
    ];
    let find = |what: &str, db: alluvium::Result<Db>, from| {
        let found = db.and_then(|db| read_all(&db)).map_err(|error| format!("{what}: {error}"))?;
        history.find(&found, from, now_ms).map_err(|lost| format!("{what}: {lost}"))
    };
    for (what, disk, from) in images {
        find(what, builder(&disk, &run.clock, run.mode).open(), from)?;
    }
    drop(db);
    let reopened = builder(&run.disk, &run.clock, run.mode).open();
    find("reopened", reopened, history.acknowledged)?;
    Ok(())
}

fn sweep(mode: LogMode) {
    let only = std::env::var("ALLUVIUM_FAULT").ok();
    let script = short_script();
    let (mut trials, mut sites) = (0, BTreeSet::new());
    for record in operations(mode) {
        for fault in Fault::ALL.into_iter().filter(|fault| fault.applies_to(record.class)) {
            for is_sticky in [false, true] {
                let trial = Trial { mode, op: record.op, fault, is_sticky };
                if only.as_ref().is_some_and(|only| *only != trial.name()) {
                    continue;
                }
                try_one(&trial, &script).unwrap_or_else(|what| {
                    panic!(
                        "{:?} {}: {what}\n  replay: ALLUVIUM_FAULT={} cargo test -p alluvium --test \
                         trust fault:: -- --nocapture",
                        record.class,
                        record.path.display(),
                        trial.name()
                    )
                });
                trials += 1;
            }
            let extension = record.path.extension().map(|e| e.to_string_lossy().into_owned());
            sites.insert((record.class, extension, format!("{fault:?}")));
        }
    }
    println!("faults, {mode:?}: {trials} runs, {} kinds of site and fault", sites.len());
    assert!(only.is_some() || trials > 1000, "the workload has shrunk");
}

#[test]
fn every_fault_at_every_operation_is_survived_with_the_mapped_log() {
    sweep(LogMode::Mapped);
}

#[test]
fn every_fault_at_every_operation_is_survived_with_the_buffered_log() {
    sweep(LogMode::Buffered);
}
