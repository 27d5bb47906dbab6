//! The whole engine under schedules of shuttle's choice, on a simulated disk.
//!
//! Every lock, condition variable, shared pointer and thread of the engine is shuttle's, and so is
//! each look at an atomic that orders something; each operation of the disk is a step as well. What
//! is found this way: deadlocks, wake-ups that are lost, locks taken in the wrong order, and answers
//! that only some schedules give. What is not: weak memory, for which there are the loom models, and
//! data races, for which there is the thread sanitizer.

use std::sync::Arc;
use std::time::Duration;

use alluvium::{
    Background, Builder, Db, ErrorKind, Keyspace, KeyspaceOptions, LogMode, Persist, Read, Result,
};
use alluvium_base::sync::atomic::{AtomicU64, Ordering};
use alluvium_base::sync::thread::{self, JoinHandle};
use alluvium_base::sync::{Mutex, draw, explore};
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimClock, SimFs, Survival};

const DIR: &str = "/db";

/// A disk each of whose operations lets the other threads in.
fn disk() -> SimFs {
    let disk = SimFs::new(draw(u64::MAX));
    disk.observe(Some(Arc::new(|_, _| thread::sleep(Duration::ZERO))));
    disk
}

/// Memtables of a single entry, of a few, or of all: each write may rotate, stall, flush or compact,
/// or meet the others in the same memtable.
fn tiny() -> KeyspaceOptions {
    KeyspaceOptions {
        write_buffer_size: [3 << 10, 6 << 10, 64 << 10][draw(3) as usize],
        max_write_buffers: 2,
        block_size: 256,
        l0_trigger: 2,
        level_base_bytes: 2 << 10,
        target_file_size: 1 << 10,
        ..KeyspaceOptions::default()
    }
}

fn builder(disk: &SimFs, background: Background) -> Builder {
    Db::builder(DIR)
        .fs(Arc::new(disk.clone()))
        .clock(Arc::new(SimClock::new(1_000)))
        .log_mode(LogMode::Buffered)
        .log_segment_size(4 << 10)
        .max_log_bytes(12 << 10)
        .cache_bytes(8 << 10)
        .default_keyspace(tiny())
        .background(background)
}

/// Half of all executions have background threads, half make the callers work.
fn any_background() -> Background {
    if draw(2) == 0 { Background::Threads(1 + draw(2) as usize) } else { Background::Manual }
}

fn any_persist() -> Persist {
    if draw(3) == 0 { Persist::Sync } else { Persist::Buffer }
}

fn value(count: u64) -> Vec<u8> {
    format!("{count:08}").repeat(40).into_bytes()
}

fn count_of(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(&value[..8]).unwrap();
    assert_eq!(value, self::value(text.parse().unwrap()), "a value is whole");
    text.parse().unwrap()
}

fn read_count(reader: &impl Read, key: &str) -> Result<u64> {
    Ok(reader.get(key)?.map_or(0, |value| count_of(&value)))
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Refused because the database was closed, and for no other reason.
fn unless_closed<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            None
        }
    }
}

/// Writers count upwards in two keyspaces at once, small memtables rotate, flush and compact beneath
/// them. Snapshots see both keyspaces at one moment, scans agree with gets, and nobody goes backwards.
#[test]
fn readers_see_one_moment_across_keyspaces() {
    explore("readers_see_one_moment_across_keyspaces", || {
        let disk = disk();
        let db = builder(&disk, any_background()).open().unwrap();
        let other = db.keyspace("other", tiny()).unwrap();
        let mut threads = Vec::new();
        for writer in 0..2 {
            let (db, other) = (db.clone(), other.clone());
            threads.push(thread::spawn(move || {
                for count in 1..=5 {
                    let (key, mut batch) = (format!("w{writer}"), db.batch());
                    batch.insert(&db.default_keyspace(), &key, value(count));
                    batch.insert(&other, &key, value(count));
                    batch.commit(any_persist()).unwrap();
                    assert_eq!(read_count(&db, &key).unwrap(), count, "a writer reads its write");
                }
            }));
        }
        {
            let (db, other) = (db.clone(), other.clone());
            threads.push(thread::spawn(move || {
                let mut before = [0; 2];
                for _ in 0..4 {
                    let snapshot = db.snapshot();
                    for writer in [0, 1] {
                        let key = format!("w{writer}");
                        let count = read_count(&snapshot, &key).unwrap();
                        assert_eq!(read_count(&snapshot.of(&other), &key).unwrap(), count);
                        assert!(count >= before[writer], "{count} after {}", before[writer]);
                        before[writer] = count;
                    }
                    let scanned: Vec<_> = snapshot.of(&other).iter().map(Result::unwrap).collect();
                    let counts: Vec<_> = scanned.iter().map(|(_, v)| count_of(v)).collect();
                    assert_eq!(counts, before.into_iter().filter(|c| *c > 0).collect::<Vec<_>>());
                }
            }));
        }
        join(threads);
        db.wait_idle().unwrap();
        db.close().unwrap();
    });
}

/// Everything at once, and somebody closes the database. Every call returns; the next opener finds
/// all that was acknowledged, and nobody who is still about.
#[test]
fn closing_waits_for_everyone_and_loses_nothing() {
    explore("closing_waits_for_everyone_and_loses_nothing", || {
        let disk = disk();
        let background = any_background();
        let db = builder(&disk, background).open().unwrap();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        {
            let (db, acknowledged) = (db.clone(), Arc::clone(&acknowledged));
            threads.push(thread::spawn(move || {
                for count in 1..=6 {
                    let mut batch = db.batch();
                    batch.insert(&db.default_keyspace(), "count", value(count));
                    match unless_closed(batch.commit(any_persist())) {
                        Some(()) => acknowledged.store(count, Ordering::SeqCst),
                        None => return,
                    }
                }
            }));
        }
        let works: [fn(&Db) -> Result<()>; 4] = [
            |db| db.flush(),
            |db| db.compact(),
            |db| db.checkpoint(format!("/copy{}", draw(u64::MAX))),
            |db| db.persist(Persist::Sync).and_then(|()| db.wait_idle()),
        ];
        for _ in 0..2 {
            let (db, work) = (db.clone(), works[draw(4) as usize]);
            threads.push(thread::spawn(move || {
                unless_closed(work(&db));
            }));
        }
        for _ in 0..draw(40) {
            thread::yield_now();
        }
        unless_closed(db.clone().close());
        // Whoever was in the middle of a call must not be in the way of the next opener.
        let next = builder(&disk, background).open().unwrap();
        let found = read_count(&next, "count").unwrap();
        for count in 1..=4 {
            next.insert("next", value(count)).unwrap();
            next.flush().unwrap();
        }
        next.compact().unwrap();
        join(threads);
        let acknowledged = acknowledged.load(Ordering::SeqCst);
        assert!(found == acknowledged || found == acknowledged + 1, "{found} of {acknowledged}");
        next.close().unwrap();
        let last = builder(&disk, background).open().unwrap();
        assert_eq!(read_count(&last, "count").unwrap(), found);
        assert_eq!(read_count(&last, "next").unwrap(), 4);
    });
}

/// Keyspaces are dropped while others write to them, flush and compact them, and created again.
#[test]
fn keyspaces_come_and_go() {
    explore("keyspaces_come_and_go", || {
        let disk = disk();
        let db = builder(&disk, any_background()).open().unwrap();
        let mut threads = Vec::new();
        for worker in 0..2 {
            let db = db.clone();
            threads.push(thread::spawn(move || {
                for round in 1..=2 {
                    // Closed means dropped here: the database stays open.
                    let use_it = |keyspace: Keyspace| {
                        for count in 0..3 {
                            keyspace.insert(format!("{worker}{count}"), value(round))?;
                        }
                        keyspace.flush()?;
                        keyspace.insert("last", value(round))?;
                        keyspace.compact()
                    };
                    unless_closed(db.keyspace("brief", tiny()).and_then(use_it));
                    db.insert(format!("kept{worker}"), value(round)).unwrap();
                }
            }));
        }
        {
            let db = db.clone();
            threads.push(thread::spawn(move || {
                for _ in 0..2 {
                    if let Err(error) = db.drop_keyspace("brief") {
                        assert_eq!(error.kind(), ErrorKind::Invalid, "there is none: {error}");
                    }
                    assert!(db.keyspaces().unwrap().contains(&"default".to_owned()));
                }
            }));
        }
        join(threads);
        for worker in 0..2 {
            assert_eq!(read_count(&db, &format!("kept{worker}")).unwrap(), 2);
        }
        db.wait_idle().unwrap();
        db.close().unwrap();
        let db = builder(&disk, Background::Manual).open().unwrap();
        assert_eq!(read_count(&db, "kept0").unwrap(), 2);
    });
}

/// Callbacks are called once each, in the order of their batches, and not before the power may fail;
/// also when the database closes or the disk dies meanwhile.
#[test]
fn callbacks_are_called_once_and_in_order() {
    explore("callbacks_are_called_once_and_in_order", || {
        let disk = disk();
        let db = builder(&disk, any_background()).open().unwrap();
        let is_sick = draw(2) == 0;
        if is_sick {
            let dead = FaultPlan::from_nth(draw(6), Fault::SyncFailsOnce);
            disk.set_faults(dead.only_on(&[OpClass::Sync]).only_paths_with(".wal"));
        }
        let called = Arc::new(Mutex::new(Vec::new()));
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let writer = {
            let (db, called, accepted) = (db.clone(), Arc::clone(&called), Arc::clone(&accepted));
            let disk = disk.clone();
            thread::spawn(move || {
                for count in 1..=4 {
                    let mut batch = db.batch();
                    batch.insert(&db.default_keyspace(), "count", value(count));
                    let (calls, disk) = (Arc::clone(&called), disk.clone());
                    let callback = move |result: Result<()>| {
                        let image = result.is_ok().then(|| disk.crash(Survival::None));
                        calls.lock().push((count, image));
                    };
                    if batch.commit_then(Persist::Sync, callback).is_ok() {
                        accepted.lock().push(count);
                    }
                }
            })
        };
        for _ in 0..draw(60) {
            thread::yield_now();
        }
        let closed = db.close();
        assert!(is_sick || closed.is_ok(), "{closed:?}");
        writer.join().unwrap();
        let called = std::mem::take(&mut *called.lock());
        let counts: Vec<u64> = called.iter().map(|(count, _)| *count).collect();
        assert_eq!(counts, *accepted.lock());
        for (count, image) in called.into_iter().filter_map(|(c, image)| Some((c, image?))) {
            let db = builder(&image, Background::Manual).open().unwrap();
            assert!(read_count(&db, "count").unwrap() >= count, "{count} was durable");
        }
    });
}

/// The first sync that fails ends all writing: every writer that waits for it is told, nobody is left
/// waiting, reads go on.
#[test]
fn a_failed_sync_reaches_everyone_who_waits() {
    explore("a_failed_sync_reaches_everyone_who_waits", || {
        let disk = disk();
        let db = builder(&disk, any_background()).open().unwrap();
        let classes = [OpClass::Sync, OpClass::Write, OpClass::SyncDir, OpClass::Create];
        let class = classes[draw(4) as usize];
        disk.set_faults(FaultPlan::from_nth(draw(12), Fault::Eio).only_on(&[class]));
        let mut threads = Vec::new();
        for writer in 0..3 {
            let db = db.clone();
            threads.push(thread::spawn(move || {
                let mut acknowledged = 0;
                for count in 1..=4 {
                    let mut batch = db.batch();
                    batch.insert(&db.default_keyspace(), format!("w{writer}"), value(count));
                    match batch.commit(Persist::Sync) {
                        Ok(()) => acknowledged = count,
                        Err(error) => {
                            let kinds = [ErrorKind::Io, ErrorKind::Poisoned];
                            assert!(kinds.contains(&error.kind()), "{error}");
                        }
                    }
                }
                let found = read_count(&db, &format!("w{writer}")).unwrap();
                assert!(found >= acknowledged, "{found} of {acknowledged}: reads go on");
            }));
        }
        {
            let db = db.clone();
            threads.push(thread::spawn(move || drop(db.flush())));
        }
        join(threads);
        drop(db.close());
    });
}

/// A flush that fails a few times is tried again, and writers that wait for it get on.
#[test]
fn writers_outlast_a_disk_that_is_full_for_a_while() {
    explore("writers_outlast_a_disk_that_is_full_for_a_while", || {
        let disk = disk();
        let db = builder(&disk, Background::Threads(1)).open().unwrap();
        let failures = 1 + draw(2);
        let mut plan = FaultPlan::nth(0, Fault::Enospc).only_on(&[OpClass::Create]);
        for n in 1..failures {
            plan = plan.and(FaultPlan::nth(n, Fault::Enospc).only_on(&[OpClass::Create]));
        }
        disk.set_faults(plan.only_paths_with(".table"));
        let mut threads = Vec::new();
        for writer in 0..2 {
            let db = db.clone();
            threads.push(thread::spawn(move || {
                for count in 1..=8 {
                    db.insert(format!("w{writer}"), value(count)).unwrap();
                }
            }));
        }
        join(threads);
        assert_eq!(read_count(&db, "w0").unwrap(), 8);
        db.close().unwrap();
    });
}

/// A conditional write and its check are one step, whatever rotates, flushes or stalls between.
#[test]
fn conditional_writes_lose_no_increment() {
    explore("conditional_writes_lose_no_increment", || {
        let disk = disk();
        let db = builder(&disk, any_background()).open().unwrap();
        db.insert("count", value(0)).unwrap();
        let threads = (0..2).map(|_| {
            let keyspace = db.default_keyspace();
            thread::spawn(move || {
                let mut done = 0;
                while done < 3 {
                    let old = keyspace.get("count").unwrap().unwrap();
                    let next = value(count_of(&old) + 1);
                    let only_if = alluvium::Condition::Equals(old);
                    match keyspace.put("count", next, alluvium::Put { ttl: None, only_if }) {
                        Ok(()) => done += 1,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                    }
                }
            })
        });
        let mut threads: Vec<_> = threads.collect();
        let flusher = db.clone();
        threads.push(thread::spawn(move || flusher.flush().unwrap()));
        join(threads);
        assert_eq!(read_count(&db, "count").unwrap(), 6);
        db.close().unwrap();
    });
}

/// Found by `a_failed_sync_reaches_everyone_who_waits`: a writer found the flush taken by another
/// one, looked again once that was done and more was waiting, and gave up though there was work that
/// it could have done.
#[test]
fn writers_that_work_for_themselves_are_not_refused() {
    explore("writers_that_work_for_themselves_are_not_refused", || {
        let disk = disk();
        let db = builder(&disk, Background::Manual).open().unwrap();
        let threads = (0..3).map(|writer| {
            let db = db.clone();
            thread::spawn(move || {
                for count in 1..=8 {
                    db.insert(format!("w{writer}"), value(count)).unwrap();
                }
            })
        });
        join(threads.collect());
        db.close().unwrap();
    });
}
