//! The one writer of tables, for flushes and compactions alike.
//!
//! ```text
//!   merged input ──► fate ──► table ──► table ──► table      synced one by one as they end,
//!                      │        │         │                  then the folder
//!                   dropped     └─ cut ───┘
//! ```
//!
//! A table ends where it has its target size, or earlier at the end of a grandparent (a table one
//! level below the output): a table that overlaps few of them is cheap to push down later.
//!
//! Invariants:
//!
//! - A table ends only between two user keys: all versions of a key that survive lie in one table.
//! - When it returns `Ok`, tables and their names are durable; the manifest may name them.
//! - When it returns an error, none of its tables is of use, and it has removed them as far as the
//!   disk let it. What remains is an obsolete file that no version names.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::{AtomicBool, Ordering};
use alluvium_base::{
    Error, FileName, FileNumber, FileNumbers, Fs, InternalIterator, InternalKey, KeyspaceId,
    Result, Seq,
};
use alluvium_manifest::TableMeta;
use alluvium_table::{
    BlockCache, MemoryUse, TableBuilder, TableOptions, TableSummary, WrittenBlocks,
};

use crate::below::Below;
use crate::gc::{Collector, GcContext};

/// Where tables go, and how they are to be.
#[derive(Clone)]
pub struct Output<'a> {
    /// The disk.
    pub fs: &'a dyn Fs,
    /// The database's folder.
    pub dir: &'a Path,
    /// Where file numbers come from.
    pub numbers: &'a FileNumbers,
    /// Whose budget the memory for the writing is taken from.
    pub cache: &'a Arc<BlockCache>,
    /// Who keeps blocks for when the tables are opened, if anybody does.
    pub blocks: Option<&'a Arc<WrittenBlocks>>,
    /// The keyspace that the entries are of.
    pub keyspace: KeyspaceId,
    /// How the tables are built.
    pub table_options: TableOptions,
    /// Size at which a table ends, in bytes; a table exceeds it by what follows its data blocks
    /// and by the versions of one user key.
    pub target_file_size: u64,
    /// The tables one level below the output, ascending and disjoint.
    pub grandparents: &'a [Arc<TableMeta>],
    /// Noted in the tables' metadata, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Set by others to stop the writing soon, with [`Error::Closed`].
    pub cancel: &'a AtomicBool,
    /// Told how many bytes were written since it was told last: about every 256 KiB and at each
    /// table's end, adding up to the sizes of the files but for the compression of a block here and
    /// there. It may wait, to pace the writing.
    pub on_bytes: &'a dyn Fn(u64),
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("dir", &self.dir)
            .field("keyspace", &self.keyspace)
            .field("table_options", &self.table_options)
            .field("target_file_size", &self.target_file_size)
            .field("grandparents", &self.grandparents.len())
            .field("now_ms", &self.now_ms)
            .finish_non_exhaustive()
    }
}

/// Writes what survives of `input` as tables, in ascending order: none when nothing survives.
///
/// `input` is a merged cursor, sought by this function. Each user key's versions go through
/// [`fate`](crate::fate); where nothing older lies below and every reader sees an entry, its
/// sequence number becomes zero. Fails with what the cursor or the disk reports, with
/// [`Error::Closed`] when cancelled, and with [`Error::Invalid`] for an entry of a reserved kind;
/// then its files are removed.
pub fn write_tables(
    input: &mut dyn InternalIterator,
    gc: &GcContext,
    below: Below,
    output: &Output<'_>,
) -> Result<Vec<TableMeta>> {
    write_part(input, KeyPart::ALL, gc, below, output)
}

/// The user keys from `start` up to `end`, which is not part of it; `None`: from the first, up to the
/// last.
#[derive(Clone, Copy, Debug)]
pub struct KeyPart<'a> {
    /// The first.
    pub start: Option<&'a [u8]>,
    /// The first behind it.
    pub end: Option<&'a [u8]>,
}

impl KeyPart<'_> {
    /// All keys.
    pub const ALL: Self = Self { start: None, end: None };
}

/// As [`write_tables`], for what `input` has in `part`: parts that follow each other can be written at
/// the same time, and what they make stands in the same order.
pub fn write_part(
    input: &mut dyn InternalIterator,
    part: KeyPart<'_>,
    gc: &GcContext,
    below: Below,
    output: &Output<'_>,
) -> Result<Vec<TableMeta>> {
    let mut writer = Writer::new(output);
    let written = writer.write_all(input, part, Collector::new(gc, below));
    if let Err(error) = written {
        writer.remove_all();
        return Err(error);
    }
    Ok(writer.tables)
}

/// How often to look whether to stop, in entries: rarely enough to cost nothing, often enough that
/// nobody waits for it, even where every entry is dropped and no byte is written.
const CANCEL_ENTRIES: u64 = 1024;

/// How often to report progress, in bytes.
const REPORT_BYTES: u64 = 256 << 10;

#[derive(Debug)]
struct Writer<'a> {
    output: &'a Output<'a>,
    cutter: Cutter<'a>,
    open: Option<OpenTable>,
    tables: Vec<TableMeta>,
    /// Every file it created, whatever became of it.
    created: Vec<PathBuf>,
}

#[derive(Debug)]
struct OpenTable {
    builder: TableBuilder,
    number: FileNumber,
    /// How many of its bytes were reported.
    reported: u64,
}

impl<'a> Writer<'a> {
    fn new(output: &'a Output<'a>) -> Self {
        let cutter = Cutter::new(output.grandparents, output.target_file_size);
        Self { output, cutter, open: None, tables: Vec::new(), created: Vec::new() }
    }

    fn write_all(
        &mut self,
        input: &mut dyn InternalIterator,
        part: KeyPart<'_>,
        mut collector: Collector<'_>,
    ) -> Result<()> {
        match part.start {
            Some(start) => input.seek(start, Seq::MAX)?,
            None => input.seek_to_first()?,
        }
        let mut entries: u64 = 0;
        while input.is_valid() {
            if entries.is_multiple_of(CANCEL_ENTRIES) && self.output.cancel.load(Ordering::Relaxed)
            {
                return Err(Error::Closed("the compaction was cancelled".to_owned()));
            }
            entries += 1;
            let (key, value) = (input.key(), input.value());
            let begins_key = collector.begins_key(key.user_key);
            if begins_key && part.end.is_some_and(|end| end <= key.user_key) {
                break;
            }
            if begins_key || is_planted(Bug::VersionsSplit) {
                self.cut_before(key.user_key)?;
            }
            if let Some(survivor) = collector.decide(key, value, begins_key)? {
                let key = InternalKey::new(key.user_key, survivor.seq, survivor.kind);
                let value = if survivor.has_value { value } else { &[] };
                self.add(key, value, input.is_cached())?;
            }
            let moved = input.next();
            if !is_planted(Bug::InputErrorUnchecked) {
                moved?;
            }
        }
        self.finish_table()?;
        if !self.tables.is_empty() && !is_planted(Bug::TableNameUnsynced) {
            let dir = self.output.dir;
            self.output.fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))?;
        }
        Ok(())
    }

    /// Ends the open table if it should not hold `user_key`, which begins here.
    #[inline]
    fn cut_before(&mut self, user_key: &[u8]) -> Result<()> {
        let bytes = self.open.as_ref().map_or(0, |open| open.builder.estimated_bytes());
        if self.cutter.is_cut_before(user_key, bytes) {
            self.finish_table()?;
        }
        Ok(())
    }

    #[inline]
    fn add(&mut self, key: InternalKey<'_>, value: &[u8], is_cached: bool) -> Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open_table()?,
        };
        open.builder.add(key, value)?;
        open.builder.note_cached(is_cached);
        let bytes = open.builder.estimated_bytes();
        if bytes >= open.reported + REPORT_BYTES {
            let new = bytes - open.reported;
            open.reported = bytes;
            (self.output.on_bytes)(new);
        }
        Ok(())
    }

    fn open_table(&mut self) -> Result<&mut OpenTable> {
        let output = self.output;
        let number = output.numbers.take();
        let path = FileName::Table(number).in_dir(output.dir);
        // Noted first: a failed creation may still leave a name behind.
        self.created.push(path.clone());
        let file = output.fs.create(&path).map_err(|error| Error::io("create", &path, error))?;
        let mut builder =
            TableBuilder::new(file, &path, number, output.keyspace, &output.table_options)?;
        builder.charge_to(output.cache.reserve(MemoryUse::Buffers));
        if let Some(blocks) = output.blocks {
            builder.keep_blocks(blocks);
        }
        Ok(self.open.insert(OpenTable { builder, number, reported: 0 }))
    }

    fn finish_table(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let summary = open.builder.finish()?;
        // The estimate takes the last block as it was before compression, so it may lie above.
        (self.output.on_bytes)(summary.file_size.saturating_sub(open.reported));
        self.tables.push(table_meta(open.number, summary, self.output.now_ms));
        self.cutter.begin_table();
        Ok(())
    }

    fn remove_all(&mut self) {
        self.open = None;
        for path in &self.created {
            // The error that brought us here is the one to report, and a file that stays is obsolete:
            // recovery removes what no version names.
            self.output.fs.remove(path).ok();
        }
    }
}

fn table_meta(number: FileNumber, summary: TableSummary, created_ms: u64) -> TableMeta {
    TableMeta {
        number,
        size_bytes: summary.file_size,
        entry_count: summary.entry_count,
        tombstone_count: summary.tombstone_count,
        expiring_count: summary.expiring_count,
        earliest_expiry_ms: summary.earliest_expiry_ms,
        latest_expiry_ms: summary.latest_expiry_ms,
        smallest: summary.smallest,
        largest: summary.largest,
        smallest_seq: summary.smallest_seq,
        largest_seq: summary.largest_seq,
        raw_key_bytes: summary.raw_key_bytes,
        raw_value_bytes: summary.raw_value_bytes,
        created_ms,
    }
}

/// Decides between which user keys a table ends.
#[derive(Debug)]
pub(crate) struct Cutter<'a> {
    /// Those that do not end before the key at hand.
    grandparents: &'a [Arc<TableMeta>],
    target_bytes: u64,
    /// Bytes of grandparents that the open table has passed.
    passed_bytes: u64,
}

impl<'a> Cutter<'a> {
    /// How many target sizes of grandparents a table may overlap.
    const MAX_OVERLAP: u64 = 10;

    pub(crate) fn new(grandparents: &'a [Arc<TableMeta>], target_bytes: u64) -> Self {
        Self { grandparents, target_bytes, passed_bytes: 0 }
    }

    pub(crate) fn begin_table(&mut self) {
        self.passed_bytes = 0;
    }

    /// Whether the open table, about `bytes` large (0 for none), ends before `user_key`. To be asked
    /// for every user key, ascending.
    #[inline]
    pub(crate) fn is_cut_before(&mut self, user_key: &[u8], bytes: u64) -> bool {
        let mut is_boundary = false;
        while let Some((first, rest)) = self.grandparents.split_first() {
            if user_key <= &first.largest[..] {
                break;
            }
            self.passed_bytes += first.size_bytes;
            self.grandparents = rest;
            is_boundary = true;
        }
        if bytes == 0 {
            // A table yet to come overlaps nothing that lies behind.
            self.passed_bytes = 0;
            return false;
        }
        // A table that is nearly full ends here rather than reach into one grandparent more.
        bytes >= self.target_bytes
            || is_boundary
                && (self.passed_bytes > self.target_bytes.saturating_mul(Self::MAX_OVERLAP)
                    || bytes >= self.target_bytes - self.target_bytes / 4)
    }
}

#[cfg(test)]
mod tests;
