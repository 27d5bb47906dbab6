//! The same records in one growing file: what the manifest is written to.
//!
//! Its owner appends and syncs, record by record, so anything but the last record that does not
//! verify is damage. After each sync a bare watermark follows, itself unsynced, so that rot in the
//! last record is told from a torn one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::checksum::crc32;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, File, FileNumber, Fs, Result, Seq};

use crate::format::{
    FILE_HEADER_BYTES, FileHeader, FoundHeader, MAX_PAYLOAD_BYTES, Place, RECORD_HEADER_BYTES,
    RecordHeader, RecordKind, Role, record_bytes,
};
use crate::reader::{Behind, LogReader, Step};
use crate::segment::{BufferedWriter, SegmentWriter};

/// Appends records to one file. One owner.
#[derive(Debug)]
pub struct LogFileWriter {
    path: PathBuf,
    number: FileNumber,
    file: Arc<dyn File>,
    writer: BufferedWriter,
    offset: u64,
    /// Everything before this offset is durable.
    watermark: u64,
    /// The first failure, which is final.
    poison: Option<Arc<Error>>,
}

impl LogFileWriter {
    /// Creates the file, `reserved` bytes long, and writes its header. Neither header nor length nor
    /// name is durable yet: the first [`sync`](Self::sync) covers the first two, and syncing the
    /// folder is up to the caller. Nobody may rely on the file before that: the header says that the
    /// file is never shorter. It may grow longer.
    pub fn create(fs: &dyn Fs, path: &Path, number: FileNumber, reserved: u64) -> Result<Self> {
        let file = fs.create(path).map_err(|error| Error::io("create", path, error))?;
        let reserved = match file.set_len(reserved) {
            Ok(()) => reserved,
            // Some file systems take reserved room for used: better a file that can be cut unseen.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => 0,
            Err(error) => return Err(Error::io("reserve space for", path, error)),
        };
        write_header(&*file, path, number, reserved)?;
        Ok(Self::new(file, path, number, FILE_HEADER_BYTES, 0))
    }

    fn new(
        file: Arc<dyn File>,
        path: &Path,
        number: FileNumber,
        offset: u64,
        watermark: u64,
    ) -> Self {
        let writer = BufferedWriter::new(file.clone());
        Self { path: path.to_owned(), number, file, writer, offset, watermark, poison: None }
    }

    /// Appends one record. A payload over [`MAX_PAYLOAD_BYTES`] is refused with
    /// [`Error::Invalid`]; any other error is final.
    pub fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.check()?;
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(Error::invalid(format!(
                "a log record of {} bytes exceeds {MAX_PAYLOAD_BYTES} bytes",
                payload.len()
            )));
        }
        let header = RecordHeader {
            kind: RecordKind::Data,
            len: payload.len() as u32,
            payload_crc: crc32(payload),
            first_seq: Seq::ZERO,
            last_seq: Seq::ZERO,
            watermark: self.watermark(),
        };
        self.write(&header, payload)
    }

    /// Makes everything appended durable. An error is final: a sync is never tried again.
    pub fn sync(&mut self) -> Result<()> {
        self.check()?;
        let synced = self.file.sync().map_err(|error| Error::io("sync", &self.path, error));
        self.keep_failure(synced)?;
        self.watermark = self.offset;
        let header = RecordHeader::bare(RecordKind::Watermark, self.watermark());
        self.write(&header, &[])
    }

    /// Bytes written so far.
    pub const fn bytes(&self) -> u64 {
        self.offset
    }

    const fn watermark(&self) -> Place {
        Place::new(self.number, self.watermark)
    }

    fn write(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<()> {
        let bytes: [u8; RECORD_HEADER_BYTES] = header.encode(self.number);
        let written = self.writer.write(self.offset, &bytes, payload);
        self.keep_failure(written.map_err(|error| Error::io("write", &self.path, error)))?;
        self.offset += record_bytes(payload.len());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        match &self.poison {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
        }
    }

    fn keep_failure(&mut self, result: Result<()>) -> Result<()> {
        if is_planted(Bug::ManifestGoesOnBehindGarbage) {
            return result.inspect_err(|_| self.offset += RECORD_HEADER_BYTES as u64);
        }
        result.inspect_err(|error| self.poison = Some(Arc::new(error.clone())))
    }
}

fn write_header(file: &dyn File, path: &Path, number: FileNumber, reserved: u64) -> Result<()> {
    let header = FileHeader { role: Role::Single, number, predecessor: None, reserved }.encode();
    file.write_all_at(&header, 0).map_err(|error| Error::io("write", path, error))
}

/// What a log file held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayedFile {
    /// How many bytes verify; 0 when not even the header does.
    pub valid_len: u64,
    /// Whether something stands behind them that was never reported durable.
    pub torn: bool,
    /// How many records were handed out.
    pub records: u64,
}

/// Reads the log file `number` at `path`, oldest record first, and hands each payload to `each`,
/// with the offset in the file that it begins at; an error of `each` ends the walk. Writes nothing.
///
/// Fails with [`Error::Corrupt`], naming file and offset, when a record that was reported durable
/// does not verify.
pub fn replay_file(
    fs: &dyn Fs,
    path: &Path,
    number: FileNumber,
    each: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<ReplayedFile> {
    let mut reader = LogReader::open(fs, path.to_owned(), Role::Single, number)?;
    let mut records = 0;
    match reader.header {
        FoundHeader::Damaged => reader.offset = 0,
        FoundHeader::Valid(header) if reader.len < header.reserved => {
            let what = format!(
                "this file was cut short: it was {} bytes long and is {}",
                header.reserved, reader.len
            );
            return Err(Error::corrupt(path, reader.len, what));
        }
        FoundHeader::Valid(_) => loop {
            match reader.step()? {
                Step::Data { payload, offset, .. } => {
                    records += 1;
                    each(&payload, offset + RECORD_HEADER_BYTES as u64)?;
                }
                Step::Watermark { .. } => {}
                // No writer seals such a file.
                Step::Sealed { .. } => {
                    let what = "a sealed mark stands in a log of one file";
                    return Err(Error::corrupt(path, reader.offset, what));
                }
                Step::Unverified => break,
            }
        },
    }
    let stop = reader.place();
    let mut behind = Behind::new(stop);
    reader.scan(&mut behind)?;
    if let Some(damage) = behind.damage(path.to_owned(), stop.offset) {
        return Err(damage);
    }
    Ok(ReplayedFile { valid_len: stop.offset, torn: behind.dropped_bytes > 0, records })
}
