//! The manifest on disk: the log of version edits, and how it is begun, extended and replaced.
//!
//! ```text
//!   CURRENT ──names──► MANIFEST-000012   ┌ record: the whole state (format version, snapshot)
//!                                        ├ record: flush, added 000014
//!                                        ├ record: compaction, added 000015, removed 000009 …
//!                                        └ …
//! ```
//!
//! Invariants:
//!
//! - A record is durable before the state shows what it says: [`Manifest::apply`] is the commit
//!   point of every change to the tree.
//! - `CURRENT` names only a manifest whose first record and whose name are durable.
//! - A manifest is written by one process only: reopening begins a fresh one, so that a record
//!   that failed to sync, and may still turn up in the old file, is never followed by another.
//! - The first failure to write or sync is final ([`Error::Poisoned`]). Its outcome is unknown: the
//!   record may be found by the next [`Manifest::recover`] or not, so nothing that it names, added
//!   or removed, may be deleted before that, and no number in it is handed out again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, FileName, FileNumber, FileNumbers, Fs, Result};
use alluvium_wal::{LogFileWriter, MAX_PAYLOAD_BYTES};

use crate::current::write_current;
use crate::edit::{Cause, VersionEdit};
use crate::record::Record;
use crate::recover::Recovered;
use crate::state::State;

/// A manifest smaller than this is not rewritten, unless [`ManifestOptions`] say so.
pub const REWRITE_MIN_BYTES: u64 = 1 << 20;
/// A larger one is rewritten when it is this many times its first record.
pub const REWRITE_FACTOR: u64 = 4;
/// Or when it holds this many edits, which bounds the time that recovery takes.
pub const REWRITE_EDITS: u64 = 16 << 10;

/// Options of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestOptions {
    /// A file smaller than this is not rewritten, in bytes. So much is reserved, too.
    pub rewrite_min_bytes: u64,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self { rewrite_min_bytes: REWRITE_MIN_BYTES }
    }
}

/// The manifest of an open database. One owner: the engine keeps it under a lock of its own.
#[derive(Debug)]
pub struct Manifest {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    numbers: Arc<FileNumbers>,
    log: LogFileWriter,
    number: FileNumber,
    state: State,
    /// Edits behind the first record.
    edits: u64,
    /// Length of the file at which it is next rewritten.
    rewrite_at_bytes: u64,
    options: ManifestOptions,
    poisoned: Option<Arc<Error>>,
}

impl Manifest {
    /// Begins the manifest of a new database, without any keyspace, in the folder `dir`.
    ///
    /// To be called before the first log segment is created: a folder that holds logs or tables,
    /// but no `CURRENT`, has lost it, and is refused with [`Error::Corrupt`]. One that holds a
    /// `CURRENT` is refused with [`Error::Invalid`]. Leftovers of an earlier `create` that was cut
    /// short do not matter.
    pub fn create(
        fs: Arc<dyn Fs>,
        dir: &Path,
        numbers: Arc<FileNumbers>,
        at_ms: u64,
        options: ManifestOptions,
    ) -> Result<Self> {
        check_new(&*fs, dir)?;
        let number = numbers.take();
        let record = State::new().snapshot(Cause::Create, at_ms, numbers.peek());
        Self::begin(fs, dir, numbers, number, &record, options)
    }

    /// Starts writing behind what [`Manifest::recover`] found: begins a fresh manifest whose first
    /// record is the recovered state, and switches `CURRENT` to it. The old file is obsolete from
    /// then on; removing it is the engine's business.
    ///
    /// `numbers` must start at `recovered.state.next_file` or later, and above the number of every
    /// file in the folder: else this fails with [`Error::Invalid`].
    pub fn start(
        fs: Arc<dyn Fs>,
        dir: &Path,
        recovered: Recovered,
        numbers: Arc<FileNumbers>,
        at_ms: u64,
        options: ManifestOptions,
    ) -> Result<Self> {
        let Recovered { state, number: old, .. } = recovered;
        if numbers.peek() < state.next_file || numbers.peek() <= old {
            let (next, known) = (numbers.peek(), state.next_file);
            return Err(Error::invalid(format!(
                "file numbers must go on from {known} and above manifest {old}, not from {next}"
            )));
        }
        let number = numbers.take();
        refuse_existing(&*fs, &FileName::Manifest(number).in_dir(dir))?;
        let record = state.snapshot(Cause::Open, at_ms, numbers.peek());
        Self::begin(fs, dir, numbers, number, &record, options)
    }

    /// Writes a manifest with `first` as its first record and makes it the one in use.
    fn begin(
        fs: Arc<dyn Fs>,
        dir: &Path,
        numbers: Arc<FileNumbers>,
        number: FileNumber,
        first: &Record,
        options: ManifestOptions,
    ) -> Result<Self> {
        // What is written must be what will be read: the state is taken from the record.
        let state = State::new().apply(first).map_err(|what| nonsense(&what))?;
        let fresh = write_fresh(&*fs, dir, number, first, options).inspect_err(|_| {
            // On a full disk, attempts must not pile up. What resists is found as obsolete later.
            fs.remove(&FileName::Manifest(number).in_dir(dir)).unwrap_or_default();
        });
        let (log, rewrite_at_bytes) = fresh?;
        write_current(&*fs, dir, number)?;
        let dir = dir.to_owned();
        let (edits, poisoned) = (0, None);
        Ok(Self {
            fs,
            dir,
            numbers,
            log,
            number,
            state,
            edits,
            rewrite_at_bytes,
            options,
            poisoned,
        })
    }

    /// The commit point: makes `edit` durable, then part of [`Manifest::state`].
    ///
    /// Fails with [`Error::Invalid`] before anything is written when the edit makes no sense: a
    /// keyspace or a table to remove that is not there, tables of a sorted run that overlap, a
    /// number that goes back. Fails with what went wrong when writing or syncing does; whether the
    /// edit was made is then unknown until the database is reopened, so neither the files that it
    /// adds nor those that it removes may be deleted. Every later call fails with
    /// [`Error::Poisoned`].
    ///
    /// A manifest that has grown too long is rewritten afterwards. Success means that the edit is
    /// durable, even if that rewriting failed: then the next call tells.
    pub fn apply(&mut self, edit: VersionEdit) -> Result<()> {
        self.check_usable()?;
        let at_ms = edit.at_ms;
        let record = self.state.record(edit, self.numbers.peek());
        let next = self.state.apply(&record).map_err(|what| nonsense(&what))?;
        let payload = encode(&record)?;
        let logged = self.log.append(&payload).and_then(|()| self.log.sync());
        logged.map_err(|error| self.poison(error))?;
        self.state = next;
        self.edits += 1;
        if self.log.bytes() >= self.rewrite_at_bytes
            || (self.edits >= REWRITE_EDITS && self.log.bytes() >= self.options.rewrite_min_bytes)
        {
            // The edit is durable in the old file and part of the new one's snapshot, whichever of
            // them is found later: its success does not hang on this.
            self.rewrite(at_ms).unwrap_or_default();
        }
        Ok(())
    }

    /// Replaces the file by one that holds nothing but the present state. [`Manifest::apply`] does
    /// so by itself when it is time.
    ///
    /// On a full disk the old file stays in use and rewriting is tried again later; any other
    /// failure poisons.
    pub fn rewrite(&mut self, at_ms: u64) -> Result<()> {
        self.check_usable()?;
        // Grown by another quarter, it is tried again, should this fail.
        self.rewrite_at_bytes = self.log.bytes().saturating_add(self.log.bytes() / 4);
        self.edits = 0;
        let number = self.numbers.take();
        let record = self.state.snapshot(Cause::Snapshot, at_ms, self.numbers.peek());
        let fresh = write_fresh(&*self.fs, &self.dir, number, &record, self.options);
        let (log, rewrite_at_bytes) = match fresh {
            Ok(fresh) => fresh,
            Err(error @ Error::Invalid(_)) => return Err(error),
            Err(error) if error.is_disk_full() => {
                // If it cannot be removed, it is found as an obsolete file later.
                let path = FileName::Manifest(number).in_dir(&self.dir);
                self.fs.remove(&path).unwrap_or_default();
                return Err(error);
            }
            Err(error) => return Err(self.poison(error)),
        };
        // From here on, `CURRENT` may name the new file even if this fails: an edit to the old one
        // would be lost.
        write_current(&*self.fs, &self.dir, number).map_err(|error| self.poison(error))?;
        self.rewrite_at_bytes = rewrite_at_bytes;
        self.log = log;
        self.number = number;
        self.state.next_file = record.next_file;
        Ok(())
    }

    /// The state after the last edit.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The number of the manifest file in use.
    pub const fn number(&self) -> FileNumber {
        self.number
    }

    /// How long the file is, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Whether the manifest file `number`, found in the folder, can be removed. A poisoned
    /// manifest keeps them all: nobody knows which of them `CURRENT` will name after a crash.
    pub fn is_obsolete(&self, number: FileNumber) -> bool {
        self.poisoned.is_none() && number != self.number
    }

    /// The failure that poisoned it, if one did.
    pub fn poisoned(&self) -> Option<&Arc<Error>> {
        self.poisoned.as_ref()
    }

    /// Writes a manifest of its own and a `CURRENT` for `state` into another folder, the target of
    /// a checkpoint, and makes all of it durable. `number` becomes the manifest's. A folder with a
    /// `CURRENT` is refused with [`Error::Invalid`].
    pub fn write_snapshot(
        fs: &dyn Fs,
        dir: &Path,
        number: FileNumber,
        state: &State,
        at_ms: u64,
    ) -> Result<()> {
        refuse_existing(fs, &FileName::Current.in_dir(dir))?;
        let record = state.snapshot(Cause::Snapshot, at_ms, FileNumber(number.0 + 1));
        write_fresh(fs, dir, number, &record, ManifestOptions { rewrite_min_bytes: 0 })?;
        write_current(fs, dir, number)
    }

    fn check_usable(&self) -> Result<()> {
        match &self.poisoned {
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Remembers the first failure, and passes it on.
    fn poison(&mut self, error: Error) -> Error {
        if is_planted(Bug::ManifestGoesOnBehindGarbage) {
            return error;
        }
        self.poisoned.get_or_insert_with(|| Arc::new(error.clone()));
        error
    }
}

/// The length at which a manifest that began with `first_bytes` is rewritten.
fn rewrite_at_bytes(first_bytes: u64, min_bytes: u64) -> u64 {
    // Beside the payload stand the headers of the file and of the record.
    (first_bytes + 128).saturating_mul(REWRITE_FACTOR).max(min_bytes)
}

/// Writes a manifest of one record and makes it and its name durable. Answers at which length it is
/// to be rewritten, which is what the file reserves: that it was cut shorter will be noticed.
fn write_fresh(
    fs: &dyn Fs,
    dir: &Path,
    number: FileNumber,
    first: &Record,
    options: ManifestOptions,
) -> Result<(LogFileWriter, u64)> {
    let payload = encode(first)?;
    let path = FileName::Manifest(number).in_dir(dir);
    let rewrite_at_bytes = rewrite_at_bytes(payload.len() as u64, options.rewrite_min_bytes);
    let mut log = LogFileWriter::create(fs, &path, number, rewrite_at_bytes)?;
    log.append(&payload)?;
    log.sync()?;
    fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))?;
    Ok((log, rewrite_at_bytes))
}

fn encode(record: &Record) -> Result<Vec<u8>> {
    let payload = record.encode();
    if payload.len() > MAX_PAYLOAD_BYTES {
        let length = payload.len();
        return Err(Error::invalid(format!(
            "the version edit takes {length} bytes; at most {MAX_PAYLOAD_BYTES} are allowed"
        )));
    }
    Ok(payload)
}

fn nonsense(what: &str) -> Error {
    Error::invalid(format!("the version edit makes no sense: {what}"))
}

fn refuse_existing(fs: &dyn Fs, path: &Path) -> Result<()> {
    if fs.exists(path).map_err(|error| Error::io("look for", path, error))? {
        return Err(Error::invalid(format!("{} is there already", path.display())));
    }
    Ok(())
}

/// Refuses a folder that holds a database, whole or without its `CURRENT`.
fn check_new(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let current = FileName::Current.in_dir(dir);
    refuse_existing(fs, &current)?;
    let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    for name in names {
        if let Some(FileName::Wal(_) | FileName::Table(_)) = FileName::parse(&name) {
            let what = format!("it is missing, though the folder holds {name}");
            return Err(Error::corrupt(current, 0, what));
        }
    }
    Ok(())
}
