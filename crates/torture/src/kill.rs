//! Processes: a child that is killed at random while its parent notes what it acknowledged.
//!
//! ```text
//!   parent ── starts ──► child: four threads write, and say so, write by write, on a pipe
//!     │  ◄── "3 17" ───    │
//!     └── SIGKILL ────────► ✝
//!     opens the folder: every write that was said is there, in order, batches whole
//! ```
//!
//! The child is this very program: [`child`] takes over when the parent's variables are set.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use alluvium::{Builder, Clock, Db, LogMode, Persist, Read};
use alluvium_base::SystemClock;
use alluvium_testkit::{Choices, SeededRandom};

use crate::layer::{Case, Failure, Layer, Threads, needs_nothing};
use crate::option_sets::OptionSet;

/// What is counted.
const KILLS: &str = "kills";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "kill",
    what: "a process that writes from four threads, killed with SIGKILL at a random moment",
    unit: KILLS,
    case,
    threads: Threads::AllCores,
    needs: needs_nothing,
};

const THREADS: u32 = 4;
/// Kills of one case, all in one folder.
const ROUNDS: u32 = 10;
/// The longest that a child may live, in microseconds.
const LONGEST_LIFE_US: u64 = 120_000;

const CHILD_DIR: &str = "ALLUVIUM_TORTURE_DIR";
const CHILD_ROUND: &str = "ALLUVIUM_TORTURE_ROUND";
const CHILD_TASK: &str = "ALLUVIUM_TORTURE_TASK";

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Writes for ever and says what was acknowledged.
    Write,
    /// Says whether it could open the folder, then waits to be killed.
    Open,
}

/// Small enough that a short life sees flushes, compactions and new log segments.
pub fn builder(dir: &Path) -> Builder {
    let tiny = OptionSet::tiny(LogMode::Auto).keyspace;
    let options = alluvium::KeyspaceOptions { write_buffer_size: 16 << 10, ..tiny };
    Db::builder(dir)
        .default_keyspace(options)
        .log_segment_size(64 << 10)
        .max_log_bytes(256 << 10)
        .max_copied_log_bytes(8 << 10)
        .max_manifest_bytes(16 << 10)
}

/// Starts a child on the folder. `program` must call [`child`] first thing in its `main`.
pub fn spawn(program: &Path, task: Task, dir: &Path, round: u32) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    #[cfg(feature = "seeded-bugs")]
    crate::seeded::hand_on(&mut command);
    command
        .env(CHILD_TASK, format!("{task:?}"))
        .env(CHILD_DIR, dir)
        .env(CHILD_ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
}

/// What a child says, line by line.
pub fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let stdout = child.stdout.take().expect("it was spawned with a pipe");
    BufReader::new(stdout).lines().map_while(Result::ok)
}

/// Does what the parent asks, if there is one.
pub fn child() -> Option<ExitCode> {
    let task = std::env::var(CHILD_TASK).ok()?;
    let dir = std::env::var_os(CHILD_DIR)?;
    let round = std::env::var(CHILD_ROUND).ok()?.parse().ok()?;
    #[cfg(feature = "seeded-bugs")]
    crate::seeded::adopt();
    if task == format!("{:?}", Task::Write) {
        write_for_ever(Path::new(&dir), round);
    } else {
        open_and_wait(Path::new(&dir));
    }
    Some(ExitCode::SUCCESS)
}

/// One write to the pipe: killed in the middle, it says all of it or nothing.
pub(crate) fn say(line: &str) {
    let said = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
    said.expect("the parent listens");
}

fn key(round: u32, thread: u32, n: u32) -> String {
    format!("{round:06}/{thread}/{n:08}")
}

fn write_for_ever(dir: &Path, round: u32) {
    let db = builder(dir).open().expect("the child opens the folder");
    let tiny = OptionSet::tiny(LogMode::Auto).keyspace;
    let other = db.keyspace("other", tiny).expect("the child creates a keyspace");
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
                    batch.commit(persist).expect("the child writes");
                    say(&format!("{thread} {n}"));
                }
            });
        }
    });
}

fn open_and_wait(dir: &Path) {
    let opened = builder(dir).open();
    say(&opened.as_ref().map_or_else(|error| format!("{:?}", error.kind()), |_| "open".into()));
    if opened.is_ok() {
        SystemClock::new().sleep(Duration::from_mins(1));
    }
}

/// What the child acknowledged before it was killed: by thread, how many writes.
fn kill_after(
    program: &Path,
    dir: &Path,
    round: u32,
    wait: Duration,
) -> Result<BTreeMap<u32, u32>, Failure> {
    let mut child = spawn(program, Task::Write, dir, round)?;
    let lines = lines(&mut child);
    let reader = std::thread::spawn(move || {
        let mut counts = BTreeMap::new();
        for line in lines {
            let Some((thread, n)) = line.split_once(' ') else { continue };
            if let (Ok(thread), Ok(n)) = (thread.parse::<u32>(), n.parse::<u32>()) {
                counts.insert(thread, n + 1);
            }
        }
        counts
    });
    SystemClock::new().sleep(wait);
    let died_before = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    let counts = reader.join().expect("the reader does not panic");
    match died_before {
        Some(status) => Err(Failure::from(format!("the child died by itself: {status}"))),
        None => Ok(counts),
    }
}

/// Everything acknowledged is there, each thread's writes without a gap, batches whole. Answers how
/// many writes there are.
fn verify(dir: &Path, round: u32, acknowledged: &BTreeMap<u32, u32>) -> Result<u64, Failure> {
    let db = builder(dir).open()?;
    let Some(other) = db.find_keyspace("other")? else {
        let is_empty = acknowledged.is_empty();
        return if is_empty { Ok(0) } else { Err("a keyspace is gone".to_owned().into()) };
    };
    let mut found = 0;
    for thread in 0..THREADS {
        let prefix = format!("{round:06}/{thread}/");
        let mut count = 0;
        for entry in db.prefix(&prefix) {
            let (name, value) = entry?;
            if name != key(round, thread, count)
                || *value != *format!("{count} ").repeat(20).as_bytes()
            {
                let what = format!("thread {thread}: a gap or a wrong value at write {count}");
                return Err(what.into());
            }
            count += 1;
        }
        if other.prefix(&prefix).count() != count as usize {
            return Err(format!("thread {thread}: a batch was torn").into());
        }
        let needed = acknowledged.get(&thread).copied().unwrap_or_default();
        // At most the one write that was under way was not acknowledged.
        if !(needed..=needed + 1).contains(&count) {
            let what = format!("thread {thread}: {needed} writes acknowledged, {count} there");
            return Err(what.into());
        }
        found += u64::from(count);
    }
    Ok(found)
}

/// One folder, killed over and over.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let mut random = SeededRandom::with_stream(case.seed, 5);
    let dir = tempfile::tempdir()?;
    for round in 0..ROUNDS {
        if case.is_over() {
            break;
        }
        let wait = Duration::from_micros(2_000 + random.below(LONGEST_LIFE_US));
        let acknowledged = kill_after(&case.session.child, dir.path(), round, wait)?;
        let found = verify(dir.path(), round, &acknowledged)
            .map_err(|failure| Failure::from(format!("kill {round}: {}", failure.what)))?;
        case.count(KILLS, 1);
        case.count("writes verified", found);
        // The first writes are still there as well.
        if round == ROUNDS - 1 {
            let db = builder(dir.path()).open()?;
            case.count("writes verified", db.count()?);
        }
    }
    Ok(())
}
