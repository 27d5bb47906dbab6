//! Writers are slowed before they have to wait.

use std::sync::Arc;

use alluvium::{Background, Db, KeyspaceOptions, StallCause, StallStats};
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimClock, SimFs};

fn held_by_memtables(db: &Db) -> StallStats {
    let stalls = db.stats().unwrap().stalls;
    stalls.into_iter().find(|stall| stall.cause == StallCause::Memtables).unwrap()
}

/// Writers went on at full speed until all memtables were full, and then waited for as long as a flush
/// takes, a tenth of a second and more.
#[test]
fn writers_are_slowed_while_they_fill_the_last_memtable() {
    let disk = SimFs::new(1);
    let keyspace = KeyspaceOptions {
        write_buffer_size: 256 << 10,
        max_write_buffers: 2,
        ..KeyspaceOptions::default()
    };
    let db = Db::builder("/db")
        .fs(Arc::new(disk.clone()))
        .clock(Arc::new(SimClock::new(0)))
        .default_keyspace(keyspace)
        .background(Background::Threads(1))
        .open()
        .unwrap();
    // No flush ever ends.
    let full = FaultPlan::from_nth(0, Fault::Enospc).only_on(&[OpClass::Create]);
    disk.set_faults(full.only_paths_with(".table"));
    let (mut held, mut count) = (held_by_memtables(&db), 0u32);
    let first = held;
    while db.insert(count.to_be_bytes(), [7; 200]).is_ok() {
        held = held_by_memtables(&db);
        count += 1;
    }
    let half_of_the_first = (128 << 10) / 400;
    assert!(count > half_of_the_first, "{count} writes");
    assert_eq!(first.writes, 0);
    assert!(held.writes > 1, "{} of {count} writes were held back", held.writes);
    assert!(held.micros / held.writes <= 2_000, "{held:?}: each by its clock for a millisecond");
    disk.set_faults(FaultPlan::none());
    while db.flush().is_err() {}
    // Where a memtable is free, nobody is held back.
    let before = held_by_memtables(&db).writes;
    for n in 0..half_of_the_first / 2 {
        db.insert(n.to_be_bytes(), [7; 200]).unwrap();
    }
    assert_eq!(held_by_memtables(&db).writes, before);
}
