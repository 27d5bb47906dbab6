//! Version edits: what changes from one state of the database to the next, and why.

use std::fmt;
use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, KeyspaceId, Seq};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::level::Level;
use crate::table_meta::TableMeta;

/// Why an edit was made: a few bytes that feed every tool that shows the tree's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Cause {
    /// The database was created.
    Create,
    /// The database was opened: the whole state, as the first record of a fresh manifest.
    Open,
    /// A keyspace was created.
    CreateKeyspace,
    /// A keyspace was dropped.
    DropKeyspace,
    /// A memtable became tables.
    Flush,
    /// Tables were merged into the level below.
    Compaction {
        /// Where the pick began.
        from: Level,
        /// Where the merged tables went.
        to: Level,
        /// How urgent it was; 100 is where compaction begins.
        score_percent: u32,
    },
    /// A table sank to a deeper level as it is.
    TrivialMove {
        /// Where it was.
        from: Level,
        /// Where it is.
        to: Level,
    },
    /// Somebody asked for it.
    Manual,
    /// Tables held enough expired entries to be worth rewriting.
    Expiry,
    /// The log was replayed.
    Recovery,
    /// The manifest had grown: the whole state, as the first record of a fresh one.
    Snapshot,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("create"),
            Self::Open => f.write_str("open"),
            Self::CreateKeyspace => f.write_str("create keyspace"),
            Self::DropKeyspace => f.write_str("drop keyspace"),
            Self::Flush => f.write_str("flush"),
            Self::Compaction { from, to, score_percent } => {
                write!(f, "compaction {from} to {to}, score {score_percent} %")
            }
            Self::TrivialMove { from, to } => write!(f, "trivial move {from} to {to}"),
            Self::Manual => f.write_str("manual"),
            Self::Expiry => f.write_str("expiry"),
            Self::Recovery => f.write_str("recovery"),
            Self::Snapshot => f.write_str("snapshot"),
        }
    }
}

/// What changes in one keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceChange {
    /// Which keyspace.
    pub keyspace: KeyspaceId,
    /// All its entries at or below this sequence are in tables from now on. Never goes back.
    pub flushed: Option<Seq>,
    /// Tables that are live no longer, each with the level it was in.
    pub removed: Vec<(Level, FileNumber)>,
    /// Tables that are live from now on. Removal comes first.
    pub added: Vec<(Level, Arc<TableMeta>)>,
}

impl KeyspaceChange {
    /// No change yet.
    pub const fn new(keyspace: KeyspaceId) -> Self {
        Self { keyspace, flushed: None, removed: Vec::new(), added: Vec::new() }
    }
}

/// One step from a state of the database to the next, made whole or not at all.
///
/// Its parts are done in the order of `dropped`, `created`, `options`, `changes`: so one edit can
/// put an empty keyspace in the place of a full one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEdit {
    /// Why it was made.
    pub cause: Cause,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// New keyspaces: an id never given before, a name that is free, options in an encoding that
    /// is the engine's business.
    pub created: Vec<(KeyspaceId, String, Bytes)>,
    /// Keyspaces that are gone, with all their tables.
    pub dropped: Vec<KeyspaceId>,
    /// Keyspaces with new options.
    pub options: Vec<(KeyspaceId, Bytes)>,
    /// What changes in which keyspace.
    pub changes: Vec<KeyspaceChange>,
    /// The highest sequence number given out so far. A lower one than known is without effect.
    pub last_seq: Option<Seq>,
    /// A log segment that is there from now on, durably: without it, the log was cut. It stays
    /// until a later edit names another. Number 0 says that there need not be any.
    pub log: Option<FileNumber>,
    /// The first log segment that still holds what is in no table. Those before it are garbage from
    /// now on: they may be gone, come back after a power cut, or be damaged. Never goes back.
    pub log_first: Option<FileNumber>,
}

impl VersionEdit {
    /// An edit that changes nothing yet.
    pub const fn new(cause: Cause, at_ms: u64) -> Self {
        Self {
            cause,
            at_ms,
            created: Vec::new(),
            dropped: Vec::new(),
            options: Vec::new(),
            changes: Vec::new(),
            last_seq: None,
            log: None,
            log_first: None,
        }
    }
}

/// Ids, levels and numbers as integers, tables whole, options by their length.
impl Serialize for VersionEdit {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let created: Vec<_> = self.created.iter().map(|(id, name, _)| (id.0, name)).collect();
        let dropped: Vec<_> = self.dropped.iter().map(|id| id.0).collect();
        let options: Vec<_> = self.options.iter().map(|(id, bytes)| (id.0, bytes.len())).collect();
        let mut fields = to.serialize_struct("VersionEdit", 9)?;
        fields.serialize_field("cause", &self.cause)?;
        fields.serialize_field("at_ms", &self.at_ms)?;
        fields.serialize_field("created", &created)?;
        fields.serialize_field("dropped", &dropped)?;
        fields.serialize_field("options", &options)?;
        fields.serialize_field("changes", &self.changes)?;
        fields.serialize_field("last_seq", &self.last_seq.map(Seq::get))?;
        fields.serialize_field("log", &self.log.map(|number| number.0))?;
        fields.serialize_field("log_first", &self.log_first.map(|number| number.0))?;
        fields.end()
    }
}

impl Serialize for KeyspaceChange {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let removed: Vec<_> = self.removed.iter().map(|(level, n)| (level, n.0)).collect();
        let added: Vec<_> = self.added.iter().map(|(level, table)| (level, &**table)).collect();
        let mut fields = to.serialize_struct("KeyspaceChange", 4)?;
        fields.serialize_field("keyspace", &self.keyspace.0)?;
        fields.serialize_field("flushed", &self.flushed.map(Seq::get))?;
        fields.serialize_field("removed", &removed)?;
        fields.serialize_field("added", &added)?;
        fields.end()
    }
}
