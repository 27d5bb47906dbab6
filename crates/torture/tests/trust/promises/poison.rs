//! Promise 4: the first failed write or sync of the log or the manifest poisons the database.

use std::time::Duration;

use alluvium::{
    Background, Condition, Db, Error, ErrorKind, KeyspaceOptions, LogMode, Persist, Put, Read,
};
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimClock, SimFs, Survival};

use alluvium_torture::option_sets::OptionSet;

/// Where the failure is: what fails, in which file, and what the caller does to meet it.
#[derive(Clone, Copy, Debug)]
struct Place {
    mode: LogMode,
    class: OpClass,
    path: &'static str,
    trigger: fn(&Db) -> alluvium::Result<()>,
}

/// Two keys at once: they are there together or not at all.
fn write(db: &Db, persist: Persist) -> alluvium::Result<()> {
    let mut batch = db.batch();
    batch.insert(&db.default_keyspace(), "failed 1", "x").insert(
        &db.default_keyspace(),
        "failed 2",
        "x",
    );
    batch.commit(persist)
}

const PLACES: [Place; 7] = [
    Place {
        mode: LogMode::Buffered,
        class: OpClass::Write,
        path: ".wal",
        trigger: |db| write(db, Persist::Buffer),
    },
    Place {
        mode: LogMode::Buffered,
        class: OpClass::Sync,
        path: ".wal",
        trigger: |db| write(db, Persist::Sync),
    },
    Place {
        mode: LogMode::Mapped,
        class: OpClass::Sync,
        path: ".wal",
        trigger: |db| write(db, Persist::Sync),
    },
    Place {
        mode: LogMode::Mapped,
        class: OpClass::Sync,
        path: ".wal",
        trigger: |db| write(db, Persist::Buffer).and_then(|()| db.persist(Persist::Sync)),
    },
    Place { mode: LogMode::Mapped, class: OpClass::Write, path: "MANIFEST", trigger: Db::flush },
    Place { mode: LogMode::Buffered, class: OpClass::Sync, path: "MANIFEST", trigger: Db::flush },
    Place {
        mode: LogMode::Mapped,
        class: OpClass::Sync,
        path: "MANIFEST",
        trigger: |db| db.keyspace("new", KeyspaceOptions::default()).map(drop),
    },
];

const FAULTS: [Fault; 5] =
    [Fault::Eio, Fault::EioButDone, Fault::TornWrite, Fault::Enospc, Fault::SyncFailsOnce];

fn open(place: &Place, disk: &SimFs, clock: &SimClock) -> Db {
    // Memtables so large that nothing is flushed unless it is asked for.
    let keyspace = KeyspaceOptions::default();
    let set = OptionSet { keyspace, log_segment_size: 8 << 10, ..OptionSet::tiny(place.mode) };
    set.builder(disk, clock).open().unwrap()
}

/// Every way to write.
fn refused_writes(db: &Db) -> Vec<(&'static str, Error)> {
    let keyspace = db.default_keyspace();
    let once = Put { ttl: Some(Duration::from_secs(1)), only_if: Condition::Absent };
    let mut batch = db.batch();
    batch.insert(&keyspace, "k", "v");
    let mut called = db.batch();
    called.insert(&keyspace, "k", "v");
    let attempts = [
        ("insert", db.insert("k", "v")),
        ("remove", db.remove("k")),
        ("put", keyspace.put("k", "v", once)),
        ("commit", batch.commit(Persist::Buffer)),
        ("commit_then", called.commit_then(Persist::Sync, |_| panic!("it was refused"))),
        ("persist", db.persist(Persist::Sync)),
        ("flush", db.flush()),
        ("compact", db.compact()),
        ("step", db.step().map(drop)),
        ("wait_idle", db.wait_idle()),
        ("keyspace", db.keyspace("another", KeyspaceOptions::default()).map(drop)),
        ("drop_keyspace", db.drop_keyspace("other")),
        ("checkpoint", db.checkpoint("copies/poisoned")),
    ];
    attempts.map(|(what, answer)| (what, answer.unwrap_err())).into()
}

/// Poisoned, and it says why.
fn names_cause(what: &str, error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{what}: {error}");
    let text = error.to_string();
    assert!(text.contains("simulated") && text.contains("reopen"), "{what}: {text}");
}

/// How many of the keys written before are there, and whether the failed write is.
fn found(db: &Db) -> (usize, bool) {
    let before = db.prefix("before").count();
    let failed = db.get_many(["failed 1", "failed 2"]).unwrap();
    assert_eq!(failed[0].is_some(), failed[1].is_some(), "half of a batch");
    (before, failed[0].is_some())
}

/// Fails once at this place, and looks at all that the promise says.
fn try_place(place: &Place, fault: Fault) {
    let (disk, clock) = (SimFs::new(1), SimClock::new(0));
    disk.set_mapping_supported(place.mode == LogMode::Mapped);
    let db = open(place, &disk, &clock);
    db.keyspace("other", KeyspaceOptions::default()).unwrap();
    for n in 0..10 {
        db.insert(format!("before {n}"), "acknowledged").unwrap();
    }
    db.persist(Persist::Sync).unwrap();
    let snapshot = db.snapshot();
    let mut scan = db.iter();
    scan.next().unwrap().unwrap();

    disk.set_faults(FaultPlan::nth(0, fault).only_on(&[place.class]).only_paths_with(place.path));
    let error = (place.trigger)(&db).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("simulated")), (ErrorKind::Io, true));
    assert_eq!(error.is_disk_full(), fault == Fault::Enospc);

    // From here on the disk is sound, and still nothing is tried again.
    disk.set_faults(FaultPlan::none());
    disk.start_trace();
    assert!(db.stats().unwrap().poisoned.unwrap().contains("simulated"));
    for (what, error) in refused_writes(&db) {
        names_cause(what, &error);
    }
    assert_eq!(found(&db).0, 10);
    assert_eq!(snapshot.prefix("before").count(), 10);
    assert!(!snapshot.contains_key("failed 1").unwrap());
    assert_eq!(db.snapshot().prefix("before").rev().count(), 10);
    assert!(scan.all(|entry| entry.is_ok()));
    let lost_power = disk.crash(Survival::None);
    drop(snapshot);
    names_cause("close", &db.close().unwrap_err());
    let touched = disk.trace().into_iter().find(|op| {
        matches!(op.class, OpClass::Sync | OpClass::Write)
            && op.path.to_string_lossy().contains(place.path)
    });
    assert!(touched.is_none(), "tried again: {touched:?}");
    check_recovery(place, &disk, &clock);
    assert_eq!(found(&open(place, &lost_power, &clock)).0, 10);
}

/// Reopened, everything acknowledged is there; the failed write is there or not, and stays so.
fn check_recovery(place: &Place, disk: &SimFs, clock: &SimClock) {
    let db = open(place, disk, clock);
    let (before, failed) = found(&db);
    assert_eq!(before, 10);
    // The next write gets a number that nothing in the database has.
    let then = db.snapshot();
    let mut batch = db.batch();
    batch.insert(&db.default_keyspace(), "after", "acknowledged");
    batch.commit(Persist::Sync).unwrap();
    assert!(db.snapshot().seq() > then.seq());
    assert!(!then.contains_key("after").unwrap());
    for survival in [Survival::None, Survival::All, Survival::Random(7)] {
        let again = open(place, &disk.crash(survival), clock);
        assert_eq!(found(&again), (10, failed), "{survival:?}: it came back, or went");
        assert!(again.contains_key("after").unwrap(), "{survival:?}");
        again.insert("and on", "it goes").unwrap();
        again.compact().unwrap();
        assert_eq!(found(&again), (10, failed));
    }
}

#[test]
fn the_first_failed_write_or_sync_poisons_and_reopening_recovers() {
    let mut count = 0;
    for place in PLACES {
        for fault in FAULTS.into_iter().filter(|fault| fault.applies_to(place.class)) {
            println!("{fault:?} at {:?} of {} ({:?})", place.class, place.path, place.mode);
            try_place(&place, fault);
            count += 1;
        }
    }
    assert!(count > 20, "only {count}");
}

/// With threads, the failure of a flush in the background poisons as well, and whoever waits for
/// that flush is told.
#[test]
fn a_manifest_that_fails_in_the_background_poisons_too() {
    let (disk, clock) = (SimFs::new(2), SimClock::new(0));
    let set = OptionSet { background: Background::Threads(1), ..OptionSet::tiny(LogMode::Mapped) };
    let db = set.builder(&disk, &clock).open().unwrap();
    let plan = FaultPlan::nth(0, Fault::SyncFailsOnce).only_on(&[OpClass::Sync]);
    disk.set_faults(plan.only_paths_with("MANIFEST"));
    let error = (0..).find_map(|n| db.insert(format!("k{n}"), [0; 100]).err()).unwrap();
    names_cause("insert", &error);
    names_cause("close", &db.close().unwrap_err());
    let db = set.builder(&disk, &clock).open().unwrap();
    assert!(db.contains_key("k0").unwrap());
}
