//! Crash enumeration: the power cut at every single operation of the disk.
//!
//! ```text
//!   workload ──op──op──op──op──►            one run; before each operation the disk is looked at
//!                 │                         as many a power cut could have left it
//!                 ├─► image ─► open ─► read: a state of the history, durable ones in it?
//!                 │            └─► write, crash, open ─► still there? nothing back from the dead?
//!                 └─► image ─► open ──op──op──►   now and then: crashes inside that recovery
//! ```
//!
//! What is found must be a state that the database was in, batches whole across keyspaces, with
//! everything that was acknowledged as durable. Then it must take new writes and keep them through
//! the next crash, and what was dropped must not come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use alluvium::fs::Fs;
use alluvium::{Db, Depth, Persist};
use alluvium_testkit::{SimFs, Survival};
use parking_lot::Mutex;

use crate::layer::{Case, End, Failure, Layer, Threads, needs_nothing};
use crate::option_sets::{self, OptionSet};
use crate::states::{Content, differences, read_all};
use crate::workload::{DIR, Run, Step, random_script, script};

/// What is counted.
const IMAGES: &str = "crash images";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "crash",
    what: "the power cut at every operation of a workload, as the disk may be found then, and \
           inside recovery",
    unit: IMAGES,
    case,
    threads: Threads::AllCores,
    needs: needs_nothing,
};

/// Images by chance of one crash point.
const RANDOM_IMAGES: u64 = 5;
/// One crash point in so many is also crashed inside its recovery.
const RECOVERY_EVERY: u64 = 47;
/// Steps of a random workload.
const RANDOM_STEPS: usize = 60;

/// The first two seeds go through the fixed workload, with either log; the others through random
/// ones, each with the next set of options.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let sets = option_sets::deterministic();
    let set = sets[(case.seed % sets.len() as u64) as usize].clone();
    let script = if case.seed < 2 { script(1) } else { random_script(case.seed, RANDOM_STEPS) };
    enumerate(case, set, &script)
}

/// The survivals that crash point `at` is tried with: everything, nothing, every other item, one
/// item alone, one item missing, and chance.
fn survivals(at: u64) -> Vec<Survival> {
    let one = 1 << (at % 11);
    let halves = [0xaaaa_aaaa_aaaa_aaaa, 0x5555_5555_5555_5555];
    let mut all = vec![
        Survival::All,
        Survival::None,
        Survival::Mask(halves[(at % 2) as usize]),
        Survival::Mask(one),
        Survival::Mask(!one),
    ];
    all.extend((0..RANDOM_IMAGES).map(|n| Survival::Random(at * RANDOM_IMAGES + n)));
    all
}

fn name_of(survival: Survival) -> String {
    match survival {
        Survival::All => "all".to_owned(),
        Survival::None => "none".to_owned(),
        Survival::Mask(mask) => format!("mask{mask:x}"),
        Survival::Random(seed) => format!("random{seed}"),
    }
}

/// Looks at every moment of one run of the workload.
fn enumerate(case: &Case<'_>, set: OptionSet, script: &[Step]) -> Result<(), Failure> {
    let disk = SimFs::new(case.seed);
    let mut run = Run::new(disk.clone(), set);
    // What the observer sees of the run; the database stays with the one who runs it.
    let seen = run.clone();
    let failure = Arc::new(Mutex::new(None));
    let (only, end) = (case.session.only.clone(), case.session.end());
    let watcher = Watcher { seen, only, end, failure: Arc::clone(&failure) };
    std::thread::scope(|_| {
        let images = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&images);
        disk.observe(Some(Arc::new(move |disk, at| {
            let n = watcher.look(disk, at);
            *counted.lock() += n;
        })));
        let mut outcome = run.open();
        for step in script {
            if outcome.is_err() || case.is_over() {
                break;
            }
            outcome = run.step(step);
            case.count(IMAGES, std::mem::take(&mut *images.lock()));
        }
        disk.observe(None);
        case.count(IMAGES, std::mem::take(&mut *images.lock()));
        match (failure.lock().take(), outcome) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(Failure::from(format!("the workload itself fails: {error}"))),
            (None, Ok(())) => Ok(()),
        }
    })
}

/// A survival by chance that tears the log, if one of a few does: recovery has most to do then.
fn torn_by(disk: &SimFs, at: u64) -> Survival {
    let is_torn = |survival: &Survival| {
        let image: Arc<dyn Fs> = Arc::new(disk.crash(*survival));
        alluvium::check(image, DIR, Depth::Quick).is_ok_and(|report| report.torn_bytes > 0)
    };
    let mut chances = (at..at + RANDOM_IMAGES).map(Survival::Random);
    chances.find(is_torn).unwrap_or(Survival::Random(at))
}

/// Looks at images of the disk while the workload stands still.
struct Watcher {
    seen: Run,
    only: Option<String>,
    end: Arc<End>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Watcher {
    /// Looks at the disk before operation `at`; answers how many images that took. The first
    /// failure turns the machine off, which ends the run.
    fn look(&self, disk: &SimFs, at: u64) -> u64 {
        if self.failure.lock().is_some() || self.end.is_over() {
            return 0;
        }
        let mut images = 0;
        let result = self.look_at_all(disk, at, &mut images);
        if let Err(failure) = result {
            *self.failure.lock() = Some(failure);
            disk.freeze();
        }
        images
    }

    fn look_at_all(&self, disk: &SimFs, at: u64, images: &mut u64) -> Result<(), Failure> {
        let history = &self.seen.history;
        let has_choice = disk.unsynced_count() > 0;
        let survivals = survivals(at);
        for survival in if has_choice { &survivals[..] } else { &survivals[..1] } {
            let trial = || format!("{at}:{}", name_of(*survival));
            if self.wants(&trial) {
                let image = disk.crash(*survival);
                self.check_checkpoints(&image)
                    .and_then(|()| self.check_image(&image, history.durable(), at + *images))
                    .map_err(|what| Failure::of(trial(), what))?;
                *images += 1;
            }
        }
        let trial = || format!("{at}:killed");
        if self.wants(&trial) {
            self.check_image(&disk.kill(), history.acknowledged(), at)
                .map_err(|what| Failure::of(trial(), format!("killed: {what}")))?;
            *images += 1;
        }
        if at % RECOVERY_EVERY == disk.stats().operations % 7 {
            self.crash_recovery(disk, at, images)?;
        }
        Ok(())
    }

    fn wants(&self, trial: &dyn Fn() -> String) -> bool {
        self.only.as_ref().is_none_or(|only| *only == trial())
    }

    /// Crashes at every operation of the recovery from a crash at `at`.
    fn crash_recovery(&self, disk: &SimFs, at: u64, images: &mut u64) -> Result<(), Failure> {
        let survival = if at.is_multiple_of(2) { torn_by(disk, at) } else { Survival::All };
        let first = disk.crash(survival);
        let found: Arc<Mutex<Vec<(u64, SimFs)>>> = Arc::default();
        let moments = Arc::clone(&found);
        first.observe(Some(Arc::new(move |disk, then| {
            for survival in [Survival::None, Survival::Random(then + at), Survival::All] {
                moments.lock().push((then, disk.crash(survival)));
            }
        })));
        // Whether it opens is judged elsewhere; here, what it leaves on the way.
        drop(self.seen.set.builder(&first, &self.seen.clock).open());
        first.observe(None);
        let found = std::mem::take(&mut *found.lock());
        for (n, (then, image)) in found.into_iter().enumerate() {
            let trial = || format!("{at}:{}:then{then}.{}", name_of(survival), n % 3);
            if self.wants(&trial) {
                self.check_image(&image, self.seen.history.durable(), at + *images)
                    .map_err(|what| Failure::of(trial(), format!("in recovery: {what}")))?;
                *images += 1;
            }
        }
        Ok(())
    }

    /// Opens an image and looks at what is there; then writes, has the process or the machine die once
    /// more, and looks again. `turn` decides which.
    fn check_image(&self, image: &SimFs, from: usize, turn: u64) -> Result<(), String> {
        let Run { clock, set, history, .. } = &self.seen;
        let open = |disk: &SimFs| {
            let opened = set.builder(disk, clock).open();
            opened.map_err(|error| format!("it does not open: {error}"))
        };
        let read = |db: &Db| read_all(db).map_err(|error| format!("it cannot be read: {error}"));
        let db = open(image)?;
        let found = read(&db)?;
        let now_ms = alluvium::Clock::now_ms(clock);
        history.find(&found, from, now_ms)?;

        let then = if turn.is_multiple_of(3) { Persist::Sync } else { Persist::Buffer };
        let expected = write_more(&db, found, then);
        let expected = expected.map_err(|error| format!("it cannot be written: {error}"))?;
        // The machine crashes, or the process dies, while the database is open: no orderly end helps.
        let again = match turn % 3 {
            0 => image.crash(Survival::None),
            1 => image.kill(),
            _ => image.crash(Survival::Random(turn)),
        };
        drop(db);
        let mut found = read(&open(&again)?)?;
        if turn % 3 == 2 && found != expected {
            // What was written last was not synced.
            unwrite(&mut found);
            let sought = history.find(&found, history.durable(), now_ms);
            return sought.map_err(|lost| format!("after a power cut before any sync: {lost}"));
        }
        if found != expected {
            let differences = differences(&expected, &found);
            return Err(format!("after more writes and a second end: {}", differences.join("; ")));
        }
        Ok(())
    }

    /// Checkpoints that were acknowledged must open and hold their state, whatever became of the
    /// rest.
    fn check_checkpoints(&self, image: &SimFs) -> Result<(), String> {
        let Run { clock, set, checkpoints, .. } = &self.seen;
        let mut looked = BTreeSet::new();
        // A later one stands for the earlier ones most of the time: this is dear.
        for (dir, state) in checkpoints.lock().iter().rev().take(1) {
            let dir = dir.to_str().expect("a checkpoint's name is text");
            if !looked.insert(dir) {
                continue;
            }
            let copy = set.builder_in(dir, image, clock).create_if_missing(false).open();
            let copy = copy.map_err(|error| format!("the checkpoint does not open: {error}"))?;
            let found = read_all(&copy).map_err(|error| format!("the checkpoint: {error}"))?;
            if !state.looks_like(&found, alluvium::Clock::now_ms(clock)) {
                return Err("the checkpoint does not hold what it was made of".to_owned());
            }
        }
        Ok(())
    }
}

/// The keys that are written after a crash, and that no workload has.
const SINGLE_KEY: &[u8] = b"after";
const BATCH_KEY: &[u8] = b"after the crash";

/// A single write and a batch across keyspaces; answers what must be there then.
fn write_more(db: &Db, mut content: Content, persist: Persist) -> alluvium::Result<Content> {
    db.insert(SINGLE_KEY, "the crash")?;
    let mut batch = db.batch();
    for (name, tree) in &mut content {
        let keyspace = db.find_keyspace(name)?.expect("it was just read");
        batch.insert(&keyspace, BATCH_KEY, "more");
        tree.insert(BATCH_KEY.to_vec(), b"more".to_vec());
    }
    batch.commit(persist)?;
    let default = content.get_mut("default").expect("it is always there");
    default.insert(SINGLE_KEY.to_vec(), b"the crash".to_vec());
    Ok(content)
}

/// The content without what [`write_more`] wrote.
fn unwrite(content: &mut Content) {
    for tree in content.values_mut() {
        tree.remove(SINGLE_KEY);
        tree.remove(BATCH_KEY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::states::read_every_way;
    use alluvium::LogMode;

    /// The workload itself, without any crash, with every way to read.
    #[test]
    fn the_workload_reads_back_every_way() {
        for mode in [LogMode::Mapped, LogMode::Buffered] {
            let mut run = Run::new(SimFs::new(1), OptionSet::tiny(mode));
            run.go(&script(3)).unwrap();
            let db = run.db.as_ref().expect("it is open");
            let found = read_every_way(db).unwrap();
            assert!(run.history.latest().looks_like(&found, run.clock.now()));
        }
    }

    #[test]
    fn every_random_workload_runs_through() {
        for (seed, set) in option_sets::all().into_iter().enumerate() {
            let name = set.name;
            let mut run = Run::new(SimFs::new(1), set);
            let gone = run.go(&random_script(seed as u64, 100));
            gone.unwrap_or_else(|error| panic!("seed {seed}, {name}: {error}"));
            let found = read_every_way(run.db.as_ref().unwrap()).unwrap();
            assert!(run.history.latest().looks_like(&found, run.clock.now()), "{name}");
        }
    }
}
