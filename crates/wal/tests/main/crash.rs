//! The power cut at every operation, in recovery too: what was synced is there, what is there is a
//! prefix.

use std::sync::Arc;

use alluvium_base::{FileNumber, Fs, Result, Seq};
use alluvium_testkit::{Choices, SeededRandom, SimFs, Survival};
use alluvium_wal::{WalMode, WalOptions};

use crate::log::{DIR, Found, Log, SMALL};

/// What a workload was told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Every record up to this one was reported durable.
    durable: u64,
    /// Every record up to this one was released.
    released: u64,
    /// Segments before this one are garbage.
    first: FileNumber,
}

/// Appends, syncs, releases and reopens, until something fails. Deterministic by `seed`.
fn work(fs: &Arc<dyn Fs>, options: WalOptions, seed: u64, told: &mut Told) -> Result<()> {
    let mut random = SeededRandom::new(seed);
    for _generation in 0..3 {
        let (mut log, found) = Log::open_from(fs, options, told.first)?;
        told.durable = log.last.max(told.released);
        found.check(told.released + 1, told.durable);
        log.last = told.durable;
        for _step in 0..14 {
            log.append(random.below(400) as usize)?;
            if random.chance(1, 4) {
                log.sync()?;
                told.durable = log.last;
            }
            if random.chance(1, 8) {
                let flushed = random.below(told.durable + 1);
                // Counted first: a release that fails may have removed something.
                told.released = told.released.max(flushed);
                told.first = told.first.max(log.wal.first_needed(Seq::new(flushed)));
                log.wal.release(told.first)?;
            }
        }
    }
    Ok(())
}

fn new_disk(seed: u64, is_mapped: bool) -> SimFs {
    let disk = SimFs::new(seed);
    disk.create_dir_durably(DIR.as_ref());
    disk.set_mapping_supported(is_mapped);
    disk
}

fn shared(disk: &SimFs) -> Arc<dyn Fs> {
    Arc::new(disk.clone())
}

/// The disk that a crash left holds what was promised; so it does after any crash in its recovery.
fn check(disk: &SimFs, options: WalOptions, told: Told, tries: u64) {
    let found = Found::read(disk, DIR.as_ref(), told.first).expect("a crash is no damage");
    let last = found.check(told.released + 1, told.durable.max(told.released));
    for op in 0.. {
        // Everything on this disk is durable: no crash while opening it may lose a record.
        let again = disk.crash(Survival::All);
        again.freeze_after(op);
        let opened =
            Log::open_from(&shared(&again), options, told.first).and_then(|(mut log, found)| {
                assert_eq!(found.check(told.released + 1, last), last);
                log.last = last;
                log.append(50)?;
                log.append(60)?;
                log.sync()
            });
        let durable = if opened.is_ok() { last + 2 } else { last };
        for survival in survivals(op).take(tries as usize) {
            let found = Found::read(&again.crash(survival), DIR.as_ref(), told.first);
            let found = found.expect("a crash is no damage");
            found.check(told.released + 1, durable.max(told.released));
        }
        if opened.is_ok() {
            return;
        }
    }
}

/// None and all first, then chance.
fn survivals(seed: u64) -> impl Iterator<Item = Survival> {
    let random = (0..).map(move |n| Survival::Random(seed.wrapping_mul(1000) + n));
    [Survival::None, Survival::All].into_iter().chain(random)
}

#[test]
fn a_crash_at_any_operation_leaves_a_prefix_with_everything_synced() {
    for is_mapped in [false, true] {
        for op in 0.. {
            let disk = new_disk(op, is_mapped);
            disk.freeze_after(op);
            let mut told = Told::default();
            let worked = work(&shared(&disk), SMALL, op / 16, &mut told);
            for (n, survival) in survivals(op).take(6).enumerate() {
                let crashed = disk.crash(survival);
                crashed.set_mapping_supported(is_mapped);
                // Recovery is crashed too, for one image of each moment.
                if n as u64 == op % 6 {
                    check(&crashed, SMALL, told, 3);
                } else {
                    let found =
                        Found::read(&crashed, DIR.as_ref(), told.first).unwrap_or_else(|error| {
                            panic!("mapped {is_mapped}, operation {op}, {survival:?}: {error}")
                        });
                    found.check(told.released + 1, told.durable);
                }
            }
            if worked.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_after_any_append_leaves_a_prefix_with_everything_synced() {
    for is_mapped in [false, true] {
        for seed in 0..40 {
            let disk = new_disk(seed, is_mapped);
            let mut random = SeededRandom::new(seed);
            let (mut log, _) = Log::open(&shared(&disk), SMALL).unwrap();
            let mut durable = 0;
            for _ in 0..30 {
                log.append(random.below(300) as usize).unwrap();
                if random.chance(1, 5) {
                    log.sync().unwrap();
                    durable = log.last;
                }
                for survival in survivals(random.next_u64()).take(8) {
                    let found = Found::in_dir(&disk.crash(survival)).unwrap_or_else(|error| {
                        panic!("mapped {is_mapped}, seed {seed}, {survival:?}: {error}")
                    });
                    found.check(1, durable);
                }
            }
        }
    }
}

#[test]
fn the_death_of_the_process_loses_nothing_that_was_appended() {
    for mode in [WalMode::Mapped, WalMode::Buffered] {
        let options = WalOptions { mode, ..SMALL };
        let mut disk = new_disk(7, true);
        let mut last = 0;
        for generation in 0..20 {
            let (mut log, found) = Log::open(&shared(&disk), options).unwrap();
            assert_eq!(found.check(1, last), last);
            for _ in 0..generation {
                log.append(100).unwrap();
            }
            last = log.last;
            disk = disk.kill();
        }
    }
}
