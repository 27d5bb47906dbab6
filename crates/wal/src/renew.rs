//! Writing again what a failed sync may have dropped.
//!
//! ```text
//!   disk         ├───────────────┤                 the sync of the rest failed, and its pages
//!   page cache   ├───────────────┼────────┤        were marked clean: the next sync "succeeds"
//!                        durable ▲        ▲ what replay found
//!                                └ renew ─┘
//! ```
//!
//! The kernel reports a failed sync once, drops the pages as clean, and still shows what they hold.
//! A process that restarts reads it all and cannot tell. Only a record's watermark says that a sync
//! succeeded, so whatever stands behind the highest one is written once more, and synced.
//!
//! Invariant: what is written is what was there and verified, so a crash inside changes nothing
//! that replay finds but the part of the tail that was not durable before.

use std::path::Path;

use alluvium_base::{Error, File, FileName, Fs, Result};

use crate::Replayed;

/// How much is copied at once, in bytes.
const COPY_BYTES: u64 = 1 << 20;

/// Makes durable what `replayed`, the result of [`replay`](crate::replay) on `dir`, found, whatever
/// became of earlier syncs. Syncing alone would not: see the module's documentation.
pub fn renew(fs: &dyn Fs, dir: &Path, replayed: &Replayed) -> Result<()> {
    let durable = replayed.durable;
    let last = replayed.segments.last().map(|segment| segment.number);
    for segment in &replayed.segments {
        let from = if segment.number == durable.file { durable.offset } else { 0 };
        // The last one's length counts a sealed mark that is yet to be written.
        let unsealed_at = replayed.unsealed_at.filter(|_| last == Some(segment.number));
        let to = unsealed_at.unwrap_or(segment.bytes);
        if segment.number >= durable.file && from < to {
            let path = FileName::Wal(segment.number).in_dir(dir);
            let file = fs.open_writable(&path).map_err(|error| Error::io("open", &path, error))?;
            let written = write_again(&*file, from, to).and_then(|()| file.sync());
            written.map_err(|error| Error::io("write", &path, error))?;
        }
    }
    Ok(())
}

fn write_again(file: &dyn File, from: u64, to: u64) -> std::io::Result<()> {
    // The padding of the last record may have been cut off.
    let to = to.min(file.len()?);
    let mut buffer = vec![0; COPY_BYTES.min(to.saturating_sub(from)) as usize];
    let mut at = from;
    while at < to {
        let count = (buffer.len() as u64).min(to - at) as usize;
        file.read_exact_at(&mut buffer[..count], at)?;
        file.write_all_at(&buffer[..count], at)?;
        at += count as u64;
    }
    Ok(())
}
