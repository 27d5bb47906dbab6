//! The bytes of a log file: a header, then records. `FORMAT.md` shows the same as tables.
//!
//! ```text
//! ┌─────────────────┬───────────────┬─────────┬───────────────┬─────────┬───────────────
//! │ file header, 64 │ record, 48    │ payload │ record, 48    │ payload │ zeroes …
//! └─────────────────┴───────────────┴─────────┴───────────────┴─────────┴───────────────
//!                   ▲ every record begins at a multiple of 8
//! ```
//!
//! Invariants:
//! - A record verifies only in the file it was written to: the file's number is part of its checksum.
//! - The checksum of a record's header covers the checksum of its payload, so a header that verifies
//!   can be believed on its own: its length, its sequences and its watermark.
//! - A watermark never lies beyond the record that carries it.

use std::path::Path;

use alluvium_base::checksum::crc32;
use alluvium_base::codec::Decoder;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, FileNumber, Result, Seq};

/// Bytes of the header of every log file.
pub(crate) const FILE_HEADER_BYTES: u64 = 64;
/// Bytes of the header of every record.
pub(crate) const RECORD_HEADER_BYTES: usize = 48;
/// Bytes of a record without payload: a watermark or a sealed mark.
pub(crate) const BARE_RECORD_BYTES: u64 = record_bytes(0);
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// Longest payload of a record, in bytes: that of the largest write batch.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;

const MAGIC: [u8; 8] = *b"ALLUVLOG";
const FORMAT_VERSION: u32 = 2;
/// Did not say how much is reserved: see [`FileHeader::reserved`].
const FIRST_VERSION: u32 = 1;
const READABLE_VERSIONS: &str = "1 and 2";
/// Stands for "no predecessor"; no file ever has this number.
const NO_PREDECESSOR: u64 = u64::MAX;
const HEADER_CRC_OFFSET: usize = FILE_HEADER_BYTES as usize - size_of::<u32>();
/// Where the predecessor's number stands: what a broken chain is reported at.
pub(crate) const PREDECESSOR_OFFSET: u64 = 24;

/// Where in the log something stands: file, then offset. The start of a file is after all of the
/// file before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    pub(crate) file: FileNumber,
    pub(crate) offset: u64,
}

impl Place {
    pub(crate) const fn new(file: FileNumber, offset: u64) -> Self {
        Self { file, offset }
    }
}

/// What kind of log a file belongs to. The numbers are in files for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Role {
    /// One of many files of the write-ahead log.
    Segment = 1,
    /// A log of one growing file, such as the manifest.
    Single = 2,
}

/// The first bytes of every log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) role: Role,
    pub(crate) number: FileNumber,
    /// The segment before this one when this one was created.
    pub(crate) predecessor: Option<FileNumber>,
    /// The length that the file had, durably, before this header was written: it is never shorter,
    /// unless a sealed mark ends it. Zero where nothing could be reserved, and in version 1.
    pub(crate) reserved: u64,
}

/// What the first bytes of a file turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundHeader {
    Valid(FileHeader),
    /// Not what a writer wrote.
    Damaged,
}

impl FileHeader {
    pub(crate) fn encode(self) -> [u8; FILE_HEADER_BYTES as usize] {
        let mut bytes = [0; FILE_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.role as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.0.to_le_bytes());
        let predecessor = self.predecessor.map_or(NO_PREDECESSOR, |number| number.0);
        bytes[24..32].copy_from_slice(&predecessor.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.reserved.to_le_bytes());
        let crc = crc32(&bytes[..HEADER_CRC_OFFSET]);
        bytes[HEADER_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the file at `path`, which by its name has `number` and by its place has
    /// `role`. Fails only with [`Error::Version`], for a header that verifies and says so.
    pub(crate) fn decode(
        bytes: &[u8],
        role: Role,
        number: FileNumber,
        path: &Path,
    ) -> Result<FoundHeader> {
        let Some((version, header)) = Self::verify(bytes, role, number) else {
            return Ok(FoundHeader::Damaged);
        };
        if version != FORMAT_VERSION && version != FIRST_VERSION {
            let file = path.to_owned();
            return Err(Error::Version { file, found: version, supported: READABLE_VERSIONS });
        }
        Ok(FoundHeader::Valid(header))
    }

    fn verify(bytes: &[u8], role: Role, number: FileNumber) -> Option<(u32, Self)> {
        let (covered, crc) = bytes.get(..FILE_HEADER_BYTES as usize)?.split_at(HEADER_CRC_OFFSET);
        if crc32(covered).to_le_bytes() != crc {
            return None;
        }
        let mut decoder = Decoder::new(covered);
        let is_ours = decoder.array()? == MAGIC;
        let version = decoder.u32()?;
        let is_ours = is_ours && decoder.u32()? == role as u32 && decoder.u64()? == number.0;
        let predecessor = decoder.u64()?;
        let predecessor = (predecessor != NO_PREDECESSOR).then_some(FileNumber(predecessor));
        // Zero in version 1.
        let reserved = decoder.u64()?;
        is_ours.then_some((version, Self { role, number, predecessor, reserved }))
    }
}

/// What a record is for. The numbers are in files for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// Carries a payload.
    Data = 1,
    /// Carries nothing but the watermark.
    Watermark = 2,
    /// Ends a segment: whatever stands behind it is not part of the log.
    Sealed = 3,
}

impl RecordKind {
    const fn decode(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Watermark),
            3 => Some(Self::Sealed),
            _ => None,
        }
    }
}

/// What stands before every payload.
///
/// | offset | size | field                                                        |
/// |-------:|-----:|--------------------------------------------------------------|
/// |      0 |    4 | checksum of the file's number (`u64`) and bytes 4 to 48      |
/// |      4 |    4 | length of the payload                                        |
/// |      8 |    4 | checksum of the payload                                      |
/// |     12 |    1 | kind                                                         |
/// |     13 |    3 | zero                                                         |
/// |     16 |    8 | first sequence                                               |
/// |     24 |    8 | last sequence                                                |
/// |     32 |    8 | durable watermark: file number                               |
/// |     40 |    8 | durable watermark: offset in that file                       |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    pub(crate) len: u32,
    pub(crate) payload_crc: u32,
    pub(crate) first_seq: Seq,
    pub(crate) last_seq: Seq,
    /// Everything before this place was durable when the record was written.
    pub(crate) watermark: Place,
}

impl RecordHeader {
    /// The sealed mark that ends a segment when the log moves on to segment `next`, which exists.
    pub(crate) const fn sealed(next: FileNumber, watermark: Place) -> Self {
        let named = Seq::new(next.0);
        Self { first_seq: named, last_seq: named, ..Self::bare(RecordKind::Sealed, watermark) }
    }

    /// The segment that a sealed mark names, if it does.
    pub(crate) fn successor(&self) -> Option<FileNumber> {
        let is_named = self.kind == RecordKind::Sealed && self.first_seq > Seq::ZERO;
        is_named.then(|| FileNumber(self.first_seq.get()))
    }

    /// A record without payload.
    pub(crate) const fn bare(kind: RecordKind, watermark: Place) -> Self {
        let (len, payload_crc) = (0, 0);
        Self { kind, len, payload_crc, first_seq: Seq::ZERO, last_seq: Seq::ZERO, watermark }
    }

    #[inline]
    pub(crate) fn encode(&self, file: FileNumber) -> [u8; RECORD_HEADER_BYTES] {
        // The checksum's input, whose first eight bytes are not stored, in one piece.
        let mut covered = [0; RECORD_HEADER_BYTES + 4];
        covered[..8].copy_from_slice(&file.0.to_le_bytes());
        covered[8..12].copy_from_slice(&self.len.to_le_bytes());
        covered[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        covered[16] = self.kind as u8;
        covered[20..28].copy_from_slice(&self.first_seq.get().to_le_bytes());
        covered[28..36].copy_from_slice(&self.last_seq.get().to_le_bytes());
        covered[36..44].copy_from_slice(&self.watermark.file.0.to_le_bytes());
        covered[44..52].copy_from_slice(&self.watermark.offset.to_le_bytes());
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&checksum(&covered).to_le_bytes());
        bytes[4..].copy_from_slice(&covered[8..]);
        bytes
    }

    /// Reads the header at `at`, where a file holds `room` bytes from its start on; `None` unless
    /// it is one that a writer wrote at this place or could have.
    #[inline]
    pub(crate) fn decode(bytes: &[u8; RECORD_HEADER_BYTES], at: Place, room: u64) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let crc = decoder.u32()?;
        let len = decoder.u32()?;
        let payload_crc = decoder.u32()?;
        // Cheap checks first: resynchronising tries every eighth byte of a file.
        let kind = RecordKind::decode(decoder.u8()?)?;
        let is_padded = decoder.array()? == [0; 3];
        let fits = u64::from(len) + RECORD_HEADER_BYTES as u64 <= room;
        if !is_padded || !fits || len as usize > MAX_PAYLOAD_BYTES {
            return None;
        }
        let mut covered = [0; RECORD_HEADER_BYTES + 4];
        covered[..8].copy_from_slice(&at.file.0.to_le_bytes());
        covered[8..].copy_from_slice(&bytes[4..]);
        if checksum(&covered) != crc {
            return None;
        }
        let first_seq = Seq::decode(decoder.u64()?)?;
        let last_seq = Seq::decode(decoder.u64()?)?;
        let watermark = Place::new(FileNumber(decoder.u64()?), decoder.u64()?);
        let is_sound = first_seq <= last_seq && watermark <= at;
        is_sound.then_some(Self { kind, len, payload_crc, first_seq, last_seq, watermark })
    }
}

/// The checksum of a header.
#[inline]
fn checksum(covered: &[u8; RECORD_HEADER_BYTES + 4]) -> u32 {
    if is_planted(Bug::ChecksumWithoutHeader) {
        return crc32(&covered[..20]);
    }
    crc32(covered)
}

/// How far a record with a payload of `len` bytes reaches, padding included.
#[inline]
pub(crate) const fn record_bytes(len: usize) -> u64 {
    (RECORD_HEADER_BYTES as u64 + len as u64).next_multiple_of(ALIGNMENT)
}

const _: () = assert!(FILE_HEADER_BYTES.is_multiple_of(ALIGNMENT));
const _: () = assert!((RECORD_HEADER_BYTES as u64).is_multiple_of(ALIGNMENT));

#[cfg(test)]
mod tests;
