//! A full disk: writes stall, then fail with a clear error, nothing is corrupt, and once there is
//! room the database works again, after a reopen where the log or the manifest had failed.

use alluvium::{Background, Error, ErrorKind, LogMode, Persist, Read};
use alluvium_testkit::{SimClock, SimFs};

use alluvium_torture::option_sets::OptionSet;
use alluvium_torture::states::read_all;

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
    let is_clear = |error: &Error| {
        error.is_disk_full()
            || error.kind() == ErrorKind::WouldStall
            || error.to_string().contains("disk is full")
    };
    assert!(is_clear(&error), "capacity {capacity}: {error}");
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
