//! Writing again what a failed sync may have dropped.
//!
//! ```text
//!   disk         ├───────────────┤                 the sync of the rest failed, and its pages
//!   page cache   ├───────────────┼────────┤        were marked clean: the next sync "succeeds"
//!                        durable ▲        ▲ what replay found
//!                                └ renew ─┘
//! ```
//!
//! The kernel reports a failed sync once, drops the pages as clean, and still shows what they hold.
//! A process that restarts reads it all and cannot tell. Only a record's watermark says that a sync
//! succeeded, so a segment that goes on behind the highest one is written once more.
//!
//! It is written to another file, which then takes its name. The same bytes in the same place would
//! not do: ext4 notes that a new block holds data when its first write succeeds, and a page that was
//! marked clean instead leaves the block "unwritten", however often it is written and synced later.
//! A power cut then shows zeroes there.
//!
//! Invariants:
//! - What is written was verified after it was read, record by record: a disk that reads wrongly
//!   once makes nothing wrong for good.
//! - A crash anywhere inside leaves the segment or its copy under the name, never a part of either,
//!   and both hold the same records.

use std::path::Path;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, File, FileName, FileNumber, Fs, Result};

use crate::Replayed;
use crate::format::{
    FILE_HEADER_BYTES, FoundHeader, RECORD_HEADER_BYTES, RecordHeader, Role, record_bytes,
};
use crate::reader::{LogReader, Step};

/// How much is gathered before it is written, in bytes; a larger record is written on its own.
const GATHERED_BYTES: usize = 1 << 20;

/// Makes durable what `replayed`, the result of [`replay`](crate::replay) on `dir`, found, whatever
/// became of earlier syncs. Syncing alone would not: see the module's documentation. What is behind
/// the place where replay stopped in such a segment is gone afterwards.
///
/// Needs room for a copy of one segment. Fails with [`Error::Corrupt`] when a record that replay
/// found does not verify any more.
pub fn renew(fs: &dyn Fs, dir: &Path, replayed: &Replayed) -> Result<()> {
    let durable = replayed.durable;
    let last = replayed.segments.last().map(|segment| segment.number);
    for segment in &replayed.segments {
        let from = if segment.number == durable.file { durable.offset } else { 0 };
        // The last one's length counts a sealed mark that is yet to be written.
        let unsealed_at = replayed.unsealed_at.filter(|_| last == Some(segment.number));
        let to = unsealed_at.unwrap_or(segment.bytes);
        if segment.number >= durable.file && from < to {
            renew_segment(fs, dir, segment.number, to, unsealed_at.is_some())?;
        }
    }
    Ok(())
}

/// Puts a copy of a segment up to offset `to`, as long as the segment is, in its place, durably.
/// `is_stop`: replay found nothing that verifies at `to`.
fn renew_segment(
    fs: &dyn Fs,
    dir: &Path,
    number: FileNumber,
    to: u64,
    is_stop: bool,
) -> Result<()> {
    let path = FileName::Wal(number).in_dir(dir);
    let temporary = FileName::WalTemporary(number).in_dir(dir);
    let mut reader = LogReader::open(fs, path.clone(), Role::Segment, number)?;
    if is_planted(Bug::RenewedInPlace) {
        let file = fs.open_writable(&path).map_err(|error| Error::io("open", &path, error))?;
        write_verified(&mut reader, &*file, &path, to)?;
        return file.sync().map_err(|error| Error::io("sync", &path, error));
    }
    let copied = write_copy(fs, &mut reader, &temporary, to).and_then(|()| {
        // A record that did not verify for once must not be left out for good.
        if is_stop && !matches!(reader.step()?, Step::Unverified) {
            return Err(differs(&reader));
        }
        fs.rename(&temporary, &path).map_err(|error| Error::io("rename", &temporary, error))
    });
    if copied.is_err() {
        // On a full disk, half a copy would leave even less room. What resists is removed by the
        // next open; the error that counts is the first one.
        fs.remove(&temporary).unwrap_or_default();
    }
    copied?;
    fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}

fn write_copy(fs: &dyn Fs, reader: &mut LogReader, path: &Path, to: u64) -> Result<()> {
    let file = fs.create(path).map_err(|error| Error::io("create", path, error))?;
    // The header says how long the file is, at least.
    file.set_len(reader.len).map_err(|error| Error::io("lengthen", path, error))?;
    write_verified(reader, &*file, path, to)?;
    file.sync().map_err(|error| Error::io("sync", path, error))
}

/// Writes a segment's header and its records up to offset `to` to the file at `path`, each after it
/// verified.
pub(crate) fn write_verified(
    reader: &mut LogReader,
    file: &dyn File,
    path: &Path,
    to: u64,
) -> Result<()> {
    let fail = |error| Error::io("write", path, error);
    let number = reader.number;
    let FoundHeader::Valid(header) = reader.header else { return Err(differs(reader)) };
    let mut gathered = Gathered { file, at: 0, bytes: header.encode().to_vec() };
    reader.offset = FILE_HEADER_BYTES;
    while reader.offset < to {
        match reader.step()? {
            Step::Data { header, payload, .. } => gathered.put(number, &header, &payload),
            Step::Watermark { header } | Step::Sealed { header } => {
                gathered.put(number, &header, &[])
            }
            Step::Unverified => return Err(differs(reader)),
        }
        .map_err(fail)?;
    }
    gathered.write().map_err(fail)
}

/// What verified a moment ago does not verify any more.
pub(crate) fn differs(reader: &LogReader) -> Error {
    let what = "this reads differently than a moment ago: the disk, or its cable, is failing";
    Error::corrupt(&reader.path, reader.offset, what)
}

/// Records that stand one behind the other, written as one.
struct Gathered<'a> {
    file: &'a dyn File,
    /// Where `bytes` go.
    at: u64,
    bytes: Vec<u8>,
}

impl Gathered<'_> {
    fn put(
        &mut self,
        number: FileNumber,
        header: &RecordHeader,
        payload: &[u8],
    ) -> std::io::Result<()> {
        let record_bytes = record_bytes(payload.len()) as usize;
        let end = self.bytes.len() + record_bytes;
        self.bytes.extend_from_slice(&header.encode(number));
        if payload.len() >= GATHERED_BYTES {
            self.write()?;
            self.file.write_all_at(payload, self.at)?;
            self.at += payload.len() as u64;
            // Its padding comes with the next record.
            self.bytes.resize(record_bytes - RECORD_HEADER_BYTES - payload.len(), 0);
            return Ok(());
        }
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(end, 0);
        if end >= GATHERED_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.file.write_all_at(&self.bytes, self.at)?;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}
