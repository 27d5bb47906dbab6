//! The first failure is final; what was durable stays so.

use std::sync::Arc;

use alluvium_base::{Error, FileNumber, Fs, Seq};
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimFs, Survival};

use crate::log::{DIR, Found, Log, SMALL};

fn new_disk(seed: u64, is_mapped: bool) -> (SimFs, Arc<dyn Fs>) {
    let disk = SimFs::new(seed);
    disk.create_dir_durably(DIR.as_ref());
    disk.set_mapping_supported(is_mapped);
    (disk.clone(), Arc::new(disk))
}

#[track_caller]
fn assert_poisoned<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    let Error::Poisoned { cause } = &error else { panic!("{error}") };
    assert!(matches!(**cause, Error::Io { .. }), "{cause}");
}

#[test]
fn a_failed_sync_is_final_though_the_next_one_would_succeed() {
    let (disk, fs) = new_disk(1, true);
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    log.append(10).unwrap();
    log.sync().unwrap();
    log.append(20).unwrap();
    disk.set_faults(FaultPlan::nth(0, Fault::SyncFailsOnce).only_on(&[OpClass::Sync]));
    let end = log.wal.written();
    assert!(matches!(log.wal.sync_to(end), Err(Error::Io { .. })));
    assert!(log.wal.synced() < end);
    let operations = disk.op_count();
    assert_poisoned(log.wal.sync_to(end));
    assert_poisoned(log.append(1));
    assert_eq!(disk.op_count(), operations, "the disk was not asked again");
    assert_eq!(Found::in_dir(&disk.crash(Survival::None)).unwrap().check(1, 1), 1);
}

#[test]
fn a_full_disk_poisons_and_reopening_with_room_goes_on() {
    let (disk, fs) = new_disk(2, false);
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    log.append(100).unwrap();
    log.sync().unwrap();
    disk.set_capacity(Some(700));
    let error = (0..10).find_map(|_| log.append(100).err()).expect("the disk is full");
    assert!(error.is_disk_full(), "{error}");
    let last = log.last;
    assert!(last > 1);
    disk.set_capacity(None);
    assert_poisoned(log.append(100));
    assert_poisoned(log.wal.sync_to(log.wal.written()));

    let disk = disk.kill();
    let (mut log, found) = Log::open(&(Arc::new(disk) as Arc<dyn Fs>), SMALL).unwrap();
    assert_eq!(found.check(1, last), last);
    log.append(5).unwrap();
    log.sync().unwrap();
}

/// A database on a full disk could not even be opened for reading: its log wanted a whole segment.
#[test]
fn a_log_begins_where_there_is_no_room_for_a_whole_segment() {
    let (disk, fs) = new_disk(4, true);
    disk.set_capacity(Some(600));
    let options = alluvium_wal::WalOptions { segment_size: 64 << 10, ..SMALL };
    let (mut log, _) = Log::open(&fs, options).unwrap();
    assert_eq!(log.wal.mode(), "buffered");
    log.append(100).unwrap();
    log.sync().unwrap();
    let error = (0..10).find_map(|_| log.append(100).err()).expect("the disk is full");
    assert!(error.is_disk_full(), "{error}");
    assert!(Found::in_dir(&disk.crash(Survival::None)).unwrap().check(1, 1) >= 1);
}

/// A segment made ahead was emptied, header and all, when a batch larger than it met a full disk.
#[test]
fn a_record_too_large_for_the_disk_leaves_the_segment_made_ahead_as_it_was() {
    let (disk, fs) = new_disk(5, true);
    let options = alluvium_wal::WalOptions { create_ahead: true, ..SMALL };
    let (mut log, _) = Log::open(&fs, options).unwrap();
    log.append(600).unwrap();
    log.sync().unwrap();
    let durable = log.last;
    // Past the middle: the next segment is made ahead.
    while disk.files().len() < 2 {
        std::thread::yield_now();
    }
    disk.set_capacity(Some(4 << 10));
    let error = log.append(8 << 10).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    disk.set_capacity(None);
    assert_poisoned(log.append(1));
    assert!(Found::in_dir(&disk.crash(Survival::None)).unwrap().check(1, durable) >= durable);
}

#[test]
fn a_failed_creation_ahead_is_tried_once_more_when_it_is_needed() {
    for is_mapped in [false, true] {
        let (disk, fs) = new_disk(3, is_mapped);
        let options = alluvium_wal::WalOptions { create_ahead: true, ..SMALL };
        let (mut log, _) = Log::open(&fs, options).unwrap();
        let creating = FaultPlan::nth(0, Fault::Enospc).only_on(&[OpClass::SyncDir]);
        disk.set_faults(creating);
        // Past the middle: the next segment is asked for. Wait until that has failed.
        log.append(600).unwrap();
        while disk.stats().faults == 0 {
            std::thread::yield_now();
        }
        for _ in 0..10 {
            log.append(300).unwrap();
        }
        log.sync().unwrap();
        let crashed = disk.crash(Survival::None);
        let found = Found::in_dir(&crashed).unwrap();
        assert_eq!(found.check(1, log.last), log.last);
    }
}

/// The next sync of the folder succeeds, and the name of the segment is lost all the same.
#[test]
fn a_failed_sync_of_the_folder_ahead_is_final() {
    for is_mapped in [false, true] {
        let (disk, fs) = new_disk(3, is_mapped);
        let options = alluvium_wal::WalOptions { create_ahead: true, ..SMALL };
        let (mut log, _) = Log::open(&fs, options).unwrap();
        disk.set_faults(FaultPlan::nth(0, Fault::SyncFailsOnce).only_on(&[OpClass::SyncDir]));
        log.append(600).unwrap();
        while disk.stats().faults == 0 {
            std::thread::yield_now();
        }
        let failed = (0..10).find_map(|_| log.append(300).err());
        assert!(failed.is_some_and(|error| error.to_string().contains("SyncFailsOnce")));
        assert_poisoned(log.append(300));
    }
}

#[test]
fn any_fault_anywhere_loses_nothing_durable_and_is_never_written_past() {
    // A bit that flips while recovery reads may look like a torn tail; `flips` covers those.
    let faults = Fault::ALL.into_iter().filter(|&fault| fault != Fault::FlippedRead);
    for (fault, is_mapped) in faults.flat_map(|fault| [(fault, false), (fault, true)]) {
        for op in 0.. {
            let (disk, fs) = new_disk(op, is_mapped);
            disk.set_faults(FaultPlan::nth(op, fault));
            let mut durable = 0;
            let mut released = 0;
            let mut first = FileNumber(0);
            let worked = (|| {
                for _ in 0..2 {
                    let (mut log, found) = Log::open_from(&fs, SMALL, first)?;
                    log.last = log.last.max(released);
                    found.check(released + 1, durable.max(released));
                    for _ in 0..8 {
                        if let Err(error) = log.append(250) {
                            assert_poisoned(log.append(250));
                            return Err(error);
                        }
                        if log.last.is_multiple_of(3) {
                            let synced = log.sync();
                            if synced.is_err() {
                                assert_poisoned(log.append(250));
                                assert_poisoned(log.wal.sync_to(log.wal.written()));
                            }
                            synced?;
                            durable = log.last;
                        }
                    }
                    released = released.max(4);
                    first = first.max(log.wal.first_needed(Seq::new(4)));
                    if log.wal.release(first).is_err() {
                        // Nothing is lost by that: the rest goes another time.
                        log.wal.release(first)?;
                    }
                }
                Ok(())
            })();
            for survival in [Survival::None, Survival::All, Survival::Random(op)] {
                let found = Found::read(&disk.crash(survival), DIR.as_ref(), first);
                let found = found.unwrap_or_else(|error| {
                    panic!("{fault:?}, operation {op}, mapped {is_mapped}, {survival:?}: {error}")
                });
                found.check(released + 1, durable.max(released));
            }
            if worked.is_ok() && disk.stats().faults == 0 {
                break;
            }
        }
    }
}
