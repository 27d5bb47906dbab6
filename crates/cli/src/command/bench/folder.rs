//! Where a benchmark runs: a folder of its own.

use std::path::{Path, PathBuf};

use alluvium::{KeyValue, Read};
use anyhow::{Context, Result};
use tempfile::TempDir;

use super::values::is_key;
use crate::database::{Database, Target};
use crate::failure;

/// The folder of the database.
#[derive(Debug)]
pub(super) enum Folder {
    /// Named by the user, and kept.
    Named(PathBuf),
    /// New, on the disk of the current folder, and removed when this is dropped.
    Fresh(TempDir),
}

impl Folder {
    /// The folder that `--db` names, or a new one.
    pub(super) fn choose(target: &Target) -> Result<Self> {
        if let Some(dir) = target.named_dir() {
            return Ok(Self::Named(dir.to_owned()));
        }
        let fresh = tempfile::Builder::new().prefix("alluvium-bench-").tempdir_in(".");
        Ok(Self::Fresh(fresh.context("cannot make a folder here: name one with --db")?))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Named(path) => path,
            Self::Fresh(folder) => folder.path(),
        }
    }
}

/// Refuses a keyspace that holds anything but what an earlier benchmark wrote.
///
/// The first and the last key are looked at: enough to tell a database in use from ours.
pub(super) fn refuse_other_data(database: &Database) -> Result<()> {
    let is_ours = |entry: &Option<KeyValue>| entry.as_ref().is_none_or(|(key, _)| is_key(key));
    if is_ours(&database.keyspace.first()?) && is_ours(&database.keyspace.last()?) {
        return Ok(());
    }
    Err(failure::usage(format!(
        "{} holds other data, and a benchmark writes a lot: name another folder with --db, or insist \
         with --force",
        database.db.path().display()
    )))
}
