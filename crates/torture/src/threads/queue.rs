//! A queue that is popped by a scan for its head, while keys come back into the stretch that was
//! popped: scans skip what they know to be dead, and must not skip those.

use std::sync::atomic::{AtomicU64, Ordering};

use alluvium::{Read, Result};
use alluvium_testkit::{SimClock, SimFs};

use super::{Found, WRITES, failed};
use crate::layer::{Case, Failure};
use crate::option_sets::OptionSet;

/// What is popped, and how many threads put something back meanwhile.
const LENGTH: u64 = 3_000;
const RETURNERS: u64 = 2;

fn key(n: u64) -> String {
    format!("{n:08}")
}

/// One thread pops; others put a key of their own back where everything was popped, and look from a
/// little before it: what they find must not be behind it.
pub(super) fn heads(case: &Case<'_>, set: &OptionSet) -> Result<(), Failure> {
    let (disk, clock) = (SimFs::new(case.seed), SimClock::new(1_000_000));
    let mut set = set.clone();
    // Rotations would hide the stretch in many small memtables, and take most of the time.
    set.keyspace.write_buffer_size = set.keyspace.write_buffer_size.max(30 << 10);
    let db = set.builder(&disk, &clock).open()?;
    for n in 0..LENGTH {
        db.insert(key(2 * n), "")?;
    }
    let (found, popped) = (Found::default(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..LENGTH {
                let pop = || -> Result<(), String> {
                    let own = db.range(key(2 * n)..).next().transpose().map_err(failed)?;
                    if own.is_none_or(|(head, _)| head != key(2 * n).as_bytes()) {
                        return Err(format!("the queue's own head {n} is not found"));
                    }
                    drop(db.first().map_err(failed)?);
                    db.remove(key(2 * n)).map_err(failed)
                };
                if !found.check(pop()) {
                    return;
                }
                popped.store(n, Ordering::Release);
            }
            found.is_over.store(true, Ordering::Relaxed);
        });
        for returner in 0..RETURNERS {
            let (db, found, popped) = (&db, &found, &popped);
            scope.spawn(move || {
                let mut turn = returner;
                let mut come_back = || -> Result<(), String> {
                    turn += 7;
                    let reach = popped.load(Ordering::Acquire).max(1);
                    let n = (turn * 37) % reach;
                    // Odd keys are ours; every other one is another thread's.
                    let own = format!("{}+{returner}", key(2 * n + 1));
                    db.insert(&own, "").map_err(failed)?;
                    let from = key(2 * n.saturating_sub(40));
                    let is_found = db
                        .range(from.as_str()..)
                        .any(|entry| entry.is_ok_and(|(key, _)| key == own.as_bytes()));
                    if !is_found {
                        return Err(format!("{own} was just written, and a scan misses it"));
                    }
                    db.remove(&own).map_err(failed)
                };
                while found.check(come_back()) {}
            });
        }
    });
    case.count(WRITES, 2 * LENGTH);
    found.what.lock().take().map_or(Ok(()), |what| Err(what.into()))
}
