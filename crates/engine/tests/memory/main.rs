//! The memory budget, held against an allocator that counts and against a limit set by the system.
//!
//! A binary of its own, with one test at a time: a global allocator counts whatever runs beside it.
#![allow(unsafe_code, reason = "implementing GlobalAlloc takes it; this is no part of the library")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use alluvium::{Db, Keyspace, KeyspaceOptions, Read, Result};
use alluvium_testkit::{Choices, SeededRandom};

const MIB: usize = 1 << 20;

/// Counts what is allocated, each request rounded up to 16 bytes as allocators do.
struct Counting;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to `System` unchanged; counting touches atomics and nothing else.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let bytes = layout.size().next_multiple_of(16);
        let held = HELD_BYTES.fetch_add(bytes, Relaxed) + bytes;
        PEAK_BYTES.fetch_max(held, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size().next_multiple_of(16), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// A load that fills memtables, tables and cache of several keyspaces.
struct Load {
    random: SeededRandom,
    keyspaces: Vec<Keyspace>,
    written: u64,
}

/// How many different keys a keyspace has.
const KEYS: u64 = 500_000;

fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

impl Load {
    fn new(db: &Db, seed: u64) -> Result<Self> {
        let mut keyspaces = vec![db.default_keyspace()];
        for name in ["second", "third"] {
            keyspaces.push(db.keyspace(name, KeyspaceOptions::default())?);
        }
        Ok(Self { random: SeededRandom::new(seed), keyspaces, written: 0 })
    }

    fn write(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            let length = [16, 100, 100, 100, 400][self.random.below(5) as usize];
            let mut value = vec![0; length];
            self.random.fill(&mut value[..length / 2]);
            let at = self.random.below(self.keyspaces.len() as u64) as usize;
            self.keyspaces[at].insert(key(self.random.below(KEYS)), value)?;
            self.written += 1;
        }
        Ok(())
    }

    fn read(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            let at = self.random.below(self.keyspaces.len() as u64) as usize;
            self.keyspaces[at].get(key(self.random.below(KEYS)))?;
        }
        Ok(())
    }
}

impl Load {
    /// Reads until the budget is made use of. Reads have tables merged, and the blocks of the old ones
    /// are gone then.
    fn fill_cache(&mut self, db: &Db, budget: usize) -> Result<()> {
        for _ in 0..10 {
            self.read(100_000)?;
            db.wait_idle()?;
            if db.stats()?.memory.held_bytes() * 10 >= budget as u64 * 9 {
                break;
            }
        }
        Ok(())
    }
}

fn within_a_tenth(a: usize, b: usize) -> bool {
    a.abs_diff(b) * 10 <= a.max(b)
}

#[test]
fn what_is_held_stays_within_the_budget_and_is_known_to_a_tenth() -> Result<()> {
    let _turn = TURN.lock().expect("no test has failed");
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    let dir = tempfile::tempdir().expect("a temporary folder");
    for budget in [16 * MIB, 48 * MIB] {
        let before = HELD_BYTES.load(Relaxed);
        PEAK_BYTES.store(before, Relaxed);
        let dir = dir.path().join(budget.to_string());
        let open = || Db::builder(&dir).memory(budget as u64).open();
        let held = || HELD_BYTES.load(Relaxed) - before;
        let db = open()?;
        let mut load = Load::new(&db, seed)?;
        for round in 0..20 {
            load.write(20_000)?;
            // An old view holds on to memtables and tables that are gone from the newest.
            let scan = (round % 5 == 4).then(|| db.iter());
            load.read(20_000)?;
            let told = db.stats()?.memory.held_bytes() as usize;
            println!("{budget}: {told} told, {} held", held());
            drop(scan);
        }
        load.fill_cache(&db, budget)?;
        let memory = db.stats()?.memory;
        let (told, peak) = (memory.held_bytes() as usize, PEAK_BYTES.load(Relaxed) - before);
        println!("{budget}: {told} told, {} held, {peak} at most; {memory:?}", held());
        assert!(within_a_tenth(told, held()), "told {told}, held {}", held());
        assert!(told * 10 >= budget * 9, "only {told} of {budget} are made use of");
        assert!(peak * 10 <= budget * 11, "{peak} of {budget}");

        // What is recovered at once is no more either.
        load.write(20_000)?;
        drop(load);
        drop(db);
        PEAK_BYTES.store(before, Relaxed);
        open()?.close()?;
        let peak = PEAK_BYTES.load(Relaxed) - before;
        assert!(peak * 10 <= budget * 11, "{peak} of {budget} to open");
    }
    Ok(())
}

/// The folder that the process of the next test works in.
const CHILD: &str = "ALLUVIUM_MEMORY_CHILD";

/// What the process takes beside the database, with an allocator that leaves some space unused, in KiB:
/// code's data, the stacks of nine threads.
const BESIDE_KIB: usize = 24 << 10;

const CHILD_KIB: usize = 48 << 10;
const LIMIT_KIB: usize = CHILD_KIB * 11 / 10 + BESIDE_KIB;

/// Run by the next test in a process of its own.
#[test]
fn child() -> Result<()> {
    let Some(dir) = std::env::var_os(CHILD) else { return Ok(()) };
    let budget = CHILD_KIB << 10;
    let beyond = Vec::<u8>::new().try_reserve_exact((LIMIT_KIB + 1) << 10);
    assert!(beyond.is_err(), "the limit bounds nothing");
    let db = Db::builder(Path::new(&dir)).memory(budget as u64).open()?;
    let mut load = Load::new(&db, 7)?;
    for _ in 0..10 {
        load.write(40_000)?;
        load.read(20_000)?;
    }
    load.fill_cache(&db, budget)?;
    assert!(db.stats()?.memory.held_bytes() * 10 >= 9 * budget as u64, "most of it is made use of");
    db.close()
}

/// `ulimit -d` bounds what a process may allocate; a request beyond it fails, and ends a Rust program.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the limit counts other things elsewhere")]
fn a_process_whose_memory_the_system_bounds_lives() {
    let _turn = TURN.lock().expect("no test has failed");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let program = std::env::current_exe().expect("a program runs");
    let line = format!("ulimit -d {LIMIT_KIB} && exec \"$0\" --exact child --nocapture");
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(line)
        .arg(&program)
        .env(CHILD, dir.path())
        .env("MALLOC_ARENA_MAX", "2")
        .env("RUST_BACKTRACE", "0");
    let output = shell.output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
