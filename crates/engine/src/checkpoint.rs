//! Checkpoint: a copy of the database that shares its tables.
//!
//! While the manifest's lock is held, no flush, compaction or drop can change which tables there
//! are or let go of a log segment. Tables never change once they are written, so a hard link is a
//! copy. Log segments are copied up to the last whole record, since the active one still grows:
//! everything acknowledged before the call is in the copy, and what comes after is cut off at a
//! record, so the copy is a prefix of the commit order.

use std::path::Path;

use alluvium_base::{FileName, Fs};
use alluvium_manifest::Manifest;
use alluvium_wal::copy_segments;

use crate::core::Core;
use crate::folder::create_dir_durably;
use crate::{Error, Result};

impl Core {
    /// Writes an openable copy into the new folder `to`.
    pub(crate) fn checkpoint(&self, to: &Path) -> Result<()> {
        let _inside = self.enter()?;
        self.check_writable()?;
        self.settle_recovered()?;
        prepare_target(&*self.fs, to)?;
        let manifest = self.manifest.lock();
        for keyspace in manifest.state().keyspaces.values() {
            for (_, meta) in keyspace.version.tables() {
                let name = FileName::Table(meta.number);
                self.link(&name.in_dir(&self.dir), &name.in_dir(to))?;
            }
        }
        copy_segments(&*self.fs, &self.dir, to, &self.wal.segments())?;
        sync_dir(&*self.fs, to)?;
        let state = manifest.state();
        let now_ms = self.clock.now_ms();
        Manifest::write_snapshot(&*self.fs, to, manifest.number(), state, now_ms)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.fs.hard_link(from, to).map_err(|error| Error::io("link", to, error))
    }
}

/// The folder must be new or empty, and its own name durable.
fn prepare_target(fs: &dyn Fs, to: &Path) -> Result<()> {
    create_dir_durably(fs, to)?;
    let names = fs.list(to).map_err(|error| Error::io("list", to, error))?;
    if !names.is_empty() {
        return Err(Error::invalid(format!(
            "{} is not empty: a checkpoint needs a new folder",
            to.display()
        )));
    }
    Ok(())
}

fn sync_dir(fs: &dyn Fs, dir: &Path) -> Result<()> {
    fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}
