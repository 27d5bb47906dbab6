//! A log file's checksums made to agree with its bytes, whatever they are.
//!
//! What is known here of the format (the log's `FORMAT.md`) is held against real files by each
//! target at its start: resealing one changes nothing.

use alluvium_base::checksum::{Checksum, crc32};

const FILE_HEADER_BYTES: usize = 64;
const HEADER_CRC_OFFSET: usize = 60;
const NUMBER_OFFSET: usize = 16;
const RECORD_HEADER_BYTES: usize = 48;
const ALIGNMENT: usize = 8;

/// Makes the header of the file, its number and the checksums of all records agree, as far as
/// records can be followed by their lengths. A blank place ends them.
pub fn reseal(file: &mut [u8], number: u64) {
    let Some(header) = file.get_mut(..FILE_HEADER_BYTES) else { return };
    header[NUMBER_OFFSET..NUMBER_OFFSET + 8].copy_from_slice(&number.to_le_bytes());
    let crc = crc32(&header[..HEADER_CRC_OFFSET]);
    header[HEADER_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
    let mut at = FILE_HEADER_BYTES;
    while let Some(record) = file.get_mut(at..).filter(|rest| rest.len() >= RECORD_HEADER_BYTES) {
        if record[..RECORD_HEADER_BYTES].iter().all(|&byte| byte == 0) {
            break;
        }
        at += reseal_record(record, number).next_multiple_of(ALIGNMENT);
    }
}

/// Returns how long the record is. One that claims more than there is keeps its claim, under a good
/// checksum.
fn reseal_record(bytes: &mut [u8], number: u64) -> usize {
    let (header, rest) = bytes.split_at_mut(RECORD_HEADER_BYTES);
    let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if let Some(payload) = rest.get(..len) {
        header[8..12].copy_from_slice(&crc32(payload).to_le_bytes());
    }
    let crc = Checksum::new().with(&number.to_le_bytes()).with(&header[4..]).finish();
    header[..4].copy_from_slice(&crc.to_le_bytes());
    RECORD_HEADER_BYTES + len
}
