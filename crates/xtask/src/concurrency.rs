//! What many threads do to each other, tried in every way we know.
//!
//! | what | which code | looks for | needs |
//! |---|---|---|---|
//! | `loom` | publication, read points, shared syncs, callbacks, cache slots | any order, any weak load | – |
//! | `shuttle` | the whole engine on a simulated disk | deadlocks, lost wake-ups, wrong answers | – |
//! | `tsan` | the engine's stress test, as the machine schedules it | data races | nightly, rust-src |
//! | `asan` | the same | memory used after it was freed | nightly |
//! | `miri` | `alluvium-base` and the memtable | undefined behaviour | nightly, miri |
//!
//! Models and schedules are tests behind `--cfg loom` and `--cfg shuttle`, built in a folder of their
//! own; each says how much it explored, and the sum is printed at the end. What cannot run here is
//! skipped with a message.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::Outcome;
use crate::ci::Verdict;
use crate::ci::machine::Machine;
use crate::fuzz::parse_time;

/// What to run, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// How long each test goes on, such as 90s or 10m: at most for loom, which may be through sooner,
    /// at least for the others.
    #[arg(long, default_value = "30s", value_parser = parse_time)]
    time: Duration,
    /// Run the tests alone whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// Where schedules and random numbers begin; the time of day by default.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Every interleaving of small models.
    Loom,
    /// Random schedules of the whole engine.
    Shuttle,
    /// The thread sanitizer.
    Tsan,
    /// The address sanitizer.
    Asan,
    /// An interpreter that knows undefined behaviour.
    Miri,
    All,
}

const EACH: [What; 5] = [What::Loom, What::Shuttle, What::Tsan, What::Asan, What::Miri];

/// Packages with models.
const MODELLED: [&str; 3] = ["alluvium-wal", "alluvium-table", "alluvium"];

/// What the short run of `cargo xtask ci` gives each test.
const SHORT: Duration = Duration::from_secs(3);

/// Runs what `arguments` name.
pub(crate) fn run(machine: &Machine, arguments: &Arguments) -> Result<Outcome> {
    let wanted =
        EACH.into_iter().filter(|each| arguments.what == What::All || arguments.what == *each);
    let seed = arguments.seed.unwrap_or_else(seed_of_the_day);
    let run = Run { machine, time: arguments.time, only: arguments.only.as_deref(), seed };
    let mut failed_count = 0;
    let mut summary = Vec::new();
    for what in wanted {
        let (verdict, explored) = run.one(what)?;
        failed_count += usize::from(matches!(verdict, Verdict::Failed(_)));
        summary.push(explored.line(what, &verdict));
    }
    println!("\n{}", summary.join("\n"));
    Ok(Outcome::of_findings(failed_count))
}

/// A short run, the same each time: models, schedules, and the thread sanitizer where it can run.
pub(crate) fn short(machine: &Machine) -> Result<Verdict> {
    let run = Run { machine, time: SHORT, only: None, seed: 1 };
    let mut verdicts = Vec::new();
    for what in [What::Loom, What::Shuttle, What::Tsan] {
        let (verdict, explored) = run.one(what)?;
        println!("{}", explored.line(what, &verdict));
        verdicts.push(verdict);
    }
    Ok(Verdict::worst(verdicts))
}

fn seed_of_the_day() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[derive(Debug)]
struct Run<'a> {
    machine: &'a Machine,
    time: Duration,
    only: Option<&'a str>,
    seed: u64,
}

/// What the tests of one kind said they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Explored {
    tests: u64,
    count: u64,
}

impl Explored {
    /// Adds what a line such as `loom: name: 12 executions in 0.3 s` says, if it is one.
    fn add(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = words.windows(2).find_map(|pair| {
            let is_count = ["executions", "schedules", "writes,"].contains(&pair[1]);
            is_count.then(|| pair[0].parse::<u64>().ok()).flatten()
        });
        if let Some(count) = said {
            self.tests += 1;
            self.count += count;
        }
    }

    fn line(self, what: What, verdict: &Verdict) -> String {
        let (name, unit) = match what {
            What::Loom => ("loom", "executions"),
            What::Shuttle => ("shuttle", "schedules"),
            What::Tsan => ("tsan", "writes"),
            What::Asan => ("asan", "writes"),
            What::Miri => ("miri", "tests"),
            What::All => ("all", ""),
        };
        let Self { tests, count } = self;
        match verdict {
            Verdict::Passed if what == What::Miri => format!("{name}: no finding"),
            Verdict::Passed => format!("{name}: {count} {unit} in {tests} tests, no finding"),
            Verdict::Failed(why) => format!("{name}: FAILED: {why}"),
            Verdict::Skipped(why) => format!("{name}: skipped: {why}"),
        }
    }
}

impl Run<'_> {
    fn one(&self, what: What) -> Result<(Verdict, Explored)> {
        let skipped = |why: &str| Ok((Verdict::Skipped(why.to_owned()), Explored::default()));
        match what {
            What::Loom => self.loom(),
            What::Shuttle => self.shuttle(),
            What::Tsan | What::Asan if !self.machine.has_nightly(&["--version"]) => {
                skipped("no nightly: rustup toolchain install nightly")
            }
            What::Tsan if !self.has_standard_source() => {
                skipped("no rust-src: rustup +nightly component add rust-src")
            }
            What::Tsan => self.sanitizer("thread"),
            What::Asan => self.sanitizer("address"),
            What::Miri => Ok((crate::ci::miri(self.machine)?, Explored::default())),
            What::All => skipped("named one by one"),
        }
    }

    fn loom(&self) -> Result<(Verdict, Explored)> {
        let mut arguments = vec!["test", "--locked", "--lib"];
        arguments.extend(MODELLED.iter().flat_map(|package| ["--package", *package]));
        arguments.extend(["--", "--nocapture", self.only.unwrap_or("models::")]);
        let mut command = self.machine.cargo(&arguments);
        self.watch(command.env("RUSTFLAGS", "--cfg loom"), "loom")
    }

    fn shuttle(&self) -> Result<(Verdict, Explored)> {
        let only = self.only.unwrap_or("schedules::");
        let arguments = [
            "test",
            "--locked",
            "--package",
            "alluvium",
            "--test",
            "concurrency",
            "--",
            "--nocapture",
            only,
        ];
        let mut command = self.machine.cargo(&arguments);
        self.watch(command.env("RUSTFLAGS", "--cfg shuttle"), "shuttle")
    }

    /// The thread sanitizer must see the standard library's own synchronisation, so that is built
    /// along; the address sanitizer does without.
    fn sanitizer(&self, name: &str) -> Result<(Verdict, Explored)> {
        // With a target, flags are kept away from build scripts and macros.
        let mut arguments = vec!["test", "--locked", "--target", "host-tuple"];
        if name == "thread" {
            arguments.push("-Zbuild-std");
        }
        let only = self.only.unwrap_or("stress::");
        arguments.extend([
            "--package",
            "alluvium",
            "--test",
            "concurrency",
            "--",
            "--nocapture",
            only,
        ]);
        let mut command = self.machine.nightly("cargo", &arguments);
        command
            .env("RUSTFLAGS", format!("-Zsanitizer={name}"))
            // Looking for leaks needs ptrace, which containers forbid.
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .env("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1");
        self.watch(&mut command, name)
    }

    fn has_standard_source(&self) -> bool {
        let output = self.machine.nightly("rustc", &["--print", "sysroot"]).output();
        output.is_ok_and(|output| {
            let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
            sysroot.join("lib/rustlib/src/rust/library/Cargo.toml").exists()
        })
    }

    /// Runs a test command, shows what it says, and adds up what its tests explored.
    fn watch(&self, command: &mut Command, folder: &str) -> Result<(Verdict, Explored)> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.machine.root.join("target"), PathBuf::from);
        command
            .env("CARGO_TARGET_DIR", target.join("concurrency").join(folder))
            .env("RUST_BACKTRACE", "1")
            .env("ALLUVIUM_MODEL_SECONDS", self.time.as_secs().to_string())
            .env("ALLUVIUM_MODEL_SEED", self.seed.to_string())
            .env("ALLUVIUM_STRESS_SECONDS", self.time.as_secs().to_string())
            .env("ALLUVIUM_STRESS_SEED", self.seed.to_string())
            .stdout(Stdio::piped());
        println!("concurrency: {folder}, seed {}", self.seed);
        let mut child = command.spawn().context("starting cargo")?;
        let said = child.stdout.take().context("the output is piped")?;
        let mut explored = Explored::default();
        for line in BufReader::new(said).lines() {
            let line = line?;
            explored.add(&line);
            println!("{line}");
        }
        let status = child.wait()?;
        let seed = self.seed;
        let failure = || Verdict::Failed(format!("{folder}: {status}; began at seed {seed}"));
        Ok((if status.success() { Verdict::Passed } else { failure() }, explored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_explored_is_added_up() {
        let mut explored = Explored::default();
        for line in [
            "running 3 tests",
            "loom: a: 12 executions in 0.3 s, all with 3 preemptions",
            "test schedules::b ... shuttle: b: 25 schedules in 0.0 s, from seed 0",
            "stress: 2 databases, 2880 writes, from seed 7",
            "test result: ok. 3 passed",
        ] {
            explored.add(line);
        }
        assert_eq!(explored, Explored { tests: 3, count: 2917 });
        let line = explored.line(What::Loom, &Verdict::Passed);
        assert_eq!(line, "loom: 2917 executions in 3 tests, no finding");
    }
}
