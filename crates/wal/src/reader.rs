//! One log file read front to back, without trust and in bounded memory.
//!
//! A [`LogReader`] steps from record to record while they verify. Where one does not, [`scan`]
//! looks through everything behind it, at every eighth byte, for headers that do: what their
//! watermarks say decides between a torn tail and damage.
//!
//! Invariants:
//! - A length is believed only once the checksum over it verified, and only as far as the file
//!   reaches; memory for a payload is taken after that.
//! - At most [`WINDOW_BYTES`] of a file and one payload are in memory.

use std::path::PathBuf;
use std::sync::Arc;

use alluvium_base::checksum::crc32;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Bytes, Error, File, FileNumber, Fs, Result};

use crate::format::{
    ALIGNMENT, FILE_HEADER_BYTES, FileHeader, FoundHeader, Place, RECORD_HEADER_BYTES,
    RecordHeader, RecordKind, Role, record_bytes,
};

/// How much is read at once.
const WINDOW_BYTES: usize = 256 << 10;

/// What stands at a reader's place.
#[derive(Debug)]
pub(crate) enum Step {
    /// A record with a payload, which begins at this offset. The reader stands behind it.
    Data { header: RecordHeader, payload: Bytes, offset: u64 },
    /// A record that carries nothing but its watermark. The reader stands behind it.
    Watermark { header: RecordHeader },
    /// The sealed mark. The reader stands behind it.
    Sealed { header: RecordHeader },
    /// Nothing that verifies: the end, a torn record or damage. The reader stands before it.
    Unverified,
}

/// Reads one log file.
#[derive(Debug)]
pub(crate) struct LogReader {
    pub(crate) path: PathBuf,
    pub(crate) number: FileNumber,
    /// Length of the file.
    pub(crate) len: u64,
    /// Where the next record begins.
    pub(crate) offset: u64,
    /// The file's header.
    pub(crate) header: FoundHeader,
    /// The highest watermark of the records that were read.
    pub(crate) watermark: Place,
    window: Window,
}

impl LogReader {
    /// Opens the file and reads its header. Fails with [`Error::Version`] when another version
    /// wrote it; a header that does not verify is no failure yet.
    pub(crate) fn open(fs: &dyn Fs, path: PathBuf, role: Role, number: FileNumber) -> Result<Self> {
        let file = fs.open(&path).map_err(|error| Error::io("open", &path, error))?;
        let len = file.len().map_err(|error| Error::io("measure", &path, error))?;
        let mut window = Window { file, start: 0, bytes: Vec::new() };
        let read = window.at(0, FILE_HEADER_BYTES.min(len) as usize, len);
        let bytes = read.map_err(|error| Error::io("read", &path, error))?;
        let header = FileHeader::decode(bytes, role, number, &path)?;
        let (offset, watermark) = (FILE_HEADER_BYTES, Place::default());
        Ok(Self { path, number, len, offset, header, watermark, window })
    }

    /// Where the next record begins.
    pub(crate) const fn place(&self) -> Place {
        Place::new(self.number, self.offset)
    }

    /// Reads the next record and moves behind it, if one verifies.
    pub(crate) fn step(&mut self) -> Result<Step> {
        let offset = self.offset;
        let Some(header) = self.record_header()? else { return Ok(Step::Unverified) };
        let payload = self.payload(&header)?;
        if crc32(&payload) != header.payload_crc {
            return Ok(Step::Unverified);
        }
        self.offset += record_bytes(payload.len());
        self.watermark = self.watermark.max(header.watermark);
        Ok(match header.kind {
            RecordKind::Data => Step::Data { header, payload, offset },
            RecordKind::Watermark => Step::Watermark { header },
            RecordKind::Sealed => Step::Sealed { header },
        })
    }

    /// The header of the record at the reader's place, if it verifies.
    pub(crate) fn record_header(&mut self) -> Result<Option<RecordHeader>> {
        let room = self.len.saturating_sub(self.offset);
        if room < RECORD_HEADER_BYTES as u64 {
            return Ok(None);
        }
        let place = self.place();
        let read = self.window.at(self.offset, RECORD_HEADER_BYTES, self.len);
        let bytes = read.map_err(|error| Error::io("read", &self.path, error))?;
        Ok(bytes.first_chunk().and_then(|bytes| RecordHeader::decode(bytes, place, room)))
    }

    /// Reads the payload behind a header that verified, which says that the file holds it.
    fn payload(&mut self, header: &RecordHeader) -> Result<Bytes> {
        let offset = self.offset + RECORD_HEADER_BYTES as u64;
        let len = header.len as usize;
        let read = if len <= WINDOW_BYTES {
            self.window.at(offset, len, self.len).map(Bytes::copy_from_slice)
        } else {
            let mut payload = vec![0; len];
            self.window.file.read_exact_at(&mut payload, offset).map(|()| Bytes::from(payload))
        };
        read.map_err(|error| Error::io("read", &self.path, error))
    }

    /// Looks through everything from the reader's place on. A header of the file that verifies is
    /// passed over: a file without records holds nothing that could be lost.
    pub(crate) fn scan(&mut self, behind: &mut Behind) -> Result<()> {
        let from = self.offset;
        let mut at = from;
        let mut last_used = None;
        while at < self.len {
            let count = WINDOW_BYTES.min((self.len - at) as usize);
            let read = self.window.at(at, count, self.len);
            let bytes = read.map_err(|error| Error::io("read", &self.path, error))?;
            // What is reserved and not yet written is long, and holds no record.
            if let Some(index) = last_used_byte(bytes) {
                last_used = Some(at + index as u64);
                behind.look_at(bytes, Place::new(self.number, at), self.len);
            }
            // The windows overlap by less than a header: no place is tried twice or left out.
            let tried = count.saturating_sub(RECORD_HEADER_BYTES - ALIGNMENT as usize);
            at += if at + count as u64 == self.len { count } else { tried } as u64;
        }
        behind.dropped_bytes += last_used.map_or(0, |last| last + 1 - from);
        Ok(())
    }

    /// The first place from `from` on, a multiple of 8, where a record's header verifies, if there is
    /// one; else where the bytes in use from there on end, which is `from` when there are none.
    pub(crate) fn next_header(&mut self, from: u64) -> Result<Result<u64, u64>> {
        let mut at = from;
        let mut used_end = from;
        while at < self.len {
            let count = WINDOW_BYTES.min((self.len - at) as usize);
            let read = self.window.at(at, count, self.len);
            let bytes = read.map_err(|error| Error::io("read", &self.path, error))?;
            for index in (0..count).step_by(ALIGNMENT as usize) {
                let Some(header) = bytes[index..].first_chunk() else { break };
                let place = Place::new(self.number, at + index as u64);
                if RecordHeader::decode(header, place, self.len - place.offset).is_some() {
                    return Ok(Ok(place.offset));
                }
            }
            used_end = last_used_byte(bytes).map_or(used_end, |index| at + index as u64 + 1);
            let tried = count.saturating_sub(RECORD_HEADER_BYTES - ALIGNMENT as usize);
            at += if at + count as u64 == self.len { count } else { tried } as u64;
        }
        Ok(Err(used_end))
    }

    /// Scans a file that stands behind the place where reading stopped.
    pub(crate) fn scan_all(&mut self, behind: &mut Behind) -> Result<()> {
        self.offset = match self.header {
            FoundHeader::Valid(_) => FILE_HEADER_BYTES,
            FoundHeader::Damaged => 0,
        };
        self.scan(behind)
    }
}

/// What stands behind the place where reading stopped.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Where reading stopped.
    stop: Place,
    /// A record that verifies and says that more was durable than was read.
    pub(crate) witness: Option<Place>,
    /// Bytes in use, up to the last one in each file that is not zero.
    pub(crate) dropped_bytes: u64,
}

impl Behind {
    pub(crate) const fn new(stop: Place) -> Self {
        Self { stop, witness: None, dropped_bytes: 0 }
    }

    /// Tries every place in `bytes`, which stand at `start`, in a file of `len` bytes.
    fn look_at(&mut self, bytes: &[u8], start: Place, len: u64) {
        if self.witness.is_some() {
            return;
        }
        for index in (0..bytes.len()).step_by(ALIGNMENT as usize) {
            let Some(header) = bytes[index..].first_chunk() else { return };
            let place = Place::new(start.file, start.offset + index as u64);
            let header = RecordHeader::decode(header, place, len - place.offset);
            if header.is_some_and(|header| header.watermark > self.stop) {
                self.witness = Some(place);
                return;
            }
        }
    }

    /// The verdict, where a witness was found: damage at `offset` of the file at `path`.
    pub(crate) fn damage(&self, path: PathBuf, offset: u64) -> Option<Error> {
        let witness = self.witness.filter(|_| !is_planted(Bug::DamageTakenForTornTail))?;
        let what = format!(
            "what stands here does not verify, yet the log was durable beyond it, says the record \
             at offset {} of file {}",
            witness.offset, witness.file
        );
        Some(Error::corrupt(path, offset, what))
    }
}

/// How much is compared with zeroes at once.
const BLANK_BYTES: usize = 512;

/// Index of the last byte that is not zero.
fn last_used_byte(bytes: &[u8]) -> Option<usize> {
    let is_blank = |block: &&[u8]| *block == [0; BLANK_BYTES];
    let blank = bytes.rchunks_exact(BLANK_BYTES).take_while(is_blank).count() * BLANK_BYTES;
    bytes[..bytes.len() - blank].iter().rposition(|&byte| byte != 0)
}

/// The part of a file that is in memory.
#[derive(Debug)]
struct Window {
    file: Arc<dyn File>,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The `count` bytes at `offset`, at most [`WINDOW_BYTES`], of a file of `len` bytes.
    fn at(&mut self, offset: u64, count: usize, len: u64) -> std::io::Result<&[u8]> {
        let end = offset + count as u64;
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let filled = (len - offset).min(WINDOW_BYTES as u64) as usize;
            // Should the read fail, nothing of it is mistaken for the file's bytes.
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.resize(filled, 0);
            self.file.read_exact_at(&mut bytes, offset)?;
            self.start = offset;
            self.bytes = bytes;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + count])
    }
}

#[cfg(test)]
mod tests;
