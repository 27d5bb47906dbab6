//! The child: a database under load from all sides, which says what was acknowledged.
//!
//! Three threads write batches over two keyspaces, with `Sync` and `Buffer` mixed; a fourth creates
//! and drops keyspaces, flushes, compacts and makes checkpoints. Every value says how many writes
//! of each thread had been acknowledged when it was begun: whoever finds it must find those too.
//!
//! | line | means |
//! |---|---|
//! | `open` | the database is open |
//! | `write t n` | write `n` of thread `t` survives the process |
//! | `sync t n a,b,c @` | it survives the power cut, and so do the first `a`, `b`, `c` writes of the threads |
//! | `keyspace n a,b,c @` | so does the `n`-th time that a keyspace was created or dropped |
//! | `persist a,b,c @` | those writes survive |
//! | `checkpoint n a,b,c @` | checkpoint `n` holds at least those, and survives |
//! | `error kind text` | a call failed |
//! | `reads text` | after that: `ok`, or why not |
//! | `after text` | once the disk is well again: `ok`, or why not |
//!
//! `@` is when the call had returned: what returned after the power began to go is no promise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use alluvium::{
    Builder, Clock, Db, Error, Keyspace, KeyspaceOptions, LogMode, Persist, Read, Result,
};
use alluvium_base::SystemClock;

use crate::kill::say;

/// How many threads write.
pub(super) const THREADS: usize = 3;

/// For each thread that writes, a number of writes.
pub(super) type Counts = [u32; THREADS];

const VARIABLE: &str = "ALLUVIUM_TORTURE_LOAD";
/// A write removes from the second keyspace what was written so many writes earlier.
pub(super) const WINDOW: u32 = 16;
/// How often a held child looks whether it may go on.
const TICK: Duration = Duration::from_millis(2);

/// What a child is to do.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// The database's folder.
    pub(super) dir: PathBuf,
    /// How its log is written.
    pub(super) log_mode: LogMode,
    /// Whose keys are written.
    pub(super) round: u32,
    /// Once a write has failed: the file that must be gone before another one is tried.
    pub(super) hold: Option<PathBuf>,
}

impl Load {
    /// What the child finds in its environment.
    pub(super) fn variable(&self) -> (&'static str, String) {
        let (dir, hold) = (self.dir.display(), self.hold.as_deref().unwrap_or(Path::new("")));
        (VARIABLE, format!("{:?}\n{}\n{dir}\n{}", self.log_mode, self.round, hold.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split('\n').collect();
        let [mode, round, dir, hold] = fields[..] else { return None };
        let modes = [LogMode::Auto, LogMode::Mapped, LogMode::Buffered];
        let log_mode = modes.into_iter().find(|known| format!("{known:?}") == mode)?;
        let hold = (!hold.is_empty()).then(|| hold.into());
        Some(Self { dir: dir.into(), log_mode, round: round.parse().ok()?, hold })
    }
}

/// The same for the child that writes and the parent that looks: a few milliseconds of writing see
/// flushes, compactions, new log segments and new manifests.
pub(super) fn builder(dir: &Path, log_mode: LogMode) -> Builder {
    let options = KeyspaceOptions {
        write_buffer_size: 16 << 10,
        block_size: 1 << 10,
        l0_trigger: 2,
        level_base_bytes: 64 << 10,
        level_multiplier: 4,
        target_file_size: 32 << 10,
        ..KeyspaceOptions::default()
    };
    Db::builder(dir)
        .default_keyspace(options)
        .log_mode(log_mode)
        .log_segment_size(64 << 10)
        .max_log_bytes(256 << 10)
        .max_copied_log_bytes(8 << 10)
        .max_manifest_bytes(16 << 10)
}

/// Does what the parent asks, if there is one.
pub(crate) fn child() -> Option<ExitCode> {
    let load = Load::parse(&std::env::var(VARIABLE).ok()?)?;
    match Running::open(&load) {
        Ok(running) => running.go(),
        Err(error) => say_error(&error),
    }
    Some(ExitCode::SUCCESS)
}

/// The key of write `n` of `thread`.
pub(super) fn key(round: u32, thread: usize, n: u32) -> String {
    format!("{round:06}/{thread}/{n:08}")
}

/// The key that each write of `thread` overwrites.
pub(super) fn last_key(thread: usize) -> String {
    format!("last/{thread}")
}

/// What stands under [`last_key`] after write `n`.
pub(super) fn last_value(round: u32, n: u32) -> String {
    format!("{round} {n}")
}

/// The keyspace that the `n`-th call creates, if it is one that creates; the next call drops it.
pub(super) fn keyspace_name(round: u32, n: u32) -> String {
    format!("fleeting-{round}-{n}")
}

/// Where checkpoint `n` lies.
pub(super) fn checkpoint_dir(database: &Path, round: u32, n: u32) -> PathBuf {
    database.with_file_name(format!("copy-{round}-{n}"))
}

/// A value that names its write, and what was acknowledged before it.
pub(super) fn value(thread: usize, n: u32, before: Counts) -> String {
    // A few are larger than a write buffer.
    let len = if n % 29 == 17 { 20_000 } else { 10 + n as usize * 37 % 300 };
    let filler: String = format!("{thread}.{n}.").chars().cycle().take(len).collect();
    format!("{} {filler}", shown(before))
}

/// As `1,2,3`.
pub(super) fn shown(counts: Counts) -> String {
    counts.map(|count| count.to_string()).join(",")
}

/// Reads what [`shown`] wrote.
pub(super) fn parse_counts(text: &str) -> Option<Counts> {
    let counts: Option<Vec<u32>> = text.split(',').map(|count| count.parse().ok()).collect();
    counts?.try_into().ok()
}

/// Nanoseconds on the clock that all processes share.
pub(super) fn now_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Says what survives, right after the call that promised it.
fn say_durable(what: &str, before: Counts) {
    say(&format!("{what} {} {}", shown(before), now_ns()));
}

fn say_error(error: &Error) {
    say(&format!("error {:?} {}", error.kind(), one_line(error)));
}

fn one_line(error: &Error) -> String {
    error.to_string().replace('\n', " ")
}

struct Running<'a> {
    load: &'a Load,
    db: Db,
    other: Keyspace,
    /// By thread, how many writes were acknowledged.
    acknowledged: [AtomicU32; THREADS],
}

impl<'a> Running<'a> {
    fn open(load: &'a Load) -> Result<Self> {
        let db = builder(&load.dir, load.log_mode).open()?;
        let other = db.keyspace("other", db.default_keyspace().options()?)?;
        say("open");
        Ok(Self { load, db, other, acknowledged: Default::default() })
    }

    fn go(&self) {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || self.write(thread));
            }
            scope.spawn(|| self.stir());
        });
        let reads = self.read_back();
        say(&format!("reads {}", reads.map_or_else(|error| error, |()| "ok".to_owned())));
        if let Some(hold) = &self.load.hold {
            let clock = SystemClock::new();
            while hold.exists() {
                clock.sleep(TICK);
            }
            let after = self.go_on();
            say(&format!(
                "after {}",
                after.map_or_else(|error| describe(&error), |()| "ok".into())
            ));
        }
    }

    fn counts(&self) -> Counts {
        std::array::from_fn(|thread| self.acknowledged[thread].load(Ordering::SeqCst))
    }

    /// Writes until a write fails.
    fn write(&self, thread: usize) {
        for n in 0.. {
            let persist = match (thread, n) {
                (0, n) if n % 3 == 0 => Persist::Sync,
                (1, n) if n % 16 == 15 => Persist::Sync,
                _ => Persist::Buffer,
            };
            let before = self.counts();
            if let Err(error) = self.commit(thread, n, before, persist) {
                return say_error(&error);
            }
            self.acknowledged[thread].store(n + 1, Ordering::SeqCst);
            match persist {
                Persist::Sync => say_durable(&format!("sync {thread} {n}"), before),
                Persist::Buffer => say(&format!("write {thread} {n}")),
            }
        }
    }

    fn commit(&self, thread: usize, n: u32, before: Counts, persist: Persist) -> Result<()> {
        let (round, default) = (self.load.round, self.db.default_keyspace());
        let mut batch = self.db.batch();
        batch.insert(&default, key(round, thread, n), value(thread, n, before));
        batch.insert(&self.other, key(round, thread, n), "");
        if let Some(old) = n.checked_sub(WINDOW) {
            batch.remove(&self.other, key(round, thread, old));
        }
        batch.insert(&default, last_key(thread), last_value(round, n));
        batch.commit(persist)
    }

    /// Everything but writes, over and over, until the database refuses writes or the disk fails.
    fn stir(&self) {
        let (mut keyspaces, mut checkpoints) = (0, 0);
        for n in self.load.round.. {
            let before = self.counts();
            let done = match n % 6 {
                0 => self.keyspace(keyspaces, before).map(|()| keyspaces += 1),
                1 => self.db.persist(Persist::Sync).map(|()| say_durable("persist", before)),
                2 => self.checkpoint(checkpoints, before).map(|()| checkpoints += 1),
                3 => self.keyspace(keyspaces, before).map(|()| keyspaces += 1),
                4 => self.db.flush(),
                _ => self.db.compact(),
            };
            if let Err(error) = done {
                // Whether a full disk lets the writers go on is for them to find out.
                return say_error(&error);
            }
        }
    }

    /// Creates a keyspace, or drops the one created before.
    fn keyspace(&self, n: u32, before: Counts) -> Result<()> {
        if n.is_multiple_of(2) {
            let options = self.db.default_keyspace().options()?;
            self.db.keyspace(&keyspace_name(self.load.round, n), options)?.insert("k", "v")?;
        } else {
            self.db.drop_keyspace(&keyspace_name(self.load.round, n - 1))?;
        }
        say_durable(&format!("keyspace {n}"), before);
        Ok(())
    }

    fn checkpoint(&self, n: u32, before: Counts) -> Result<()> {
        self.db.checkpoint(checkpoint_dir(&self.load.dir, self.load.round, n))?;
        say_durable(&format!("checkpoint {n}"), before);
        Ok(())
    }

    /// Whatever became of writes, all that was acknowledged can be read.
    fn read_back(&self) -> Result<(), String> {
        for (thread, count) in self.counts().into_iter().enumerate() {
            for n in 0..count {
                match self.db.get(key(self.load.round, thread, n)) {
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(format!("write {n} of thread {thread} is gone")),
                    Err(error) => return Err(describe(&error)),
                }
            }
        }
        Ok(())
    }

    /// The disk is well again.
    fn go_on(&self) -> Result<()> {
        self.db.insert("after", "all")?;
        self.db.flush()?;
        self.db.compact()?;
        self.db.remove("after")?;
        self.db.persist(Persist::Sync)
    }
}

fn describe(error: &Error) -> String {
    format!("{:?} {}", error.kind(), one_line(error))
}
