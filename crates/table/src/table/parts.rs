//! What is read of a table when it is opened, and what reads its blocks.

use alluvium_base::{Bytes, Error, KeyspaceId, Result, Seq};

use super::TableEntry;
use crate::block::{Block, Entry, PartialBlock};
use crate::filter::Filter;
use crate::footer::Footer;
use crate::frame::{Packing, Payload, TableFile, prefix_of, unpack, verify, with_room_for_fences};
use crate::handle::Handle;
use crate::index::Index;
use crate::lz4::SLACK_BYTES;
use crate::properties::Properties;
use crate::scratch::{self, Scratch, with_scratch};

/// All of a table but its data blocks, read from the file and verified.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) file: TableFile,
    pub(crate) index: Index,
    pub(crate) filter: Filter,
    pub(crate) properties: Properties,
}

impl Parts {
    /// Reads and verifies all but the data blocks.
    pub(crate) fn read(file: TableFile, keyspace: KeyspaceId) -> Result<Self> {
        let footer = Self::read_footer(&file)?;
        let handle = footer.properties;
        let block = file.read_stored(handle)?;
        let properties = Properties::decode(&block, file.len)
            .ok_or_else(|| file.corrupt(handle.offset, "the properties make no sense"))?;
        if (properties.number, properties.keyspace) != (file.number, keyspace) {
            let what = format!(
                "the file is table {} of keyspace {}, not {} of {}: files were exchanged",
                properties.number, properties.keyspace.0, file.number, keyspace.0
            );
            return Err(file.corrupt(handle.offset, what));
        }
        let index = Index::parse(&file.read_stored(footer.index)?, footer.data_end())
            .map_err(|what| file.corrupt(footer.index.offset, what))?;
        if index.separator(index.count() - 1) != &*properties.summary.largest {
            let what = "the last separator is not the largest key";
            return Err(file.corrupt(footer.index.offset, what));
        }
        let block = match footer.filter.len {
            0 => None,
            _ => Some(file.read_stored(footer.filter)?),
        };
        let filter = Filter::parse(properties.options.filter, block.as_ref())
            .map_err(|what| file.corrupt(footer.filter.offset, what))?;
        Ok(Self { file, index, filter, properties })
    }

    pub(crate) fn read_footer(file: &TableFile) -> Result<Footer> {
        let mut bytes = [0; Footer::SIZE];
        let Some(offset) = file.len.checked_sub(Footer::SIZE as u64) else {
            return Err(file.corrupt(0, "the file is shorter than a footer"));
        };
        file.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| Error::io("read", &file.path, error))?;
        Footer::decode(&bytes, &file.path, file.len, file.number)
    }

    /// Reads block `index` from disk and verifies it.
    pub(crate) fn read_block(&self, index: usize) -> Result<Block> {
        let handle = self.index.handle(index);
        let Handle { offset, len } = handle;
        if len > scratch::MOST_BYTES as u64 {
            // Not to be copied.
            let bytes = self.file.unpack(&self.file.read(handle)?, offset)?;
            return Block::parse(bytes).map_err(|what| self.file.corrupt(offset, what));
        }
        with_scratch(|Scratch { frame, .. }| {
            let frame = self.file.read_into(handle, frame)?;
            let unpacked = unpack(frame, offset, self.file.number).map(|payload| match payload {
                Payload::Stored(range) => with_room_for_fences(&frame[range]),
                Payload::Decompressed(block) => block.into(),
            });
            unpacked
                .and_then(|bytes| Block::parse(bytes).map_err(str::to_owned))
                .map_err(|what| self.file.corrupt(offset, what))
        })
    }

    /// Looks for a key in block `index`, which is not kept.
    pub(super) fn look_into_block(
        &self,
        index: usize,
        user_key: &[u8],
        tag: u8,
        at: Seq,
    ) -> Result<Option<TableEntry>> {
        let Handle { offset, .. } = self.index.handle(index);
        let found = |entry: &Entry, bytes: &[u8]| {
            TableEntry::new(entry, Bytes::copy_from_slice(entry.value_in(bytes)))
        };
        with_scratch(|Scratch { frame, block }| {
            let frame = self.file.read_into(self.index.handle(index), frame)?;
            let verified = verify(frame, offset, self.file.number)
                .map_err(|what| self.file.corrupt(offset, what))?;
            let corrupt = |what: &str| self.file.corrupt(offset, what);
            if verified.packing == Packing::Entries {
                let entries_len = verified.body_len();
                let room = prefix_of(block, entries_len + SLACK_BYTES);
                let partial = PartialBlock::new(verified.body, entries_len, verified.tail);
                let entry = partial.find(room, user_key, tag, at).map_err(corrupt)?;
                return Ok(entry.map(|entry| found(&entry, room)));
            }
            let block = match verified.packing {
                Packing::Stored => verified.body,
                Packing::Whole | Packing::Entries => {
                    verified.unpack_into(block).map_err(|what| self.file.corrupt(offset, what))?
                }
            };
            let entry = Block::find_in(block, user_key, tag, at).map_err(corrupt)?;
            Ok(entry.map(|entry| found(&entry, block)))
        })
    }
}
