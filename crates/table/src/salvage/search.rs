//! Finding frames without an index: where does the frame that begins here end?
//!
//! A frame does not say how long it is, but its checksum does: at the right length, and only there,
//! it verifies. A trailer also has a tag of few values and a raw length that must suit the payload's,
//! so that few lengths are worth a look, and the checksum is carried along from one to the next.
//!
//! ```text
//!   start                     tried in turn
//!   ▼                         ▼          ▼            ▼
//!   │ payload ……………………………………………│t│raw│crc │
//! ```
//!
//! Where the frame at hand is damaged, the next one's beginning is unknown too. For a stored block
//! the raw length leads from its trailer back to it; for a compressed one every start that suits the
//! raw length is tried, for blocks up to [`MAX_RESYNC_RAW_BYTES`]. What this cannot find counts as
//! lost.

use alluvium_base::checksum::Checksum;
use alluvium_base::codec::Decoder;
use alluvium_base::{FileNumber, Result};

use crate::frame::{MAX_RAW_BYTES, Packing, TRAILER_BYTES, TableFile, checksum_with_place, unpack};
use crate::handle::Handle;

/// How much is read at first, and at most at once, in bytes.
const CHUNK_BYTES: (u64, u64) = (16 << 10, 1 << 20);
/// How much is looked through at once for the next frame, in bytes; the stretches overlap by half.
const RESYNC_BYTES: u64 = 4 << 20;
/// Largest compressed block, before compression, that is found behind damage.
pub(super) const MAX_RESYNC_RAW_BYTES: usize = 64 << 10;
/// How many bytes of checksums looking for one frame may cost.
const RESYNC_BUDGET_BYTES: u64 = 2 << 30;
/// LZ4 makes at most this of one byte.
const MAX_LZ4_RATIO: u64 = 255;

/// The trailer at the front of `bytes`, if it is one that a frame can have: tag, raw length and
/// checksum.
fn trailer(bytes: &[u8]) -> Option<(Packing, u64, u32)> {
    let mut decoder = Decoder::new(bytes);
    let packing = Packing::decode(decoder.u8()?)?;
    let raw = u64::from(decoder.u32()?);
    let crc = decoder.u32()?;
    (1..=MAX_RAW_BYTES as u64).contains(&raw).then_some((packing, raw, crc))
}

/// Whether a payload of `len` bytes can stand for `raw` bytes.
fn suits(packing: Packing, len: u64, raw: u64) -> bool {
    match packing {
        Packing::Stored => len == raw,
        Packing::Whole | Packing::Entries => len < raw && raw <= len.saturating_mul(MAX_LZ4_RATIO),
    }
}

/// The frame that begins at `start` and ends before `limit`, if one does.
pub(super) fn frame_at(file: &TableFile, start: u64, limit: u64) -> Result<Option<Handle>> {
    let trailer_bytes = TRAILER_BYTES as u64;
    let limit = limit.min(start.saturating_add((MAX_RAW_BYTES + TRAILER_BYTES) as u64));
    let mut covered = Checksum::new();
    // Everything from `start` up to here is in `covered`.
    let mut summed_to = start;
    let mut at = start + 1;
    let (mut chunk_bytes, most_bytes) = CHUNK_BYTES;
    while at + trailer_bytes <= limit {
        let base = at.min(summed_to);
        let len = chunk_bytes.min(limit - base);
        chunk_bytes = most_bytes.min(2 * chunk_bytes);
        let chunk = file.read(Handle { offset: base, len })?;
        let last = base + len - trailer_bytes;
        while at <= last {
            if let Some((packing, raw, crc)) = trailer(&chunk[(at - base) as usize..])
                && suits(packing, at - start, raw)
            {
                let end = at + trailer_bytes - size_of::<u32>() as u64;
                covered = covered.with(&chunk[(summed_to - base) as usize..(end - base) as usize]);
                summed_to = end;
                if checksum_with_place(covered.clone(), start, file.number) == crc {
                    return Ok(Some(Handle { offset: start, len: at + trailer_bytes - start }));
                }
            }
            at += 1;
        }
        if summed_to < at {
            covered = covered.with(&chunk[(summed_to - base) as usize..(at - base) as usize]);
            summed_to = at;
        }
    }
    Ok(None)
}

/// The first frame to end that begins behind `damaged` and ends before `limit`.
pub(super) fn next_frame(file: &TableFile, damaged: u64, limit: u64) -> Result<Option<Handle>> {
    let mut budget = RESYNC_BUDGET_BYTES;
    let mut from = damaged + 1;
    while from < limit && budget > 0 {
        let len = RESYNC_BYTES.min(limit - from);
        let bytes = file.read(Handle { offset: from, len })?;
        for at in 1..bytes.len().saturating_sub(TRAILER_BYTES - 1) {
            let Some((packing, raw, _)) = trailer(&bytes[at..]) else { continue };
            if let Some(start) =
                start_of(&bytes, at, (packing, raw), from, file.number, &mut budget)
            {
                let len = (at + TRAILER_BYTES - start) as u64;
                return Ok(Some(Handle { offset: from + start as u64, len }));
            }
        }
        if from + len == limit {
            break;
        }
        from += len / 2;
    }
    Ok(None)
}

/// Where in `bytes`, which stand at `base`, the frame with the trailer at `at` begins.
fn start_of(
    bytes: &[u8],
    at: usize,
    (packing, raw): (Packing, u64),
    base: u64,
    number: FileNumber,
    budget: &mut u64,
) -> Option<usize> {
    let (least, most) = match packing {
        Packing::Stored => (raw as usize, raw as usize),
        Packing::Whole | Packing::Entries if raw as usize > MAX_RESYNC_RAW_BYTES => return None,
        Packing::Whole | Packing::Entries => {
            (raw.div_ceil(MAX_LZ4_RATIO) as usize, raw as usize - 1)
        }
    };
    (least..=most.min(at)).find_map(|len| {
        *budget = budget.checked_sub(len as u64).unwrap_or_default();
        if *budget == 0 {
            return None;
        }
        let start = at - len;
        let frame = &bytes[start..at + TRAILER_BYTES];
        unpack(frame, base + start as u64, number).is_ok().then_some(start)
    })
}
