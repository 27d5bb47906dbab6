//! Makes a replay's result the durable truth, before anything new is written behind it.
//!
//! ```text
//!   before    000002 sealed │ 000005 ──── ✗ ~~~~~ │ 000007 ~~~~~ │ 000009
//!   1         000002 sealed │ 000005 ──── ✗ ~~~~~ │ 000007 ~~~~~          each removal durable
//!   2         000002 sealed │ 000005 ──── ✗ ~~~~~                         before the next one
//!   3         000002 sealed │ 000005 ──── sealed ~    everything synced, and then the mark
//!   4         000002 sealed │ 000005 ──── sealed      cut: the next segment can follow
//! ```
//!
//! Invariants:
//! - At a crash after any step, and for any part of a step that reached the disk, replay finds the
//!   same records again: what is dropped disappears from the end, and what reading stops at stays
//!   until everything behind it is durably gone.
//! - The sealed mark says that everything before it is durable, so it is written after that is true.
//! - It is durable before the file is cut: a file that is shorter than what was reserved for it, and
//!   has no mark at its end, was cut by somebody else.

use std::io;
use std::path::Path;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, FileName, FileNumber, Fs, Result};

use crate::Replayed;
use crate::format::{BARE_RECORD_BYTES, FILE_HEADER_BYTES, Place, RecordHeader, RecordKind};

/// Makes `replayed`, the result of [`replay`](crate::replay) on `dir`, durable: removes what was
/// dropped and the segments nobody knows of, cuts a torn segment to what verified, and seals and
/// syncs the rest, so that [`start`](crate::start) can write a segment behind it.
///
/// Repeating it changes nothing, and a crash anywhere inside loses nothing that replay found.
pub fn settle(fs: &dyn Fs, dir: &Path, replayed: &Replayed) -> Result<()> {
    let remove_dropped =
        || replayed.behind.iter().rev().try_for_each(|&number| remove(fs, dir, number));
    if !is_planted(Bug::SealedBeforeRemoval) {
        remove_dropped()?;
    }
    let Some((last, older)) = replayed.segments.split_last() else { return Ok(()) };
    for segment in older {
        let path = FileName::Wal(segment.number).in_dir(dir);
        let file = fs.open_writable(&path).map_err(|error| Error::io("open", &path, error))?;
        file.sync().map_err(|error| Error::io("sync", &path, error))?;
    }
    finish(fs, dir, last.number, replayed.unsealed_at)?;
    if is_planted(Bug::SealedBeforeRemoval) {
        remove_dropped()?;
    }
    fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}

/// Removes a segment durably, unless an earlier attempt did.
fn remove(fs: &dyn Fs, dir: &Path, number: FileNumber) -> Result<()> {
    let path = FileName::Wal(number).in_dir(dir);
    match fs.remove(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("remove", path, error)),
    }
    fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}

/// Makes the last segment durable and ends it with a sealed mark, unless it has one.
fn finish(fs: &dyn Fs, dir: &Path, last: FileNumber, unsealed_at: Option<u64>) -> Result<()> {
    let path = FileName::Wal(last).in_dir(dir);
    let file = fs.open_writable(&path).map_err(|error| Error::io("open", &path, error))?;
    let sync = || file.sync().map_err(|error| Error::io("sync", &path, error));
    let Some(end) = unsealed_at else { return sync() };
    assert!(end >= FILE_HEADER_BYTES, "the last segment has a header");
    sync()?;
    let mark = RecordHeader::bare(RecordKind::Sealed, Place::new(last, end)).encode(last);
    file.write_all_at(&mark, end).map_err(|error| Error::io("write", &path, error))?;
    sync()?;
    let cut = file.set_len(end + BARE_RECORD_BYTES);
    cut.map_err(|error| Error::io("cut", &path, error))?;
    sync()
}
