//! A table's checksums made to agree with its bytes, and a table laid out from its parts.
//!
//! What is known here of the format (the table's `FORMAT.md`) is held against real files by each
//! target at its start: resealing one changes nothing, and one assembled from parts can be opened.

use alluvium_base::checksum::{Checksum, crc32};
use alluvium_base::codec::{Decoder, put_slice, put_varint};

use crate::input::{Input, put_piece};

const FOOTER_BYTES: usize = 96;
const FOOTER_CRC_OFFSET: usize = 84;
const TRAILER_BYTES: usize = 9;
/// What tables say they are written as. Readers take the tag of each frame for itself.
const FORMAT_VERSION: u32 = 2;
/// Where the properties say what the largest key is: behind the numbers and the smallest key.
const KEYS_OFFSET: usize = 96;

/// The number of every table that targets make.
pub const NUMBER: u64 = 7;
/// Its keyspace.
pub const KEYSPACE: u32 = 3;

/// Makes the checksums of all frames that can be found, and the footer's, agree in table `number`.
pub fn reseal(file: &mut [u8], number: u64) {
    let Some(footer_at) = file.len().checked_sub(FOOTER_BYTES) else { return };
    let handles = handles(&file[footer_at..]).unwrap_or_default();
    for (offset, len) in handles {
        seal_frame(file, offset, len, number);
    }
    let index = handles[2];
    let index = frame(file, index.0, index.1).map(<[u8]>::to_vec).unwrap_or_default();
    let mut offset = 0;
    for len in frame_lens(&index) {
        seal_frame(file, offset, len, number);
        offset = offset.saturating_add(len);
    }
    let footer = &mut file[footer_at..];
    let crc = crc32(&footer[..FOOTER_CRC_OFFSET]);
    footer[FOOTER_CRC_OFFSET..FOOTER_CRC_OFFSET + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Offset and length of filter, range tombstones, index and properties, as the footer claims.
fn handles(footer: &[u8]) -> Option<[(u64, u64); 4]> {
    let mut decoder = Decoder::new(footer);
    let mut handles = [(0, 0); 4];
    for handle in &mut handles {
        *handle = (decoder.u64()?, decoder.u64()?);
    }
    Some(handles)
}

fn frame(file: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    file.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

fn seal_frame(file: &mut [u8], offset: u64, len: u64, number: u64) {
    let Some(frame) = frame(file, offset, len).filter(|frame| frame.len() >= TRAILER_BYTES) else {
        return;
    };
    let crc = frame_crc(&frame[..frame.len() - 4], offset, number);
    let crc_at = (offset + len) as usize - 4;
    file[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
}

fn frame_crc(covered: &[u8], offset: u64, number: u64) -> u32 {
    let sum = Checksum::new().with(covered);
    sum.with(&offset.to_le_bytes()).with(&number.to_le_bytes()).finish()
}

/// The lengths of the data blocks' frames, as far as the index makes sense.
fn frame_lens(index_frame: &[u8]) -> Vec<u64> {
    let mut decoder = Decoder::new(index_frame);
    let count = decoder.u32().unwrap_or(0);
    let mut lens = Vec::new();
    for _ in 0..count {
        let Some(len) = decoder.varint() else { break };
        if decoder.slice().is_none() {
            break;
        }
        lens.push(len);
    }
    lens
}

/// Appends a frame around `payload`, whose raw length is claimed to be `raw_len`.
fn put_frame(out: &mut Vec<u8>, payload: &[u8], tag: u8, raw_len: u32) -> u64 {
    let start = out.len();
    out.extend_from_slice(payload);
    out.push(tag);
    out.extend_from_slice(&raw_len.to_le_bytes());
    let crc = frame_crc(&out[start..], start as u64, NUMBER);
    out.extend_from_slice(&crc.to_le_bytes());
    (out.len() - start) as u64
}

fn put_stored(out: &mut Vec<u8>, payload: &[u8]) -> u64 {
    put_frame(out, payload, 0, payload.len() as u32)
}

/// The file that a writer would make of these parts: properties, filter, then for each data block
/// its separator, compression tag, raw length and payload. Identity, lengths and the last separator
/// are set to what they must be, so that what is left to object to is inside the parts.
pub fn assemble(input: &mut Input<'_>) -> Vec<u8> {
    let mut properties = input.piece().to_vec();
    if let Some(identity) = properties.get_mut(..12) {
        identity[..8].copy_from_slice(&NUMBER.to_le_bytes());
        identity[8..].copy_from_slice(&KEYSPACE.to_le_bytes());
    }
    let filter = input.piece();
    let (mut file, mut entries, mut count) = (Vec::new(), Vec::new(), 0u32);
    let mut separator: &[u8] = b"";
    while !input.is_empty() {
        separator = input.piece();
        let tag = input.byte();
        let claimed = input.word();
        let payload = input.piece();
        let raw_len = if tag == 0 { payload.len() as u32 } else { claimed };
        let frame_len = put_frame(&mut file, payload, tag, raw_len);
        put_varint(&mut entries, frame_len);
        if !input.is_empty() {
            put_slice(&mut entries, separator);
        }
        count += 1;
    }
    put_slice(&mut entries, largest_key(&properties).unwrap_or(separator));
    finish(file, filter, &[&count.to_le_bytes()[..], &entries].concat(), &properties)
}

fn largest_key(properties: &[u8]) -> Option<&[u8]> {
    let mut decoder = Decoder::new(properties.get(KEYS_OFFSET..)?);
    decoder.slice()?;
    decoder.slice()
}

fn finish(mut file: Vec<u8>, filter: &[u8], index: &[u8], properties: &[u8]) -> Vec<u8> {
    let filter_at = file.len() as u64;
    let filter_len = if filter.is_empty() { 0 } else { put_stored(&mut file, filter) };
    let index_at = file.len() as u64;
    let index_len = put_stored(&mut file, index);
    let properties_at = file.len() as u64;
    let properties_len = put_stored(&mut file, properties);
    let mut footer = Vec::with_capacity(FOOTER_BYTES);
    for number in [
        filter_at,
        filter_len,
        index_at,
        0,
        index_at,
        index_len,
        properties_at,
        properties_len,
        NUMBER,
        0,
    ] {
        footer.extend_from_slice(&number.to_le_bytes());
    }
    footer.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    footer.extend_from_slice(&crc32(&footer).to_le_bytes());
    footer.extend_from_slice(b"ALUVTABL");
    file.extend_from_slice(&footer);
    file
}

/// The parts of a good table, as [`assemble`] takes them.
pub fn take_apart(file: &[u8]) -> Vec<u8> {
    const WHOLE: &str = "the table is a good one";
    let payload = |(offset, len)| {
        let frame = frame(file, offset, len).expect(WHOLE);
        &frame[..frame.len().saturating_sub(TRAILER_BYTES)]
    };
    let [filter, _, index, properties] = handles(&file[file.len() - FOOTER_BYTES..]).expect(WHOLE);
    let mut parts = Vec::new();
    put_piece(&mut parts, payload(properties));
    put_piece(&mut parts, payload(filter));
    let mut decoder = Decoder::new(payload(index));
    let count = decoder.u32().expect(WHOLE);
    let mut offset = 0;
    for _ in 0..count {
        let len = decoder.varint().expect(WHOLE);
        put_piece(&mut parts, decoder.slice().expect(WHOLE));
        let block = payload((offset, len));
        let trailer = (offset as usize) + block.len();
        parts.extend_from_slice(&file[trailer..trailer + 5]);
        put_piece(&mut parts, block);
        offset += len;
    }
    parts
}
