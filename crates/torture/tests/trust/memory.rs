//! Opening a database whose log is far larger than its memtables uses bounded memory.

use alluvium::{Background, Db, KeyspaceOptions, Read};
use alluvium_testkit::{SimClock, SimFs};
use std::sync::Arc;

/// What the log holds, and what a memtable may hold when it is replayed.
const LOG_BYTES: usize = 8 << 20;
const BUFFER_BYTES: u64 = 64 << 10;

#[test]
fn replay_of_a_large_log_flushes_as_it_goes() {
    let (disk, clock) = (SimFs::new(1), SimClock::new(0));
    let open = |write_buffer_size| {
        let options = KeyspaceOptions { write_buffer_size, ..KeyspaceOptions::default() };
        Db::builder("db")
            .fs(Arc::new(disk.clone()))
            .clock(Arc::new(clock.clone()))
            .default_keyspace(options)
            .log_segment_size(1 << 20)
            .background(Background::Manual)
            .open()
            .unwrap()
    };
    let db = open(64 << 20);
    let count = LOG_BYTES / 1024;
    for n in 0..count {
        db.insert(format!("{n:08}"), [n as u8; 1024]).unwrap();
    }
    assert_eq!(db.stats().unwrap().writes.flushed_bytes, 0);
    db.close().unwrap();

    let db = open(BUFFER_BYTES);
    let stats = db.stats().unwrap();
    let keyspace = &stats.keyspaces[0];
    let flushes = keyspace.levels[0].tables.len();
    let largest = keyspace.levels[0].tables.iter().map(|table| table.entries * 1024).max();
    println!("{flushes} flushes, {} bytes left in memory", keyspace.memtable_bytes);
    // Each table is what one memtable held: none was larger than it may be, but for one record.
    assert!(largest.unwrap_or(0) <= BUFFER_BYTES + 2048, "a memtable grew to {largest:?}");
    assert!(flushes as u64 >= LOG_BYTES as u64 / BUFFER_BYTES / 2);
    assert!(keyspace.memtable_bytes <= BUFFER_BYTES + 4096);
    assert_eq!(db.count().unwrap(), count as u64);
}
