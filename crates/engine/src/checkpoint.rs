//! Checkpoint: a copy of the database that shares its tables.
//!
//! While the manifest's lock is held, no flush, compaction or drop can change which tables there
//! are or let go of a log segment. Tables never change once they are written, so a hard link is a
//! copy. Log segments are copied up to the last whole record, since the active one still grows:
//! everything acknowledged before the call is in the copy, and what comes after is cut off at a
//! record, so the copy is a prefix of the commit order.

use std::path::Path;

use alluvium_base::fs::File;
use alluvium_base::{FileName, Fs};
use alluvium_manifest::Manifest;
use alluvium_wal::SegmentInfo;

use crate::core::Core;
use crate::recovery::create_dir_durably;
use crate::{Error, Result};

/// How much of a log segment is copied at once, in bytes.
const COPY_BYTES: usize = 1 << 20;

impl Core {
    /// Writes an openable copy into the new folder `to`.
    pub(crate) fn checkpoint(&self, to: &Path) -> Result<()> {
        let _inside = self.enter()?;
        self.check_writable()?;
        prepare_target(&*self.fs, to)?;
        let manifest = self.manifest.lock();
        for keyspace in manifest.state().keyspaces.values() {
            for (_, meta) in keyspace.version.tables() {
                let name = FileName::Table(meta.number);
                self.link(&name.in_dir(&self.dir), &name.in_dir(to))?;
            }
        }
        for segment in self.wal.segments() {
            self.copy_segment(&segment, to)?;
        }
        sync_dir(&*self.fs, to)?;
        let state = manifest.state();
        let now_ms = self.clock.now_ms();
        Manifest::write_snapshot(&*self.fs, to, manifest.number(), state, now_ms)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.fs.hard_link(from, to).map_err(|error| Error::io("link", to, error))
    }

    /// Copies a segment's records and syncs the copy.
    fn copy_segment(&self, segment: &SegmentInfo, to: &Path) -> Result<()> {
        let name = FileName::Wal(segment.number);
        let (from, to) = (name.in_dir(&self.dir), name.in_dir(to));
        let source = self.fs.open(&from).map_err(|error| Error::io("open", &from, error))?;
        let copy = self.fs.create(&to).map_err(|error| Error::io("create", &to, error))?;
        copy_bytes(&*source, &*copy, segment.bytes)
            .and_then(|()| copy.sync())
            .map_err(|error| Error::io("copy", &to, error))
    }
}

fn copy_bytes(from: &dyn File, to: &dyn File, len: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(len as usize)];
    let mut at = 0;
    while at < len {
        let count = buffer.len().min((len - at) as usize);
        from.read_exact_at(&mut buffer[..count], at)?;
        to.write_all_at(&buffer[..count], at)?;
        at += count as u64;
    }
    Ok(())
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
