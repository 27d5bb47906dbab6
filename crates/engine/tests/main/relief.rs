//! Readers decide when level 0 is merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium::fs::StdFs;
use alluvium::{Background, Db, Depth, KeyspaceOptions, Read, check};

use crate::support::{keys, manual_in, pairs, tiny_builder};

/// By then a merge that is due has been done.
const MOST_READS: u32 = 20_000_000;

/// A database of three tables in level 0, too few for a compaction.
fn three_tables(dir: &std::path::Path, background: Background) -> Db {
    let db = Db::builder(dir).default_keyspace(KeyspaceOptions::default()).background(background);
    let db = db.open().unwrap();
    for n in 0..3u8 {
        db.insert([n], [n]).unwrap();
        db.insert([n, n], [n]).unwrap();
        db.flush().unwrap();
    }
    db.wait_idle().unwrap();
    assert_eq!(l0_tables(&db), 3, "nobody has read");
    db
}

fn l0_tables(db: &Db) -> usize {
    db.stats().unwrap().keyspaces[0].levels[0].tables.len()
}

#[test]
fn lookups_that_lose_much_to_level_0_have_it_merged() {
    let dir = tempfile::tempdir().unwrap();
    let db = three_tables(dir.path(), Background::Threads(1));
    let merged = (0..MOST_READS).step_by(1000).find(|_| {
        (0..1000).for_each(|_| assert!(db.get([1, 1]).unwrap().is_some()));
        l0_tables(&db) == 0
    });
    assert!(merged.is_some_and(|lookups| lookups > 1000));
    assert_eq!(db.iter().count(), 6);
}

#[test]
fn so_do_scans_and_sooner() {
    let dir = tempfile::tempdir().unwrap();
    let db = three_tables(dir.path(), Background::Threads(1));
    let merged = (0..MOST_READS).step_by(100).find(|_| {
        (0..100).for_each(|_| assert_eq!(keys(db.range([2].as_slice()..).take(1)).len(), 1));
        l0_tables(&db) == 0
    });
    assert!(merged.is_some());
}

/// Merges that somebody waits for are done by two threads, each with half of the keys.
#[test]
fn halves_of_a_merge_fit_together() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).open().unwrap();
    let mut model = BTreeMap::new();
    let mut snapshots = Vec::new();
    for n in 0..20_000u64 {
        let key = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52).to_string().into_bytes();
        if n % 5 == 0 {
            db.remove(&key).unwrap();
            model.remove(&key);
        } else {
            db.insert(&key, n.to_string()).unwrap();
            model.insert(key, n.to_string().into_bytes());
        }
        if n % 4000 == 1999 {
            snapshots.push((db.snapshot(), model.clone()));
            db.wait_idle().unwrap();
        }
    }
    db.compact().unwrap();
    assert!(l0_tables(&db) == 0 && db.iter().count() == model.len());
    assert!(pairs(&db).into_iter().eq(model));
    for (snapshot, then) in snapshots {
        assert!(pairs(&snapshot).into_iter().eq(then));
    }
    drop(db);
    let report = check(Arc::new(StdFs), dir.path(), Depth::Deep).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
}

#[test]
fn what_is_done_by_steps_depends_on_writes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = three_tables(dir.path(), Background::Manual);
    for _ in 0..40_000 {
        assert!(db.get([1, 1]).unwrap().is_some());
    }
    assert!(!db.step().unwrap());
    assert_eq!(l0_tables(&db), 3);
}

/// A flush leaves its blocks in the cache.
#[test]
fn readers_find_what_was_flushed_in_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    for n in 0..20_000u32 {
        db.insert(n.to_be_bytes(), [7; 100]).unwrap();
    }
    db.flush().unwrap();
    assert!((0..20_000u32).all(|n| db.get(n.to_be_bytes()).unwrap().is_some()));
    let cache = db.stats().unwrap().cache;
    assert!(cache.hits == 20_000 && cache.misses == 0, "{cache:?}");
}

/// A merge of what is cached does not make readers begin anew.
#[test]
fn readers_find_what_was_merged_in_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let db = manual_in(dir.path());
    let misses = || db.stats().unwrap().cache.misses;
    let read_all = || {
        for n in 0..20_000u32 {
            assert!(db.get(n.to_be_bytes()).unwrap().is_some());
        }
    };
    for n in 0..60_000u32 {
        db.insert((n * 7919 % 20_000).to_be_bytes(), n.to_be_bytes()).unwrap();
    }
    db.flush().unwrap();
    db.wait_idle().unwrap();
    read_all();
    let before = misses();
    db.compact().unwrap();
    read_all();
    let levels = &db.stats().unwrap().keyspaces[0].levels;
    assert!(levels.iter().map(|level| level.tables.len()).sum::<usize>() > 1);
    assert_eq!(misses(), before);
    drop(db);

    let db = manual_in(dir.path());
    db.compact().unwrap();
    assert_eq!(db.stats().unwrap().cache.used_bytes, 0, "what nobody has read is not kept");
}
