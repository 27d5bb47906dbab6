//! `OPTIONS`: the options a database was last opened with, for people and `alluvium check`.
//!
//! Nothing is read back from it: the keyspaces' options live in the manifest. One line of JSON,
//! then its checksum, so that damage is noticed like everywhere else:
//!
//! ```text
//! {"cache_bytes":134217728,…}
//! crc32 9f2c11aa
//! ```

use std::path::Path;

use alluvium_base::checksum::crc32;
use alluvium_base::fs::{read_file, replace_file};
use alluvium_base::{FileName, Fs};
use serde_json::json;

use crate::options::Builder;
use crate::{Error, Result};

/// No honest file is larger.
const MAX_BYTES: u64 = 1 << 20;

/// Writes the options of this open, in one step.
pub(crate) fn write(builder: &Builder) -> Result<()> {
    let options = json!({
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
    let path = FileName::Options.in_dir(dir);
    let bytes = match read_file(fs, &path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", &path, error)),
    };
    let end = bytes.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let (line, trailer) = bytes.split_at(end);
    if trailer == format!("crc32 {:08x}\n", crc32(line)).as_bytes() {
        return Ok(());
    }
    Err(Error::corrupt(path, 0, "the checksum does not match"))
}
