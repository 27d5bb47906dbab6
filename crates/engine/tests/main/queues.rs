//! Scans over stretches of tombstones: they skip what is known to be dead, and nothing else.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use alluvium::{Background, Db, Persist, Put, Read, Snapshot};
use alluvium_testkit::{Choices, SeededRandom, SimClock};

use crate::support::{manual_in, pairs, tiny};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

const KEYS: u64 = 300;
const STEPS: u32 = 400;

fn key(n: u64) -> Vec<u8> {
    format!("{n:04}").into_bytes()
}

fn as_model(reader: &impl Read) -> Model {
    pairs(reader).into_iter().collect()
}

/// Removes long stretches, puts single keys back, and scans from everywhere, both ways, now and in
/// snapshots; memtables are flushed and compacted in between.
#[test]
fn scans_over_dead_stretches_see_all_that_is_there() {
    let first = SeededRandom::new(u64::from(std::process::id())).below(1 << 32);
    for seed in first..first + 30 {
        walk(seed);
    }
}

fn walk(seed: u64) {
    let mut random = SeededRandom::new(seed);
    let clock = std::sync::Arc::new(SimClock::new(1_000));
    let dir = tempfile::tempdir().unwrap();
    let builder = Db::builder(dir.path()).default_keyspace(tiny()).clock(clock.clone());
    let db = builder.background(Background::Manual).open().unwrap();
    let keyspace = db.default_keyspace();
    let mut model = Model::new();
    let mut snapshots: Vec<(Snapshot, Model)> = Vec::new();
    for step in 0..STEPS {
        let from = random.below(KEYS);
        match random.below(12) {
            0..=2 => {
                let mut batch = db.batch();
                for n in from..(from + random.below(80)).min(KEYS) {
                    batch.remove(&keyspace, key(n));
                    model.remove(&key(n));
                }
                batch.commit(Persist::Buffer).unwrap();
            }
            3..=6 => {
                let value = step.to_string().into_bytes();
                db.insert(key(from), &value).unwrap();
                model.insert(key(from), value);
            }
            7 => snapshots.push((db.snapshot(), model.clone())),
            8 => drop(snapshots.pop()),
            9 => db.flush().unwrap(),
            10 => drop(db.step().unwrap()),
            _ => {}
        }
        let from = random.below(KEYS);
        let expected: Vec<_> = model.range(key(from)..).map(|(k, _)| k.clone()).take(3).collect();
        let found: Vec<_> =
            db.range(key(from)..).take(3).map(|entry| entry.unwrap().0.to_vec()).collect();
        assert_eq!(found, expected, "seed {seed}, step {step}, from {from}");
        let expected = model.range(..=key(from)).next_back().map(|(k, _)| k.clone());
        let found = db.range(..=key(from)).next_back().map(|entry| entry.unwrap().0.to_vec());
        assert_eq!(found, expected, "seed {seed}, step {step}, back from {from}");
        if step % 7 == 0 {
            assert_eq!(as_model(&db), model, "seed {seed}, step {step}");
            for (snapshot, then) in &snapshots {
                assert_eq!(as_model(snapshot), *then, "seed {seed}, step {step}, a snapshot");
            }
        }
    }
}

/// A queue is popped by a scan for its head; what is put back into the stretch that was popped is
/// found at once, and so is what was there when a snapshot was taken.
#[test]
fn a_queue_shows_what_comes_back_at_its_head() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::builder(dir.path()).open().unwrap();
    for n in 0..1000 {
        db.insert(key(n), "").unwrap();
    }
    let before = db.snapshot();
    let head = |db: &Db| db.first().unwrap().map(|(key, _)| key.to_vec());
    for n in 0..1000 {
        assert_eq!(head(&db), Some(key(n)));
        db.remove(key(n)).unwrap();
        if n % 50 == 49 {
            let back = key(n - 20);
            db.insert(&back, "").unwrap();
            assert_eq!(head(&db), Some(back.clone()));
            db.remove(&back).unwrap();
        }
    }
    assert_eq!(head(&db), None);
    assert_eq!(before.count().unwrap(), 1000);
    assert_eq!(before.first().unwrap().unwrap().0, key(0));
}

/// What a visitor is shown is what the iterator hands out, both ways, and it can stop.
#[test]
fn visitors_see_what_iterators_do() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::builder(dir.path()).default_keyspace(tiny()).open().unwrap();
    for round in 0..3 {
        for n in (round..500).step_by(2) {
            let expiring = Put { ttl: Some(Duration::from_hours(1)), ..Put::default() };
            if n % 3 == 0 {
                db.default_keyspace().put(key(n), vec![round as u8; 40], expiring).unwrap();
            } else {
                db.insert(key(n), vec![round as u8; 40]).unwrap();
            }
        }
        for n in (100..140).chain(490..500) {
            db.remove(key(n)).unwrap();
        }
    }
    let all = pairs(&db);
    let mut shown = Vec::new();
    let mut show = |key: &[u8], value: &[u8]| {
        shown.push((key.to_vec(), value.to_vec()));
        std::ops::ControlFlow::Continue(())
    };
    db.iter().visit(&mut show).unwrap();
    db.iter().visit_back(&mut show).unwrap();
    let reversed = all.iter().rev();
    assert!(shown.iter().eq(all.iter().chain(reversed)));
    let mut count = 0;
    let stop = |_: &[u8], _: &[u8]| {
        count += 1;
        if count % 7 == 0 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    };
    db.iter().visit(stop).unwrap();
    assert_eq!(count, 7);
}

/// Long stretches of one table, versions in several of them, writes behind the read point, and ends anywhere.
#[test]
fn visitors_see_what_iterators_do_in_any_range() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = SeededRandom::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let db = manual_in(dir.path());
    let mut snapshots = Vec::new();
    for round in 0..12u8 {
        let base = random.below(3000);
        for n in 0..=random.below(400) {
            // Some rounds write neighbours, others anywhere.
            let n = if round % 3 == 0 { base + n } else { random.below(3000) };
            match random.below(10) {
                0 => db.remove(key(n)).unwrap(),
                1 => {
                    let ttl = Some(Duration::from_hours(random.below(2)));
                    let expiring = Put { ttl, ..Put::default() };
                    db.default_keyspace().put(key(n), [round; 9], expiring).unwrap();
                }
                _ => db.insert(key(n), [round; 9]).unwrap(),
            }
        }
        if random.below(2) == 0 {
            db.flush().unwrap();
        }
        if random.below(4) == 0 {
            while db.step().unwrap() {}
        }
        snapshots.push(db.snapshot());
    }
    for snapshot in &snapshots {
        for _ in 0..10 {
            let (start, end) = (random.below(3000), random.below(3000));
            let range = key(start.min(end))..key(start.max(end));
            let (front, back) = (random.below(3) as usize, random.below(3) as usize);
            let scan = || {
                let mut scan = snapshot.range(range.clone());
                scan.by_ref().take(front).for_each(drop);
                scan.by_ref().rev().take(back).for_each(drop);
                scan
            };
            let expected: Vec<_> = scan().map(Result::unwrap).collect();
            let enough = 1 + random.below(expected.len() as u64 + 1) as usize;
            let mut shown = Vec::new();
            let show = |key: &[u8], value: &[u8]| {
                shown.push((key.to_vec().into(), value.to_vec().into()));
                let is_enough = shown.len() == enough;
                if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            scan().visit(show).unwrap();
            let expected = &expected[..enough.min(expected.len())];
            assert_eq!(shown, expected, "{range:?} without {front} and {back}");
        }
    }
}
