//! Many threads do everything at once, for as long as they are told: what the thread and address
//! sanitizers watch, and a plain test besides.
//!
//! | variable | what it sets |
//! |---|---|
//! | `ALLUVIUM_STRESS_SECONDS` | for how long databases are opened, stressed and closed; once at least |
//! | `ALLUVIUM_STRESS_SEED` | where the random numbers of the first database begin |
//!
//! The machine schedules, so a seed repeats what is done, not in which order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alluvium::{
    Background, Condition, Db, ErrorKind, KeyspaceOptions, LogMode, Persist, Put, Read, Result,
};
use alluvium_testkit::{Choices, SeededRandom};

const WRITERS: u64 = 4;
/// Batches that each writer commits to one database.
const BATCHES: u64 = 120;
const COUNTERS: [&str; 2] = ["count-a", "count-b"];

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn tiny() -> KeyspaceOptions {
    KeyspaceOptions {
        write_buffer_size: 16 << 10,
        block_size: 256,
        l0_trigger: 2,
        level_base_bytes: 16 << 10,
        target_file_size: 8 << 10,
        ..KeyspaceOptions::default()
    }
}

fn value(count: u64) -> Vec<u8> {
    format!("{count:08}").repeat(8).into_bytes()
}

fn count_of(value: &[u8]) -> u64 {
    let count = std::str::from_utf8(&value[..8]).unwrap().parse().unwrap();
    assert_eq!(value, self::value(count), "a value is whole");
    count
}

fn read_count(reader: &impl Read, key: &str) -> u64 {
    reader.get(key).unwrap().map_or(0, |value| count_of(&value))
}

/// Refused because the keyspace was dropped, and for no other reason.
fn unless_dropped<T>(result: Result<T>) {
    if let Err(error) = result {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

/// One database and what its threads agree on.
struct Stress {
    db: Db,
    is_over: AtomicBool,
    increments: AtomicU64,
    callbacks: AtomicU64,
}

impl Stress {
    /// Writes its count into two keyspaces at once, and at times into one that comes and goes.
    fn write(&self, writer: u64, random: &mut SeededRandom) {
        let (one, other) = (self.db.default_keyspace(), self.keyspace("other"));
        for count in 1..=BATCHES {
            let mut batch = self.db.batch();
            let key = format!("w{writer}");
            batch.insert(&one, &key, value(count)).insert(&other, &key, value(count));
            batch.insert(&one, format!("{writer}-{}", count % 50), value(count));
            batch.remove(&one, format!("{writer}-{}", count % 37));
            match random.below(4) {
                0 => batch.commit(Persist::Sync).unwrap(),
                1 => {
                    let then = |result: Result<()>| result.unwrap();
                    batch.commit_then(Persist::Sync, then).unwrap();
                    self.callbacks.fetch_add(1, Ordering::Relaxed);
                }
                _ => batch.commit(Persist::Buffer).unwrap(),
            }
            assert_eq!(read_count(&self.db, &key), count, "a writer reads its write");
            let counter = COUNTERS[random.below(2) as usize];
            self.increment(counter);
            unless_dropped(self.keyspace_or_closed("brief", |brief| brief.insert(&key, b"x")));
        }
    }

    fn increment(&self, counter: &str) {
        let keyspace = self.db.default_keyspace();
        loop {
            let old = keyspace.get(counter).unwrap();
            let next = value(old.as_deref().map_or(0, count_of) + 1);
            let only_if = old.map_or(Condition::Absent, Condition::Equals);
            match keyspace.put(counter, next, Put { ttl: None, only_if }) {
                Ok(()) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
        self.increments.fetch_add(1, Ordering::Relaxed);
    }

    fn keyspace(&self, name: &str) -> alluvium::Keyspace {
        self.db.keyspace(name, tiny()).unwrap()
    }

    fn keyspace_or_closed(
        &self,
        name: &str,
        work: impl FnOnce(alluvium::Keyspace) -> Result<()>,
    ) -> Result<()> {
        work(self.keyspace(name))
    }

    /// Snapshots see both keyspaces at one moment, and scans both ways agree.
    fn read(&self) {
        let other = self.keyspace("other");
        let mut before = [0; WRITERS as usize];
        while !self.is_over.load(Ordering::Relaxed) {
            let snapshot = self.db.snapshot();
            for (writer, before) in before.iter_mut().enumerate() {
                let count = read_count(&snapshot, &format!("w{writer}"));
                assert_eq!(read_count(&snapshot.of(&other), &format!("w{writer}")), count);
                assert!(count >= *before, "{count} after {before}");
                *before = count;
            }
            let ascending: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
            let mut descending: Vec<_> = snapshot.iter().rev().map(Result::unwrap).collect();
            descending.reverse();
            assert_eq!(ascending, descending);
        }
    }

    /// What changes files, over and over.
    fn maintain(&self, random: &mut SeededRandom, dir: &std::path::Path) {
        let mut round = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            round += 1;
            match random.below(6) {
                0 => self.db.flush().unwrap(),
                1 => self.db.compact().unwrap(),
                2 => self.db.persist(Persist::Sync).unwrap(),
                3 => {
                    if let Err(error) = self.db.drop_keyspace("brief") {
                        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                    }
                }
                4 => unless_dropped(self.keyspace_or_closed("brief", |brief| brief.flush())),
                _ => {
                    self.db.checkpoint(dir.join(format!("copy{round}"))).unwrap();
                    assert!(self.db.stats().is_ok());
                }
            }
        }
    }
}

/// Opens a database, lets all threads loose on it, closes it while some still read, and opens it
/// again: nothing acknowledged is missing.
fn stress(seed: u64) {
    let mut random = SeededRandom::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mode = if random.below(2) == 0 { LogMode::Mapped } else { LogMode::Buffered };
    let builder = || {
        Db::builder(&path)
            .default_keyspace(tiny())
            .log_mode(mode)
            .log_segment_size(64 << 10)
            .max_log_bytes(256 << 10)
            .cache_bytes(64 << 10)
            .background(Background::Threads(2))
    };
    let zero = || AtomicU64::new(0);
    let db = builder().open().unwrap();
    let all = Stress { db, is_over: AtomicBool::new(false), increments: zero(), callbacks: zero() };
    std::thread::scope(|scope| {
        let all = &all;
        let mut threads_random = || SeededRandom::new(random.below(u64::MAX));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let mut random = threads_random();
                scope.spawn(move || all.write(writer, &mut random))
            })
            .collect();
        scope.spawn(|| all.read());
        let (mut random, dir) = (threads_random(), dir.path());
        scope.spawn(move || all.maintain(&mut random, dir));
        let done: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        all.is_over.store(true, Ordering::Relaxed);
        assert!(done.into_iter().all(|writer| writer.is_ok()), "seed {seed}");
    });
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope
                .spawn(|| unless_dropped(all.db.flush().and_then(|()| all.db.get("w0").map(drop))));
        }
        all.db.clone().close().unwrap();
    });
    let db = builder().open().unwrap();
    for writer in 0..WRITERS {
        assert_eq!(read_count(&db, &format!("w{writer}")), BATCHES);
    }
    let counted: u64 = COUNTERS.iter().map(|counter| read_count(&db, counter)).sum();
    assert_eq!(counted, all.increments.load(Ordering::Relaxed), "no increment is lost");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the machine's time says how long to go on")]
fn everything_at_once() {
    let started = Instant::now();
    let least = Duration::from_secs(variable("ALLUVIUM_STRESS_SECONDS").unwrap_or(0));
    let first_seed = variable("ALLUVIUM_STRESS_SEED").unwrap_or(0);
    for seed in first_seed.. {
        println!("stress: seed {seed}");
        stress(seed);
        if started.elapsed() >= least {
            let databases = seed - first_seed + 1;
            let operations = databases * WRITERS * BATCHES * 3;
            println!("stress: {databases} databases, {operations} writes, from seed {first_seed}");
            return;
        }
    }
}
