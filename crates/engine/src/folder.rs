//! The folder that a database lives in: made durably, held against others, listed.

use std::path::Path;

use alluvium_base::fs::LockGuard;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{FileName, Fs};

use crate::options::Builder;
use crate::{Error, Result};

/// The folder must be there, or may be made.
pub(crate) fn prepare_folder(builder: &Builder) -> Result<()> {
    let (fs, dir) = (&builder.fs, &builder.dir);
    let current = FileName::Current.in_dir(dir);
    let exists = fs.exists(&current).map_err(|error| Error::io("look for", &current, error))?;
    if !exists && !builder.create_if_missing && !has_data(&**fs, dir) {
        return Err(Error::invalid(format!(
            "there is no database in {}: create_if_missing is off",
            dir.display()
        )));
    }
    // Whoever wrote CURRENT made the folder durable first.
    if exists { Ok(()) } else { create_dir_durably(&**fs, dir) }
}

/// Whether the folder holds tables or logs: without `CURRENT` that is damage, not "no database".
fn has_data(fs: &dyn Fs, dir: &Path) -> bool {
    let is_data = |name: &FileName| matches!(name, FileName::Table(_) | FileName::Wal(_));
    list_files(fs, dir).is_ok_and(|names| names.iter().any(is_data))
}

/// Creates `dir` and those above it that are missing, and makes all their names durable: a power
/// cut must not take the folder with everything in it.
///
/// That a folder is there does not make its name durable: a process that died, or a shell a moment
/// ago, may have created it without a sync. So those that were there are synced as well, as far as
/// we may open them.
pub(crate) fn create_dir_durably(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let mut missing = 0;
    for ancestor in dir.ancestors().filter(|ancestor| *ancestor != Path::new("")) {
        if fs.exists(ancestor).map_err(|error| Error::io("look for", ancestor, error))? {
            break;
        }
        missing += 1;
    }
    fs.create_dir_all(dir).map_err(|error| Error::io("create", dir, error))?;
    for (depth, parent) in dir.ancestors().skip(1).enumerate() {
        let parent = if parent == Path::new("") { Path::new(".") } else { parent };
        match fs.sync_dir(parent) {
            Ok(()) => {}
            // Some folders cannot be opened, and some file systems have no sync for theirs.
            Err(_) if depth >= missing => {}
            Err(error) => return Err(Error::io("sync", parent, error)),
        }
    }
    Ok(())
}

pub(crate) fn take_lock(fs: &dyn Fs, dir: &Path) -> Result<Box<dyn LockGuard>> {
    let path = FileName::Lock.in_dir(dir);
    fs.lock(&path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            if is_planted(Bug::LockRemovedByLoser) {
                fs.remove(&path).unwrap_or_default();
            }
            Error::Locked { path: path.clone() }
        } else {
            Error::io("lock", &path, error)
        }
    })
}

/// Our files in the folder; strangers are left alone.
pub(crate) fn list_files(fs: &dyn Fs, dir: &Path) -> Result<Vec<FileName>> {
    let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    Ok(names.iter().filter_map(|name| FileName::parse(name)).collect())
}
