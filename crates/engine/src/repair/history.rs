//! What can be known from manifests of which anything may be damaged.
//!
//! Recovery reads a manifest up to the first record that does not verify, and refuses damage. Here
//! every record that verifies counts, wherever it stands, for each says something that stays true:
//! a table that was removed once is obsolete for ever, a keyspace that had a name had that name, what
//! was flushed is in tables.
//!
//! ```text
//!   whole state │ flush +14 │ ✗ │ compaction −14 −9 +17 │ create "users" │ ✗
//!                             ▲                                            ▲
//!                a table may have come or gone here        torn, or rotten: nobody knows
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use alluvium_base::fs::read_file;
use alluvium_base::{Bytes, FileName, FileNumber, Fs, KeyspaceId, Seq};
use alluvium_manifest::current::decode_current;
use alluvium_manifest::record::{READABLE_VERSIONS, is_readable};
use alluvium_manifest::{Record, TableMeta};
use alluvium_wal::{KnownSegments, SalvagedLog, salvage_log_file};

use super::report::{FileFate, Loss, RepairedFile};
use crate::{Error, Result};

/// No honest `CURRENT` is longer.
const MAX_CURRENT_BYTES: u64 = 64;

/// What one manifest, or none, told.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The manifest that all this is from.
    pub(super) number: FileNumber,
    /// How many records verify.
    pub(super) records: u64,
    /// Whether the first of them, the whole state, is there.
    has_first: bool,
    /// Whether some record is missing, other than at the end.
    pub(super) has_gaps: bool,
    pub(super) keyspaces: BTreeMap<KeyspaceId, KnownKeyspace>,
    pub(super) dropped: BTreeSet<KeyspaceId>,
    /// Tables that were live when last heard of.
    pub(super) live: BTreeMap<FileNumber, (KeyspaceId, Arc<TableMeta>)>,
    /// Tables that are obsolete for certain.
    pub(super) removed: BTreeSet<FileNumber>,
    next_file: FileNumber,
    pub(super) next_keyspace: u32,
    pub(super) last_seq: Seq,
    /// What is known of the log's segments.
    pub(super) log: KnownSegments,
}

/// What is known of one keyspace.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownKeyspace {
    pub(super) name: Option<String>,
    pub(super) options: Option<Bytes>,
    /// All its entries at or below are, or were, in tables.
    pub(super) flushed: Seq,
}

impl History {
    /// Whether every edit there was is known, but for one at the end.
    pub(super) fn is_whole(&self) -> bool {
        self.has_first && !self.has_gaps
    }

    /// Whether the keyspace was dropped, or could not have been.
    pub(super) fn is_dropped(&self, id: KeyspaceId) -> bool {
        self.dropped.contains(&id)
    }

    /// Every keyspace has at least this in tables.
    pub(super) fn flushed(&self) -> Seq {
        let flushed = self.keyspaces.values().map(|keyspace| keyspace.flushed).min();
        flushed.unwrap_or_default().min(Seq::HIGHEST_REAL)
    }

    /// Takes one more record, as far as it makes sense.
    fn take(&mut self, record: Record) {
        let is_first = record.format_version.is_some();
        if is_first != (self.records == 0) {
            self.has_gaps = true;
        }
        self.has_first |= is_first;
        self.records += 1;
        self.next_file = self.next_file.max(record.next_file);
        if is_first {
            // The whole state: ids that were given and are not in it were dropped.
            let created: BTreeSet<u32> = record.edit.created.iter().map(|(id, ..)| id.0).collect();
            // A hostile count must not be walked: an honest database has few ids.
            let below = record.next_keyspace.0.min(1 << 20);
            let gone = (0..below).filter(|id| !created.contains(id));
            self.dropped.extend(gone.map(KeyspaceId));
        }
        self.next_keyspace = self.next_keyspace.max(record.next_keyspace.0);
        let edit = record.edit;
        if let Some(log) = edit.log {
            self.log.active = (log > FileNumber(0)).then_some(log);
        }
        self.log.first = self.log.first.max(edit.log_first.unwrap_or_default());
        for id in edit.dropped {
            self.has_gaps |= self.keyspaces.remove(&id).is_none();
            self.dropped.insert(id);
            let gone = self.live.iter().filter(|(_, (keyspace, _))| *keyspace == id);
            self.removed.extend(gone.map(|(number, _)| *number));
            self.live.retain(|_, (keyspace, _)| *keyspace != id);
        }
        for ((id, name, options), created_at) in edit.created.into_iter().zip(record.created_at) {
            let (name, options) = (Some(name), Some(options));
            self.keyspaces.insert(id, KnownKeyspace { name, options, flushed: created_at });
            self.last_seq = self.last_seq.max(created_at);
        }
        for (id, options) in edit.options {
            self.known(id).options = Some(options);
        }
        self.last_seq = self.last_seq.max(edit.last_seq.unwrap_or_default());
        for change in edit.changes {
            let flushed = change.flushed.unwrap_or_default();
            let known = self.known(change.keyspace);
            known.flushed = known.flushed.max(flushed);
            self.last_seq = self.last_seq.max(flushed);
            for (_, number) in change.removed {
                self.has_gaps |= self.live.remove(&number).is_none();
                self.removed.insert(number);
            }
            for (_, meta) in change.added {
                self.last_seq = self.last_seq.max(meta.largest_seq);
                self.removed.remove(&meta.number);
                self.live.insert(meta.number, (change.keyspace, meta));
            }
        }
    }

    /// The keyspace, of whose creation nothing may be known.
    fn known(&mut self, id: KeyspaceId) -> &mut KnownKeyspace {
        self.has_gaps |= !self.keyspaces.contains_key(&id);
        self.keyspaces.entry(id).or_default()
    }
}

/// Reads what `CURRENT` and the manifests in `dir` say; each gets its line among `files`.
///
/// Fails only when the disk does, or when a later version wrote a manifest.
pub(super) fn read_history(
    fs: &dyn Fs,
    dir: &Path,
    names: &[FileName],
    files: &mut Vec<RepairedFile>,
) -> Result<History> {
    let (current, file) = read_current(fs, dir);
    let mut numbers: Vec<FileNumber> = names.iter().filter_map(|name| manifest(*name)).collect();
    numbers.sort_unstable();
    let mut read = Vec::new();
    for &number in numbers.iter().rev() {
        let (history, file) = read_manifest(fs, dir, number)?;
        read.push((history, file));
    }
    let chosen = choose(&read, current);
    let note = match (current, chosen) {
        (Some(wanted), Some(at)) if read[at].0.number == wanted => None,
        (Some(wanted), _) if !numbers.contains(&wanted) => {
            files.push(
                RepairedFile::new(FileName::Manifest(wanted).to_string(), FileFate::Missing)
                    .note("CURRENT names it"),
            );
            Some(format!("it names {}, which is missing", FileName::Manifest(wanted)))
        }
        (Some(wanted), _) => Some(format!("nothing of {} verifies", FileName::Manifest(wanted))),
        (None, Some(at)) => {
            Some(format!("{} was taken for the one in use", FileName::Manifest(read[at].0.number)))
        }
        (None, None) => None,
    };
    let mut file = file;
    file.notes.extend(note);
    files.push(file);
    let mut history = None;
    for (at, (found, mut file)) in read.into_iter().enumerate() {
        if Some(at) == chosen {
            history = Some((found, current));
        } else if found.records > 0 {
            file.fate = FileFate::Unneeded;
            file.losses.clear();
            file.lost_entries = Some(0);
            file.notes.push("another manifest is in use".to_owned());
        }
        files.push(file);
    }
    let Some((mut history, current)) = history else { return Ok(History::default()) };
    history.last_seq = history.last_seq.min(Seq::HIGHEST_REAL);
    // Another one was in use: what this one does not say is not known.
    history.has_gaps |= current.is_some_and(|wanted| wanted != history.number);
    Ok(history)
}

fn manifest(name: FileName) -> Option<FileNumber> {
    match name {
        FileName::Manifest(number) => Some(number),
        FileName::Current
        | FileName::CurrentTemporary
        | FileName::Lock
        | FileName::Options
        | FileName::OptionsTemporary
        | FileName::Wal(_)
        | FileName::WalTemporary(_)
        | FileName::Table(_) => None,
    }
}

/// Which of `read`, newest first, was in use: the one that `current` names, or the newest, unless
/// an older one was written to after the newer one was made.
fn choose(read: &[(History, RepairedFile)], current: Option<FileNumber>) -> Option<usize> {
    let is_usable = |at: &usize| read[*at].0.records > 0;
    let named = read.iter().position(|(history, _)| Some(history.number) == current);
    named.filter(is_usable).or_else(|| {
        (0..read.len()).filter(is_usable).reduce(|newer, older| {
            let went_on = read[older].0.next_file > read[newer].0.number;
            if went_on { older } else { newer }
        })
    })
}

/// What `CURRENT` names, if it verifies.
fn read_current(fs: &dyn Fs, dir: &Path) -> (Option<FileNumber>, RepairedFile) {
    let path = FileName::Current.in_dir(dir);
    let name = FileName::Current.to_string();
    match read_file(fs, &path, MAX_CURRENT_BYTES) {
        Ok(bytes) => match decode_current(&bytes) {
            Some(number) => (Some(number), RepairedFile::new(name, FileFate::Read)),
            None => (None, RepairedFile::new(name, FileFate::Unusable).note("it does not verify")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            (None, RepairedFile::new(name, FileFate::Missing))
        }
        Err(error) => (None, RepairedFile::new(name, FileFate::Unusable).note(error.to_string())),
    }
}

fn read_manifest(fs: &dyn Fs, dir: &Path, number: FileNumber) -> Result<(History, RepairedFile)> {
    let name = FileName::Manifest(number);
    let path = name.in_dir(dir);
    let mut history = History { number, ..History::default() };
    let mut file = RepairedFile::new(name.to_string(), FileFate::Read);
    let mut nonsense = Vec::new();
    let salvaged = salvage_log_file(fs, &path, number, &mut |record| {
        if let Some(found) = Record::decode_format_version(&record.payload)
            && !is_readable(found)
        {
            let file = path.clone();
            return Err(Error::Version { file, found, supported: READABLE_VERSIONS });
        }
        match Record::decode(&record.payload) {
            Ok(decoded) => history.take(decoded),
            Err(error) => nonsense.push(Loss {
                offset: record.offset,
                bytes: record.payload.len() as u64,
                what: error.to_string(),
                keys: None,
            }),
        }
        Ok(())
    });
    match salvaged {
        Ok(salvaged) => note_damage(&salvaged, nonsense, &mut history, &mut file),
        Err(error @ Error::Version { .. }) => return Err(error),
        Err(error) => {
            file.notes.push(error.to_string());
            history.has_gaps = true;
        }
    }
    file.saved_entries = history.records;
    if history.records == 0 {
        file.fate = FileFate::Unusable;
    }
    Ok((history, file))
}

fn note_damage(
    salvaged: &SalvagedLog,
    nonsense: Vec<Loss>,
    history: &mut History,
    file: &mut RepairedFile,
) {
    history.has_gaps |= !nonsense.is_empty();
    for loss in nonsense {
        file.lose(loss);
    }
    if salvaged.cut_bytes > 0 {
        let what = "the file was cut: nobody knows what stood there, if anything did".to_owned();
        file.lose(Loss { offset: 0, bytes: salvaged.cut_bytes, what, keys: None });
    }
    for skipped in &salvaged.skipped {
        if skipped.offset == 0 {
            file.notes.push(skipped.what.clone());
            continue;
        }
        history.has_gaps |= !skipped.reaches_end;
        file.lose(Loss {
            offset: skipped.offset,
            bytes: skipped.bytes,
            what: skipped.what.clone(),
            keys: None,
        });
    }
}
