//! Which tables to read: those that are live, or all that are not known to be obsolete.
//!
//! A table that a compaction has replaced stays in the folder for a while: until its last reader is
//! gone, or until the next open after a crash. Reading it would bring back what the compaction left
//! out: tombstones that had nothing more to hide, and the ages of versions that all readers see. So
//! where the manifest tells which tables are live, exactly those are read. It is believed when all
//! it says fits what is there:
//!
//! | it is doubted when | for then |
//! |---|---|
//! | one of its records does not verify, other than at the end | a table may have come or gone there |
//! | a table that it calls live is missing | it may be an old one |
//! | the log begins behind what it calls flushed | tables that it does not know may hold the rest |
//! | a table, or the log, is of a keyspace that it never heard of, or newer than all it knows | the same |

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use alluvium_base::{Bytes, FileName, FileNumber, Fs, KeyspaceId, Seq};
use alluvium_manifest::TableMeta;
use alluvium_table::{TableOptions, TableSummary};

use super::history::History;
use super::log::LogExtent;
use super::merge::{Outcome, Rank, open_table};
use super::report::{FileFate, Knowledge, Loss, LostKeys, RepairedFile};
use crate::{Error, Result};

/// What a table in the folder turns out to be.
#[derive(Debug, Default)]
pub(super) struct FoundTable {
    /// `None` where neither the table nor the manifest tells.
    pub(super) keyspace: Option<KeyspaceId>,
    pub(super) summary: Option<TableSummary>,
    pub(super) meta: Option<Arc<TableMeta>>,
    pub(super) options: Option<TableOptions>,
    pub(super) role: Role,
    /// Damage outside its data.
    pub(super) damage: Vec<Error>,
    /// Why nothing of it can be read.
    pub(super) unusable: Option<String>,
}

/// Whether a table is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// It is live, or may be.
    #[default]
    Read,
    /// It is not.
    Obsolete(&'static str),
}

impl FoundTable {
    /// Smallest and largest user key, if they are known.
    pub(super) fn range(&self) -> Option<(Bytes, Bytes)> {
        let summary = self.summary.as_ref().map(|s| (s.smallest.clone(), s.largest.clone()));
        summary.or_else(|| self.meta.as_ref().map(|m| (m.smallest.clone(), m.largest.clone())))
    }

    /// How many entries it was written with, if that is known.
    pub(super) fn entry_count(&self) -> Option<u64> {
        let summary = self.summary.as_ref().map(|summary| summary.entry_count);
        summary.or_else(|| self.meta.as_ref().map(|meta| meta.entry_count))
    }

    fn largest_seq(&self) -> Option<Seq> {
        self.summary.as_ref().map(|summary| summary.largest_seq)
    }
}

/// Looks at every table in the folder, without its data.
///
/// Fails only when a later version wrote one.
pub(super) fn survey_tables(
    fs: &dyn Fs,
    dir: &Path,
    names: &[FileName],
    history: &History,
) -> Result<BTreeMap<FileNumber, FoundTable>> {
    let mut tables = BTreeMap::new();
    for name in names {
        let FileName::Table(number) = *name else { continue };
        let mut found = FoundTable::default();
        if let Some((keyspace, meta)) = history.live.get(&number) {
            (found.keyspace, found.meta) = (Some(*keyspace), Some(Arc::clone(meta)));
        }
        match open_table(fs, &name.in_dir(dir), number) {
            Ok(table) => {
                let keyspace = table.keyspace().or(found.keyspace);
                found.damage = table.damage().to_vec();
                found.options = table.options().cloned();
                found.summary = table.summary().cloned();
                if found.keyspace.is_some_and(|known| Some(known) != keyspace)
                    || found.meta.as_ref().is_some_and(|meta| !is_same(meta, table.summary()))
                {
                    let what = "it is not the table that the manifest names: files were exchanged";
                    found.unusable = Some(what.to_owned());
                } else {
                    found.keyspace = keyspace;
                }
            }
            Err(error @ Error::Version { .. }) => return Err(error),
            Err(error) => found.unusable = Some(error.to_string()),
        }
        tables.insert(number, found);
    }
    Ok(tables)
}

fn is_same(meta: &TableMeta, summary: Option<&TableSummary>) -> bool {
    summary.is_none_or(|summary| {
        (&meta.smallest, &meta.largest) == (&summary.smallest, &summary.largest)
            && (meta.smallest_seq, meta.largest_seq) == (summary.smallest_seq, summary.largest_seq)
            && meta.entry_count == summary.entry_count
    })
}

/// How far the manifest can be believed; sets the role of each table.
pub(super) fn choose(
    history: &History,
    log: &LogExtent,
    tables: &mut BTreeMap<FileNumber, FoundTable>,
    doubts: &mut Vec<String>,
) -> Knowledge {
    let mut knowledge = Knowledge::Nothing;
    if history.records > 0 {
        let contradictions = contradictions(history, log, tables);
        knowledge = if contradictions.is_empty() { Knowledge::Whole } else { Knowledge::Partial };
        doubts.extend(contradictions);
    }
    for (number, table) in tables.iter_mut() {
        let is_live = history.live.contains_key(number);
        table.role = match table.keyspace {
            _ if is_live => Role::Read,
            _ if history.removed.contains(number) => Role::Obsolete("the manifest replaced it"),
            Some(keyspace) if history.is_dropped(keyspace) => {
                Role::Obsolete("its keyspace was dropped")
            }
            _ if knowledge == Knowledge::Whole => Role::Obsolete("the manifest does not name it"),
            Some(_) | None => Role::Read,
        };
    }
    knowledge
}

/// What in the folder does not fit what the manifest says.
fn contradictions(
    history: &History,
    log: &LogExtent,
    tables: &BTreeMap<FileNumber, FoundTable>,
) -> Vec<String> {
    let mut found = Vec::new();
    let name = FileName::Manifest(history.number);
    if !history.is_whole() {
        found.push(format!("{name} lacks some of its records: which tables are live is not sure"));
    }
    let missing = history.live.keys().filter(|number| !tables.contains_key(number)).count();
    if missing > 0 {
        found.push(format!("{missing} tables that {name} calls live are missing: it may be old"));
    }
    let known = history.last_seq.max(log.last().unwrap_or_default());
    let needed = history.flushed().next();
    let begins_late = match log.first() {
        Some(first) => first > needed,
        None => history.last_seq >= needed,
    };
    if begins_late {
        found.push(format!("the log should begin at sequence {needed}, says {name}"));
    }
    let unlisted = tables.iter().filter(|(number, _)| !history.live.contains_key(number));
    for (number, table) in unlisted {
        let is_newer = table.largest_seq().is_some_and(|largest| largest > known);
        let is_strange = table.keyspace.is_some_and(|id| id.0 >= history.next_keyspace);
        if is_newer || is_strange {
            let table = FileName::Table(*number);
            found.push(format!("{table} is newer than {name} and the log know"));
        }
    }
    if log.keyspaces.iter().any(|id| id.0 >= history.next_keyspace) {
        found.push(format!("the log has entries of a keyspace that {name} does not know"));
    }
    found
}

/// The line of a table that was read.
pub(super) fn describe(
    tables: &BTreeMap<FileNumber, FoundTable>,
    outcome: &Outcome,
    keyspace: Option<String>,
) -> RepairedFile {
    let (Rank::Table(number) | Rank::Log(number)) = outcome.rank;
    let mut file = RepairedFile::new(FileName::Table(number).to_string(), FileFate::Read);
    file.keyspace = keyspace;
    file.saved_entries = outcome.saved_entries;
    let Some(table) = tables.get(&number) else { return file };
    file.notes.extend(table.damage.iter().map(ToString::to_string));
    if table.damage.is_empty() && outcome.is_whole() {
        return file;
    }
    let expected = table.entry_count();
    if expected == Some(outcome.saved_entries) {
        let notes = outcome.lost.iter().map(|lost| format!("{}: no entries there", lost.what));
        file.notes.extend(notes);
        return file;
    }
    let (first, last) = table.range().unzip();
    for lost in &outcome.lost {
        let first = lost.first_key.clone().or_else(|| first.clone());
        let last = lost.last_key.clone().or_else(|| last.clone());
        file.lose(Loss {
            offset: lost.offset,
            bytes: lost.bytes,
            what: lost.what.clone(),
            keys: Some(LostKeys { first, last }),
        });
    }
    let what = match (&outcome.error, outcome.refused) {
        (Some(error), _) => Some(error.to_string()),
        (None, 0) if outcome.lost.is_empty() => Some("entries are missing".to_owned()),
        (None, 0) => None,
        (None, refused) => Some(format!("{refused} entries make no sense")),
    };
    if let Some(what) = what {
        file.lose(Loss { offset: 0, bytes: 0, what, keys: Some(LostKeys { first, last }) });
    }
    file.lost_entries = expected.and_then(|all| all.checked_sub(outcome.saved_entries));
    file
}

/// Lines for the tables that are not there, and for those that are not read.
pub(super) fn report_unread(
    history: &History,
    tables: &BTreeMap<FileNumber, FoundTable>,
    name_of: &dyn Fn(KeyspaceId) -> Option<String>,
    files: &mut Vec<RepairedFile>,
) {
    for (number, (keyspace, meta)) in &history.live {
        if tables.contains_key(number) {
            continue;
        }
        let mut file = RepairedFile::new(FileName::Table(*number).to_string(), FileFate::Missing);
        file.keyspace = name_of(*keyspace);
        file.lose(whole(meta.size_bytes, "the file is missing", keys_of(meta)));
        file.lost_entries = Some(meta.entry_count);
        files.push(file);
    }
    for (number, table) in tables {
        let name = FileName::Table(*number).to_string();
        match (table.role, &table.unusable) {
            (Role::Obsolete(why), _) => {
                files.push(RepairedFile::new(name, FileFate::Unneeded).note(why));
            }
            (Role::Read, Some(what)) => {
                let mut file = RepairedFile::new(name, FileFate::Unusable);
                file.keyspace = table.keyspace.and_then(name_of);
                let keys = table.meta.as_ref().map(|meta| keys_of(meta)).unwrap_or_default();
                file.lose(whole(0, what, keys));
                file.lost_entries = table.entry_count();
                files.push(file);
            }
            (Role::Read, None) => {}
        }
    }
}

fn keys_of(meta: &TableMeta) -> LostKeys {
    LostKeys { first: Some(meta.smallest.clone()), last: Some(meta.largest.clone()) }
}

fn whole(bytes: u64, what: &str, keys: LostKeys) -> Loss {
    Loss { offset: 0, bytes, what: what.to_owned(), keys: Some(keys) }
}
