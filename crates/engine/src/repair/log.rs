//! The log's part of a repair: every record that verifies, and which sequences are missing.
//!
//! The log is read twice. The first time tells how far it reaches and where it has gaps, on which
//! depends which of its entries may be used; the second time takes them.
//!
//! Entries at or below what their keyspace has flushed are in tables, or were, and went from there
//! if something newer came. That newer thing is in the log too, unless the log has a gap: so these
//! entries are used only where it has none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alluvium_base::{BatchEntry, BatchReader, Bytes, FileName, FileNumber, Fs, KeyspaceId, Seq};
use alluvium_wal::{KnownSegments, SalvagedLog, SalvagedRecord, salvage_segment};

use super::report::{FileFate, Loss, RepairedFile};
use crate::{Error, Result};

/// How far a log reaches.
#[derive(Debug, Default)]
pub(super) struct LogExtent {
    /// The segments, ascending.
    segments: Vec<FileNumber>,
    /// First and last sequence of every stretch that is there.
    covered: Vec<(Seq, Seq)>,
    /// Keyspaces that its entries are of.
    pub(super) keyspaces: BTreeSet<KeyspaceId>,
    /// What cannot be known of its end.
    pub(super) doubts: Vec<String>,
}

/// Which sequences were seen, so that none counts twice.
#[derive(Debug, Default)]
struct Seen {
    /// Stretches by their first sequence, with the last one.
    stretches: BTreeMap<Seq, Seq>,
}

impl Seen {
    /// Adds a stretch; false if part of it was seen before.
    fn add(&mut self, first: Seq, last: Seq) -> bool {
        let before = self.stretches.range(..=last).next_back();
        if before.is_some_and(|(_, &before)| before >= first) {
            return false;
        }
        // Mostly it goes on where the one before ended.
        let (mut start, mut end) = (first, last);
        if let Some((&before, _)) = before.filter(|(_, end)| end.next() == first) {
            start = before;
        }
        if let Some(&after) = self.stretches.get(&last.next()) {
            self.stretches.remove(&last.next());
            end = after;
        }
        self.stretches.insert(start, end);
        true
    }
}

impl LogExtent {
    /// The highest sequence in it.
    pub(super) fn last(&self) -> Option<Seq> {
        self.covered.last().map(|(_, last)| *last)
    }

    /// What is missing of the sequences from `from` to `to`.
    pub(super) fn missing(&self, from: Seq, to: Seq) -> Vec<(Seq, Seq)> {
        let mut missing = Vec::new();
        let mut next = from;
        for &(first, last) in &self.covered {
            if next < first && next <= to {
                missing.push((next, first.prev().min(to)));
            }
            next = next.max(last.next());
        }
        if next <= to {
            missing.push((next, to));
        }
        missing
    }

    /// Whether something is missing between its first and its last sequence.
    pub(super) fn has_gaps(&self) -> bool {
        self.covered.len() > 1
    }

    /// Whether there is no log at all: every database that was opened once has one.
    pub(super) fn is_without_segments(&self) -> bool {
        self.segments.is_empty()
    }

    /// The first sequence in it.
    pub(super) fn first(&self) -> Option<Seq> {
        self.covered.first().map(|(first, _)| *first)
    }
}

/// Reads the whole log in `dir` once; each segment gets its line among `files`.
pub(super) fn survey_log(
    fs: &dyn Fs,
    dir: &Path,
    names: &[FileName],
    known: KnownSegments,
    files: &mut Vec<RepairedFile>,
) -> Result<LogExtent> {
    let (garbage, segments): (Vec<_>, _) =
        segments(names).into_iter().partition(|number| *number < known.first);
    let unneeded =
        |number| RepairedFile::new(FileName::Wal(number).to_string(), FileFate::Unneeded);
    files.extend(garbage.into_iter().map(unneeded));
    let mut extent = LogExtent { segments, ..LogExtent::default() };
    let mut seen = Seen::default();
    let mut previous: Option<(FileNumber, bool)> = None;
    let mut needed = BTreeSet::from_iter(known.active);
    for (index, &number) in extent.segments.iter().enumerate() {
        let mut file = RepairedFile::new(FileName::Wal(number).to_string(), FileFate::Read);
        let mut taken = 0;
        let mut rejected = Vec::new();
        let keyspaces = &mut extent.keyspaces;
        let salvaged = salvage_segment(fs, dir, number, &mut |record| {
            match check(&record, &mut seen) {
                Ok(entries) => {
                    taken += entries.len() as u64;
                    keyspaces.extend(entries.iter().map(|entry| entry.keyspace));
                    let reserved = entries.iter().filter(|entry| entry.kind.is_reserved()).count();
                    if reserved > 0 {
                        rejected.push(loss(&record, format!("{reserved} entries of unknown kind")));
                    }
                }
                Err(what) => rejected.push(loss(&record, what)),
            }
            Ok(())
        });
        file.saved_entries = taken;
        for loss in rejected {
            file.lose(loss);
        }
        match salvaged {
            Ok(salvaged) => {
                let is_last = index + 1 == extent.segments.len();
                note_damage(&salvaged, is_last, &mut file, &mut extent.doubts);
                note_chain(&salvaged, previous, &mut file);
                needed.extend(salvaged.successor);
                previous = Some((number, salvaged.is_sealed));
            }
            Err(error @ Error::Version { .. }) => return Err(error),
            Err(error) => {
                file.fate = FileFate::Unusable;
                let what = error.to_string();
                file.lose(Loss { offset: 0, bytes: 0, what, keys: None });
            }
        }
        files.push(file);
    }
    note_missing(needed, &mut extent, files);
    if let Some((number, true)) = previous {
        extent.doubts.push(format!(
            "{} is ended, and no segment follows it: either a crash came while the database was \
             opened, or the end of the log is lost",
            FileName::Wal(number)
        ));
    }
    extent.covered = seen.stretches.into_iter().collect();
    Ok(extent)
}

/// Segments that must be there and are not.
fn note_missing(
    needed: BTreeSet<FileNumber>,
    extent: &mut LogExtent,
    files: &mut Vec<RepairedFile>,
) {
    for number in needed.into_iter().filter(|number| !extent.segments.contains(number)) {
        let name = FileName::Wal(number).to_string();
        extent.doubts.push(format!("the log went on in {name}, which is missing"));
        let mut file = RepairedFile::new(name, FileFate::Missing);
        let what = "the file is missing".to_owned();
        file.lose(Loss { offset: 0, bytes: 0, what, keys: None });
        files.push(file);
    }
}

/// Hands every entry of the log to `each`, with its sequence and the batch it lies in, once.
pub(super) fn read_log(
    fs: &dyn Fs,
    dir: &Path,
    extent: &LogExtent,
    each: &mut dyn FnMut(&Bytes, &BatchEntry, Seq) -> Result<()>,
) -> Result<()> {
    let mut seen = Seen::default();
    for &number in &extent.segments {
        let read = salvage_segment(fs, dir, number, &mut |record| {
            let Ok(entries) = check(&record, &mut seen) else { return Ok(()) };
            let entries = (0..).zip(&entries).filter(|(_, entry)| !entry.kind.is_reserved());
            for (at, entry) in entries {
                each(&record.payload, entry, record.first_seq.plus(at))?;
            }
            Ok(())
        });
        match read {
            Ok(_) => {}
            // The survey has told of a source that cannot be read; the target must be written.
            Err(Error::Io { path, .. }) if path == FileName::Wal(number).in_dir(dir) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn segments(names: &[FileName]) -> Vec<FileNumber> {
    let mut segments: Vec<FileNumber> = names
        .iter()
        .filter(|name| matches!(name, FileName::Wal(_)))
        .filter_map(|name| name.number())
        .collect();
    segments.sort_unstable();
    segments
}

/// The entries of a record whose checksums verify, if it is one that a database wrote.
fn check(record: &SalvagedRecord, seen: &mut Seen) -> Result<Vec<BatchEntry>, String> {
    let entries: Result<Vec<BatchEntry>> =
        BatchReader::new(&record.payload).and_then(Iterator::collect);
    let entries = entries.map_err(|error| error.to_string())?;
    let (first, last) = (record.first_seq, record.last_seq);
    if last > Seq::HIGHEST_REAL || entries.len() as u64 != last.get() - first.get() + 1 {
        return Err(format!("its sequences {first} to {last} are not those of its batch"));
    }
    if !seen.add(first, last) {
        return Err(format!("its sequences {first} to {last} were read from another record"));
    }
    Ok(entries)
}

fn loss(record: &SalvagedRecord, what: String) -> Loss {
    Loss { offset: record.offset, bytes: record.payload.len() as u64, what, keys: None }
}

fn note_damage(
    salvaged: &SalvagedLog,
    is_last: bool,
    file: &mut RepairedFile,
    doubts: &mut Vec<String>,
) {
    if salvaged.cut_bytes > 0 {
        let what = "the file was cut: nobody knows what stood there, if anything did".to_owned();
        doubts.extend(is_last.then(|| "the log was cut at its end".to_owned()));
        file.lose(Loss { offset: 0, bytes: salvaged.cut_bytes, what, keys: None });
    }
    for skipped in &salvaged.skipped {
        if skipped.offset == 0 {
            file.notes.push(skipped.what.clone());
            continue;
        }
        if is_last && skipped.reaches_end {
            doubts.push(format!(
                "{} bytes at the end of the log do not verify: writes that were under way in a \
                 crash, or the last ones, damaged",
                skipped.bytes
            ));
        }
        file.lose(Loss {
            offset: skipped.offset,
            bytes: skipped.bytes,
            what: skipped.what.clone(),
            keys: None,
        });
    }
}

/// What the segments say of each other.
fn note_chain(
    salvaged: &SalvagedLog,
    previous: Option<(FileNumber, bool)>,
    file: &mut RepairedFile,
) {
    let (Some((before, is_sealed)), Some(named)) = (previous, salvaged.predecessor) else { return };
    if before != named {
        file.notes.push(format!("{} stood before it and is missing", FileName::Wal(named)));
    }
    if !is_sealed {
        let before = FileName::Wal(before);
        file.notes.push(format!("{before} before it has lost its end"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(n: u64) -> Seq {
        Seq::new(n)
    }

    #[test]
    fn stretches_grow_together_and_never_count_twice() {
        let mut seen = Seen::default();
        for (first, last, is_new) in [
            (10, 12, true),
            (13, 13, true),
            (12, 15, false),
            (20, 25, true),
            (14, 19, true),
            (11, 11, false),
            (1, 3, true),
            (0, 40, false),
        ] {
            assert_eq!(seen.add(seq(first), seq(last)), is_new, "{first}..={last}");
        }
        let covered: Vec<_> = seen.stretches.into_iter().collect();
        assert_eq!(covered, [(seq(1), seq(3)), (seq(10), seq(25))]);
        let extent = LogExtent { covered, ..LogExtent::default() };
        assert!(extent.has_gaps());
        assert_eq!(extent.missing(seq(2), seq(25)), [(seq(4), seq(9))]);
        let expected = [(seq(0), seq(0)), (seq(4), seq(9)), (seq(26), seq(30))];
        assert_eq!(extent.missing(seq(0), seq(30)), expected);
        assert_eq!(extent.missing(seq(6), seq(7)), [(seq(6), seq(7))]);
        assert_eq!(extent.missing(seq(11), seq(12)), []);
    }
}
