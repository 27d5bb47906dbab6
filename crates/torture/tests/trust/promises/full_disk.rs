//! Promise 5: a full disk: writes stall, then fail with a clear error, nothing is corrupt, and once there is
//! room the database works again, after a reopen where the log or the manifest had failed.

use std::sync::Arc;
use std::time::Duration;

use alluvium::{Background, Clock, Error, ErrorKind, LogMode, Persist, Read};
use alluvium_base::SystemClock;
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimClock, SimFs};

use alluvium_torture::option_sets::OptionSet;
use alluvium_torture::states::read_all;

/// The error of a write that met a full disk tells what to do, and so does a poisoned one's cause.
fn says_what_to_do(error: &Error) -> bool {
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().all(|word| text.contains(word));
    let is_told = [
        (ErrorKind::Io, error.is_disk_full() && says(&["make room"])),
        (ErrorKind::Poisoned, says(&["make room", "reopen"])),
        (ErrorKind::WouldStall, says(&["raise"])),
    ];
    is_told.into_iter().any(|(kind, is_told)| kind == error.kind() && is_told)
}

/// Writes until the disk is full, then makes room.
fn fill(capacity: u64, mode: LogMode, background: Background) -> &'static str {
    let (disk, clock) = (SimFs::new(capacity), SimClock::new(0));
    disk.set_mapping_supported(mode == LogMode::Mapped);
    let open = || OptionSet::tiny(mode).builder(&disk, &clock).background(background).open();
    let db = open().unwrap();
    db.insert("first", "there is room").unwrap();
    disk.set_capacity(Some(capacity));
    let mut acknowledged = 0;
    let error = loop {
        let mut batch = db.batch();
        batch.insert(&db.default_keyspace(), format!("k{acknowledged:06}"), [7; 200]);
        let persist = if acknowledged % 4 == 0 { Persist::Sync } else { Persist::Buffer };
        match batch.commit(persist) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "the disk of {capacity} bytes is never full");
    };
    assert!(says_what_to_do(&error), "capacity {capacity}: {error}");
    let check = |db: &alluvium::Db| {
        let found = read_all(db).unwrap();
        let count = found["default"].len();
        // The write that failed may be there or not.
        assert!(count == acknowledged + 1 || count == acknowledged + 2, "{count}, {acknowledged}");
    };
    check(&db);

    disk.set_capacity(None);
    let outcome = if db.stats().unwrap().poisoned.is_some() {
        assert_eq!(db.insert("k", "v").unwrap_err().kind(), ErrorKind::Poisoned);
        "poisoned"
    } else {
        db.insert("room", "again").unwrap();
        db.flush().unwrap();
        db.compact().unwrap();
        db.remove("room").unwrap();
        "went on"
    };
    check(&db);
    drop(db);
    let db = open().unwrap();
    check(&db);
    db.insert("room", "again").unwrap();
    db.compact().unwrap();
    assert!(db.contains_key("room").unwrap());
    outcome
}

#[test]
fn a_full_disk_never_corrupts_and_room_makes_it_work_again() {
    let mut outcomes = std::collections::BTreeMap::new();
    for mode in [LogMode::Mapped, LogMode::Buffered] {
        for capacity in (16 << 10..80 << 10).step_by(500) {
            *outcomes
                .entry((fill(capacity, mode, Background::Manual), format!("{mode:?}")))
                .or_insert(0) += 1;
        }
    }
    println!("full disks: {outcomes:?}");
}

/// Background threads back off and writers wait, but not for ever.
#[test]
fn a_full_disk_with_background_threads_fails_writes_and_recovers() {
    for capacity in [20_000, 33_333, 50_000] {
        println!("{capacity}: {}", fill(capacity, LogMode::Mapped, Background::Threads(1)));
    }
}

/// Each pause is twice as long as the one before: a full disk is not hammered.
#[test]
fn a_flush_that_fails_is_tried_again_after_pauses_that_grow() {
    const FIRST_PAUSE: Duration = Duration::from_millis(20);
    let (disk, real) = (SimFs::new(1), SystemClock::new());
    let set = OptionSet { background: Background::Threads(1), ..OptionSet::tiny(LogMode::Mapped) };
    let builder = set.builder(&disk, &SimClock::new(0)).clock(Arc::new(SystemClock::new()));
    let db = builder.open().unwrap();
    let full = FaultPlan::from_nth(0, Fault::Enospc).only_on(&[OpClass::Create]);
    disk.set_faults(full.only_paths_with(".table"));
    disk.start_trace();
    db.insert("k", "v").unwrap();
    let attempts = || disk.trace().iter().filter(|op| op.class == OpClass::Create).count();
    let begun = real.monotonic();
    drop(db.flush().unwrap_err());
    while attempts() < 6 {
        real.sleep(Duration::from_millis(1));
    }
    let elapsed = real.monotonic().saturating_sub(begun);
    // Five pauses lie between six attempts: 20 ms and twice as much each time.
    assert!(elapsed >= FIRST_PAUSE * 31, "six attempts in {elapsed:?}");
    let error = db.flush().unwrap_err();
    assert!(says_what_to_do(&error), "{error}");
    assert!(db.stats().unwrap().poisoned.is_none(), "room is enough");
    disk.set_faults(FaultPlan::none());
    while db.flush().is_err() {}
    assert!(db.contains_key("k").unwrap());
    db.close().unwrap();
}
