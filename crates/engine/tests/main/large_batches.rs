//! Batches so large that each becomes a memtable of its own.

use alluvium::{Db, Persist, Read};

use crate::support::{manual_in, pairs, tiny_builder};

/// Far more than half a write buffer: every tenth key twice, and every seventh removed again.
fn commit_large(db: &Db, value: &str, persist: Persist) {
    let keyspace = db.default_keyspace();
    let mut batch = db.batch();
    for n in 0..500 {
        batch.insert(&keyspace, key(n * 37 % 500), format!("{value} {n}"));
        if n % 10 == 0 {
            batch.insert(&keyspace, key(n * 37 % 500), format!("{value} again"));
        }
        if n % 7 == 0 {
            batch.remove(&keyspace, key(n * 37 % 500));
        }
    }
    batch.commit(persist).unwrap();
}

fn key(n: u32) -> String {
    format!("key {n:04}")
}

fn expected(value: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all: Vec<_> = (0..500)
        .filter(|n| n % 7 != 0)
        .map(|n| {
            let value = if n % 10 == 0 { format!("{value} again") } else { format!("{value} {n}") };
            (key(n * 37 % 500).into_bytes(), value.into_bytes())
        })
        .collect();
    all.sort();
    all
}

fn memtables(db: &Db) -> usize {
    db.stats().unwrap().keyspaces[0].memtables
}

#[test]
fn a_large_batch_is_newer_than_what_came_before_and_older_than_what_comes_after() {
    let dir = tempfile::tempdir().unwrap();
    let db = manual_in(dir.path());
    db.insert(key(1), "before").unwrap();
    db.insert("other", "before").unwrap();
    let then = db.snapshot();
    assert_eq!(memtables(&db), 1);
    commit_large(&db, "large", Persist::Buffer);
    assert_eq!(memtables(&db), 3, "the one before, its own, and an empty one");
    let mut all = expected("large");
    all.push((b"other".to_vec(), b"before".to_vec()));
    assert_eq!(pairs(&db), all);
    assert_eq!(pairs(&then).len(), 2);
    assert_eq!(db.get(key(0)).unwrap(), None, "it was removed last");

    db.insert("other", "after").unwrap();
    db.insert(key(1), "after").unwrap();
    db.remove(key(2)).unwrap();
    let after = [("other", Some("after")), (&key(1), Some("after")), (&key(2), None)];
    let check = |db: &Db| {
        for (key, value) in &after {
            assert_eq!(db.get(key).unwrap().as_deref(), value.map(str::as_bytes), "{key}");
        }
        assert_eq!(db.get(key(3)).unwrap().unwrap(), "large 419");
        assert_eq!(db.iter().rev().count(), db.iter().count());
    };
    check(&db);
    while db.step().unwrap() {
        check(&db);
    }
    assert_eq!(memtables(&db), 1, "all were flushed but the active one");
    assert_eq!(pairs(&then).len(), 2);
    drop(then);
    db.flush().unwrap();
    check(&db);
    drop(db);
    check(&manual_in(dir.path()));
}

/// Nobody flushes, so the third has no room for a memtable of its own: it is inserted like any other.
#[test]
fn large_batches_one_after_the_other_are_all_there_also_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let db = manual_in(dir.path());
    for (round, waiting) in [("one", 2), ("two", 3), ("three", 3)] {
        commit_large(&db, round, Persist::Sync);
        assert_eq!(memtables(&db), waiting, "{round}");
        assert_eq!(pairs(&db), expected(round));
    }
    // As if the process had died here.
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    assert_eq!(pairs(&manual_in(copy.path())), expected("three"));
}

/// What a batch puts into a stretch that scans have found dead is seen at once.
#[test]
fn a_large_batch_brings_a_dead_stretch_back_to_life() {
    let dir = tempfile::tempdir().unwrap();
    let db = manual_in(dir.path());
    (0..500).for_each(|n| db.insert(key(n), "").unwrap());
    (0..500).for_each(|n| db.remove(key(n)).unwrap());
    for _ in 0..3 {
        assert_eq!(db.first().unwrap(), None);
    }
    db.flush().unwrap();
    assert_eq!(db.first().unwrap(), None);
    let flushed = memtables(&db);
    commit_large(&db, "large", Persist::Buffer);
    assert!(memtables(&db) > flushed, "it was set aside");
    assert_eq!(pairs(&db), expected("large"));
}

/// Writers of small batches are at it while large ones come, with flushes and compactions behind.
#[test]
fn large_and_small_batches_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).open().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..2000 {
                    db.insert(format!("small {thread} {n}"), "v").unwrap();
                }
            });
        }
        for round in 0..20 {
            commit_large(&db, &round.to_string(), Persist::Buffer);
            let seen = db.get(key(3)).unwrap().unwrap();
            assert_eq!(seen, format!("{round} 419"));
        }
    });
    assert_eq!(db.prefix("small").count(), 4000);
    let large: Vec<_> = db.prefix("key").map(Result::unwrap).collect();
    let large: Vec<_> = large.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
    assert_eq!(large, expected("19"));
}
