//! What takes its time while others go on: long batches, syncs that call back, a disk that is full.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alluvium::{Clock, LogMode, Persist, Read};
use alluvium_base::SystemClock;
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimClock, SimFs, Survival};
use parking_lot::Mutex;

use super::{Found, WRITES, failed, number, stored};
use crate::layer::{Case, Failure};
use crate::option_sets::OptionSet;

/// Entries of a batch that takes its time, and how many such batches there are.
const LONG: u64 = 10_000;
const LONG_BATCHES: u64 = 3;
/// Writes that ask to be called back, and threads that make them.
const CALLBACKS: u64 = 40;
const CALLERS: u64 = 2;
/// How long a full disk stays full.
const FULL: Duration = Duration::from_millis(400);

/// A batch is inserted while its memtable is set aside and flushed, and while snapshots are taken.
pub(super) fn long_batches(case: &Case<'_>, set: &OptionSet) -> Result<(), Failure> {
    let (disk, clock) = (SimFs::new(case.seed), SimClock::new(1_000_000));
    disk.set_mapping_supported(set.log_mode == LogMode::Mapped);
    let db = set.builder(&disk, &clock).open()?;
    let key = |n: u64| format!("{n:06}");
    for round in 1..=LONG_BATCHES {
        let found = Found::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut batch = db.batch();
                let keyspace = db.default_keyspace();
                for n in 0..LONG {
                    batch.insert(&keyspace, key(n), round.to_string());
                }
                found.check(batch.commit(Persist::Buffer).map_err(failed));
                found.is_over.store(true, Ordering::Relaxed);
            });
            scope.spawn(|| while found.check(db.flush().map_err(failed)) {});
            let look = || {
                let snapshot = db.snapshot();
                let (last, first) =
                    (stored(&snapshot, &key(LONG - 1))?, stored(&snapshot, &key(0))?);
                if first == last {
                    return Ok(());
                }
                Err(format!("a snapshot sees half a long batch: {first} first, {last} last"))
            };
            while found.check(look()) {}
        });
        if let Some(what) = found.what.lock().take() {
            return Err(what.into());
        }
        for (when, disk) in [("at once", None), ("after the process died", Some(disk.kill()))] {
            let killed = disk.map(|disk| set.builder(&disk, &clock).open()).transpose()?;
            let db = killed.as_ref().unwrap_or(&db);
            let mut there = 0;
            for entry in db.iter() {
                there += u64::from(number(Some(&entry?.1)) == Ok(round));
            }
            if there != LONG {
                let what = format!("{when}, {there} of {LONG} entries of a long batch are there");
                return Err(what.into());
            }
        }
        case.count(WRITES, 1);
    }
    Ok(())
}

/// What was called back is in an image taken by the callback.
pub(super) fn callbacks(case: &Case<'_>, set: &OptionSet) -> Result<(), Failure> {
    let (disk, clock) = (SimFs::new(case.seed), SimClock::new(1_000_000));
    disk.set_mapping_supported(set.log_mode == LogMode::Mapped);
    let db = set.builder(&disk, &clock).open()?;
    let images: Arc<Mutex<Vec<(String, SimFs)>>> = Arc::default();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (db, disk, images) = (&db, &disk, &images);
            scope.spawn(move || {
                for n in 0..CALLBACKS / CALLERS {
                    let key = format!("{caller}.{n}");
                    let mut batch = db.batch();
                    batch.insert(&db.default_keyspace(), &key, "");
                    let (disk, images) = (disk.clone(), Arc::clone(images));
                    let then = move |outcome: alluvium::Result<()>| {
                        outcome.expect("a sound disk");
                        images.lock().push((key, disk.crash(Survival::None)));
                    };
                    batch.commit_then(Persist::Sync, then).expect("a sound disk");
                }
            });
        }
    });
    db.close()?;
    let images = std::mem::take(&mut *images.lock());
    if images.len() as u64 != CALLBACKS {
        return Err(format!("{} of {CALLBACKS} were called back", images.len()).into());
    }
    for (key, image) in images {
        if !set.builder(&image, &clock).open()?.contains_key(&key)? {
            return Err(format!("{key} was called back, and a power cut loses it").into());
        }
        case.count(WRITES, 1);
    }
    Ok(())
}

/// A flush that cannot get on is not tried more often than its pauses allow.
pub(super) fn retries(case: &Case<'_>, set: &OptionSet) -> Result<(), Failure> {
    let (disk, clock) = (SimFs::new(case.seed), SimClock::new(1_000_000));
    disk.set_mapping_supported(set.log_mode == LogMode::Mapped);
    let db = set.builder(&disk, &clock).open()?;
    db.insert("k", "before")?;
    db.wait_idle()?;
    let full = FaultPlan::from_nth(0, Fault::Enospc).only_on(&[OpClass::Create]);
    disk.set_faults(full.only_paths_with(".table"));
    disk.start_trace();
    let real = SystemClock::new();
    let began = real.monotonic();
    db.insert("k", "while it is full")?;
    // Its error says that the disk is full; the flush is tried again in the background.
    drop(db.flush());
    real.sleep(FULL);
    let attempts = disk.trace().into_iter().filter(|op| op.class == OpClass::Create).count();
    // The first pause is of 20 ms, and each is twice as long as the one before.
    let elapsed_ms = real.monotonic().saturating_sub(began).as_millis() as u64;
    let most = 3 + (elapsed_ms / 20 + 1).ilog2() as usize;
    if attempts > most {
        let what = format!("on a full disk a flush was tried {attempts} times in {elapsed_ms} ms");
        return Err(what.into());
    }
    disk.set_faults(FaultPlan::none());
    db.flush().or_else(|_| db.wait_idle().or_else(|_| db.flush()))?;
    let found = db.get("k")?;
    if found.as_deref() != Some(b"while it is full") {
        return Err("a full disk lost a write".to_owned().into());
    }
    case.count("attempts on a full disk", attempts as u64);
    Ok(())
}
