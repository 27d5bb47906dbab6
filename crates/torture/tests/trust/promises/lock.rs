//! Promise 6: one opener at a time; the lock holds while its owner lives, and no longer.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use alluvium::fs::{Fs, StdFs};
use alluvium::{Background, ErrorKind, LogMode, Persist, Read};
use alluvium_testkit::{OpClass, SimClock, SimFs};
use alluvium_torture::kill::{Task, builder, lines, spawn};
use alluvium_torture::option_sets::OptionSet;

fn child() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_torture"))
}

/// What a process is told that opens the folder.
fn opened_elsewhere(dir: &Path) -> Option<String> {
    let mut child = spawn(child(), Task::Open, dir, 0).unwrap();
    let outcome = lines(&mut child).next();
    if outcome.as_deref() == Some("open") {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    outcome
}

fn kind_of_open(dir: &Path) -> Option<ErrorKind> {
    builder(dir).open().err().map(|error| error.kind())
}

#[test]
fn a_second_opener_is_refused_and_a_killed_one_gives_back_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path()).open().unwrap();
    db.insert("k", "v").unwrap();
    // The refusal must not give the lock away either, to nobody.
    for _ in 0..2 {
        assert_eq!(kind_of_open(dir.path()), Some(ErrorKind::Locked));
        assert_eq!(opened_elsewhere(dir.path()).as_deref(), Some("Locked"));
    }
    assert!(db.contains_key("k").unwrap());
    let text = builder(dir.path()).open().unwrap_err().to_string();
    assert!(text.contains("LOCK") && text.contains("already open"), "{text}");
    db.close().unwrap();
    assert_eq!(opened_elsewhere(dir.path()).as_deref(), Some("open"));

    let mut holder = spawn(child(), Task::Open, dir.path(), 0).unwrap();
    assert_eq!(lines(&mut holder).next().as_deref(), Some("open"));
    assert_eq!(kind_of_open(dir.path()), Some(ErrorKind::Locked));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(builder(dir.path()).open().unwrap().contains_key("k").unwrap());
}

/// The same path, from where this process stands.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let up = here.components().skip(1).map(|_| "..");
    up.collect::<PathBuf>().join(path.strip_prefix("/").unwrap())
}

#[test]
fn another_name_of_the_same_folder_is_refused_as_well() {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().canonicalize().unwrap().join("db");
    let db = builder(&dir).open().unwrap();
    db.insert("k", "v").unwrap();
    let link = dir.with_file_name("link");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    // A folder has no second hard link, its files have: the lock is the file, not its name.
    let linked = dir.with_file_name("linked");
    StdFs.create_dir_all(&linked).unwrap();
    for name in StdFs.list(&dir).unwrap() {
        StdFs.hard_link(&dir.join(&name), &linked.join(&name)).unwrap();
    }
    let names = [link, relative(&dir), dir.join("../db/."), linked];
    for name in &names {
        assert_eq!(kind_of_open(name), Some(ErrorKind::Locked), "{}", name.display());
        assert_eq!(opened_elsewhere(name).as_deref(), Some("Locked"), "{}", name.display());
    }
    assert!(db.contains_key("k").unwrap());
    db.close().unwrap();
    for name in &names[..3] {
        assert!(builder(name).open().unwrap().contains_key("k").unwrap(), "{}", name.display());
    }
}

/// A database was closed and could not be opened again: another thread was starting a process at
/// that moment, and the child had inherited the lock.
#[test]
fn a_closed_database_opens_again_while_processes_are_started() {
    let dir = tempfile::tempdir().unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        for n in 0..60 {
            let opened = builder(dir.path()).background(Background::Manual).open();
            if let Err(error) = &opened {
                is_done.store(true, Ordering::Relaxed);
                panic!("opened and closed {n} times: {error}");
            }
            opened.unwrap().close().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

/// The second of two threads that closed was told `Ok` while the first was still at it: the lock was
/// held, and the log was being synced.
#[test]
fn whoever_closes_second_returns_when_the_database_is_closed() {
    for round in 0..20 {
        let (disk, clock) = (SimFs::new(round), SimClock::new(0));
        let set =
            OptionSet { background: Background::Threads(1), ..OptionSet::tiny(LogMode::Mapped) };
        let db = set.builder(&disk, &clock).open().unwrap();
        db.insert("k", "v").unwrap();
        disk.start_trace();
        // The last sync takes its time.
        disk.observe(Some(Arc::new(|_, _| (0..100).for_each(|_| std::thread::yield_now()))));
        let both = Barrier::new(2);
        let (both, disk) = (&both, &disk);
        let close = |db: alluvium::Db| {
            both.wait();
            db.close().unwrap();
            disk.trace().iter().filter(|op| op.class == OpClass::Sync).count()
        };
        let other = db.clone();
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(move || close(other));
            (close(db), other.join().unwrap())
        });
        assert!(one > 0 && one == two, "syncs seen by those who closed: {one}, {two}");
        assert!(set.builder(disk, &clock).open().unwrap().contains_key("k").unwrap());
    }
}

/// Both would wait for each other: closing for the callback's thread, the callback for the closing.
#[test]
fn a_callback_that_closes_second_is_refused_instead_of_waiting() {
    let (disk, clock) = (SimFs::new(1), SimClock::new(0));
    let set = OptionSet { background: Background::Threads(1), ..OptionSet::tiny(LogMode::Mapped) };
    let db = set.builder(&disk, &clock).open().unwrap();
    let mut batch = db.batch();
    batch.insert(&db.default_keyspace(), "k", "v");
    let (told, answer) = std::sync::mpsc::channel();
    let other = db.clone();
    batch
        .commit_then(Persist::Sync, move |outcome| {
            outcome.unwrap();
            while other.stats().is_ok() {
                std::thread::yield_now();
            }
            told.send(other.close().map_err(|error| error.kind())).unwrap();
        })
        .unwrap();
    db.close().unwrap();
    assert_eq!(answer.recv().unwrap(), Err(ErrorKind::Closed));
}

/// A lock of the simulated disk is like a real one.
#[test]
fn the_simulated_disk_refuses_a_second_opener_too() {
    let (disk, clock) = (SimFs::new(1), SimClock::new(0));
    let set = OptionSet::tiny(LogMode::Mapped);
    let db = set.builder(&disk, &clock).open().unwrap();
    for _ in 0..2 {
        assert_eq!(set.builder(&disk, &clock).open().unwrap_err().kind(), ErrorKind::Locked);
    }
    db.close().unwrap();
    drop(set.builder(&disk, &clock).open().unwrap());
}
