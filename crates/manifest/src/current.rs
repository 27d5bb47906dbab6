//! `CURRENT`: the file that names the manifest.
//!
//! ```text
//! MANIFEST-000001 d1c0b2a3\n
//! ```
//!
//! One line: the manifest's name, a space, the CRC-32 of the name as eight lower-case hexadecimal
//! digits, a line feed. A name has one such line, so any other bytes are damage, and a flipped bit
//! can never name another manifest.

use std::io;
use std::path::Path;

use alluvium_base::checksum::crc32;
use alluvium_base::fs::{read_file, replace_file};
use alluvium_base::{Error, FileName, FileNumber, Fs, Result};

/// Longest `CURRENT` that is read at all: names have at most 29 bytes.
const MAX_BYTES: u64 = 64;

/// The content of a `CURRENT` that names manifest `number`.
pub fn encode_current(number: FileNumber) -> String {
    let name = FileName::Manifest(number).to_string();
    let crc = crc32(name.as_bytes());
    format!("{name} {crc:08x}\n")
}

/// The manifest that the content of a `CURRENT` names, or `None` when it is damaged.
pub fn decode_current(bytes: &[u8]) -> Option<FileNumber> {
    let (name, _) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
    let FileName::Manifest(number) = FileName::parse(name)? else { return None };
    (encode_current(number).as_bytes() == bytes).then_some(number)
}

/// Reads which manifest is the one in use.
pub(crate) fn read_current(fs: &dyn Fs, dir: &Path) -> Result<FileNumber> {
    let path = FileName::Current.in_dir(dir);
    let bytes = match read_file(fs, &path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(Error::corrupt(path, 0, error.to_string()));
        }
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let damaged = || Error::corrupt(path, 0, "it names no manifest, or its checksum is wrong");
    decode_current(&bytes).ok_or_else(damaged)
}

/// Makes manifest `number`, whose name is durable already, the one in use. After a failure either
/// may be.
pub(crate) fn write_current(fs: &dyn Fs, dir: &Path, number: FileNumber) -> Result<()> {
    let (name, temporary) = (FileName::Current, FileName::CurrentTemporary);
    let content = encode_current(number);
    replace_file(fs, dir, &name.to_string(), &temporary.to_string(), content.as_bytes())
        .map_err(|error| Error::io("replace", name.in_dir(dir), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_names_what_was_written() {
        for number in [FileNumber(1), FileNumber(999_999), FileNumber(u64::MAX)] {
            let content = encode_current(number);
            assert!(content.len() as u64 <= MAX_BYTES);
            assert_eq!(decode_current(content.as_bytes()), Some(number));
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_names_a_manifest() {
        let content = encode_current(FileNumber(17)).into_bytes();
        for bit in 0..content.len() * 8 {
            let mut flipped = content.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_current(&flipped), None, "bit {bit}");
        }
        for length in 0..content.len() {
            assert_eq!(decode_current(&content[..length]), None, "{length} bytes");
        }
        assert_eq!(decode_current(&[content.clone(), content].concat()), None);
    }
}
