//! The state that a manifest tells of: keyspaces, their versions, and what numbers come next.
//!
//! Pure: a state and a [`Record`] make the next state, without a disk. The rules, checked on every
//! edit before it is written and on every record that is read:
//!
//! - A keyspace id is given once, ever; a dropped one never comes back.
//! - Names of live keyspaces differ.
//! - File numbers and `last_seq` only go up; `flushed` of a keyspace only goes up.
//! - A table's number was handed out before (it is below `next_file`) and names one live table in
//!   the whole database, for all keyspaces share one folder.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, KeyspaceId, Seq};

use crate::edit::{Cause, KeyspaceChange, VersionEdit};
use crate::level::Level;
use crate::record::{FORMAT_VERSION, Record};
use crate::table_meta::TableMeta;
use crate::version::Version;

/// Longest name of a keyspace, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// One keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceState {
    /// Never given to another keyspace.
    pub id: KeyspaceId,
    /// Any UTF-8, not empty, at most [`MAX_NAME_BYTES`].
    pub name: String,
    /// In an encoding that is the engine's business.
    pub options: Bytes,
    /// The database's `last_seq` when the keyspace was created: all its entries come later.
    pub created_at: Seq,
    /// All entries of this keyspace at or below are in tables.
    pub flushed: Seq,
    /// Its live tables.
    pub version: Arc<Version>,
}

/// Everything the manifest knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The live keyspaces.
    pub keyspaces: BTreeMap<KeyspaceId, KeyspaceState>,
    /// Every file number in use, or ever used, is smaller.
    pub next_file: FileNumber,
    /// Every keyspace id in use, or ever used, is smaller.
    pub next_keyspace: KeyspaceId,
    /// No sequence number in a table is higher.
    pub last_seq: Seq,
    /// A log segment that must be there.
    pub log: Option<FileNumber>,
    /// Log segments with smaller numbers are garbage.
    pub log_first: FileNumber,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before the first record: no keyspace, no number given.
    pub const fn new() -> Self {
        Self {
            keyspaces: BTreeMap::new(),
            next_file: FileNumber(1),
            next_keyspace: KeyspaceId(0),
            last_seq: Seq::ZERO,
            log: None,
            log_first: FileNumber(0),
        }
    }

    /// The keyspace called `name`.
    pub fn keyspace_named(&self, name: &str) -> Option<&KeyspaceState> {
        self.keyspaces.values().find(|keyspace| keyspace.name == name)
    }

    /// All live tables of all keyspaces.
    pub fn tables(&self) -> impl Iterator<Item = (KeyspaceId, Level, &Arc<TableMeta>)> {
        self.keyspaces.values().flat_map(|keyspace| {
            keyspace.version.tables().map(|(level, table)| (keyspace.id, level, table))
        })
    }

    /// The record that stands for `edit` in the manifest of a database in this state, where
    /// `next_file` is the file number that comes next. Not checked: [`State::apply`] does.
    pub fn record(&self, edit: VersionEdit, next_file: FileNumber) -> Record {
        let after_created = edit.created.iter().map(|(id, ..)| id.0.saturating_add(1)).max();
        let next_keyspace = KeyspaceId(self.next_keyspace.0.max(after_created.unwrap_or(0)));
        let created_at = self.last_seq.max(edit.last_seq.unwrap_or(Seq::ZERO));
        let created_at = vec![created_at; edit.created.len()];
        Record { format_version: None, next_file, next_keyspace, created_at, edit }
    }

    /// The whole state as one record, the first of a manifest.
    pub fn snapshot(&self, cause: Cause, at_ms: u64, next_file: FileNumber) -> Record {
        let mut edit = VersionEdit::new(cause, at_ms);
        edit.last_seq = Some(self.last_seq);
        edit.log = self.log;
        edit.log_first = Some(self.log_first).filter(|first| *first > FileNumber(0));
        for keyspace in self.keyspaces.values() {
            edit.created.push((keyspace.id, keyspace.name.clone(), keyspace.options.clone()));
            let tables = keyspace.version.tables();
            edit.changes.push(KeyspaceChange {
                keyspace: keyspace.id,
                flushed: Some(keyspace.flushed),
                removed: Vec::new(),
                added: tables.map(|(level, table)| (level, table.clone())).collect(),
            });
        }
        Record {
            format_version: Some(FORMAT_VERSION),
            next_file: next_file.max(self.next_file),
            next_keyspace: self.next_keyspace,
            created_at: self.keyspaces.values().map(|keyspace| keyspace.created_at).collect(),
            edit,
        }
    }

    /// The state after `record`. Fails, saying what is inconsistent, when it breaks a rule.
    pub fn apply(&self, record: &Record) -> Result<Self, String> {
        let mut next = self.clone();
        next.apply_in_place(record)?;
        Ok(next)
    }

    /// [`State::apply`] for replay, which shows no state but the last. After a failure the state
    /// is half changed.
    pub(crate) fn apply_in_place(&mut self, record: &Record) -> Result<(), String> {
        let edit = &record.edit;
        if record.next_file < self.next_file {
            let (next, known) = (record.next_file, self.next_file);
            return Err(format!("the next file number goes back from {known} to {next}"));
        }
        self.next_file = record.next_file;
        for id in &edit.dropped {
            self.keyspaces.remove(id).ok_or_else(|| unknown(*id))?;
        }
        self.create_keyspaces(record)?;
        for (id, options) in &edit.options {
            self.keyspace_mut(*id)?.options = options.clone();
        }
        self.last_seq = self.last_seq.max(edit.last_seq.unwrap_or(Seq::ZERO));
        if let Some(log) = edit.log {
            self.log = (log > FileNumber(0)).then_some(log);
        }
        if let Some(first) = edit.log_first {
            if first < self.log_first {
                let known = self.log_first;
                return Err(format!("the first log segment goes back from {known} to {first}"));
            }
            self.log_first = first;
        }
        if let Some(log) = self.log.filter(|log| *log < self.log_first) {
            let first = self.log_first;
            return Err(format!("log segment {log} is both needed and, as {first} is, behind"));
        }
        for change in &edit.changes {
            self.change_keyspace(change)?;
        }
        if self.last_seq > Seq::HIGHEST_REAL {
            return Err(format!("nobody wrote as much as write {}", self.last_seq));
        }
        Ok(())
    }

    fn create_keyspaces(&mut self, record: &Record) -> Result<(), String> {
        if record.created_at.len() != record.edit.created.len() {
            return Err("a created keyspace lacks its beginning".to_owned());
        }
        for ((id, name, options), created_at) in
            record.edit.created.iter().zip(record.created_at.iter().copied())
        {
            check_name(name)?;
            if self.keyspace_named(name).is_some() {
                return Err(format!("there is a keyspace {name:?} already"));
            }
            if id.0 < self.next_keyspace.0 {
                return Err(format!("keyspace id {} was given before", id.0));
            }
            let next = id.0.checked_add(1).ok_or("there are no keyspace ids left")?;
            self.next_keyspace = KeyspaceId(next);
            self.last_seq = self.last_seq.max(created_at);
            let keyspace = KeyspaceState {
                id: *id,
                name: name.clone(),
                options: options.clone(),
                created_at,
                // All its entries are to come, so those up to here are in tables.
                flushed: created_at,
                version: Arc::default(),
            };
            self.keyspaces.insert(*id, keyspace);
        }
        if record.next_keyspace < self.next_keyspace {
            let (next, known) = (record.next_keyspace.0, self.next_keyspace.0);
            return Err(format!("the next keyspace id goes back from {known} to {next}"));
        }
        self.next_keyspace = record.next_keyspace;
        Ok(())
    }

    fn change_keyspace(&mut self, change: &KeyspaceChange) -> Result<(), String> {
        self.check_numbers(change)?;
        let added_seqs = change.added.iter().map(|(_, table)| table.largest_seq);
        let highest = added_seqs.chain(change.flushed).max();
        self.last_seq = self.last_seq.max(highest.unwrap_or(Seq::ZERO));
        let keyspace = self.keyspace_mut(change.keyspace)?;
        let in_keyspace = |what| format!("keyspace {:?}: {what}", keyspace.name);
        if let Some(flushed) = change.flushed {
            if flushed < keyspace.flushed {
                let known = keyspace.flushed;
                return Err(in_keyspace(format!("flushed goes back from {known} to {flushed}")));
            }
            keyspace.flushed = flushed;
        }
        let version = Arc::make_mut(&mut keyspace.version);
        version.apply_in_place(&change.removed, &change.added).map_err(in_keyspace)
    }

    /// That a number is free in its own keyspace, the version checks.
    fn check_numbers(&self, change: &KeyspaceChange) -> Result<(), String> {
        let numbers: HashSet<_> = change.added.iter().map(|(_, table)| table.number).collect();
        if let Some(number) = numbers.iter().find(|number| **number >= self.next_file) {
            return Err(format!("table {number} has a number that was not handed out"));
        }
        for keyspace in self.keyspaces.values().filter(|other| other.id != change.keyspace) {
            let named = |what| format!("{what}, in keyspace {:?}", keyspace.name);
            keyspace.version.check_absent(&numbers).map_err(named)?;
        }
        Ok(())
    }

    fn keyspace_mut(&mut self, id: KeyspaceId) -> Result<&mut KeyspaceState, String> {
        self.keyspaces.get_mut(&id).ok_or_else(|| unknown(id))
    }
}

fn unknown(id: KeyspaceId) -> String {
    format!("there is no keyspace with id {}", id.0)
}

/// Refuses a name that no keyspace can have.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a keyspace needs a name that is not empty".to_owned());
    }
    if name.len() > MAX_NAME_BYTES {
        let length = name.len();
        return Err(format!("the name has {length} bytes; at most {MAX_NAME_BYTES} are allowed"));
    }
    Ok(())
}
