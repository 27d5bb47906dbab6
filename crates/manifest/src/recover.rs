//! Reading a manifest that may hold anything.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::{Error, FileName, FileNumber, Fs, Result};
use alluvium_wal::{ReplayedFile, replay_file};

use crate::current::read_current;
use crate::edit::VersionEdit;
use crate::manifest::Manifest;
use crate::record::{READABLE_VERSIONS, Record, is_readable};
use crate::state::State;

/// What [`Manifest::recover`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The state after the last record.
    pub state: State,
    /// The number of the manifest that `CURRENT` names.
    pub number: FileNumber,
    /// How many records it holds, the first, which is the whole state, included.
    pub records: u64,
    /// How much of the file those records take, in bytes.
    pub valid_len: u64,
    /// Whether something stood behind them that was never acknowledged and is dropped.
    pub is_torn: bool,
}

impl Manifest {
    /// Reads `CURRENT` and the manifest that it names. Writes nothing.
    ///
    /// Fails with [`Error::Corrupt`] naming the file when `CURRENT` is damaged, when it names a
    /// manifest that is missing or another one's, or when a record is damaged or contradicts those
    /// before it; with [`Error::Version`] when a later version wrote the manifest. A torn record at
    /// the end, which was never acknowledged, is left out.
    #[expect(clippy::needless_pass_by_value, reason = "recovering and starting are called alike")]
    pub fn recover(fs: Arc<dyn Fs>, dir: &Path) -> Result<Recovered> {
        let number = read_current(&*fs, dir)?;
        let mut state = State::new();
        let mut records = 0;
        let replayed = replay(&*fs, dir, number, &mut |record| {
            records += 1;
            state.apply_in_place(&record)
        })?;
        let ReplayedFile { valid_len, torn: is_torn, .. } = replayed;
        Ok(Recovered { state, number, records, valid_len, is_torn })
    }

    /// All edits of the manifest in use, in order, for tools that show the tree's history. The
    /// first one is the whole state when the manifest was begun.
    pub fn history(fs: &dyn Fs, dir: &Path) -> Result<Vec<VersionEdit>> {
        let number = read_current(fs, dir)?;
        let mut state = State::new();
        let mut edits = Vec::new();
        replay(fs, dir, number, &mut |record| {
            state.apply_in_place(&record)?;
            edits.push(record.edit);
            Ok(())
        })?;
        Ok(edits)
    }
}

/// Hands the records of manifest `number` to `each`, which says what is inconsistent.
fn replay(
    fs: &dyn Fs,
    dir: &Path,
    number: FileNumber,
    each: &mut dyn FnMut(Record) -> Result<(), String>,
) -> Result<ReplayedFile> {
    let path = FileName::Manifest(number).in_dir(dir);
    if !fs.exists(&path).map_err(|error| Error::io("look for", &path, error))? {
        let what = format!("it names {}, which is missing", FileName::Manifest(number));
        return Err(Error::corrupt(FileName::Current.in_dir(dir), 0, what));
    }
    let mut read = 0;
    let replayed = replay_file(fs, &path, number, &mut |payload, offset| {
        let place = Place { path: &path, index: read, offset };
        let record = read_record(&place, payload)?;
        each(record).map_err(|what| place.damaged(&what))?;
        read += 1;
        Ok(())
    })?;
    if read == 0 {
        // CURRENT names a manifest only after its first record is durable.
        return Err(Error::corrupt(&path, 0, "its first record does not verify"));
    }
    Ok(replayed)
}

/// Where a record's payload stands.
struct Place<'a> {
    path: &'a Path,
    index: u64,
    offset: u64,
}

impl Place<'_> {
    fn damaged(&self, what: &str) -> Error {
        Error::corrupt(self.path, self.offset, format!("record {}: {what}", self.index))
    }
}

/// Reads one record of a manifest.
fn read_record(place: &Place<'_>, payload: &[u8]) -> Result<Record> {
    if place.index == 0 {
        // Before anything else in it: another version may write the rest differently.
        match Record::decode_format_version(payload) {
            Some(version) if is_readable(version) => {}
            Some(found) => {
                let file = place.path.to_owned();
                return Err(Error::Version { file, found, supported: READABLE_VERSIONS });
            }
            None => return Err(place.damaged("it does not begin with its format version")),
        }
    }
    let record =
        Record::decode(payload).map_err(|malformed| malformed.in_file(place.path, place.offset))?;
    if place.index > 0 && record.format_version.is_some() {
        return Err(place.damaged("only the first record names a format version"));
    }
    Ok(record)
}
