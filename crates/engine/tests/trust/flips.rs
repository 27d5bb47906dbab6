//! Rot: every bit of every file flipped, and every file cut at every length.
//!
//! Whatever is flipped, reading everything gives exactly what was written or an error that says
//! what is damaged, and never panics. Everything in these databases is durable: nothing may be
//! taken for a torn tail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium::{Db, Depth, Error, ErrorKind, LogMode, Persist, Read, check};
use alluvium_testkit::{SimClock, SimFs};

use crate::history::{Content, History, differences, read_every_way};
use crate::workload::{DIR, Run, Step, Write, builder, expiring, put, remove};

/// A small database that holds every kind of entry, in tables of several levels and in the log.
struct Sample {
    disk: SimFs,
    clock: SimClock,
    mode: LogMode,
    content: Content,
    history: History,
}

impl Sample {
    fn new(mode: LogMode) -> Self {
        let disk = SimFs::new(5);
        disk.set_mapping_supported(mode == LogMode::Mapped);
        let mut run = Run::new(disk, mode);
        let mut steps = vec![Step::Create("other")];
        for round in 0..3 {
            steps.extend((0..5).map(|n| Step::Commit(writes(round, n), Persist::Sync)));
            match round {
                0 => steps.push(Step::Compact),
                1 => steps.push(Step::Flush),
                _ => steps.push(Step::Advance(10)),
            }
        }
        run.go(&steps).unwrap();
        let db = run.db.take().unwrap();
        let content = read_every_way(&db).unwrap();
        db.close().unwrap();
        let Run { disk, clock, history, .. } = run;
        Self { disk, clock, mode, content, history }
    }

    fn files(&self) -> Vec<(PathBuf, u64)> {
        let files = self.disk.files().into_iter();
        let ours = files.filter(|(path, _)| path.starts_with(DIR));
        ours.map(|(path, bytes)| (path, bytes.len() as u64)).collect()
    }

    /// Checks, opens and reads the damaged database.
    fn examine(&self, disk: &SimFs, file: &Path) -> Outcome {
        let name = file.file_name().unwrap().to_str().unwrap();
        let reported = match check(Arc::new(disk.clone()), DIR, Depth::Deep) {
            Ok(report) => report.damage,
            Err(error) => vec![error],
        };
        let read = builder(disk, &self.clock, self.mode)
            .create_if_missing(false)
            .open()
            .and_then(|db| self.read(&db));
        match read {
            Ok((differences, scanned)) if !differences.is_empty() => {
                match self.history.find(&scanned, 0, self.clock.now()) {
                    Ok(_) => Outcome::Earlier,
                    Err(what) => Outcome::Wrong(what),
                }
            }
            Ok(_) if reported.is_empty() => Outcome::Indifferent,
            Ok(_) => Outcome::OnlyChecked,
            Err(error) if !is_fair(&error) => Outcome::Wrong(format!("an unfair error: {error}")),
            Err(error) if reported.is_empty() => {
                Outcome::Wrong(format!("check finds nothing, yet: {error}"))
            }
            Err(error) if !error.to_string().contains(name) => Outcome::NamedAnother,
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

type Tally = BTreeMap<(String, Outcome), (u64, Vec<u64>)>;

fn kind_of(file: &Path) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    match name.split_once('.') {
        Some((_, extension)) => extension.to_owned(),
        None => name.split('-').next().unwrap().to_owned(),
    }
}

fn note(tally: &mut Tally, file: &Path, place: u64, outcome: Outcome) {
    let (count, places) = tally.entry((kind_of(file), outcome)).or_default();
    *count += 1;
    places.push(place);
}

fn print(what: &str, tally: &Tally) {
    for ((kind, outcome), (count, places)) in tally {
        let first: Vec<_> = places.iter().take(12).collect();
        println!("{what}: {kind:>9} {count:>7} {outcome:?}, first at {first:?}");
    }
}

/// Nothing wrong was read; and nothing earlier, but for kinds of files that `may_be_earlier`.
fn no_wrong(tally: &Tally, may_be_earlier: &[&str]) {
    for (kind, outcome) in tally.keys() {
        let is_allowed = match outcome {
            Outcome::Wrong(_) => false,
            Outcome::Earlier => may_be_earlier.contains(&&**kind),
            Outcome::Reported
            | Outcome::NamedAnother
            | Outcome::OnlyChecked
            | Outcome::Indifferent => true,
        };
        assert!(is_allowed, "{kind}: {outcome:?}");
    }
}

/// Flips every bit of the files whose name contains `part`.
fn flip(mode: LogMode, part: &str) -> Tally {
    let sample = Sample::new(mode);
    let mut tally = Tally::new();
    for (path, len) in sample.files() {
        if !path.to_str().unwrap().contains(part) {
            continue;
        }
        for bit in 0..len * 8 {
            let disk = sample.disk.kill();
            disk.flip_bit(&path, bit);
            note(&mut tally, &path, bit / 8, sample.examine(&disk, &path));
        }
        println!("{}: {len} bytes", path.display());
    }
    print(&format!("flips, {mode:?}"), &tally);
    tally
}

#[test]
fn no_flipped_bit_of_a_table_goes_unnoticed() {
    let tally = flip(LogMode::Buffered, ".table");
    no_wrong(&tally, &[]);
}

#[test]
fn no_flipped_bit_of_manifest_current_or_options_goes_unnoticed() {
    for part in ["MANIFEST", "CURRENT", "OPTIONS"] {
        no_wrong(&flip(LogMode::Buffered, part), &[]);
    }
}

#[test]
fn no_flipped_bit_of_the_log_goes_unnoticed() {
    no_wrong(&flip(LogMode::Buffered, ".wal"), &[]);
}

/// In a mapped log, what was reserved and not written is zeroes; a flipped one means nothing.
#[test]
fn no_flipped_bit_of_the_mapped_log_goes_unnoticed() {
    no_wrong(&flip(LogMode::Mapped, ".wal"), &[]);
}

/// Files that only grow at their end can be cut so that they look as they did earlier: the last log
/// segment and the manifest, where nothing behind the cut is left to tell. What remains is then a
/// state the database was in, whole; any other cut is reported.
#[test]
fn no_truncation_goes_unnoticed() {
    for mode in [LogMode::Buffered, LogMode::Mapped] {
        let sample = Sample::new(mode);
        let mut tally = Tally::new();
        for (path, len) in sample.files() {
            for cut in 0..len {
                let disk = sample.disk.kill();
                disk.truncate(&path, cut);
                note(&mut tally, &path, cut, sample.examine(&disk, &path));
            }
        }
        print(&format!("truncations, {mode:?}"), &tally);
        no_wrong(&tally, &["wal", "MANIFEST"]);
    }
}
