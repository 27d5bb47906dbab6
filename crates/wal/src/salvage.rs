//! Every record of one file that verifies, those behind damage too: for repair, never for recovery.
//!
//! ```text
//!   ┌────────┬────────┬─✗──────┬────────┬~~~~~~~~~~~┬────────┬ 0 0 0 0
//!   │ record │ record │ record │ record │ what?     │ record │
//!   └────────┴────────┴────────┴────────┴~~~~~~~~~~~┴────────┴ 0 0 0 0
//!                      skipped by its    skipped up to the next
//!                      own length        header that verifies
//! ```
//!
//! [`replay`](crate::replay) stops at the first place that does not verify, for what follows is no
//! prefix of what was written. This goes on, and tells what it went past. Where a record's header
//! verifies and its payload does not, the header's length leads to the next record; where the header
//! does not verify either, every eighth byte is tried.
//!
//! Invariants: nothing is handed out whose checksums do not verify, and whatever is in use and not
//! handed out is among the skipped bytes.
//!
//! What this cannot tell: a damaged header's payload that holds a copy of a record of the very file
//! it stands in, at a multiple of 8, looks like that record.

use std::path::Path;

use alluvium_base::{Bytes, Error, FileName, FileNumber, Fs, Result, Seq};

use crate::format::{FILE_HEADER_BYTES, FoundHeader, RecordKind, Role, record_bytes};
use crate::reader::{LogReader, Step};

/// One record that verifies.
#[derive(Clone, Debug)]
pub struct SalvagedRecord {
    /// Its first sequence; zero in a log of one file.
    pub first_seq: Seq,
    /// Its last sequence; zero in a log of one file.
    pub last_seq: Seq,
    /// What it carries.
    pub payload: Bytes,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
}

/// A stretch of a file that does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedBytes {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes; zeroes at the end of the file aside.
    pub bytes: u64,
    /// What is wrong there.
    pub what: String,
    /// Whether nothing that verifies stands behind it in the file: a torn end looks like that too.
    pub reaches_end: bool,
}

/// What was found beside the records.
#[derive(Clone, Debug, Default)]
pub struct SalvagedLog {
    /// How many records were handed out.
    pub records: u64,
    /// What does not verify, front to back. Only used bytes count: zeroes at the end are none.
    pub skipped: Vec<SkippedBytes>,
    /// Whether a sealed mark ends the file: another segment was there when it was written.
    pub is_sealed: bool,
    /// Whether the file's header verifies.
    pub has_header: bool,
    /// The segment that stood before this one, if the header says so.
    pub predecessor: Option<FileNumber>,
    /// The segment that followed this one, if the sealed mark says so.
    pub successor: Option<FileNumber>,
    /// How many bytes the file is shorter than it was made, if it was cut: what they held is not
    /// known, nor whether they held anything.
    pub cut_bytes: u64,
}

/// Reads segment `number` in `dir` and hands every record that verifies to `each`, whose error ends
/// the walk. Writes nothing. Memory is bounded by one payload.
///
/// Fails with [`Error::Version`] when a later version wrote the file, and with [`Error::Io`] when it
/// cannot be opened. Where reading it fails later on, the rest counts as skipped.
pub fn salvage_segment(
    fs: &dyn Fs,
    dir: &Path,
    number: FileNumber,
    each: &mut dyn FnMut(SalvagedRecord) -> Result<()>,
) -> Result<SalvagedLog> {
    salvage(fs, &FileName::Wal(number).in_dir(dir), Role::Segment, number, each)
}

/// The same for the log of one file `number` at `path`: a manifest.
pub fn salvage_log_file(
    fs: &dyn Fs,
    path: &Path,
    number: FileNumber,
    each: &mut dyn FnMut(SalvagedRecord) -> Result<()>,
) -> Result<SalvagedLog> {
    salvage(fs, path, Role::Single, number, each)
}

fn salvage(
    fs: &dyn Fs,
    path: &Path,
    role: Role,
    number: FileNumber,
    each: &mut dyn FnMut(SalvagedRecord) -> Result<()>,
) -> Result<SalvagedLog> {
    let mut reader = LogReader::open(fs, path.to_owned(), role, number)?;
    let mut log = SalvagedLog::default();
    match reader.header {
        FoundHeader::Valid(header) => {
            (log.has_header, log.predecessor) = (true, header.predecessor);
            log.cut_bytes = header.reserved.saturating_sub(reader.len);
        }
        FoundHeader::Damaged => {
            skip_file_header(&mut reader, &mut log);
            // Not even the header is whole, which would say how much more there was.
            log.cut_bytes = FILE_HEADER_BYTES.saturating_sub(reader.len);
        }
    }
    while !log.is_sealed {
        let step = match reader.step() {
            Ok(step) => step,
            Err(error) => {
                skip_rest(&reader, &error, &mut log);
                break;
            }
        };
        match step {
            Step::Data { header, payload, offset } => {
                log.records += 1;
                let (first_seq, last_seq) = (header.first_seq, header.last_seq);
                each(SalvagedRecord { first_seq, last_seq, payload, offset })?;
            }
            Step::Watermark { .. } => {}
            Step::Sealed { header } => {
                // Whatever stood behind the mark is not part of the log.
                (log.is_sealed, log.cut_bytes) = (true, 0);
                log.successor = header.successor();
            }
            Step::Unverified => match skip(&mut reader, &mut log) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    skip_rest(&reader, &error, &mut log);
                    break;
                }
            },
        }
    }
    Ok(log)
}

/// Moves behind what stands at the reader's place and does not verify. Answers false at the end.
fn skip(reader: &mut LogReader, log: &mut SalvagedLog) -> Result<bool> {
    let offset = reader.offset;
    if let Some(header) = reader.record_header()? {
        let bytes = record_bytes(header.len as usize);
        let what = match header.kind {
            RecordKind::Data => format!(
                "the payload of the record with sequences {} to {} does not verify",
                header.first_seq, header.last_seq
            ),
            RecordKind::Watermark | RecordKind::Sealed => {
                "a record that should have no payload has one".to_owned()
            }
        };
        log.skipped.push(SkippedBytes { offset, bytes, what, reaches_end: false });
        reader.offset += bytes;
        let reaches_end = reader.next_header(reader.offset)?.is_err();
        if let Some(last) = log.skipped.last_mut() {
            last.reaches_end = reaches_end;
        }
        return Ok(reader.offset < reader.len);
    }
    let found = reader.next_header(offset)?;
    let (Ok(end) | Err(end)) = found;
    if end > offset {
        let what = "no record verifies here".to_owned();
        let (bytes, reaches_end) = (end - offset, found.is_err());
        log.skipped.push(SkippedBytes { offset, bytes, what, reaches_end });
    }
    reader.offset = end;
    Ok(found.is_ok())
}

/// A damaged header loses no records: each of them names its file in its checksum.
fn skip_file_header(reader: &mut LogReader, log: &mut SalvagedLog) {
    let bytes = FILE_HEADER_BYTES.min(reader.len);
    // What was never written has no header to be damaged.
    reader.offset = 0;
    let is_blank = reader.next_header(0).is_ok_and(|found| found == Err(0));
    reader.offset = bytes;
    if !is_blank {
        let what = "the file's header does not verify".to_owned();
        let reaches_end = reader.next_header(bytes).is_ok_and(|found| found.is_err());
        log.skipped.push(SkippedBytes { offset: 0, bytes, what, reaches_end });
    }
}

fn skip_rest(reader: &LogReader, error: &Error, log: &mut SalvagedLog) {
    let bytes = reader.len - reader.offset.min(reader.len);
    let (offset, what) = (reader.offset, error.to_string());
    log.skipped.push(SkippedBytes { offset, bytes, what, reaches_end: true });
}

#[cfg(test)]
mod tests;
