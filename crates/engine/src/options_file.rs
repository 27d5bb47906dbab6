//! `OPTIONS`: the options a database was last opened with, for people and `alluvium check`.
//!
//! Nothing but its version is read back from it: the keyspaces' options live in the manifest. One
//! line of JSON, then its checksum, so that damage is noticed like everywhere else:
//!
//! ```text
//! {"format_version":1,"cache_bytes":134217728,…}
//! crc32 9f2c11aa
//! ```

use std::path::Path;

use alluvium_base::checksum::crc32;
use alluvium_base::fs::{read_file, replace_file};
use alluvium_base::{FileName, Fs};
use serde_json::{Value, json};

use crate::options::Builder;
use crate::{Error, Result};

/// The version of the file; one that names none is of version 1.
const FORMAT_VERSION: u32 = 1;
const READABLE_VERSIONS: &str = "1";

/// No honest file is larger.
const MAX_BYTES: u64 = 1 << 20;

/// Writes the options of this open, in one step.
pub(crate) fn write(builder: &Builder) -> Result<()> {
    let options = json!({
        "format_version": FORMAT_VERSION,
        "alluvium": env!("CARGO_PKG_VERSION"),
        "cache_bytes": builder.cache_bytes,
        "default_persist": builder.default_persist,
        "log_mode": builder.log_mode,
        "log_segment_size": builder.log_segment_size,
        "max_log_bytes": builder.max_log_bytes,
        "background": builder.background,
        "default_keyspace": builder.default_keyspace,
    });
    let line = format!("{options}\n");
    let text = format!("{line}crc32 {:08x}\n", crc32(line.as_bytes()));
    let (name, temporary) = (FileName::Options.to_string(), FileName::OptionsTemporary.to_string());
    replace_file(&*builder.fs, &builder.dir, &name, &temporary, text.as_bytes())
        .map_err(|error| Error::io("write", FileName::Options.in_dir(&builder.dir), error))
}

/// Checks that the file is as it was written. A missing one is fine: it holds no data.
pub(crate) fn check(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let Some(bytes) = read(fs, dir)? else { return Ok(()) };
    let path = FileName::Options.in_dir(dir);
    match verified(&bytes) {
        Some(line) => check_version(line, &path),
        None => Err(Error::corrupt(path, 0, "the checksum does not match")),
    }
}

/// Refuses a file of another version. One that does not verify, or is far too long, holds nothing
/// that opening needs, and is written anew.
pub(crate) fn refuse_other_versions(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let bytes = match read(fs, dir) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::InvalidData => None,
        read => read?,
    };
    let line = bytes.as_deref().and_then(verified);
    line.map_or(Ok(()), |line| check_version(line, &FileName::Options.in_dir(dir)))
}

fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Vec<u8>>> {
    let path = FileName::Options.in_dir(dir);
    match read_file(fs, &path, MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path, error)),
    }
}

/// The line that the checksum behind it is of.
fn verified(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let (line, trailer) = bytes.split_at(end);
    (trailer == format!("crc32 {:08x}\n", crc32(line)).as_bytes()).then_some(line)
}

fn check_version(line: &[u8], path: &Path) -> Result<()> {
    let stored: Value = serde_json::from_slice(line)
        .map_err(|error| Error::corrupt(path, 0, format!("its line is no JSON: {error}")))?;
    let version = stored.get("format_version").map_or(Some(FORMAT_VERSION), |version| {
        version.as_u64().and_then(|version| u32::try_from(version).ok())
    });
    match version {
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) => {
            Err(Error::Version { file: path.to_owned(), found, supported: READABLE_VERSIONS })
        }
        None => Err(Error::corrupt(path, 0, "its format version is no number")),
    }
}
