//! Rot: every bit of every file flipped, and every file cut at every length.
//!
//! Whatever is flipped, reading everything gives exactly what was written or an error that says
//! what is damaged, and never panics. Everything in these databases is durable: nothing may be
//! taken for a torn tail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium::{Db, Depth, Error, ErrorKind, Persist, Read, check};
use alluvium_testkit::{SimClock, SimFs, Survival};

use crate::layer::{Case, Failure, Layer, Threads, needs_nothing, spread};
use crate::option_sets::{self, OptionSet};
use crate::states::{Content, History, differences, read_every_way};
use crate::workload::{DIR, Run, Step, Write, expiring, put, remove};

/// What is counted.
const FLIPS: &str = "flipped bits";
/// And this.
const CUTS: &str = "truncations";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "bytes",
    what: "every bit flipped and every truncation of every file: the same data or an error that \
           names the damage",
    unit: FLIPS,
    case,
    threads: Threads::AllCores,
    needs: needs_nothing,
};

/// Of a longer file, so many places are tried, evenly spread: what is long is reserved and zero.
const MOST_PLACES: u64 = 200_000;

/// Bytes of the watermark that a log ends with.
const WATERMARK_BYTES: usize = 48;

/// More than this, in address space, is never taken to read files of a few kilobytes: a length was
/// believed. Allocators of several threads may reserve some hundred megabytes.
const MOST_TAKEN_BYTES: u64 = 3 << 29;

/// How many trials there are between two looks at the memory taken.
const LOOK_EVERY: usize = 64;

/// Even seeds damage a database that was closed, odd ones one whose process was killed; every two
/// seeds take the next set of options.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let sets = option_sets::deterministic();
    let set = sets[(case.seed / 2 % sets.len() as u64) as usize].clone();
    let end = if case.seed.is_multiple_of(2) { End::Closed } else { End::Killed };
    let sample = Sample::new(case.seed, set, end)?;
    let mut tally = Tally::new();
    let files = sample.files();
    let damages: Vec<_> = files.iter().flat_map(|(path, len)| damages(path, *len)).collect();
    // However early the time is up, what was tried lies everywhere in the files.
    let order = spread(damages.len()).filter_map(|at| damages.get(at));
    let before = peak_bytes();
    for (n, (path, damage)) in order.enumerate() {
        sample.damage(case, path, *damage, &mut tally)?;
        // Asking the system takes longer than a trial.
        if n.is_multiple_of(LOOK_EVERY) || n + 1 == damages.len() {
            let taken = peak_bytes().saturating_sub(before);
            if taken > MOST_TAKEN_BYTES {
                let what = format!(
                    "{taken} bytes of memory were taken, the last time for {damage:?} of {} or \
                     one of the {LOOK_EVERY} damages before: a length was not verified",
                    path.display()
                );
                return Err(what.into());
            }
        }
        if case.is_over() {
            break;
        }
    }
    if case.session.only.is_some() {
        println!("{tally:#?}");
    }
    Ok(())
}

/// All that happens to a file of this length.
fn damages(path: &Path, len: u64) -> impl Iterator<Item = (&Path, Damage)> {
    let bits = len * 8;
    let flips = (0..bits).step_by((bits / MOST_PLACES) as usize | 1).map(Damage::Flip);
    let cuts = (0..len).step_by((len / MOST_PLACES) as usize | 1).map(Damage::Cut);
    flips.chain(cuts).map(move |damage| (path, damage))
}

/// How the sample's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
}

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// This bit is flipped.
    Flip(u64),
    /// It is cut to this length.
    Cut(u64),
}

/// A small database that holds every kind of entry, in tables of several levels and in the log.
/// All of it was acknowledged as durable.
struct Sample {
    disk: SimFs,
    clock: SimClock,
    set: OptionSet,
    content: Content,
    history: History,
}

impl Sample {
    fn new(seed: u64, set: OptionSet, end: End) -> Result<Self, Failure> {
        let mut run = Run::new(SimFs::new(seed), set);
        let mut steps = vec![Step::Create("other")];
        for round in 0..3 {
            steps.extend((0..5).map(|n| Step::Commit(writes(round, n), Persist::Sync)));
            match round {
                0 => steps.push(Step::Compact),
                1 => steps.push(Step::Flush),
                _ => steps.extend([Step::Advance(10), Step::Create("empty"), Step::Persist]),
            }
        }
        run.go(&steps)?;
        let db = run.db.take().expect("it was just opened");
        let content = read_every_way(&db)?;
        let disk = match end {
            End::Closed => {
                db.close()?;
                run.disk.clone()
            }
            End::Killed => run.disk.crash(Survival::All),
        };
        let Run { clock, set, history, .. } = run;
        Ok(Self { disk, clock, set, content, history })
    }

    fn files(&self) -> Vec<(PathBuf, u64)> {
        let files = self.disk.files().into_iter();
        let ours = files.filter(|(path, _)| path.starts_with(DIR) && !path.ends_with("LOCK"));
        ours.map(|(path, bytes)| (path, bytes.len() as u64)).collect()
    }

    /// Damages a copy and looks what becomes of it.
    fn damage(
        &self,
        case: &Case<'_>,
        path: &Path,
        damage: Damage,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        let (trial, unit) = match damage {
            Damage::Flip(bit) => (format!("{name}:bit{bit}"), FLIPS),
            Damage::Cut(len) => (format!("{name}:cut{len}"), CUTS),
        };
        if !case.wants(&trial) {
            return Ok(());
        }
        let disk = self.disk.kill();
        match damage {
            Damage::Flip(bit) => disk.flip_bit(path, bit),
            Damage::Cut(len) => disk.truncate(path, len),
        }
        let outcome = self.examine(&disk, path);
        case.count(unit, 1);
        match &outcome {
            Outcome::Wrong(what) => return Err(Failure::of(trial, what)),
            Outcome::Earlier => {
                let what = "an earlier state is there, and nothing says that writes are lost";
                return Err(Failure::of(trial, what));
            }
            Outcome::Indifferent if self.means_something(path, damage) => {
                let what = "a bit that means something is flipped, and nothing notices";
                return Err(Failure::of(trial, what));
            }
            Outcome::Reported
            | Outcome::NamedAnother
            | Outcome::OnlyChecked
            | Outcome::Indifferent => {}
        }
        *tally.entry((kind_of(&name), outcome)).or_default() += 1;
        Ok(())
    }

    /// Whether the damage is to a byte in use that some checksum must cover. Those that are zero may
    /// be padding or reserved room, and a log ends with a watermark that was never synced.
    fn means_something(&self, path: &Path, damage: Damage) -> bool {
        let Damage::Flip(bit) = damage else { return false };
        let bytes = self.disk.read(path).unwrap_or_default();
        let at = (bit / 8) as usize;
        let is_log = path.extension().is_some_and(|extension| extension == "wal")
            || path.to_string_lossy().contains("MANIFEST");
        let last_used = bytes.iter().rposition(|&byte| byte != 0).unwrap_or_default();
        let end = if is_log { last_used.saturating_sub(WATERMARK_BYTES) } else { bytes.len() };
        at < end && bytes[at] != 0
    }

    /// Checks, opens and reads the damaged database.
    fn examine(&self, disk: &SimFs, file: &Path) -> Outcome {
        let name = file.file_name().expect("a file has a name").to_string_lossy();
        let reported = match check(Arc::new(disk.clone()), DIR, Depth::Deep) {
            Ok(report) => report.damage,
            Err(error) => vec![error],
        };
        let read = self
            .set
            .builder(disk, &self.clock)
            .create_if_missing(false)
            .open()
            .and_then(|db| self.read(&db));
        match read {
            Ok((differences, scanned)) if !differences.is_empty() => {
                match self.history.find(&scanned, 0, self.clock.now()) {
                    Ok(()) => Outcome::Earlier,
                    Err(what) => Outcome::Wrong(what),
                }
            }
            Ok(_) if reported.is_empty() => Outcome::Indifferent,
            Ok(_) => Outcome::OnlyChecked,
            Err(error) if !is_fair(&error) => Outcome::Wrong(format!("an unfair error: {error}")),
            Err(error) if reported.is_empty() => {
                Outcome::Wrong(format!("check finds nothing, yet: {error}"))
            }
            Err(error) if !error.to_string().contains(&*name) => Outcome::NamedAnother,
            Err(_) => Outcome::Reported,
        }
    }

    /// Reads everything in every way; answers what differs.
    fn read(&self, db: &Db) -> alluvium::Result<(Vec<String>, Content)> {
        let mut by_key = Content::new();
        for (name, tree) in &self.content {
            let Some(keyspace) = db.find_keyspace(name)? else { continue };
            let mut found = BTreeMap::new();
            let absent = ["k", "k9", "gone", "zzz"].map(|key| key.as_bytes().to_vec());
            for key in tree.keys().chain(&absent) {
                if let Some(value) = keyspace.get(key)? {
                    found.insert(key.clone(), value.to_vec());
                }
            }
            by_key.insert(name.clone(), found);
        }
        let scanned = read_every_way(db)?;
        let by_key = differences(&self.content, &by_key).into_iter();
        Ok((by_key.chain(differences(&self.content, &scanned)).collect(), scanned))
    }
}

/// The most address space that this process ever had, in bytes; 0 where the system does not say.
#[allow(clippy::disallowed_methods, reason = "the system's figures, not a database's file")]
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

/// Every kind of entry.
fn writes(round: usize, n: usize) -> Vec<Write> {
    let key = format!("k{}", n * 3 % 7);
    vec![
        put("default", &key, format!("value {round}.{n} {}", "x".repeat(20))),
        expiring("default", &format!("e{n}"), "for a while", 1_000_000),
        expiring("other", "gone", "soon", 1),
        remove("default", &format!("k{}", (n + 1) % 7)),
        put("other", &key, [n as u8; 12]),
    ]
}

/// Whether an error is one that damage may cause.
fn is_fair(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Version)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Reading failed, and the error names the file.
    Reported,
    /// Reading failed, and the error names a file that contradicts this one.
    NamedAnother,
    /// Everything reads as before, and the deep check reports the damage.
    OnlyChecked,
    /// Everything reads as before, and nothing is reported: the bit means nothing.
    Indifferent,
    /// Everything reads as at an earlier moment, and nothing is reported.
    Earlier,
    /// Damage that nothing reports, or a mixture that never was.
    Wrong(String),
}

type Tally = BTreeMap<(String, Outcome), u64>;

/// What kind of file it is: `wal`, `table`, `MANIFEST`, `CURRENT`, `OPTIONS`.
fn kind_of(name: &str) -> String {
    match name.split_once('.') {
        Some((_, extension)) => extension.to_owned(),
        None => name.split('-').next().unwrap_or(name).to_owned(),
    }
}
