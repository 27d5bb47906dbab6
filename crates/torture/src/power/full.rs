//! A full disk: writes fail with a clear error, nothing is corrupt, reads go on, and once there is
//! room the database works again, after a reopen where it was poisoned.
//!
//! The disk is a small ext4 with a ballast file on it. The load fills it; removing the ballast makes
//! room. A mapped log may not meet the full disk through its mapping: the kernel would end the
//! process with SIGBUS, which is a failure here.

#![allow(clippy::disallowed_methods, reason = "a ballast file, not a database's")]

use std::path::PathBuf;

use alluvium::{Db, LogMode, Persist};
use alluvium_testkit::{Choices, SeededRandom};

use super::book::End;
use super::disk::{self, Disk, FileSystem, with_own_mounts};
use super::load::builder;
use super::process::Process;
use super::said::Said;
use super::{Bench, remove_checkpoints};
use crate::layer::{Case, Failure, Layer, Threads};

/// What is counted.
const FULL: &str = "full disks";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "full",
    what: "a small ext4 that the load fills, and room again: going on, killed, or with a power cut",
    unit: FULL,
    case,
    threads: Threads::AllCores,
    needs: disk::needs,
};

/// Sizes of disks, in bytes, and of the ballast that is a part of it.
const LEAST_BYTES: u64 = 7 << 20;
const MOST_BYTES: u64 = 10 << 20;
const BALLAST_BYTES: usize = 2 << 20;

/// How many disks a case fills, one after the other in the same folder.
const ROUNDS: u32 = 2;

fn case(case: &Case<'_>) -> Result<(), Failure> {
    with_own_mounts(|| {
        let mut random = SeededRandom::with_stream(case.seed, 7);
        let log_mode = match random.below(3) {
            0 => LogMode::Auto,
            1 => LogMode::Mapped,
            _ => LogMode::Buffered,
        };
        let bytes = LEAST_BYTES + random.below(MOST_BYTES - LEAST_BYTES);
        let disk = Disk::new(FileSystem::Ext4, bytes)?;
        let mut bench = Bench::new(case, disk, log_mode);
        for round in 0..ROUNDS {
            fill(&mut bench, round, &mut random).map_err(|failure| {
                format!("round {round}, {bytes} bytes, log {log_mode:?}: {}", failure.what)
            })?;
        }
        Ok(())
    })
}

/// How the time of the full disk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// There is room, and the process goes on.
    Room,
    /// The process is killed; there is room later.
    Kill,
    /// The power is cut; there is room later.
    Cut,
}

fn fill(bench: &mut Bench<'_>, round: u32, random: &mut SeededRandom) -> Result<(), Failure> {
    let way = [Way::Room, Way::Kill, Way::Cut][random.below(3) as usize];
    let ballast = bench.disk.root().join("ballast");
    std::fs::write(&ballast, vec![0xa5; BALLAST_BYTES])?;
    // Not there yet in the sense of the file system: it may still have to find room.
    std::fs::File::open(&ballast)?.sync_all()?;
    let mut process = bench.start(round, Some(&ballast), &[])?;
    process.expect_failures()?;
    process.wait_until(|said| said.reads.is_some())?;
    bench.case.count(FULL, 1);
    let (said, end) = match way {
        Way::Room => {
            std::fs::remove_file(&ballast)?;
            (process.end(LogMode::Buffered)?.0, End::Process)
        }
        Way::Kill => (process.kill()?, End::Process),
        Way::Cut => (cut(bench, process)?, End::Power),
    };
    judge(&said, way)?;
    if said.after.as_deref() == Some("ok") {
        bench.case.count("went on with room", 1);
    }
    bench.book.add(round, &said, end);
    if way != Way::Room {
        open_while_full(bench)?;
        std::fs::remove_file(&ballast)?;
    }
    works_again(bench)
}

/// Cuts the power of the full disk.
fn cut(bench: &Bench<'_>, process: Process) -> Result<Said, Failure> {
    process.power_goes();
    bench.disk.cut_power()?;
    let said = process.kill()?;
    bench.disk.remount()?;
    Ok(said)
}

/// Reads went on, and errors say what is wrong.
fn judge(said: &Said, way: Way) -> Result<(), Failure> {
    match said.reads.as_deref() {
        Some("ok") => {}
        reads => return Err(format!("the child ended early, or reads failed: {reads:?}").into()),
    }
    let is_clear =
        |text: &str| ["No space left", "disk is full"].iter().any(|clear| text.contains(clear));
    if let Some((_, text)) = said.errors.iter().find(|(_, text)| !is_clear(text)) {
        return Err(format!("this does not say that the disk is full: {text}").into());
    }
    match (way, said.after.as_deref()) {
        (Way::Kill | Way::Cut, _) | (Way::Room, Some("ok")) => Ok(()),
        (Way::Room, Some(after)) if after.starts_with("Poisoned") => Ok(()),
        (Way::Room, after) => Err(format!("with room again: {after:?}").into()),
    }
}

/// A full disk may refuse to open, saying so; if it opens, everything is there.
fn open_while_full(bench: &mut Bench<'_>) -> Result<(), Failure> {
    match builder(&bench.dir(), bench.log_mode).open() {
        Ok(db) => {
            bench.book.verify(&db)?;
            bench.case.count("opened while full", 1);
            // Closing may want to write, and may fail: nothing may be lost by it.
            drop(db);
            Ok(())
        }
        Err(error) if error.is_disk_full() => {
            bench.case.count("refused to open while full", 1);
            Ok(())
        }
        Err(error) => Err(format!("opening while full: {error}").into()),
    }
}

/// With room, it opens, holds everything, takes writes and gives space back.
fn works_again(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let dir: PathBuf = bench.dir();
    let db: Db = builder(&dir, bench.log_mode).open()?;
    let found = bench.book.verify(&db)?;
    bench.case.count("writes verified", found);
    // What was copied before the disk was full, and what was left half-copied.
    bench.book.verify_checkpoints(&dir, bench.log_mode)?;
    remove_checkpoints(&bench.disk.root())?;
    db.insert("after", "all")?;
    db.persist(Persist::Sync)?;
    db.compact()?;
    db.remove("after")?;
    bench.book.forget(&db)?;
    db.compact()?;
    bench.book.verify(&db)?;
    Ok(db.close()?)
}
