//! Bugs that were found, each with its story.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium::fs::Fs;
use alluvium::{Depth, ErrorKind, LogMode, Persist, Read, check};
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimClock, SimFs, Survival};

use alluvium_torture::option_sets::OptionSet;
use alluvium_torture::workload::DIR;

fn builder(disk: &SimFs, clock: &SimClock, mode: LogMode) -> alluvium::Builder {
    OptionSet::tiny(mode).builder(disk, clock)
}

/// A process made the folder and died before it could sync the folder's name. The next one found
/// the folder there, took it for durable, and acknowledged writes with `Sync`; the power cut took
/// them with the folder.
#[test]
fn a_folder_that_is_there_is_not_yet_durable() {
    let (disk, clock) = (SimFs::new(1), SimClock::new(0));
    alluvium::fs::Fs::create_dir_all(&disk, DIR.as_ref()).unwrap();
    let disk = disk.kill();
    let db = builder(&disk, &clock, LogMode::Mapped).open().unwrap();
    let mut batch = db.batch();
    batch.insert(&db.default_keyspace(), "k", "acknowledged");
    batch.commit(Persist::Sync).unwrap();
    let found = disk.crash(Survival::None);
    let reopened = builder(&found, &clock, LogMode::Mapped).open().unwrap();
    assert!(reopened.contains_key("k").unwrap());
}

/// Several threads flushed the same memtable at once; the second to finish set aside the next one,
/// unflushed, and its writes were gone until the database was reopened.
#[test]
fn a_memtable_flushed_by_two_threads_is_set_aside_once() {
    let (disk, clock) = (SimFs::new(2), SimClock::new(0));
    let db = builder(&disk, &clock, LogMode::Mapped).open().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..200 {
                    let key = format!("{thread}/{n:04}");
                    db.insert(&key, [0; 100]).unwrap();
                    db.flush().unwrap();
                    assert!(db.contains_key(&key).unwrap(), "{key} is gone");
                }
            });
        }
    });
    assert_eq!(db.count().unwrap(), 800);
}

/// A poisoned database was closed with `Ok`, as if its log had been made durable.
#[test]
fn closing_a_poisoned_database_tells_why_it_is_not_durable() {
    let (disk, clock) = (SimFs::new(3), SimClock::new(0));
    let db = builder(&disk, &clock, LogMode::Mapped).open().unwrap();
    db.insert("k", "v").unwrap();
    let plan = FaultPlan::nth(0, Fault::SyncFailsOnce).only_on(&[OpClass::Sync]);
    disk.set_faults(plan);
    assert_eq!(db.persist(Persist::Sync).unwrap_err().kind(), ErrorKind::Io);
    let error = db.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    assert!(error.to_string().contains("simulated SyncFailsOnce"), "{error}");
}

/// The kernel reports a failed sync once, drops the pages as clean and still shows them. A process
/// that restarts reads them, syncs with success, and must not build on what is not on the disk.
#[test]
fn what_a_failed_sync_dropped_is_not_believed_after_a_restart() {
    for mode in [LogMode::Mapped, LogMode::Buffered] {
        let (disk, clock) = (SimFs::new(4), SimClock::new(0));
        // Memtables so large that nothing is flushed, or the log would not matter.
        let large = alluvium::KeyspaceOptions::default();
        let builder =
            |disk, clock, mode| builder(disk, clock, mode).default_keyspace(large.clone());
        let db = builder(&disk, &clock, mode).open().unwrap();
        for n in 0..10 {
            db.insert(format!("before {n}"), [1; 100]).unwrap();
        }
        disk.set_faults(FaultPlan::nth(0, Fault::SyncFailsOnce).only_on(&[OpClass::Sync]));
        assert!(db.persist(Persist::Sync).is_err());
        let disk = disk.kill();
        let db = builder(&disk, &clock, mode).open().unwrap();
        assert_eq!(db.count().unwrap(), 10);
        let mut batch = db.batch();
        batch.insert(&db.default_keyspace(), "after", "acknowledged");
        batch.commit(Persist::Sync).unwrap();
        let found = disk.crash(Survival::None);
        let db = builder(&found, &clock, mode).open().unwrap();
        assert_eq!(db.count().unwrap(), 11, "{mode:?}");
    }
}

/// `check` looked at the log's framing alone: that its first segment had been removed, and writes
/// with it, was noticed by opening only.
#[test]
fn check_notices_that_the_log_lacks_writes() {
    let (disk, clock) = (SimFs::new(5), SimClock::new(0));
    let db = builder(&disk, &clock, LogMode::Buffered).open().unwrap();
    db.keyspace("idle", OptionSet::tiny(LogMode::Buffered).keyspace).unwrap();
    let idle = db.find_keyspace("idle").unwrap().unwrap();
    idle.insert("holds back", "the log").unwrap();
    for n in 0..40 {
        db.insert(format!("{n}"), [1; 100]).unwrap();
    }
    assert!(db.stats().unwrap().log.segments > 1);
    db.close().unwrap();
    let first = disk.files().into_iter().map(|(path, _)| path);
    let first = first.filter(|path| path.extension().is_some_and(|e| e == "wal")).min().unwrap();
    disk.remove_file_durably(&first);
    let opened = builder(&disk, &clock, LogMode::Buffered).open();
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Corrupt);
    let report = check(Arc::new(disk.clone()), DIR, Depth::Deep).unwrap();
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
}

/// A manifest was rewritten behind an edit, and `CURRENT` could not be replaced. The manifest was of
/// no more use, and nobody was told: writes were taken until the next flush, and `stats` saw nothing.
#[test]
fn a_manifest_that_cannot_be_replaced_poisons_at_once() {
    let (disk, clock) = (SimFs::new(6), SimClock::new(0));
    let set = OptionSet { max_manifest_bytes: 1, ..OptionSet::tiny(LogMode::Mapped) };
    let db = set.builder(&disk, &clock).open().unwrap();
    let plan = FaultPlan::from_nth(0, Fault::Enospc).only_on(&[OpClass::Create, OpClass::Rename]);
    disk.set_faults(plan.only_paths_with("CURRENT"));
    let flushed = (0..).take_while(|n| {
        db.insert(format!("k{n}"), "v").and_then(|()| db.flush()).is_ok()
            && db.stats().unwrap().poisoned.is_none()
    });
    let flushed = flushed.count();
    assert!(db.stats().unwrap().poisoned.unwrap().contains("CURRENT"));
    assert_eq!(db.insert("late", "v").unwrap_err().kind(), ErrorKind::Poisoned);
    disk.set_faults(FaultPlan::none());
    assert_eq!(db.close().unwrap_err().kind(), ErrorKind::Poisoned);
    let db = set.builder(&disk, &clock).open().unwrap();
    assert_eq!(db.count().unwrap(), flushed as u64 + 1);
}

/// A database with twenty writes in its log, none of them in a table.
fn twenty_writes(disk: &SimFs, clock: &SimClock) -> alluvium::Db {
    let db = large(disk, clock).open().unwrap();
    for n in 0..20 {
        db.insert(format!("{n:02}"), [1; 100]).unwrap();
    }
    db
}

/// Memtables so large that nothing is flushed unasked.
fn large(disk: &SimFs, clock: &SimClock) -> alluvium::Builder {
    let options = alluvium::KeyspaceOptions::default();
    builder(disk, clock, LogMode::Buffered).default_keyspace(options)
}

fn files_with<'a>(disk: &SimFs, part: &'a str) -> impl Iterator<Item = (PathBuf, Vec<u8>)> + 'a {
    disk.files().into_iter().filter(move |(path, _)| path.to_string_lossy().ends_with(part))
}

/// Rot took the last records of the log together with the watermarks that told of them. What was left
/// looked like a torn tail, though the manifest knew of later writes; the database went on behind
/// the gap and could not be opened the next time.
#[test]
fn a_log_that_ends_before_what_the_manifest_knows_of_is_damage() {
    let (disk, clock) = (SimFs::new(5), SimClock::new(0));
    let db = twenty_writes(&disk, &clock);
    // The manifest says when that was.
    db.keyspace("another", alluvium::KeyspaceOptions::default()).unwrap();
    db.close().unwrap();
    rot_end_of_log(&disk);
    let error = large(&disk, &clock).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("the manifest knows of write 20"), "{error}");
    let report = check(Arc::new(disk), DIR, Depth::Quick).unwrap();
    assert!(!report.damage.is_empty(), "{report:?}");
}

/// What a flush has taken over may rot in the log, or never have reached it.
#[test]
fn a_log_that_ends_before_what_was_flushed_is_no_damage() {
    let (disk, clock) = (SimFs::new(5), SimClock::new(0));
    let db = twenty_writes(&disk, &clock);
    db.flush().unwrap();
    db.close().unwrap();
    rot_end_of_log(&disk);
    let report = check(Arc::new(disk.clone()), DIR, Depth::Quick).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
    let db = large(&disk, &clock).open().unwrap();
    assert_eq!(db.count().unwrap(), 20);
    db.insert("more", "").unwrap();
    db.close().unwrap();
    assert_eq!(large(&disk, &clock).open().unwrap().count().unwrap(), 21);
}

/// Zeroes in the second half of the last log segment.
fn rot_end_of_log(disk: &SimFs) {
    let (log, bytes) = files_with(disk, ".wal").last().unwrap();
    let file = disk.open_writable(&log).unwrap();
    file.write_all_at(&vec![0; bytes.len() / 2], bytes.len() as u64 / 2).unwrap();
    // The reserved length would tell of a file that was cut.
    file.write_all_at(&[0], 4095).unwrap();
}

/// The disk read one bit wrongly while the log was looked at, so that a record did not verify; the
/// copy of the log that an open makes durable left it out for good.
#[test]
fn a_bit_that_is_read_wrongly_for_once_makes_nothing_wrong_for_good() {
    let (disk, clock) = (SimFs::new(6), SimClock::new(0));
    let db = twenty_writes(&disk, &clock);
    let died = disk.kill();
    drop(db);
    for nth in 0.. {
        let disk = died.kill();
        let flip = FaultPlan::nth(0, Fault::FlippedRead).only_on(&[OpClass::Read]);
        disk.set_faults(flip.only_paths_with(".wal").skip(nth));
        let opened = large(&disk, &clock).open();
        let was_hit = disk.stats().faults > 0;
        disk.set_faults(FaultPlan::none());
        if let Ok(db) = opened {
            assert_eq!(db.count().unwrap(), 20, "read {nth} was wrong once");
        }
        let db = large(&disk.kill(), &clock).open().unwrap();
        assert_eq!(db.count().unwrap(), 20, "read {nth} was wrong once");
        if !was_hit {
            break;
        }
    }
}

/// On a full disk every attempt to open left a manifest behind, until there was no room at all.
#[test]
fn attempts_to_open_on_a_full_disk_do_not_pile_up_files() {
    let (disk, clock) = (SimFs::new(7), SimClock::new(0));
    let db = twenty_writes(&disk, &clock);
    let disk = { (disk.kill(), drop(db)).0 };
    for part in [".wal", "MANIFEST"] {
        for _ in 0..4 {
            disk.set_faults(FaultPlan::from_nth(0, Fault::Enospc).only_paths_with(part));
            let error = large(&disk, &clock).open().unwrap_err();
            assert!(error.is_disk_full(), "{error}");
        }
        assert_eq!(disk.files().iter().filter(|(path, _)| is_manifest(path)).count(), 1);
        assert_eq!(files_with(&disk, ".tmp").count(), 0);
    }
    disk.set_faults(FaultPlan::none());
    assert_eq!(large(&disk, &clock).open().unwrap().count().unwrap(), 20);
}

fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"))
}

/// `OPTIONS` holds nothing that opening needs; one that was far too long was refused all the same.
#[test]
fn a_file_of_options_that_is_far_too_long_is_written_anew() {
    let (disk, clock) = (SimFs::new(8), SimClock::new(0));
    let db = twenty_writes(&disk, &clock);
    db.close().unwrap();
    let (options, _) = files_with(&disk, "OPTIONS").next().unwrap();
    disk.open_writable(&options).unwrap().set_len(3 << 20).unwrap();
    assert_eq!(large(&disk, &clock).open().unwrap().count().unwrap(), 20);
    let (_, bytes) = files_with(&disk, "OPTIONS").next().unwrap();
    assert!(bytes.len() < 1000);
}
