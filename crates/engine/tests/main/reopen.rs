//! Closing, dying and opening again.

use std::sync::Arc;
use std::time::Duration;

use alluvium::fs::StdFs;
use alluvium::{Background, Db, Depth, ErrorKind, KeyspaceOptions, Persist, Read, check};
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimFs, Survival};

use crate::support::{manual_in, pairs, tiny, tiny_builder};

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let db = tiny_builder(dir.path()).open().unwrap();
        let other = db.keyspace("other", tiny()).unwrap();
        for n in 0..3000 {
            db.insert(format!("k{:05}", n * 7 % 3000), format!("{n}")).unwrap();
            other.insert(format!("{n}"), "").unwrap();
        }
        (pairs(&db), pairs(&other))
    };
    for _ in 0..3 {
        let db = tiny_builder(dir.path()).open().unwrap();
        let other = db.find_keyspace("other").unwrap().unwrap();
        assert_eq!((pairs(&db), pairs(&other)), before);
    }
    let report = check(Arc::new(StdFs), dir.path(), Depth::Deep).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert_eq!(report.keyspaces, 2);
}

#[test]
fn a_process_that_dies_loses_nothing_it_acknowledged() {
    let disk = SimFs::new(7);
    let options = |disk: &SimFs| {
        Db::builder("db")
            .fs(Arc::new(disk.clone()))
            .default_keyspace(tiny())
            .log_segment_size(64 << 10)
            .background(Background::Manual)
    };
    let db = options(&disk).open().unwrap();
    for n in 0..2000 {
        db.insert(format!("{n:05}"), format!("{n}")).unwrap();
    }
    let expected = pairs(&db);
    let found = disk.kill();
    let reopened = options(&found).open().unwrap();
    assert_eq!(pairs(&reopened), expected);
    drop(db);
}

/// After a crash without any sync, an open that copies nothing: what it found is there at once, and
/// durable before anything new is.
#[test]
fn a_long_end_of_the_log_is_flushed_before_the_first_sync() {
    let disk = SimFs::new(11);
    let options = |disk: &SimFs| {
        Db::builder("db")
            .fs(Arc::new(disk.clone()))
            .log_segment_size(64 << 10)
            .max_copied_log_bytes(0)
            .background(Background::Manual)
    };
    let db = options(&disk).open().unwrap();
    let other = db.keyspace("other", KeyspaceOptions::default()).unwrap();
    for n in 0..2000 {
        db.insert(format!("{n:05}"), format!("{n}")).unwrap();
        other.insert(format!("{n:05}"), format!("{n}")).unwrap();
    }
    let expected = pairs(&db);
    let killed = disk.kill();
    drop((db, other));

    let db = options(&killed).open().unwrap();
    assert_eq!(pairs(&db), expected);
    let tables = |db: &Db| {
        let keyspaces = db.stats().unwrap().keyspaces;
        keyspaces.iter().flat_map(|k| &k.levels).map(|level| level.tables.len()).sum::<usize>()
    };
    assert_eq!(tables(&db), 0);
    db.insert("later", "buffered").unwrap();
    // The machine goes down: nothing was ever synced, and so nothing need be there.
    let cut = options(&killed.crash(Survival::None)).open().unwrap();
    assert!(pairs(&cut).len() <= expected.len());
    drop(cut);

    let mut batch = db.batch();
    batch.insert(&db.default_keyspace(), "synced", "now");
    batch.commit(Persist::Sync).unwrap();
    assert_eq!(tables(&db), 2, "one for each keyspace");
    let cut = options(&killed.crash(Survival::None)).open().unwrap();
    assert_eq!(pairs(&cut).len(), expected.len() + 2);
    let other = cut.find_keyspace("other").unwrap().unwrap();
    assert_eq!(pairs(&other), expected);
    drop(db);
}

/// An idle keyspace does not hold back the log where an open must be quick.
#[test]
fn a_recovery_budget_holds_the_log_short() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Db::builder(dir.path()).recovery_budget(Duration::from_micros(1));
    let db = options().open().unwrap();
    let idle = db.keyspace("idle", KeyspaceOptions::default()).unwrap();
    idle.insert("one", "entry").unwrap();
    for n in 0..60_000_u32 {
        db.insert(n.to_be_bytes(), [7; 400]).unwrap();
    }
    db.wait_idle().unwrap();
    let log = db.stats().unwrap().log;
    // Of 25 MB that were written; twice what it is held to, for it grows on during a flush.
    assert!(log.live_bytes <= 8 << 20, "{log:?}");
    let expected = pairs(&db);
    drop((db, idle));
    let db = options().open().unwrap();
    assert_eq!(pairs(&db), expected);
}

#[test]
fn a_second_open_is_refused_and_leaves_the_first_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    for _ in 0..2 {
        assert_eq!(Db::open(dir.path()).unwrap_err().kind(), ErrorKind::Locked);
    }
    let locked = check(Arc::new(StdFs), dir.path(), Depth::Quick).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked);
    db.insert("k", "v").unwrap();
    db.close().unwrap();
    assert!(Db::open(dir.path()).unwrap().contains_key("k").unwrap());
}

#[test]
fn a_checkpoint_is_an_openable_database_of_that_moment() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(&dir.path().join("db")).open().unwrap();
    let other = db.keyspace("other", KeyspaceOptions::default()).unwrap();
    for n in 0..2000 {
        db.insert(format!("{n:05}"), "then").unwrap();
    }
    other.insert("k", "v").unwrap();
    let then = pairs(&db);
    let copy = dir.path().join("copy");
    db.checkpoint(&copy).unwrap();
    for n in 0..2000 {
        db.insert(format!("{n:05}"), "later").unwrap();
    }
    db.compact().unwrap();
    let copied = Db::open(&copy).unwrap();
    assert_eq!(pairs(&copied), then);
    assert!(copied.find_keyspace("other").unwrap().unwrap().contains_key("k").unwrap());
    copied.insert("a checkpoint", "can be written to").unwrap();
    assert_eq!(db.get("a checkpoint").unwrap(), None);
    assert_eq!(db.checkpoint(&copy).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_folder_without_a_database_is_only_made_one_when_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let error = Db::builder(dir.path()).create_if_missing(false).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        check(Arc::new(StdFs), dir.path(), Depth::Quick).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    std::fs::write(dir.path().join("000007.table"), "somebody's data").unwrap();
    let error = Db::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("CURRENT"));
}

#[test]
fn files_of_unfinished_work_and_of_the_past_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    {
        let db = manual_in(dir.path());
        for n in 0..3000 {
            db.insert(format!("{n:05}"), [0; 50]).unwrap();
        }
    }
    std::fs::write(dir.path().join("999999.table"), "half a compaction").unwrap();
    std::fs::write(dir.path().join("notes.txt"), "a stranger's").unwrap();
    let db = manual_in(dir.path());
    assert!(!dir.path().join("999999.table").exists());
    assert!(dir.path().join("notes.txt").exists());
    db.compact().unwrap();
    let stats = db.stats().unwrap();
    let live: usize = stats.keyspaces[0].levels.iter().map(|level| level.tables.len()).sum();
    let on_disk = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "table"))
        .count();
    assert_eq!(on_disk, live);
}

/// A handle that outlives its database must not write what an open left for later: the folder may be
/// another opener's by then.
#[test]
fn what_an_open_left_for_later_is_not_done_after_the_database_was_closed() {
    let disk = SimFs::new(13);
    let options = |disk: &SimFs| {
        Db::builder("db")
            .fs(Arc::new(disk.clone()))
            .log_segment_size(64 << 10)
            .max_copied_log_bytes(0)
            .background(Background::Manual)
    };
    let db = options(&disk).open().unwrap();
    for n in 0..100 {
        db.insert(format!("{n:05}"), "value").unwrap();
    }
    let killed = disk.kill();
    drop(db);
    let db = options(&killed).open().unwrap();
    let stray = db.default_keyspace();
    let mut batch = db.batch();
    // The close cannot settle it either.
    killed.set_faults(FaultPlan::nth(0, Fault::SyncFailsOnce).only_on(&[OpClass::Sync]));
    let closed = db.close();
    killed.set_faults(FaultPlan::none());
    assert!(closed.is_err());

    let next = options(&killed).open().unwrap();
    let before = killed.files().len();
    batch.insert(&stray, "stray", "write");
    assert_eq!(batch.commit(Persist::Sync).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(killed.files().len(), before);
    assert_eq!(next.count().unwrap(), 100);
}
