//! The manifest of Alluvium: which files are the database.
//!
//! A database is a set of keyspaces, each a [`Version`]: its live tables by level. Every flush and
//! compaction is a [`VersionEdit`], and the [`Manifest`] is the log of them. Nothing here opens a
//! table: it is known by its [`TableMeta`] alone, so that picking a compaction is a pure function.
//!
//! ```text
//!            VersionEdit                      apply: checked, appended, synced
//!   engine ──────────────► Manifest ────────────────────────────────────────► MANIFEST-000012
//!                             │                                                      ▲ names
//!                             └ State ─ KeyspaceState ─ Version ─ TableMeta      CURRENT
//! ```
//!
//! | module | what it is | disk |
//! |---|---|---|
//! | [`level`] | L0 to L6 | no |
//! | [`table_meta`] | what is known of a table | no |
//! | [`version`] | live tables of a keyspace by level | no |
//! | [`edit`] | a change, and why it was made | no |
//! | [`state`] | all keyspaces, and the rules of change | no |
//! | [`record`] | how edits stand in the file | no |
//! | [`mod@current`] | the file that names the manifest | yes |
//! | [`manifest`] | creating, starting, applying, rewriting | yes |
//! | [`recover`] | reading what may hold anything | yes |
//!
//! `FORMAT.md` is the format, byte by byte.

pub mod current;
pub mod edit;
mod fields;
pub mod level;
pub mod manifest;
pub mod record;
pub mod recover;
pub mod state;
pub mod table_meta;
pub mod version;

pub use edit::{Cause, KeyspaceChange, VersionEdit};
pub use level::{LEVEL_COUNT, Level};
pub use manifest::{Manifest, ManifestOptions, REWRITE_MIN_BYTES};
pub use record::Record;
pub use recover::Recovered;
pub use state::{KeyspaceState, State};
pub use table_meta::TableMeta;
pub use version::Version;
