//! Copying a log that is being written to, for a checkpoint.
//!
//! Everything up to the end of the last whole record is copied, each record after it verified. What
//! is written meanwhile is not: a sealed mark ends the copy, since it is shorter than what was
//! reserved for the original.

use std::path::Path;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, FileName, Fs, Result};

use crate::SegmentInfo;
use crate::format::{Place, RecordHeader, RecordKind, Role};
use crate::reader::LogReader;
use crate::renew::write_verified;

/// Copies `segments`, which [`Wal::segments`](crate::Wal::segments) just listed, from one folder to
/// another, and syncs the copies; their names are not durable yet. The caller sees to it that none
/// of them is released meanwhile.
pub fn copy_segments(fs: &dyn Fs, from: &Path, to: &Path, segments: &[SegmentInfo]) -> Result<()> {
    for (index, segment) in segments.iter().enumerate() {
        let number = segment.number;
        let name = FileName::Wal(number);
        let path = name.in_dir(to);
        let mut reader = LogReader::open(fs, name.in_dir(from), Role::Segment, number)?;
        let copy = fs.create(&path).map_err(|error| Error::io("create", &path, error))?;
        write_verified(&mut reader, &*copy, &path, segment.bytes)?;
        if index + 1 == segments.len() {
            let end = Place::new(number, segment.bytes);
            let mark = RecordHeader::bare(RecordKind::Sealed, end).encode(number);
            let sealed = copy.write_all_at(&mark, end.offset);
            sealed.map_err(|error| Error::io("write", &path, error))?;
        }
        if !is_planted(Bug::CheckpointUnsynced) {
            copy.sync().map_err(|error| Error::io("sync", &path, error))?;
        }
    }
    Ok(())
}
