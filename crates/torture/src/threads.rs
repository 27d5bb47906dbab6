//! Threads: writers, readers, flushes and compactions at once, on a simulated disk that never waits.
//!
//! | part | what is tried |
//! |---|---|
//! | `race` | batches seen whole and in order, own writes seen at once, conditional writes that lose no update; then the process dies, and it is all still there |
//! | `queue::heads` | a queue popped at its head, and keys that come back into what was popped: scans skip the dead alone |
//! | `waits::long_batches` | a batch that takes its time to be inserted, while memtables are flushed and snapshots taken: all of it or nothing |
//! | `waits::callbacks` | when `commit_then` calls back, a power cut that instant loses nothing |
//! | `waits::retries` | a flush that fails on a full disk is tried again after pauses that grow |
//!
//! Memtables of one entry make each write a rotation and each rotation a flush, so that readers and
//! writers meet replaced memtables, tables and versions all the time. Chance decides who meets whom;
//! what is checked is true of every schedule.

mod queue;
mod waits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alluvium::{
    Background, Bytes, Clock, Condition, Db, ErrorKind, Keyspace, LogMode, Persist, Put, Read,
    Snapshot,
};
use alluvium_base::SystemClock;
use alluvium_testkit::{SimClock, SimFs};
use parking_lot::Mutex;

use crate::layer::{Case, Failure, Layer, Threads, needs_nothing};
use crate::option_sets::OptionSet;
use crate::run::said_by;

/// What is counted.
const WRITES: &str = "writes among threads";
const READS: &str = "reads among threads";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "threads",
    what: "threads that write, read, flush and compact at once: batches whole and in order, no \
           update lost, called back only when durable",
    unit: WRITES,
    case,
    threads: Threads::One,
    needs: needs_nothing,
};

/// Threads that write keys of their own, and how many keys a batch of each has. While a long one is
/// being inserted, short ones rotate its memtable.
const BATCHES: [u64; WRITERS as usize] = [300, 0, 30];
const WRITERS: u64 = 3;
/// Threads that add to the same counter.
const ADDERS: u64 = 2;
/// Threads that read: few, so that writers get on, or many, each of which may stop anywhere.
const READERS: [u64; 2] = [2, 7];
/// Threads that do nothing but wake up often, and so interrupt another anywhere.
const WAKERS: usize = 2;
const NAP: Duration = Duration::from_micros(20);
/// Reads of one key in a row, by two of three readers.
const BURST: usize = 256;
/// Sizes of memtables, in bytes; an empty one takes four thousand. With the smallest each write is a
/// rotation, with the others a long batch is, before it is in.
const SIZES: [u64; 5] = [5 << 10, 8 << 10, 4500, 1, 14 << 10];
/// How long one race lasts.
const RACE: Duration = Duration::from_millis(400);
/// A case that takes longer hangs: it takes a second.
const LONGEST: Duration = Duration::from_secs(if cfg!(feature = "seeded-bugs") { 25 } else { 600 });

/// The seed chooses the options.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let mode = if case.seed.is_multiple_of(2) { LogMode::Mapped } else { LogMode::Buffered };
    let mut set = OptionSet::tiny(mode);
    set.background = Background::Threads(2);
    set.keyspace.write_buffer_size = SIZES[(case.seed % 5) as usize];
    set.keyspace.l0_trigger = 2;
    // Nobody is to wait for long: what is looked for is what happens at once.
    set.keyspace.max_write_buffers = 16;
    set.keyspace.l0_slowdown = 200;
    set.keyspace.l0_stop = 400;
    set.max_log_bytes = 1 << 20;
    let _watchdog = Watchdog::new();
    race(case, &set)?;
    queue::heads(case, &set)?;
    waits::long_batches(case, &set)?;
    waits::callbacks(case, &set)?;
    waits::retries(case, &set)
}

/// Ends the process when a case does not end: threads that wait for ever cannot be told to stop.
struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    fn new() -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_done);
        std::thread::spawn(move || {
            let clock = SystemClock::new();
            while !seen.load(Ordering::Relaxed) {
                if clock.monotonic() > LONGEST {
                    println!("FAILED threads: hung: the threads of a case wait for ever");
                    std::process::abort();
                }
                clock.sleep(Duration::from_millis(50));
            }
        });
        Self(is_done)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The first thing that any thread found.
#[derive(Debug, Default)]
struct Found {
    what: Mutex<Option<String>>,
    is_over: AtomicBool,
}

impl Found {
    /// Runs one step of a thread; answers whether to go on.
    fn check(&self, step: Result<(), String>) -> bool {
        if let Err(what) = step {
            self.what.lock().get_or_insert(what);
            self.is_over.store(true, Ordering::Relaxed);
        }
        !self.is_over.load(Ordering::Relaxed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped with it")]
fn failed(error: alluvium::Error) -> String {
    format!("an operation failed: {error}")
}

fn key_of(writer: u64) -> String {
    format!("writer {writer}")
}

/// The number that a value is; 0 where there is none.
fn number(value: Option<&Bytes>) -> Result<u64, String> {
    let Some(value) = value else { return Ok(0) };
    let text = String::from_utf8_lossy(value);
    text.parse().map_err(|_| format!("this is not a number: {text}"))
}

/// The number that is stored; 0 where there is none.
fn stored(view: &impl Read, key: &str) -> Result<u64, String> {
    number(view.get(key).map_err(failed)?.as_ref())
}

/// Takes note of what a reader sees of a writer: never less than before.
fn grown(writer: u64, last: &mut u64, found: u64) -> Result<(), String> {
    if found < *last {
        return Err(format!("writer {writer} was at {last} and is at {found}"));
    }
    *last = found;
    Ok(())
}

/// What the threads of a race share.
struct Arena {
    db: Db,
    other: Keyspace,
    found: Found,
    /// By writer, the number that was acknowledged last.
    acknowledged: [AtomicU64; WRITERS as usize],
    added: AtomicU64,
    read: AtomicU64,
}

/// All at once for a while; then everything is looked at, before and after the process died.
fn race(case: &Case<'_>, set: &OptionSet) -> Result<(), Failure> {
    let (disk, clock) = (SimFs::new(case.seed), SimClock::new(1_000_000));
    disk.set_mapping_supported(set.log_mode == LogMode::Mapped);
    let db = set.builder(&disk, &clock).open()?;
    let other = db.keyspace("other", set.keyspace.clone())?;
    let arena = Arena {
        db,
        other,
        found: Found::default(),
        acknowledged: Default::default(),
        added: AtomicU64::new(0),
        read: AtomicU64::new(0),
    };
    arena.db.insert("counter", "0")?;
    std::thread::scope(|scope| {
        let arena = &arena;
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            threads.push(scope.spawn(move || arena.write(writer)));
        }
        for _ in 0..ADDERS {
            threads.push(scope.spawn(|| arena.add()));
        }
        for reader in 0..READERS[(case.seed % 2) as usize] {
            threads.push(scope.spawn(move || arena.read(reader)));
        }
        for _ in 0..WAKERS {
            threads.push(scope.spawn(|| arena.wake()));
        }
        let clock = SystemClock::new();
        while clock.monotonic() < RACE && !arena.found.is_over.load(Ordering::Relaxed) {
            clock.sleep(Duration::from_millis(5));
        }
        arena.found.is_over.store(true, Ordering::Relaxed);
        for thread in threads {
            if let Err(panic) = thread.join() {
                arena.found.check(Err(said_by(&*panic)));
            }
        }
    });
    if let Some(what) = arena.found.what.lock().take() {
        return Err(what.into());
    }
    let written: u64 = arena.acknowledged.iter().map(|n| n.load(Ordering::Relaxed)).sum();
    case.count(WRITES, written + arena.added.load(Ordering::Relaxed));
    case.count(READS, arena.read.load(Ordering::Relaxed));
    let look = |db: &Db, when: &str| {
        arena.look_at_the_end(db).map_err(|what| Failure::from(format!("{when}: {what}")))
    };
    look(&arena.db, "at the end")?;
    look(&set.builder(&disk.kill(), &clock).open()?, "after the process died")?;
    arena.db.wait_idle()?;
    look(&arena.db, "when nothing runs")
}

impl Arena {
    /// Counts up in both keyspaces, one batch for each number, and reads its own writes.
    fn write(&self, writer: u64) {
        let key = key_of(writer);
        for n in 1.. {
            let step = || {
                let mut batch = self.db.batch();
                batch.insert(&self.db.default_keyspace(), &key, n.to_string());
                for slot in 0..BATCHES[writer as usize] {
                    batch.insert(&self.other, format!("{key}: {slot}"), n.to_string());
                }
                batch.insert(&self.other, &key, n.to_string());
                batch.commit(Persist::Buffer).map_err(failed)?;
                self.acknowledged[writer as usize].store(n, Ordering::Relaxed);
                let own = stored(&self.db, &key)?;
                if own != n {
                    return Err(format!("{key} wrote {n} and reads {own}"));
                }
                Ok(())
            };
            if !self.found.check(step()) {
                return;
            }
        }
    }

    /// Adds one to the counter, over and over, if nobody else did meanwhile.
    fn add(&self) {
        let step = || {
            let old = stored(&self.db, "counter")?;
            let only_if = Condition::Equals(old.to_string().into());
            let put = Put { only_if, ttl: None };
            match self.db.default_keyspace().put("counter", (old + 1).to_string(), put) {
                Ok(()) => drop(self.added.fetch_add(1, Ordering::Relaxed)),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(failed(error)),
            }
            Ok(())
        };
        while self.found.check(step()) {}
    }

    /// Numbers only ever grow, and a snapshot sees both keyspaces at one moment.
    fn read(&self, reader: u64) {
        let mut seen = [0; WRITERS as usize];
        for turn in reader.. {
            let writer = turn % WRITERS;
            let last = &mut seen[writer as usize];
            let step = if reader.is_multiple_of(3) {
                self.read_snapshot(&self.db.snapshot(), writer).and_then(|n| grown(writer, last, n))
            } else {
                self.read_burst(writer, last)
            };
            if !self.found.check(step) {
                return;
            }
        }
    }

    fn wake(&self) {
        let clock = SystemClock::new();
        while !self.found.is_over.load(Ordering::Relaxed) {
            clock.sleep(NAP);
        }
    }

    /// Reads one key many times: as little as can be stands between one read and the next.
    fn read_burst(&self, writer: u64, last: &mut u64) -> Result<(), String> {
        let (keyspace, key) = (self.db.default_keyspace(), key_of(writer));
        let mut newest = None;
        for _ in 0..BURST {
            let found = keyspace.get(&key).map_err(failed)?;
            if found != newest {
                grown(writer, last, number(found.as_ref())?)?;
                newest = found;
            }
        }
        self.read.fetch_add(BURST as u64, Ordering::Relaxed);
        Ok(())
    }

    fn read_snapshot(&self, snapshot: &Snapshot, writer: u64) -> Result<u64, String> {
        let key = key_of(writer);
        let one = stored(snapshot, &key)?;
        let other = stored(&snapshot.of(&self.other), &key)?;
        if one != other {
            return Err(format!("a snapshot sees half a batch of {key}: {one} and {other}"));
        }
        self.read.fetch_add(2, Ordering::Relaxed);
        Ok(one)
    }

    /// Everything acknowledged is there.
    fn look_at_the_end(&self, db: &Db) -> Result<(), String> {
        let other = db.find_keyspace("other").map_err(failed)?.ok_or("a keyspace is gone")?;
        for (writer, acknowledged) in (0..).zip(&self.acknowledged) {
            let wanted = acknowledged.load(Ordering::Relaxed);
            let key = key_of(writer);
            let found = [stored(db, &key)?, stored(&other, &key)?];
            if found.iter().any(|found| *found != wanted) {
                return Err(format!("{key} wrote {wanted}, and there is {found:?}"));
            }
            for slot in 0..BATCHES[writer as usize] {
                let found = stored(&other, &format!("{key}: {slot}"))?;
                if found != wanted {
                    let what = format!("{key} wrote {wanted}, and slot {slot} holds {found}");
                    return Err(what);
                }
            }
        }
        let added = self.added.load(Ordering::Relaxed);
        let counter = stored(db, "counter")?;
        if counter != added {
            return Err(format!("{added} were added, and the counter is at {counter}"));
        }
        Ok(())
    }
}
