//! The fixed tail of every table: the one place that can be found without knowing anything.
//!
//! ```text
//!   data block … │ filter │ index │ properties │ footer │
//!   0            ▲        ▲       ▲            ▲        ▲
//!                └────────┴───────┴── handles ─┘        end of file
//! ```
//!
//! The pieces lie side by side without gaps, so every byte of the file is under some checksum, and
//! [`Footer::decode`] checks that they do.

use std::path::Path;

use alluvium_base::checksum::crc32;
use alluvium_base::codec::Decoder;
use alluvium_base::{Error, FileNumber, Result};

use crate::handle::Handle;

/// The last [`Footer::SIZE`] bytes of every table. Little-endian.
///
/// | offset | size | field                                                    |
/// |-------:|-----:|----------------------------------------------------------|
/// |      0 |   16 | filter handle; length 0: no filter                       |
/// |     16 |   16 | range-tombstone handle; length 0 up to now               |
/// |     32 |   16 | index handle                                             |
/// |     48 |   16 | properties handle                                        |
/// |     64 |    8 | file number                                              |
/// |     72 |    8 | reserved, zero                                           |
/// |     80 |    4 | format version, 2                                        |
/// |     84 |    4 | CRC-32 of bytes 0 to 84                                  |
/// |     88 |    8 | magic, `ALUVTABL`                                        |
///
/// Later versions keep the size and the last 16 bytes, so that this one can refuse them by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) filter: Handle,
    pub(crate) range_tombstones: Handle,
    pub(crate) index: Handle,
    pub(crate) properties: Handle,
    pub(crate) number: FileNumber,
}

/// The format version this program writes. It also reads version 1, in which all of a block is
/// compressed, its tail too.
pub(crate) const FORMAT_VERSION: u32 = 2;
const OLDEST_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"ALUVTABL";

const NUMBER_OFFSET: usize = 4 * Handle::SIZE;
const RESERVED_OFFSET: usize = NUMBER_OFFSET + size_of::<u64>();
const VERSION_OFFSET: usize = RESERVED_OFFSET + size_of::<u64>();
const CRC_OFFSET: usize = VERSION_OFFSET + size_of::<u32>();
const MAGIC_OFFSET: usize = CRC_OFFSET + size_of::<u32>();
const _: () = assert!(MAGIC_OFFSET + MAGIC.len() == Footer::SIZE);

/// Largest index, filter or properties block, in bytes: what one open table may keep in memory of
/// each. Builders refuse to go beyond, so that every table they make can be opened.
pub(crate) const MAX_META_BYTES: u64 = 1 << 30;

impl Footer {
    /// Its length in bytes, in every version.
    pub(crate) const SIZE: usize = 96;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::SIZE);
        for handle in [self.filter, self.range_tombstones, self.index, self.properties] {
            handle.put(&mut out);
        }
        out.extend_from_slice(&self.number.0.to_le_bytes());
        out.extend_from_slice(&[0; VERSION_OFFSET - RESERVED_OFFSET]);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&crc32(&out).to_le_bytes());
        out.extend_from_slice(MAGIC);
        assert_eq!(out.len(), Self::SIZE, "the fields add up to the footer");
        out
    }

    /// Reads the footer of the table `path`, which is `file_len` bytes long and should be `number`.
    pub(crate) fn decode(
        bytes: &[u8; Self::SIZE],
        path: &Path,
        file_len: u64,
        number: FileNumber,
    ) -> Result<Self> {
        let offset = file_len - Self::SIZE as u64;
        let corrupt = |what: String| Error::corrupt(path, offset, what);
        if bytes[MAGIC_OFFSET..] != *MAGIC {
            return Err(corrupt("no footer: the file is no table, or its end is missing".into()));
        }
        let mut decoder = Decoder::new(&bytes[VERSION_OFFSET..]);
        let (version, crc) = decoder.u32().zip(decoder.u32()).expect("the slice has both");
        if crc32(&bytes[..CRC_OFFSET]) != crc {
            return Err(corrupt("the footer's checksum does not match".into()));
        }
        if !(OLDEST_VERSION..=FORMAT_VERSION).contains(&version) {
            return Err(Error::Version { file: path.into(), found: version, supported: "1 and 2" });
        }
        let footer = Self::fields(bytes).expect("the footer is longer than its fields");
        if footer.number != number {
            return Err(corrupt(format!(
                "the file is table {}, not {number}: files were exchanged",
                footer.number
            )));
        }
        footer.check_layout(offset).map_err(|what| corrupt(what.into()))?;
        if bytes[RESERVED_OFFSET..VERSION_OFFSET].iter().any(|&byte| byte != 0) {
            return Err(corrupt("the footer's reserved bytes are not zero".into()));
        }
        Ok(footer)
    }

    fn fields(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        Some(Self {
            filter: Handle::read(&mut decoder)?,
            range_tombstones: Handle::read(&mut decoder)?,
            index: Handle::read(&mut decoder)?,
            properties: Handle::read(&mut decoder)?,
            number: FileNumber(decoder.u64()?),
        })
    }

    /// Where the data blocks end.
    pub(crate) const fn data_end(&self) -> u64 {
        self.filter.offset
    }

    /// Whether the pieces lie side by side and end where the footer begins.
    fn check_layout(&self, footer_offset: u64) -> Result<(), &'static str> {
        if self.range_tombstones.len != 0 {
            return Err("versions 1 and 2 have no range-tombstone block, but the footer names one");
        }
        let pieces = [self.filter, self.range_tombstones, self.index, self.properties];
        if pieces.iter().any(|piece| piece.len > MAX_META_BYTES) {
            return Err("the footer names a block beyond the limit");
        }
        for pair in pieces.windows(2) {
            if pair[0].end() != Some(pair[1].offset) {
                return Err("the footer's blocks do not lie side by side");
            }
        }
        if self.properties.end() != Some(footer_offset) {
            return Err("the footer's blocks do not end where it begins");
        }
        Ok(())
    }
}
