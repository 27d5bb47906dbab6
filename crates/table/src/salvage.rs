//! What can still be read of a table that may hold anything: for repair, never for reading.
//!
//! [`Table`](crate::Table) refuses a file of which any part does not verify. A [`SalvagedTable`]
//! takes what is there:
//!
//! ```text
//!   │ data │ data │ ✗ │ data │ filter │ index │ properties │ footer │
//!
//!   index good      each block by its place; a bad one is skipped, the index says which keys it had
//!   footer bad      properties and index are found from the end: they are stored as they are, so
//!                   their trailers say how long they are
//!   index bad, cut  blocks are found from the front, by the lengths at which they verify
//! ```
//!
//! Invariants:
//!
//! - Nothing is handed out that did not verify, and entries ascend strictly.
//! - What is lost is named: where in the file, and between which keys as far as that is known.
//! - At most one block, and in a search a few megabytes, is in memory beside the index.

mod cursor;
mod search;

use std::path::Path;
use std::sync::Arc;

use alluvium_base::{Bytes, Error, File, FileNumber, KeyspaceId, Result};

use crate::footer::{Footer, MAX_META_BYTES};
use crate::frame::{Payload, TRAILER_BYTES, TableFile, unpack};
use crate::handle::Handle;
use crate::index::Index;
use crate::options::TableOptions;
use crate::properties::{Properties, TableSummary};
use crate::table::Parts;

pub use cursor::SalvageCursor;

/// A table of which anything may be damaged.
#[derive(Debug)]
pub struct SalvagedTable {
    file: TableFile,
    properties: Option<Properties>,
    blocks: Blocks,
    damage: Vec<Error>,
}

/// How the data blocks are found.
#[derive(Debug)]
enum Blocks {
    /// By the index.
    Indexed(Index),
    /// From the front, up to this offset. Whether only data blocks stand before it is known or not.
    Sought { end: u64, is_exact: bool },
}

/// A stretch of a table that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostStretch {
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What is wrong there.
    pub what: String,
    /// No user key before this one was in it; `None`: any may have been.
    pub first_key: Option<Bytes>,
    /// No user key behind this one was in it; `None`: any may have been.
    pub last_key: Option<Bytes>,
}

impl SalvagedTable {
    /// Looks at the file found at `path`, which by its name is table `number`.
    ///
    /// Fails with [`Error::Version`] when a later version wrote the file, and with [`Error::Io`]
    /// when it cannot be measured. All else is no failure: see [`SalvagedTable::damage`].
    pub fn open(file: Arc<dyn File>, path: &Path, number: FileNumber) -> Result<Self> {
        let file = TableFile::new(file, path, number)?;
        let mut damage = Vec::new();
        let footer = match Parts::read_footer(&file) {
            Ok(footer) => Some(footer),
            Err(error @ Error::Version { .. }) => return Err(error),
            Err(error) => {
                damage.push(error);
                None
            }
        };
        let (properties, index) = match footer {
            Some(footer) => read_parts(&file, &footer, &mut damage),
            None => find_parts(&file),
        };
        let blocks = match (index, footer) {
            (Some(index), _) => Blocks::Indexed(index),
            (None, Some(footer)) => Blocks::Sought { end: footer.data_end(), is_exact: true },
            (None, None) => Blocks::Sought { end: file.len, is_exact: false },
        };
        Ok(Self { file, properties, blocks, damage })
    }

    /// The keyspace it belongs to, unless its properties are lost.
    pub fn keyspace(&self) -> Option<KeyspaceId> {
        self.properties.as_ref().map(|properties| properties.keyspace)
    }

    /// What is, or was, in it, unless its properties are lost.
    pub fn summary(&self) -> Option<&TableSummary> {
        self.properties.as_ref().map(|properties| &properties.summary)
    }

    /// How it was built, unless its properties are lost.
    pub fn options(&self) -> Option<&TableOptions> {
        self.properties.as_ref().map(|properties| &properties.options)
    }

    /// The parts that are damaged and hold no entries: footer, index, properties. What a cursor
    /// cannot read, it says itself.
    pub fn damage(&self) -> &[Error] {
        &self.damage
    }

    /// A cursor before the first entry.
    pub fn cursor(self) -> SalvageCursor {
        SalvageCursor::new(self)
    }
}

/// Properties and index, each if it verifies, where a good footer says.
fn read_parts(
    file: &TableFile,
    footer: &Footer,
    damage: &mut Vec<Error>,
) -> (Option<Properties>, Option<Index>) {
    let properties = file.read_stored(footer.properties).and_then(|block| {
        let properties = Properties::decode(&block, file.len);
        properties
            .filter(|found| found.number == file.number)
            .ok_or_else(|| file.corrupt(footer.properties.offset, "the properties make no sense"))
    });
    let index = file.read_stored(footer.index).and_then(|block| {
        Index::parse(&block, footer.data_end())
            .map_err(|what| file.corrupt(footer.index.offset, what))
    });
    if footer.filter.len > 0 {
        // Nothing is lost with it, but people should know.
        damage.extend(file.read_stored(footer.filter).err());
    }
    let mut keep = |error| damage.push(error);
    (properties.map_err(&mut keep).ok(), index.map_err(&mut keep).ok())
}

/// Properties and index of a file whose footer is bad, if they stand where it would say.
fn find_parts(file: &TableFile) -> (Option<Properties>, Option<Index>) {
    let Some(end) = file.len.checked_sub(Footer::SIZE as u64) else { return (None, None) };
    let Some((handle, block)) = stored_before(file, end) else { return (None, None) };
    let properties = Properties::decode(&block, file.len);
    let Some(properties) = properties.filter(|found| found.number == file.number) else {
        return (None, None);
    };
    let Some((handle, block)) = stored_before(file, handle.offset) else {
        return (Some(properties), None);
    };
    let [filter, _] = properties.options.filter.encode();
    let data_end = match filter {
        0 => Some(handle.offset),
        _ => stored_before(file, handle.offset).map(|(handle, _)| handle.offset),
    };
    let index = data_end.and_then(|data_end| Index::parse(&block, data_end).ok());
    (Some(properties), index)
}

/// The block that ends at `end`, if it is stored as it is and verifies.
fn stored_before(file: &TableFile, end: u64) -> Option<(Handle, Bytes)> {
    let trailer_at = end.checked_sub(TRAILER_BYTES as u64)?;
    let mut trailer = [0; TRAILER_BYTES];
    file.file.read_exact_at(&mut trailer, trailer_at).ok()?;
    let raw = u64::from(u32::from_le_bytes(*trailer[1..].first_chunk()?));
    let offset = trailer_at.checked_sub(raw)?;
    let handle = Handle { offset, len: end - offset };
    let frame = file.read(handle).ok().filter(|_| handle.len <= MAX_META_BYTES)?;
    match unpack(&frame, offset, file.number).ok()? {
        Payload::Stored(range) => Some((handle, frame.slice(range))),
        Payload::Decompressed(_) => None,
    }
}

#[cfg(test)]
mod tests;
