//! Records: how version edits stand in the manifest.
//!
//! A record is one framed payload of the manifest's log, encoded as tagged fields (`src/fields.rs`).
//! `FORMAT.md` lists the tags. A record holds an edit and what every record repeats so that it can
//! never be lost: which file number and which keyspace id come next.
//!
//! Decoding answers [`Malformed`] for any bytes that no encoder made: it never panics and
//! allocates nothing that is not in the bytes already.

mod decode;
mod encode;

use std::fmt;
use std::path::Path;

use alluvium_base::{Error, FileNumber, KeyspaceId, Seq};

use crate::edit::VersionEdit;

/// The format of manifests that this program writes.
pub const FORMAT_VERSION: u32 = 3;
/// Knew no `LOG_FIRST` field; all else is the same.
const SECOND_VERSION: u32 = 2;
/// Knew no `LOG` field either.
const FIRST_VERSION: u32 = 1;
/// The formats that this program reads, for people.
pub const READABLE_VERSIONS: &str = "1 to 3";

/// Whether this program reads manifests of a format.
pub const fn is_readable(version: u32) -> bool {
    matches!(version, FIRST_VERSION | SECOND_VERSION | FORMAT_VERSION)
}

/// A version edit as the manifest keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// In the first record of a manifest, and in no other: its format.
    pub format_version: Option<u32>,
    /// Every file number handed out before this record was written is smaller.
    pub next_file: FileNumber,
    /// Every keyspace id ever given, those of this record included, is smaller.
    pub next_keyspace: KeyspaceId,
    /// When the keyspaces of `edit.created` began to be, one for one.
    pub created_at: Vec<Seq>,
    /// What changes.
    pub edit: VersionEdit,
}

/// Bytes that are no record: where they cease to make sense, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset in the record's payload.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

impl Malformed {
    pub(crate) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }

    /// The damage as an error, given the file and the offset of the payload in it.
    pub fn in_file(self, file: &Path, payload_offset: u64) -> Error {
        Error::corrupt(file, payload_offset + self.at as u64, self.what)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of the record: {}", self.at, self.what)
    }
}

impl std::error::Error for Malformed {}

/// Tags of a record's fields. Odd ones must be understood, even ones may be skipped.
mod tag {
    pub(super) const FORMAT_VERSION: u64 = 1;
    pub(super) const NEXT_FILE: u64 = 3;
    pub(super) const NEXT_KEYSPACE: u64 = 5;
    pub(super) const LAST_SEQ: u64 = 7;
    pub(super) const AT_MS: u64 = 2;
    pub(super) const CAUSE: u64 = 4;
    pub(super) const DROPPED: u64 = 9;
    pub(super) const CREATED: u64 = 11;
    pub(super) const OPTIONS: u64 = 13;
    pub(super) const CHANGE: u64 = 15;
    pub(super) const LOG: u64 = 17;
    pub(super) const LOG_FIRST: u64 = 19;
}

/// Tags within a cause.
mod cause_tag {
    pub(super) const CODE: u64 = 1;
    pub(super) const FROM: u64 = 3;
    pub(super) const TO: u64 = 5;
    pub(super) const SCORE_PERCENT: u64 = 7;
}

/// Codes of causes. In files for ever.
mod cause_code {
    pub(super) const CREATE: u64 = 1;
    pub(super) const OPEN: u64 = 2;
    pub(super) const CREATE_KEYSPACE: u64 = 3;
    pub(super) const DROP_KEYSPACE: u64 = 4;
    pub(super) const FLUSH: u64 = 5;
    pub(super) const COMPACTION: u64 = 6;
    pub(super) const TRIVIAL_MOVE: u64 = 7;
    pub(super) const MANUAL: u64 = 8;
    pub(super) const EXPIRY: u64 = 9;
    pub(super) const RECOVERY: u64 = 10;
    pub(super) const SNAPSHOT: u64 = 11;
}

/// Tags within a created keyspace, and within a keyspace's new options.
mod keyspace_tag {
    pub(super) const ID: u64 = 1;
    pub(super) const NAME: u64 = 3;
    pub(super) const OPTIONS: u64 = 5;
    pub(super) const CREATED_AT: u64 = 7;
}

/// Tags within the change of a keyspace.
mod change_tag {
    pub(super) const KEYSPACE: u64 = 1;
    pub(super) const FLUSHED: u64 = 3;
    pub(super) const REMOVED: u64 = 5;
    pub(super) const ADDED: u64 = 7;
}

/// Tags within a table, added (all) or removed (level and number).
mod table_tag {
    pub(super) const LEVEL: u64 = 1;
    pub(super) const NUMBER: u64 = 3;
    pub(super) const SIZE_BYTES: u64 = 5;
    pub(super) const ENTRY_COUNT: u64 = 7;
    pub(super) const TOMBSTONE_COUNT: u64 = 9;
    pub(super) const EXPIRING_COUNT: u64 = 11;
    pub(super) const EARLIEST_EXPIRY_MS: u64 = 13;
    pub(super) const LATEST_EXPIRY_MS: u64 = 15;
    pub(super) const SMALLEST: u64 = 17;
    pub(super) const LARGEST: u64 = 19;
    pub(super) const SMALLEST_SEQ: u64 = 21;
    pub(super) const LARGEST_SEQ: u64 = 23;
    pub(super) const RAW_KEY_BYTES: u64 = 25;
    pub(super) const RAW_VALUE_BYTES: u64 = 27;
    pub(super) const CREATED_MS: u64 = 28;
}
