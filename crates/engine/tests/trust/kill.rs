//! Processes: one lock, and a child that is killed at random while its parent notes what it
//! acknowledged.
//!
//! The child is this very test binary. `ALLUVIUM_KILL_ROUNDS` runs more rounds than CI does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alluvium::{Builder, Clock, Db, ErrorKind, Persist, Read};
use alluvium_base::SystemClock;
use alluvium_testkit::{Choices, SeededRandom};

use crate::workload::tiny;

const THREADS: u32 = 4;
const CHILD_DIR: &str = "ALLUVIUM_KILL_DIR";
const CHILD_ROUND: &str = "ALLUVIUM_KILL_ROUND";

fn builder(dir: &Path) -> Builder {
    let options = alluvium::KeyspaceOptions { write_buffer_size: 16 << 10, ..tiny() };
    Db::builder(dir).default_keyspace(options).log_segment_size(64 << 10)
}

fn spawn(test: &str, dir: &Path, round: u32) -> Child {
    let binary = std::env::current_exe().unwrap();
    Command::new(binary)
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .env(CHILD_ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The lines of a child that begin with "> ".
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let stdout = child.stdout.take().unwrap();
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    // The test harness does not end its own line before the child's first.
    lines.filter_map(|line| line.split_once("> ").map(|(_, rest)| rest.to_owned()))
}

fn key(round: u32, thread: u32, n: u32) -> String {
    format!("{round:04}/{thread}/{n:08}")
}

/// Writes from four threads for ever, and says what was acknowledged.
#[test]
#[ignore = "the child of the tests below"]
fn child_that_writes() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let round: u32 = std::env::var(CHILD_ROUND).unwrap().parse().unwrap();
    let db = builder(Path::new(&dir)).open().unwrap();
    let other = db.keyspace("other", tiny()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, other) = (&db, &other);
            scope.spawn(move || {
                for n in 0.. {
                    let mut batch = db.batch();
                    let key = key(round, thread, n);
                    batch.insert(&db.default_keyspace(), &key, format!("{n} ").repeat(20));
                    batch.insert(other, &key, "");
                    let persist = if n % 7 == thread { Persist::Sync } else { Persist::Buffer };
                    batch.commit(persist).unwrap();
                    // One write to the pipe: killed in the middle, it says all of it or nothing.
                    let line = format!("> {thread} {n}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// Says whether it could open the database, then waits.
#[test]
#[ignore = "the child of the tests below"]
fn child_that_opens() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let opened = builder(Path::new(&dir)).open();
    let outcome =
        opened.as_ref().map_or_else(|error| format!("{:?}", error.kind()), |_| "open".into());
    std::io::stdout().lock().write_all(format!("> {outcome}\n").as_bytes()).unwrap();
    if opened.is_ok() {
        SystemClock::new().sleep(Duration::from_mins(1));
    }
}

/// What the child acknowledged before it was killed: by thread, the last number.
fn kill_after(dir: &Path, round: u32, wait: Duration) -> BTreeMap<u32, u32> {
    let mut child = spawn("kill::child_that_writes", dir, round);
    let lines = lines(&mut child);
    let reader = std::thread::spawn(move || {
        let mut last = BTreeMap::new();
        for line in lines {
            let (thread, n) = line.split_once(' ').unwrap();
            last.insert(thread.parse().unwrap(), n.parse().unwrap());
        }
        last
    });
    SystemClock::new().sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Everything acknowledged is there, each thread's writes without a gap, batches whole.
fn verify(dir: &Path, round: u32, acknowledged: &BTreeMap<u32, u32>) -> u64 {
    let db = builder(dir).open().unwrap();
    let Some(other) = db.find_keyspace("other").unwrap() else {
        assert!(acknowledged.is_empty());
        return 0;
    };
    let mut found = 0;
    for thread in 0..THREADS {
        let prefix = format!("{round:04}/{thread}/");
        let mut next = 0;
        for entry in db.prefix(&prefix) {
            let (name, value) = entry.unwrap();
            assert_eq!(name, key(round, thread, next).as_bytes(), "a gap");
            assert_eq!(value, format!("{next} ").repeat(20).as_bytes());
            next += 1;
        }
        assert_eq!(other.prefix(&prefix).count(), next as usize, "a batch was torn");
        let needed = acknowledged.get(&thread).map_or(0, |last| last + 1);
        assert!(next >= needed, "thread {thread}: {needed} were acknowledged, {next} are there");
        // At most the one write that was under way was not acknowledged.
        assert!(next <= needed + 1, "thread {thread}: {needed} acknowledged, {next} there");
        found += u64::from(next);
    }
    found
}

#[test]
fn a_process_killed_at_random_loses_nothing_it_acknowledged() {
    let rounds = std::env::var("ALLUVIUM_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds: u32 = rounds.unwrap_or(20);
    let seed = std::env::var("ALLUVIUM_KILL_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("replay: ALLUVIUM_KILL_SEED={seed}");
    let mut random = SeededRandom::new(seed);
    let mut dir = tempfile::tempdir().unwrap();
    let mut writes = 0;
    for round in 0..rounds {
        if round % 10 == 9 {
            dir = tempfile::tempdir().unwrap();
        }
        let wait = Duration::from_micros(5_000 + random.below(200_000));
        let acknowledged = kill_after(dir.path(), round, wait);
        writes += verify(dir.path(), round, &acknowledged);
    }
    println!("{rounds} kills, {writes} writes, nothing lost");
    assert!(writes > 0);
}

#[test]
fn a_second_process_is_refused_and_a_killed_one_gives_back_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path()).open().unwrap();
    db.insert("k", "v").unwrap();
    assert_eq!(builder(dir.path()).open().unwrap_err().kind(), ErrorKind::Locked);
    let refused = |dir: &Path| {
        let mut child = spawn("kill::child_that_opens", dir, 0);
        let outcome = lines(&mut child).next();
        child.wait().unwrap();
        outcome
    };
    // The refusal must not give the lock away either.
    for _ in 0..2 {
        assert_eq!(refused(dir.path()).as_deref(), Some("Locked"));
    }
    assert!(db.contains_key("k").unwrap());
    db.close().unwrap();

    let mut holder = spawn("kill::child_that_opens", dir.path(), 0);
    assert_eq!(lines(&mut holder).next().as_deref(), Some("open"));
    assert_eq!(builder(dir.path()).open().unwrap_err().kind(), ErrorKind::Locked);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(builder(dir.path()).open().unwrap().contains_key("k").unwrap());
}
