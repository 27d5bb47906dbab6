//! Bugs that were found by reading, each with its story.

use std::sync::Arc;
use std::time::Duration;

use alluvium::{Background, Clock, Db, ErrorKind, Filter, KeyspaceOptions, Persist, Put, Read};
use alluvium_base::sync::Mutex;
use alluvium_testkit::{Fault, FaultPlan, SimClock, SimFs};

use crate::support::{tiny, tiny_builder};

/// Runs something the next time it is asked.
#[derive(Debug)]
struct TrickClock {
    inner: SimClock,
    trick: Mutex<Option<Trick>>,
}

struct Trick(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Trick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trick")
    }
}

impl Clock for TrickClock {
    fn now_ms(&self) -> u64 {
        let trick = self.trick.lock().take();
        if let Some(Trick(trick)) = trick {
            trick();
        }
        self.inner.now_ms()
    }
    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }
    fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration);
    }
}

/// Compaction listed the snapshots first and asked the clock after. A snapshot taken in between,
/// before a value expired, lost that value.
#[test]
fn a_snapshot_taken_while_garbage_rules_are_made_keeps_what_is_alive_at_its_moment() {
    let clock = Arc::new(TrickClock { inner: SimClock::new(1000), trick: Mutex::new(None) });
    let db = Db::builder("db")
        .fs(Arc::new(alluvium::fs::MemFs::new()))
        .clock(clock.clone())
        .background(Background::Manual)
        .default_keyspace(tiny())
        .open()
        .unwrap();
    let brief = Put { ttl: Some(Duration::from_millis(3)), ..Put::default() };
    db.default_keyspace().put("k", "alive", brief).unwrap();
    let taken = Arc::new(Mutex::new(None));
    let trick = {
        let (db, clock, taken) = (db.clone(), clock.clone(), taken.clone());
        move || {
            *taken.lock() = Some(db.snapshot());
            clock.inner.advance_ms(5);
        }
    };
    *clock.trick.lock() = Some(Trick(Box::new(trick)));
    db.flush().unwrap();
    let snapshot = taken.lock().take().expect("the clock was asked");
    assert_eq!(snapshot.get("k").unwrap().as_deref(), Some(&b"alive"[..]));
    assert_eq!(db.get("k").unwrap(), None);
}

/// Nobody was woken when a snapshot went, so what only it saw stayed until the next flush, and
/// `wait_idle` waited for work that nobody did.
#[test]
fn what_only_a_dropped_snapshot_saw_goes_without_another_write() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).open().unwrap();
    for n in 0..100 {
        db.insert(format!("{n:03}"), [0; 100]).unwrap();
    }
    db.compact().unwrap();
    let snapshot = db.snapshot();
    for n in 0..100 {
        db.remove(format!("{n:03}")).unwrap();
    }
    db.compact().unwrap();
    db.wait_idle().unwrap();
    assert_eq!(snapshot.count().unwrap(), 100);
    drop(snapshot);
    db.wait_idle().unwrap();
}

/// The thread that calls back died with the callback, and all later ones were queued for ever.
#[test]
fn a_callback_that_panics_does_not_take_the_later_ones_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let commit_then = |then: Box<dyn FnOnce(alluvium::Result<()>) + Send>| {
        let mut batch = db.batch();
        batch.insert(&db.default_keyspace(), "k", "v");
        batch.commit_then(Persist::Sync, then).unwrap();
    };
    commit_then(Box::new(|_| panic!("a callback's own bug")));
    let (sender, receiver) = std::sync::mpsc::channel();
    commit_then(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap().unwrap();
}

/// A filter that tables refuse was stored with the keyspace: every flush failed, and so did every
/// open that had to flush.
#[test]
fn a_filter_that_no_table_can_have_is_refused_when_the_keyspace_is_made() {
    let db = Db::in_memory().unwrap();
    for bits_per_key in [0, 33, 255] {
        let filter = Filter::Blocked { bits_per_key };
        let options = KeyspaceOptions { filter, ..KeyspaceOptions::default() };
        assert_eq!(db.keyspace("k", options).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(db.keyspaces().unwrap(), ["default"]);
}

/// `close` gave the lock back while another thread's compaction was under way: it then removed
/// tables, under numbers that the next opener used as well.
#[test]
fn a_close_waits_for_compactions_on_other_threads() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10u32 {
        let db = tiny_builder(dir.path()).open().unwrap();
        for n in 0..1000u32 {
            db.insert(format!("{n:05}"), format!("{round}")).unwrap();
        }
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..2).map(|_| db.clone()).collect();
            for other in others {
                scope.spawn(move || while other.compact().is_ok() {});
            }
            db.close().unwrap();
        });
        let db = tiny_builder(dir.path()).open().unwrap();
        assert_eq!(db.count().unwrap(), 1000);
        assert_eq!(db.get("00999").unwrap(), Some(format!("{round}").into()));
    }
}

/// Callbacks of two threads were queued outside the lock that orders the writes.
#[test]
fn callbacks_come_in_the_order_of_the_writes_of_all_threads() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (db, order) = (db.clone(), order.clone());
            scope.spawn(move || {
                for n in 0..50u8 {
                    let mut batch = db.batch();
                    batch.insert(&db.default_keyspace(), "last", [thread, n]);
                    let order = order.clone();
                    let note = move |result: alluvium::Result<()>| {
                        result.unwrap();
                        order.lock().push([thread, n]);
                    };
                    batch.commit_then(Persist::Sync, note).unwrap();
                }
            });
        }
    });
    let last = db.get("last").unwrap().unwrap();
    db.close().unwrap();
    let order = order.lock();
    assert_eq!(order.len(), 200);
    assert_eq!(order[199], last[..]);
}

/// A checkpoint copied the log byte for byte. One bit read wrong on the way, and the copy opened with
/// most of what was synced missing: a torn tail, for nothing in the copy said that it was durable.
#[test]
fn a_checkpoint_made_while_a_bit_is_read_wrong_holds_everything_or_fails() {
    const COUNT: u8 = 60;
    let open = |disk: &SimFs, dir: &str| {
        Db::builder(dir)
            .fs(Arc::new(disk.clone()))
            .clock(Arc::new(SimClock::new(1)))
            .background(Background::Manual)
            .log_segment_size(4096)
            .max_log_bytes(1 << 20)
            .open()
    };
    for nth in 0..60 {
        let disk = SimFs::new(nth);
        let db = open(&disk, "db").unwrap();
        for n in 0..COUNT {
            db.insert([n], [n; 100]).unwrap();
        }
        db.persist(Persist::Sync).unwrap();
        disk.set_faults(FaultPlan::nth(disk.op_count() + nth, Fault::FlippedRead));
        let made = db.checkpoint("copy");
        disk.set_faults(FaultPlan::none());
        if made.is_err() {
            continue;
        }
        let copy = open(&disk.kill(), "copy").unwrap();
        assert_eq!(copy.count().unwrap(), u64::from(COUNT), "a bit was read wrong in read {nth}");
    }
}
