//! Ends a log where replay stopped, before anything new is written behind it.
//!
//! [`settle`] makes the replay's result the durable truth on the way:
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
//!
//! [`seal`] takes the first two steps and writes the mark, and nothing is durable: that is for whoever
//! has the records to see to. What is written behind it says until then that no more is durable than
//! before, so that a power cut takes it together with what it stands on.

use std::io;
use std::path::Path;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, FileName, FileNumber, Fs, Result};

use crate::format::{BARE_RECORD_BYTES, FILE_HEADER_BYTES, Place, RecordHeader, RecordKind, Role};
use crate::reader::{LogReader, Step};
use crate::renew::differs;
use crate::{EarlierSegments, Replayed};

/// Makes `replayed`, the result of [`replay`](crate::replay) on `dir`, durable: removes what was
/// dropped and the segments nobody knows of, cuts a torn segment to what verified, and seals and
/// syncs the rest, so that [`start`](crate::start) can write a segment behind it.
///
/// Repeating it changes nothing, and a crash anywhere inside loses nothing that replay found.
pub fn settle(fs: &dyn Fs, dir: &Path, replayed: &Replayed) -> Result<EarlierSegments> {
    let remove_dropped = || remove_dropped(fs, dir, replayed);
    if !is_planted(Bug::SealedBeforeRemoval) {
        remove_dropped()?;
    }
    let segments = replayed.segments.clone();
    let earlier = EarlierSegments { segments, durable: None };
    let Some((last, older)) = replayed.segments.split_last() else { return Ok(earlier) };
    for segment in older {
        let path = FileName::Wal(segment.number).in_dir(dir);
        let file = fs.open_writable(&path).map_err(|error| Error::io("open", &path, error))?;
        file.sync().map_err(|error| Error::io("sync", &path, error))?;
    }
    finish(fs, dir, last.number, replayed.unsealed_at)?;
    if is_planted(Bug::SealedBeforeRemoval) {
        remove_dropped()?;
    }
    fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))?;
    Ok(earlier)
}

/// Ends the log where `replayed`, the result of [`replay`](crate::replay) on `dir`, stopped, so that
/// [`start`](crate::start) can write a segment behind it. Takes no time for what is there.
///
/// What replay found is as durable as it was. The caller sees to that by other means, and calls
/// [`Wal::sync_to`](crate::Wal::sync_to) only after it is done. Fails with [`Error::Corrupt`] when
/// the place where replay stopped reads differently now.
pub fn seal(fs: &dyn Fs, dir: &Path, replayed: &Replayed) -> Result<EarlierSegments> {
    if !is_planted(Bug::SealedBeforeRemoval) {
        remove_dropped(fs, dir, replayed)?;
    }
    let durable = Some(replayed.durable);
    let earlier = EarlierSegments { segments: replayed.segments.clone(), durable };
    let (Some(last), Some(end)) = (replayed.segments.last(), replayed.unsealed_at) else {
        return Ok(earlier);
    };
    let path = FileName::Wal(last.number).in_dir(dir);
    let mut reader = LogReader::open(fs, path.clone(), Role::Segment, last.number)?;
    reader.offset = end;
    // A record that did not verify for once must not be left out for good.
    if !matches!(reader.step()?, Step::Unverified) {
        return Err(differs(&reader));
    }
    let file = fs.open_writable(&path).map_err(|error| Error::io("open", &path, error))?;
    let mark = RecordHeader::bare(RecordKind::Sealed, replayed.durable).encode(last.number);
    file.write_all_at(&mark, end).map_err(|error| Error::io("write", &path, error))?;
    Ok(earlier)
}

/// Removes what replay dropped, from the end, each segment durably before the next one.
fn remove_dropped(fs: &dyn Fs, dir: &Path, replayed: &Replayed) -> Result<()> {
    replayed.behind.iter().rev().try_for_each(|&number| remove(fs, dir, number))
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
