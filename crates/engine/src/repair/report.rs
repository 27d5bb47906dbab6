//! What a repair tells: what it saved, what it could not, and what nobody can know any more.

use alluvium_base::{Bytes, Seq};

/// How much the manifest told of which tables belong to the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Knowledge {
    /// All: exactly the live tables and what the log adds to them were read.
    Whole,
    /// Part of it: a piece of the manifest is damaged, or what it says does not fit the files. Every
    /// table was read that is not known to be obsolete.
    Partial,
    /// Nothing: every table in the folder was read.
    #[default]
    Nothing,
}

/// What [`repair`](crate::repair()) did. [`is_complete`](Self::is_complete) sums it up.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// What was known of which tables are live. If that is not all, what a reader finds may be
    /// older than it was: see [`repair`](crate::repair()).
    pub knowledge: Knowledge,
    /// The keyspaces of the new database, by id.
    pub keyspaces: Vec<RepairedKeyspace>,
    /// Every file that was read, passed over or missed.
    pub files: Vec<RepairedFile>,
    /// Sequences that the log should hold and does not, first and last of each stretch. Writes
    /// there survive only as far as tables hold them; any key may show its value before them.
    pub missing_seqs: Vec<(Seq, Seq)>,
    /// The highest sequence in the new database. What came after it is lost or never was.
    pub highest_seq: Seq,
    /// Keys whose newest version found may not be the newest there was, because it lies in a table
    /// older than one that holds a version whose age is forgotten. Counted where
    /// [`knowledge`](Self::knowledge) is not whole.
    pub uncertain_keys: u64,
    /// What could not be known, each as a sentence.
    pub doubts: Vec<String>,
}

/// One keyspace of the new database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairedKeyspace {
    /// Its id, as before; one above all others for entries whose keyspace is lost.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Whether that was its name; else it was made up.
    pub name_is_known: bool,
    /// Where its options come from.
    pub options: OptionsSource,
    /// Stored versions in its new tables, tombstones included.
    pub entries: u64,
    /// Its new tables.
    pub tables: usize,
    /// Bytes in them.
    pub table_bytes: u64,
}

/// Where the options of a keyspace come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsSource {
    /// From the manifest: as they were.
    Manifest,
    /// Block size, compression and filter from a table of the keyspace; the others are the defaults.
    Table,
    /// The defaults.
    Defaults,
}

/// What became of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFate {
    /// What verifies in it was read.
    Read,
    /// It was not needed: it is obsolete, or holds no data.
    Unneeded,
    /// It should be there and is not.
    Missing,
    /// Nothing in it could be used.
    Unusable,
}

/// One file of the damaged database.
#[derive(Clone, Debug)]
pub struct RepairedFile {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub fate: FileFate,
    /// The keyspace it belongs to, for a table; `None` where that is not known.
    pub keyspace: Option<String>,
    /// Entries read from it: stored versions of a table, writes of a log, edits of a manifest.
    pub saved_entries: u64,
    /// Entries lost with it; `None` where their number cannot be known.
    pub lost_entries: Option<u64>,
    /// What in it could not be read, unless it held no entries.
    pub losses: Vec<Loss>,
    /// What else there is to say, damage that cost no entries included. May be empty.
    pub notes: Vec<String>,
}

/// A stretch of a file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What is wrong there.
    pub what: String,
    /// For a table: which user keys it held. They may be missing now, or show an older value.
    pub keys: Option<LostKeys>,
}

/// User keys from `first` to `last`, both included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostKeys {
    /// `None`: from the keyspace's first on.
    pub first: Option<Bytes>,
    /// `None`: to the keyspace's last.
    pub last: Option<Bytes>,
}

impl LostKeys {
    /// Whether `user_key` is one of them.
    pub fn contains(&self, user_key: &[u8]) -> bool {
        self.first.as_ref().is_none_or(|first| **first <= *user_key)
            && self.last.as_ref().is_none_or(|last| *user_key <= **last)
    }
}

impl RepairReport {
    /// Whether the new database is known to hold all that the old one did, names and options
    /// included.
    pub fn is_complete(&self) -> bool {
        let is_known = |keyspace: &RepairedKeyspace| {
            keyspace.name_is_known && keyspace.options == OptionsSource::Manifest
        };
        self.knowledge == Knowledge::Whole
            && self.missing_seqs.is_empty()
            && self.doubts.is_empty()
            && self.files.iter().all(|file| file.losses.is_empty())
            && self.keyspaces.iter().all(is_known)
    }
}

impl RepairedFile {
    pub(super) fn new(name: impl Into<String>, fate: FileFate) -> Self {
        Self {
            name: name.into(),
            fate,
            keyspace: None,
            saved_entries: 0,
            lost_entries: Some(0),
            losses: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Counts a stretch as lost, with a number of entries that is not known.
    pub(super) fn lose(&mut self, loss: Loss) {
        self.lost_entries = None;
        self.losses.push(loss);
    }
}
