//! Real disks: file systems of the kernel, behind loop devices, that lose power, fill up and fail.
//!
//! ```text
//!   parent ── starts ──► child: a load from all sides, which says what was acknowledged
//!     │  ◄── "sync 0 17 …" ──  │
//!     ├── shutdown ioctl ──► ext4 or XFS: what was not synced is gone, every call fails
//!     │                        ✝ errors, or SIGBUS through the mapping
//!     ├── unmounts, mounts
//!     └── opens the folder: every synced write and all before it, a prefix, batches whole
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `kernel` | the calls without a safe wrapper |
//! | `disk` | a file system of our own |
//! | `load` | the child |
//! | `said` | what the child said |
//! | `process` | the child as its parent sees it |
//! | `book` | what must be there afterwards |
//! | `full` | the layer of full disks |
//! | `eio` | the layer of failing disks |
//!
//! What counts as acknowledged is what had returned when the ioctl was called. A sync that is under
//! way meanwhile may be answered with success though its bytes are gone: the kernel lets the write
//! finish, fails to note in its own log that the extent is written, and tells nobody. No power cut
//! does that, for it ends the process too.
//!
//! Root is needed for mounts. They are seen by the harness alone, and end with it.

mod book;
mod disk;
mod eio;
mod full;
mod kernel;
mod load;
mod process;
mod said;

use std::path::{Path, PathBuf};
use std::time::Duration;

use alluvium::{Clock, LogMode};
use alluvium_base::SystemClock;
use alluvium_testkit::{Choices, SeededRandom};

use crate::layer::{Case, Failure, Layer, Threads};
use book::{Book, End};
use disk::{Disk, FileSystem, with_own_mounts};
use load::{Load, builder};
use process::{Ended, Process};

pub use eio::{LAYER as EIO, OVER_CLEAN_PAGES};
pub use full::LAYER as FULL;
pub(crate) use load::child;

/// What is counted.
const CUTS: &str = "power cuts";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "power",
    what: "the power cut on ext4 and XFS under a load from four threads, also while recovering",
    unit: CUTS,
    case,
    threads: Threads::AllCores,
    needs: disk::needs,
};

/// Power cuts of one case, all on one disk.
const ROUNDS: u32 = 40;
/// The longest from the start of a child that is cut while it opens, in microseconds.
const LONGEST_OPENING_US: u64 = 6_000;
/// The longest that a child may write, in microseconds.
const LONGEST_LIFE_US: u64 = 25_000;

/// One disk, cut over and over.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    with_own_mounts(|| {
        let mut random = SeededRandom::with_stream(case.seed, 6);
        let file_system = if random.chance(1, 3) { FileSystem::Xfs } else { FileSystem::Ext4 };
        let log_mode = log_mode(&mut random);
        let disk = Disk::new(file_system, file_system.bytes())?;
        let mut bench = Bench::new(case, disk, log_mode);
        for round in 0..ROUNDS {
            if case.is_over() {
                break;
            }
            bench.cut(round, &mut random).map_err(|failure| {
                let name = file_system.name();
                format!("cut {round} on {name}, log {log_mode:?}: {}", failure.what)
            })?;
        }
        Ok(())
    })
}

fn log_mode(random: &mut SeededRandom) -> LogMode {
    if random.chance(1, 2) { LogMode::Mapped } else { LogMode::Buffered }
}

/// A disk with a database, and what must be in it.
struct Bench<'a> {
    case: &'a Case<'a>,
    disk: Disk,
    log_mode: LogMode,
    book: Book,
}

impl<'a> Bench<'a> {
    fn new(case: &'a Case<'a>, disk: Disk, log_mode: LogMode) -> Self {
        Self { case, disk, log_mode, book: Book::default() }
    }

    fn dir(&self) -> PathBuf {
        self.disk.root().join("db")
    }

    fn start(
        &self,
        round: u32,
        hold: Option<&Path>,
        tracer: &[String],
    ) -> Result<Process, Failure> {
        let hold = hold.map(Path::to_owned);
        let load = Load { dir: self.dir(), log_mode: self.log_mode, round, hold };
        Process::start(&self.case.session.child, &load, tracer)
    }

    /// Lets a child write, cuts the power, and looks at what is left.
    fn cut(&mut self, round: u32, random: &mut SeededRandom) -> Result<(), Failure> {
        let mut process = self.start(round, None, &[])?;
        let clock = SystemClock::new();
        if random.chance(1, 4) {
            clock.sleep(Duration::from_micros(random.below(LONGEST_OPENING_US)));
        } else {
            process.wait_until(|said| said.is_open)?;
            clock.sleep(Duration::from_micros(random.below(LONGEST_LIFE_US)));
        }
        process.expect_failures()?;
        process.power_goes();
        self.disk.cut_power()?;
        self.case.count(CUTS, 1);
        self.case.count(self.disk.file_system.cuts(), 1);
        let (said, ended) = process.end(self.log_mode)?;
        if ended == Ended::BySigbus {
            self.case.count("processes ended by SIGBUS", 1);
        }
        self.disk.remount()?;
        self.book.add(round, &said, End::Power);
        // Else the next child recovers, and its power may be cut meanwhile.
        if random.chance(3, 4) || round + 1 == ROUNDS {
            self.look()?;
        }
        Ok(())
    }

    /// Opens the database and checks it against the book; makes room for the next round.
    fn look(&mut self) -> Result<(), Failure> {
        let dir = self.dir();
        let db = builder(&dir, self.log_mode).open()?;
        let found = self.book.verify(&db)?;
        self.case.count("writes verified", found);
        let checkpoints = self.book.verify_checkpoints(&dir, self.log_mode)?;
        self.case.count("checkpoints verified", checkpoints);
        self.book.forget(&db)?;
        db.close()?;
        remove_checkpoints(&self.disk.root())
    }
}

/// Removes the checkpoints, those that were not finished included.
#[allow(clippy::disallowed_methods, reason = "folders of the harness")]
fn remove_checkpoints(root: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("copy-") {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alluvium::{Db, ErrorKind};

    use super::*;

    /// A mapped log on btrfs: once the disk was full, writing again into a page that had been synced
    /// before ended the process, for btrfs needs room for it each time.
    #[test]
    fn the_log_is_not_mapped_where_a_full_disk_would_end_the_process() {
        if let Err(missing) = disk::needs().and_then(|()| disk::is_there("mkfs.btrfs")) {
            println!("skipped, {missing}");
            return;
        }
        let tried = with_own_mounts(|| {
            let disk = Disk::new(FileSystem::Btrfs, FileSystem::Btrfs.bytes())?;
            let open = |mode| Db::builder(disk.root().join("db")).log_mode(mode).open();
            let refused = open(LogMode::Mapped).map(drop).map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::Io));
            let db = open(LogMode::Auto)?;
            assert_eq!(db.stats()?.log.mode, "buffered");
            Ok(db.close()?)
        });
        tried.unwrap();
    }
}
