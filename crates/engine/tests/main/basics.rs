//! Reading and writing one keyspace.

use std::sync::Arc;
use std::time::Duration;

use alluvium::{Condition, Db, ErrorKind, Expiry, Persist, Put, Read};
use alluvium_testkit::SimClock;

use crate::support::{keys, pairs, tiny, tiny_builder};

#[test]
fn what_was_inserted_is_read_and_what_was_removed_is_gone() {
    let db = Db::in_memory().unwrap();
    db.insert("a", "1").unwrap();
    db.insert("a", "2").unwrap();
    db.insert("", "the empty key").unwrap();
    db.insert("e", "").unwrap();
    assert_eq!(db.get("a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(db.get("").unwrap().as_deref(), Some(&b"the empty key"[..]));
    assert_eq!(db.get("e").unwrap().as_deref(), Some(&b""[..]));
    db.remove("a").unwrap();
    db.remove("never there").unwrap();
    assert_eq!(db.get("a").unwrap(), None);
    assert_eq!(db.count().unwrap(), 2);
    assert_eq!(db.get_many(["e", "a"]).unwrap().iter().flatten().count(), 1);
}

#[test]
fn scans_agree_with_a_sorted_map_wherever_the_data_lies() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).open().unwrap();
    let mut expected = std::collections::BTreeMap::new();
    for n in 0..5000u32 {
        let key = format!("key{:05}", n.wrapping_mul(2_654_435_761) % 3000);
        if n % 7 == 0 {
            db.remove(&key).unwrap();
            expected.remove(&key);
        } else {
            db.insert(&key, format!("value {n}")).unwrap();
            expected.insert(key, format!("value {n}"));
        }
    }
    let check = |db: &Db| {
        let found = pairs(db);
        assert_eq!(found.len(), expected.len());
        for ((key, value), (k, v)) in found.iter().zip(&expected) {
            assert_eq!((key.as_slice(), value.as_slice()), (k.as_bytes(), v.as_bytes()));
        }
        let mut backwards = keys(db.iter().rev());
        backwards.reverse();
        assert_eq!(backwards, expected.keys().cloned().collect::<Vec<_>>());
        for (key, value) in &expected {
            assert_eq!(db.get(key).unwrap().as_deref(), Some(value.as_bytes()), "{key}");
        }
        let some = "key01000".to_owned().."key01100".to_owned();
        assert_eq!(
            keys(db.range("key01000".."key01100")),
            expected.range(some).map(|(k, _)| k.clone()).collect::<Vec<_>>()
        );
    };
    check(&db);
    db.flush().unwrap();
    check(&db);
    db.compact().unwrap();
    check(&db);
    let stats = db.stats().unwrap();
    assert!(stats.keyspaces[0].levels[1..].iter().any(|level| level.entries > 0));
    assert_eq!(stats.keyspaces[0].levels[0].entries, 0);
}

#[test]
fn the_two_ends_of_a_scan_meet_without_losing_or_repeating_a_key() {
    let db = Db::in_memory().unwrap();
    for key in ["a", "b", "c", "d", "e"] {
        db.insert(key, "").unwrap();
    }
    let mut scan = db.iter();
    let mut seen = Vec::new();
    for turn in 0.. {
        let entry = if turn % 2 == 0 { scan.next() } else { scan.next_back() };
        match entry {
            Some(entry) => seen.push(entry.unwrap().0),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "e", "b", "d", "c"]);
    assert!(scan.next().is_none() && scan.next_back().is_none());
}

#[test]
fn a_scan_sees_the_moment_it_was_made_whatever_happens_after() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).open().unwrap();
    for n in 0..500 {
        db.insert(format!("k{n:04}"), "old").unwrap();
    }
    let mut scan = db.iter();
    let first = scan.next().unwrap().unwrap();
    for n in 0..500 {
        db.insert(format!("k{n:04}"), vec![b'n'; 100]).unwrap();
    }
    db.compact().unwrap();
    let rest: Vec<_> = scan.map(|entry| entry.unwrap().1).collect();
    assert_eq!(first.1, "old");
    assert_eq!(rest.len(), 499);
    assert!(rest.iter().all(|value| value == "old"));
}

#[test]
fn a_snapshot_keeps_its_past_through_flush_and_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).open().unwrap();
    for n in 0..300 {
        db.insert(format!("k{n:04}"), "then").unwrap();
    }
    let then = db.snapshot();
    for n in 0..300 {
        db.insert(format!("k{n:04}"), "between").unwrap();
    }
    let between = db.snapshot();
    for n in 0..300 {
        db.remove(format!("k{n:04}")).unwrap();
    }
    db.compact().unwrap();
    assert_eq!(db.count().unwrap(), 0);
    assert!(pairs(&then).iter().all(|(_, value)| value == b"then"));
    assert_eq!(then.count().unwrap(), 300);
    assert_eq!(between.get("k0007").unwrap().as_deref(), Some(&b"between"[..]));
    drop((then, between));
    db.compact().unwrap();
    let tables: usize =
        db.stats().unwrap().keyspaces[0].levels.iter().map(|level| level.tables.len()).sum();
    assert_eq!(tables, 0, "nothing is left of what nobody can see");
}

#[test]
fn expired_values_are_gone_to_the_millisecond_and_their_space_comes_back_by_itself() {
    let clock = Arc::new(SimClock::new(1_000_000));
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path())
        .background(alluvium::Background::Manual)
        .clock(clock.clone())
        .open()
        .unwrap();
    let brief = Put { ttl: Some(Duration::from_millis(500)), ..Put::default() };
    for n in 0..200 {
        db.default_keyspace().put(format!("k{n:03}"), [7; 100], brief.clone()).unwrap();
    }
    db.insert("stays", "").unwrap();
    assert_eq!(db.expires_at("k000").unwrap(), Some(Expiry::AtMs(1_000_500)));
    assert_eq!(db.expires_at("stays").unwrap(), Some(Expiry::Never));
    let then = db.snapshot();
    db.flush().unwrap();
    db.wait_idle().unwrap();
    clock.advance_ms(499);
    assert_eq!(db.count().unwrap(), 201);
    clock.advance_ms(1);
    assert_eq!(db.count().unwrap(), 1);
    db.wait_idle().unwrap();
    assert_eq!(then.count().unwrap(), 201, "a snapshot's clock stands still");
    drop(then);
    // A table in L0 is left alone for a minute: writes might take it down with others.
    clock.advance_ms(60_000);
    db.wait_idle().unwrap();
    let entries: u64 =
        db.stats().unwrap().keyspaces[0].levels.iter().map(|level| level.entries).sum();
    assert_eq!(entries, 1, "the space came back without a read or a call: {:?}", db.stats());
}

#[test]
fn a_conditional_put_lets_exactly_one_of_many_threads_through() {
    let db = Db::in_memory().unwrap();
    let keyspace = db.default_keyspace();
    for round in 0..50 {
        let key = format!("lease {round}");
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread: u8| {
                    let (keyspace, key) = (&keyspace, &key);
                    scope.spawn(move || {
                        let once = Put { only_if: Condition::Absent, ttl: None };
                        match keyspace.put(key, [thread], once) {
                            Ok(()) => 1,
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Conflict);
                                0
                            }
                        }
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(winners, 1);
    }
}

#[test]
fn limits_are_refused_with_a_reason_and_nothing_is_written() {
    let db = Db::in_memory().unwrap();
    let long = vec![0u8; (64 << 10) + 1];
    assert_eq!(db.insert(&long, "").unwrap_err().kind(), ErrorKind::Invalid);
    db.insert(&long[1..], "the longest key").unwrap();
    assert_eq!(db.get(&long[1..]).unwrap().as_deref(), Some(&b"the longest key"[..]));
    let mut batch = db.batch();
    batch.insert(&db.default_keyspace(), "fine", "").insert(&db.default_keyspace(), &long, "");
    assert_eq!(batch.commit(Persist::Buffer).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(db.get("fine").unwrap(), None);
    let other = Db::in_memory().unwrap();
    let mut batch = db.batch();
    batch.insert(&other.default_keyspace(), "k", "");
    assert_eq!(batch.commit(Persist::Buffer).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn commit_then_calls_back_in_order_once_durable() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path()).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    for n in 0..100u32 {
        let mut batch = db.batch();
        batch.insert(&db.default_keyspace(), n.to_be_bytes(), "");
        let sender = sender.clone();
        batch.commit_then(Persist::Sync, move |result| sender.send((n, result)).unwrap()).unwrap();
        assert!(db.contains_key(n.to_be_bytes()).unwrap(), "visible on return");
    }
    for n in 0..100 {
        let (called, result) = receiver.recv().unwrap();
        assert_eq!(called, n);
        result.unwrap();
    }
}

#[test]
fn a_closed_database_says_so() {
    let db = Db::in_memory().unwrap();
    let other = db.clone();
    db.close().unwrap();
    assert_eq!(other.insert("k", "").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(other.get("k").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(other.iter().next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(other.persist(Persist::Sync).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let mut options = tiny();
    options.level_multiplier = 1;
    let db = Db::in_memory().unwrap();
    let error = db.keyspace("k", options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("level_multiplier"));
}

#[test]
fn many_threads_write_and_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = tiny_builder(dir.path()).open().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let db = db.clone();
            scope.spawn(move || {
                for n in 0..2000u32 {
                    let key = format!("{thread}:{n:05}");
                    db.insert(&key, &key).unwrap();
                    let read = format!("{thread}:{:05}", n / 2);
                    assert_eq!(db.get(&read).unwrap().as_deref(), Some(read.as_bytes()));
                }
            });
        }
        for _ in 0..2 {
            let db = db.clone();
            scope.spawn(move || {
                for _ in 0..20 {
                    let seen = keys(db.iter());
                    assert!(seen.is_sorted());
                }
            });
        }
    });
    assert_eq!(db.count().unwrap(), 8000);
}

/// Scans leave a key that was written again and again by a seek, and find what they would have found
/// step by step, in memtables and tables, now and in every snapshot.
#[test]
fn scans_get_over_keys_with_many_versions() {
    let dir = tempfile::tempdir().unwrap();
    let db = crate::support::manual_in(dir.path());
    let (mut snapshots, mut expected) = (Vec::new(), Vec::new());
    for round in 0..60_u32 {
        for key in ["a", "hot", "hotter", "z"] {
            let is_hot = key.starts_with("hot");
            if is_hot || round % 20 == 0 {
                db.insert(key, round.to_be_bytes()).unwrap();
            }
        }
        if round % 17 == 5 {
            db.remove("hot").unwrap();
        }
        if round % 7 == 0 {
            snapshots.push(db.snapshot());
            expected.push(["a", "hot", "hotter", "z"].map(|key| (key, db.get(key).unwrap())));
        }
        if round == 30 {
            db.flush().unwrap();
        }
    }
    for (snapshot, expected) in snapshots.iter().zip(&expected) {
        let expected = expected.iter().filter_map(|(key, value)| Some((*key, value.clone()?)));
        let expected: Vec<_> = expected.collect();
        let found = |scan: &mut dyn Iterator<Item = alluvium::Result<alluvium::KeyValue>>| {
            let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
            scan.map(|kv| kv.map(|(key, value)| (text(&key), value)).unwrap()).collect::<Vec<_>>()
        };
        let same = |found: Vec<(String, alluvium::Bytes)>| {
            found.iter().map(|(k, v)| (k.as_str(), v.clone())).eq(expected.iter().cloned())
        };
        let view = snapshot.of(&db.default_keyspace());
        assert!(same(found(&mut view.iter())));
        let mut back = found(&mut view.iter().rev());
        back.reverse();
        assert!(same(back));
    }
}
