//! Several keyspaces in one database.

use alluvium::{Db, ErrorKind, KeyspaceOptions, Persist, Read};

use crate::support::{tiny, tiny_builder};

#[test]
fn keyspaces_are_apart_and_batches_span_them() {
    let db = Db::in_memory().unwrap();
    let users = db.keyspace("users", KeyspaceOptions::default()).unwrap();
    let mut batch = db.batch();
    batch.insert(&users, "k", "user").insert(&db.default_keyspace(), "k", "default");
    assert_eq!(batch.len(), 2);
    batch.commit(Persist::Sync).unwrap();
    assert_eq!(users.get("k").unwrap().as_deref(), Some(&b"user"[..]));
    assert_eq!(db.get("k").unwrap().as_deref(), Some(&b"default"[..]));
    assert_eq!(db.keyspaces().unwrap(), ["default", "users"]);
    let same = db.keyspace("users", tiny()).unwrap();
    assert_eq!(same.options().unwrap(), KeyspaceOptions::default(), "options stay as created");
}

#[test]
fn a_dropped_keyspace_is_gone_for_good_and_its_name_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).open().unwrap();
    let old = db.keyspace("k", tiny()).unwrap();
    for n in 0..1000 {
        old.insert(format!("{n:05}"), "old").unwrap();
    }
    let scan = old.iter();
    let then = db.snapshot();
    db.drop_keyspace("k").unwrap();
    assert_eq!(scan.count(), 1000, "a running scan goes on");
    assert_eq!(old.get("00001").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(old.insert("k", "v").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(then.of(&old).get("00001").unwrap_err().kind(), ErrorKind::Closed);
    let new = db.keyspace("k", tiny()).unwrap();
    assert_eq!(new.count().unwrap(), 0);
    new.insert("new", "").unwrap();
    drop((db, old, new, then));
    let db = tiny_builder(dir.path()).open().unwrap();
    assert_eq!(db.find_keyspace("k").unwrap().unwrap().count().unwrap(), 1);
    assert_eq!(db.drop_keyspace("nobody").unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(db.drop_keyspace("default").unwrap_err().kind(), ErrorKind::Invalid);
}

/// fjall 288: a keyspace that nobody writes to must not hold back the log for ever.
#[test]
fn an_idle_keyspace_does_not_pin_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).max_log_bytes(256 << 10).open().unwrap();
    let idle = db.keyspace("idle", KeyspaceOptions::default()).unwrap();
    idle.insert("only", "entry").unwrap();
    for n in 0..40_000u32 {
        db.insert(n.to_be_bytes(), [1; 100]).unwrap();
    }
    db.wait_idle().unwrap();
    let log = db.stats().unwrap().log;
    assert!(log.live_bytes < 2 << 20, "the log holds {} bytes", log.live_bytes);
    assert_eq!(idle.get("only").unwrap().as_deref(), Some(&b"entry"[..]));
}

/// Each memtable had a filter of a 256th of its write buffer, however little was in it.
#[test]
fn keyspaces_that_are_hardly_written_to_take_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::builder(dir.path()).open().unwrap();
    for n in 0..20 {
        let keyspace = db.keyspace(&n.to_string(), KeyspaceOptions::default()).unwrap();
        keyspace.insert("k", "v").unwrap();
        keyspace.flush().unwrap();
        keyspace.insert("k", "v").unwrap();
    }
    let held =
        db.stats().unwrap().keyspaces.iter().map(|keyspace| keyspace.memtable_bytes).sum::<u64>();
    assert!(held < 20 * (32 << 10), "{held} bytes in memtables of one entry each");
}
