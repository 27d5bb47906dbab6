//! The frame around every block on disk, and the file that frames are read from.
//!
//! ```text
//!   ┌─────────────────────────┬─────┬────────────┬────────┐
//!   │ payload                 │ tag │ raw length │ crc    │
//!   │ (compressed, or as is)  │ u8  │ u32        │ u32    │
//!   └─────────────────────────┴─────┴────────────┴────────┘
//!   crc = CRC-32 of payload, tag, raw length, the frame's offset in the file (u64) and the file's
//!         number (u64)
//! ```
//!
//! Of a compressed data block only the entries are. Its tail, which says where they are, stands behind
//! them as it is: it would hardly shrink, and whoever looks for one entry needs no more of the
//! others than what stands before that.
//!
//! Binding the checksum to file and offset means that a good block in the wrong place does not
//! verify. The checksum comes first, then the raw length is held against its cap, and only then is
//! memory taken for it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::checksum::Checksum;
use alluvium_base::codec::Decoder;
use alluvium_base::key::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Bytes, Error, File, FileNumber, Result};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::block::{expected_fences_bytes, tail_len};
use crate::handle::Handle;
use crate::options::Compression;

/// Bytes of a trailer: tag, raw length, checksum.
pub(crate) const TRAILER_BYTES: usize = 1 + 2 * size_of::<u32>();
const CRC_BYTES: usize = size_of::<u32>();

/// Largest block before compression, in bytes: the largest key and value, and what a block adds.
pub(crate) const MAX_RAW_BYTES: usize = MAX_KEY_BYTES + MAX_VALUE_BYTES + 4096;

/// LZ4 cannot do better than one byte for 255, so a larger claim is a lie.
const MAX_LZ4_RATIO: usize = 255;

fn checksum(covered: &[u8], offset: u64, number: FileNumber) -> u32 {
    checksum_with_place(Checksum::new().with(covered), offset, number)
}

/// The checksum of a frame whose payload, tag and raw length are in `covered`.
pub(crate) fn checksum_with_place(covered: Checksum, offset: u64, number: FileNumber) -> u32 {
    let mut place = [0; 2 * size_of::<u64>()];
    place[..8].copy_from_slice(&offset.to_le_bytes());
    place[8..].copy_from_slice(&number.0.to_le_bytes());
    covered.with(&place).finish()
}

/// What a frame's payload is of its block. The numbers are in files for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Packing {
    /// The block as it is.
    Stored = 0,
    /// All of it, as LZ4: in tables of version 1.
    Whole = 1,
    /// The entries of a data block, as LZ4, and its tail as it is.
    Entries = 2,
}

impl Packing {
    /// The packing that has this tag in files.
    pub(crate) const fn decode(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Stored),
            1 => Some(Self::Whole),
            2 => Some(Self::Entries),
            _ => None,
        }
    }
}

/// Compresses and frames blocks; keeps the compressor's table from block to block.
pub(crate) struct FrameWriter {
    number: FileNumber,
    compression: Compression,
    table: CompressTable,
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter").field("number", &self.number).finish_non_exhaustive()
    }
}

impl FrameWriter {
    /// Bytes it takes in memory: a small [`CompressTable`] has 4,096 numbers of two bytes.
    pub(crate) const MEMORY_BYTES: usize = 8 << 10;

    pub(crate) fn new(number: FileNumber, compression: Compression) -> Self {
        Self { number, compression, table: CompressTable::small() }
    }

    /// Appends `raw`, a data block, framed to `out`, compressed if that is asked for and worth it. The
    /// frame will stand at `offset` of the file.
    pub(crate) fn append_compressed(&mut self, out: &mut Vec<u8>, raw: &[u8], offset: u64) {
        let start = out.len();
        let is_packed = match self.compression {
            Compression::None => false,
            Compression::Lz4 => self.pack(out, raw),
        };
        if is_packed {
            self.seal(out, start, Packing::Entries, raw.len(), offset);
        } else {
            out.truncate(start);
            self.append(out, raw, offset);
        }
    }

    /// Appends `raw` framed, as it is.
    pub(crate) fn append(&self, out: &mut Vec<u8>, raw: &[u8], offset: u64) {
        let start = out.len();
        out.extend_from_slice(raw);
        self.seal(out, start, Packing::Stored, raw.len(), offset);
    }

    /// Appends the packed form of a data block; answers whether that saves at least an eighth.
    fn pack(&mut self, out: &mut Vec<u8>, raw: &[u8]) -> bool {
        let Some(tail_len) = tail_len(raw, raw.len()) else { return false };
        let (entries, tail) = raw.split_at(raw.len() - tail_len);
        let start = out.len();
        out.resize(start + get_maximum_output_size(entries.len()), 0);
        let len = compress_into_with_table(entries, &mut out[start..], &mut self.table)
            .expect("the output has room for the worst case");
        out.truncate(start + len);
        out.extend_from_slice(tail);
        len + tail_len <= raw.len() - raw.len().div_ceil(8)
    }

    fn seal(&self, out: &mut Vec<u8>, start: usize, packing: Packing, raw: usize, offset: u64) {
        let raw = u32::try_from(raw).expect("blocks are capped well below 4 GiB");
        out.push(packing as u8);
        out.extend_from_slice(&raw.to_le_bytes());
        let crc = checksum(&out[start..], offset, self.number);
        out.extend_from_slice(&crc.to_le_bytes());
    }
}

/// What a verified frame holds.
#[derive(Debug)]
pub(crate) enum Payload {
    /// The block itself, at this range of the frame.
    Stored(Range<usize>),
    /// The block, decompressed.
    Decompressed(Vec<u8>),
}

/// A frame whose checksum is right, and whose claims are possible.
#[derive(Debug)]
pub(crate) struct Verified<'a> {
    pub(crate) packing: Packing,
    /// What is packed, or the block as it is.
    pub(crate) body: &'a [u8],
    /// What stands behind the entries, where only those are packed.
    pub(crate) tail: &'a [u8],
    /// Length of the block once it is unpacked.
    raw: usize,
}

impl Verified<'_> {
    /// What `body` yields, in bytes.
    pub(crate) const fn body_len(&self) -> usize {
        self.raw - self.tail.len()
    }

    /// Unpacks the block to the front of `room`, which is overwritten and grows as need be.
    pub(crate) fn unpack_into<'a>(&self, room: &'a mut Vec<u8>) -> Result<&'a [u8], String> {
        let block = prefix_of(room, self.raw);
        let (body, tail) = block.split_at_mut(self.body_len());
        decompress(self.body, body)?;
        tail.copy_from_slice(self.tail);
        Ok(block)
    }
}

/// Verifies the frame of file `number` at `offset` and unpacks it.
pub(crate) fn unpack(frame: &[u8], offset: u64, number: FileNumber) -> Result<Payload, String> {
    let verified = verify(frame, offset, number)?;
    let (raw, body_len) = (verified.raw, verified.body_len());
    match verified.packing {
        Packing::Stored => Ok(Payload::Stored(0..raw)),
        Packing::Whole | Packing::Entries => {
            // The end of the payload is that of the block, packed or not.
            let payload = &frame[..frame.len() - TRAILER_BYTES];
            let mut block = Vec::with_capacity(raw + expected_fences_bytes(payload, raw));
            block.resize(body_len, 0);
            decompress(verified.body, &mut block)?;
            block.extend_from_slice(verified.tail);
            Ok(Payload::Decompressed(block))
        }
    }
}

/// A copy of a stored block that is to have fences.
pub(crate) fn with_room_for_fences(stored: &[u8]) -> Bytes {
    let mut block = Vec::with_capacity(stored.len() + expected_fences_bytes(stored, stored.len()));
    block.extend_from_slice(stored);
    block.into()
}

/// The first `len` bytes of `room`, which grows if it is shorter and is not cleared.
pub(crate) fn prefix_of(room: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if room.len() < len {
        room.resize(len, 0);
    }
    &mut room[..len]
}

/// Verifies the frame of file `number` at `offset`.
pub(crate) fn verify(
    frame: &[u8],
    offset: u64,
    number: FileNumber,
) -> Result<Verified<'_>, String> {
    let payload_len =
        frame.len().checked_sub(TRAILER_BYTES).ok_or("the block is shorter than its trailer")?;
    let (covered, _) = frame.split_at(frame.len() - CRC_BYTES);
    let (payload, trailer) = frame.split_at(payload_len);
    let mut decoder = Decoder::new(trailer);
    let (tag, raw) = decoder.u8().zip(decoder.u32()).expect("the trailer has both");
    if is_planted(Bug::UnverifiedLength) {
        std::hint::black_box(Vec::<u8>::with_capacity(raw as usize));
    }
    let is_intact = Some(checksum(covered, offset, number)) == decoder.u32();
    if !is_intact && !is_planted(Bug::BlockUnverified) {
        return Err("the block's checksum does not match".into());
    }
    let packing = Packing::decode(tag)
        .ok_or_else(|| format!("the block's compression tag {tag} is unknown"))?;
    split(payload, packing, raw as usize)
}

/// Tells what is packed from what is not, and holds what the trailer claims against it.
pub(crate) fn split(payload: &[u8], packing: Packing, raw: usize) -> Result<Verified<'_>, String> {
    let tail_len = match packing {
        Packing::Stored if raw != payload.len() => {
            return Err("the block's raw length is not its length".into());
        }
        Packing::Stored | Packing::Whole => 0,
        Packing::Entries => tail_len(payload, raw)
            .filter(|&tail_len| tail_len < payload.len().min(raw))
            .ok_or("the block's count does not fit its length")?,
    };
    let (body, tail) = payload.split_at(payload.len() - tail_len);
    let is_possible = packing == Packing::Stored
        || raw <= MAX_RAW_BYTES && raw - tail_len <= body.len().saturating_mul(MAX_LZ4_RATIO);
    if is_possible {
        Ok(Verified { packing, body, tail, raw })
    } else {
        Err(format!("the block claims {raw} bytes, which is beyond what it can hold"))
    }
}

/// Decompresses `payload`, which must fill `block`.
fn decompress(payload: &[u8], block: &mut [u8]) -> Result<(), String> {
    match lz4_flex::block::decompress_into(payload, block) {
        Ok(len) if len == block.len() => Ok(()),
        Ok(len) => Err(format!("the block decompresses to {len} bytes, not {}", block.len())),
        Err(error) => Err(format!("the block does not decompress: {error}")),
    }
}

/// The file of one table: what every read of it needs.
#[derive(Debug)]
pub(crate) struct TableFile {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
    pub(crate) number: FileNumber,
    /// Its length when it was opened, in bytes.
    pub(crate) len: u64,
}

impl TableFile {
    pub(crate) fn new(file: Arc<dyn File>, path: &Path, number: FileNumber) -> Result<Self> {
        let len = file.len().map_err(|error| Error::io("read the length of", path, error))?;
        Ok(Self { file, path: path.into(), number, len })
    }

    /// Damage at `offset` of this file.
    pub(crate) fn corrupt(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::corrupt(&self.path, offset, what)
    }

    /// Reads a stretch of the file. The caller has checked the handle against the file's length.
    pub(crate) fn read(&self, handle: Handle) -> Result<Bytes> {
        let mut bytes = Vec::new();
        self.read_into(handle, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Reads a stretch of the file into the front of `room`, which grows as need be.
    pub(crate) fn read_into<'a>(&self, handle: Handle, room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        // Before memory is taken for it.
        if handle.end().is_none_or(|end| end > self.len) {
            return Err(self.corrupt(handle.offset, "a block reaches beyond the end of the file"));
        }
        let bytes = prefix_of(room, handle.len as usize);
        match self.file.read_exact_at(bytes, handle.offset) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.corrupt(handle.offset, "the file ends inside a block"))
            }
            Err(error) => Err(Error::io("read", &self.path, error)),
        }
    }

    /// Verifies and unpacks a frame that was read from `offset`.
    pub(crate) fn unpack(&self, frame: &Bytes, offset: u64) -> Result<Bytes> {
        match unpack(frame, offset, self.number) {
            Ok(Payload::Stored(range)) => Ok(frame.slice(range)),
            Ok(Payload::Decompressed(block)) => Ok(block.into()),
            Err(what) => Err(self.corrupt(offset, what)),
        }
    }

    /// Reads, verifies and unpacks one block that is stored as it is: all but data blocks are.
    pub(crate) fn read_stored(&self, handle: Handle) -> Result<Bytes> {
        let frame = self.read(handle)?;
        match unpack(&frame, handle.offset, self.number) {
            Ok(Payload::Stored(range)) => Ok(frame.slice(range)),
            Ok(Payload::Decompressed(_)) => {
                Err(self.corrupt(handle.offset, "only data blocks are compressed"))
            }
            Err(what) => Err(self.corrupt(handle.offset, what)),
        }
    }
}
