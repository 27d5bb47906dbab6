//! A disk that fails: write-back that reports an error once and never again, and system calls that
//! fail by the will of somebody outside of the process.
//!
//! ```text
//!   thin     the device has no room behind some free blocks: the page cache takes the write, its
//!            write-back fails, fsync says so once, and the page counts as clean from then on
//!   traced   strace makes a system call of the child fail, once or for good
//! ```
//!
//! Whatever failed, nothing that was synced before is lost, also once the power is cut and the page
//! cache gone. Where a later sync is answered with success, it covers everything acknowledged.

#![allow(clippy::disallowed_methods, reason = "a file of the harness, not a database's")]

use std::path::Path;
use std::time::Duration;

use alluvium::{Clock, Persist};
use alluvium_base::SystemClock;
use alluvium_testkit::{Choices, SeededRandom};

use super::book::End;
use super::disk::{self, Disk, FileSystem, is_there, with_own_mounts};
use super::load::builder;
use super::process::Process;
use super::said::{Said, is_of_the_disk};
use super::{Bench, remove_checkpoints};
use crate::layer::{Case, Failure, Layer, Threads};

/// What is counted.
const FAILING: &str = "failing disks";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "eio",
    what: "write-back that fails once and then succeeds, and system calls failed from outside",
    unit: FAILING,
    case,
    threads: Threads::AllCores,
    needs: disk::needs,
};

/// How many failures a case tries on one disk.
const ROUNDS: u32 = 4;
/// The most that a thin disk has room for, in bytes.
const MOST_SPARE_BYTES: u64 = 1 << 20;
/// The trial in which the database is opened before the power is cut: one of three on a thin disk,
/// and all with `--only clean-pages`.
pub const OVER_CLEAN_PAGES: &str = "clean-pages";
/// How long a traced child may run without a write that fails.
const LONGEST_TRACE: Duration = Duration::from_millis(400);
/// System calls that are failed from outside, and with what.
const TRACED: &[(&str, &str)] = &[
    ("fsync,fdatasync", "EIO"),
    ("fdatasync", "EIO"),
    ("fsync,fdatasync", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("fallocate", "ENOSPC"),
    ("fallocate", "EIO"),
    ("rename", "EIO"),
    ("unlink", "EIO"),
    ("ftruncate", "EIO"),
];

fn case(case: &Case<'_>) -> Result<(), Failure> {
    with_own_mounts(|| {
        let mut random = SeededRandom::with_stream(case.seed, 8);
        let log_mode = super::log_mode(&mut random);
        let is_thin = case.session.only.as_deref() == Some(OVER_CLEAN_PAGES);
        let is_traced = random.chance(1, 2) && !is_thin && is_there("strace").is_ok();
        let disk = Disk::new(FileSystem::Ext4, FileSystem::Ext4.bytes())?;
        let mut bench = Bench::new(case, disk, log_mode);
        for round in 0..ROUNDS {
            if case.is_over() {
                break;
            }
            let tried = if is_traced {
                traced(&mut bench, round, &mut random)
            } else {
                thin(&mut bench, round, &mut random)
            };
            tried.map_err(|failure| {
                let kind = if is_traced { "traced" } else { "thin" };
                format!("round {round}, {kind}, log {log_mode:?}: {}", failure.what)
            })?;
            case.count(FAILING, 1);
        }
        Ok(())
    })
}

/// Write-back fails for lack of room behind the device.
fn thin(bench: &mut Bench<'_>, round: u32, random: &mut SeededRandom) -> Result<(), Failure> {
    bench.disk.limit_backing(Some(random.below(MOST_SPARE_BYTES)))?;
    let hold = hold(&bench.disk)?;
    let mut process = bench.start(round, Some(&hold), &[])?;
    process.may_fail();
    process.wait_until(|said| said.reads.is_some())?;
    bench.case.count("write-backs that failed", 1);
    // From here on the disk is sound, and the next fsync succeeds whatever became of the pages.
    bench.disk.limit_backing(None)?;
    let said = finish(bench, process, &hold, random)?;
    let is_asked_for = bench.case.session.only.as_deref() == Some(OVER_CLEAN_PAGES);
    if is_asked_for || random.chance(1, 3) {
        bench.book.add(round, &said, End::Process);
        open_over_clean_pages(bench, round, &said)?;
    } else {
        bench.book.add(round, &said.after_a_sync(), End::Power);
    }
    bench.disk.cut_power()?;
    bench.disk.remount()?;
    look(bench)
}

/// Opens the database while the kernel still shows what it failed to write, and makes it promise
/// what it shows.
fn open_over_clean_pages(bench: &mut Bench<'_>, round: u32, said: &Said) -> Result<(), Failure> {
    match builder(&bench.dir(), bench.log_mode).open() {
        Ok(db) => {
            bench.case.count("opened over clean pages", 1);
            bench.book.verify(&db)?;
            // Whoever has read something and then synced may rely on both.
            db.insert("after", "all")?;
            db.persist(Persist::Sync)?;
            // Closing it would write more: the power is cut before.
            bench.disk.cut_power()?;
            drop(db);
            Ok(())
        }
        // The file system's own log may have failed too: ext4 then refuses writes until it is
        // mounted again, which is as a power cut.
        Err(error) if is_of_the_disk(&format!("{:?}", error.kind())) => {
            bench.case.count("file systems that turned read-only", 1);
            bench.book.only_durable(round, said);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// System calls fail for somebody outside wants them to; then the power is cut, so that what they
/// did not do is missed.
fn traced(bench: &mut Bench<'_>, round: u32, random: &mut SeededRandom) -> Result<(), Failure> {
    let (calls, error) = TRACED[random.below(TRACED.len() as u64) as usize];
    let when = 1 + random.below(25);
    let for_good = if random.chance(1, 3) { "+" } else { "" };
    let inject = format!("inject={calls}:error={error}:when={when}{for_good}");
    let trace = format!("trace={calls}");
    let tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", &trace, "-e"];
    let tracer: Vec<_> =
        tracer.iter().map(|&word| word.to_owned()).chain([inject.clone()]).collect();
    let hold = hold(&bench.disk)?;
    let clock = SystemClock::new();
    let begin = clock.monotonic();
    let mut process = bench.start(round, Some(&hold), &tracer)?;
    process.may_fail();
    let is_late = || clock.monotonic().saturating_sub(begin) > LONGEST_TRACE;
    process.wait_until(|said| said.reads.is_some() || is_late())?;
    if random.chance(1, 2) && process.has(|said| said.reads.is_some()) {
        // It may try again, before the power is cut.
        std::fs::remove_file(&hold)?;
        process.wait_until(|said| said.after.is_some())?;
    }
    process.power_goes();
    bench.disk.cut_power()?;
    if hold.exists() {
        std::fs::remove_file(&hold)?;
    }
    let said = process.end_however(bench.log_mode)?;
    bench.case.count("faults from outside", 1);
    if let Some((_, text)) = said.errors.first() {
        bench.case.count("faults that were told", 1);
        judge(&said).map_err(|failure| format!("{inject}: {text}: {}", failure.what))?;
    }
    bench.disk.remount()?;
    bench.book.add(round, &said.after_a_sync(), End::Power);
    look(bench).map_err(|failure| format!("{inject}: {}", failure.what).into())
}

/// A file outside of the disk: while it is there, the child waits after its first failure.
fn hold(disk: &Disk) -> Result<std::path::PathBuf, Failure> {
    let hold = disk.beside().join("hold");
    std::fs::write(&hold, "")?;
    Ok(hold)
}

/// Lets the child try to go on, or kills it.
fn finish(
    bench: &Bench<'_>,
    process: Process,
    hold: &Path,
    random: &mut SeededRandom,
) -> Result<Said, Failure> {
    if random.chance(1, 2) {
        return process.kill();
    }
    std::fs::remove_file(hold)?;
    let (said, _) = process.end(bench.log_mode)?;
    judge(&said)?;
    Ok(said)
}

/// After a failure the database works on or is poisoned, and nothing in between.
fn judge(said: &Said) -> Result<(), Failure> {
    match said.after.as_deref() {
        None | Some("ok") => Ok(()),
        Some(after) if after.starts_with("Poisoned") => Ok(()),
        // The power was cut meanwhile, or the fault is one for good.
        Some(after) if after.starts_with("Io") || after.starts_with("WouldStall") => Ok(()),
        Some(after) => Err(format!("a write after the failure: {after}").into()),
    }
}

/// The disk is sound: everything is there, and the database works.
fn look(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let dir = bench.dir();
    let db = builder(&dir, bench.log_mode).open()?;
    let found = bench.book.verify(&db)?;
    bench.case.count("writes verified", found);
    bench.book.verify_checkpoints(&dir, bench.log_mode)?;
    db.remove("after")?;
    bench.book.forget(&db)?;
    db.compact()?;
    db.close()?;
    remove_checkpoints(&bench.disk.root())
}
