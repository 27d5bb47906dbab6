//! Writes a table, front to back.
//!
//! Entries come in internal key order and fill one data block after the other; full blocks are
//! compressed, framed and gathered into large writes. The filter, the index, the properties and the
//! footer follow; then the file is synced. A table that was not finished has no footer, so it cannot
//! be taken for one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::key::{check_limits, compare, hash_key, split_expiry};
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Bytes, Error, File, FileNumber, InternalKey, KeyspaceId, Kind, Result, Seq};

use crate::block::tag_of;
use crate::block_builder::BlockBuilder;
use crate::cache::{ProvisionalSlots, Reservation, WrittenBlocks};
use crate::filter::{Filter, Hashes};
use crate::footer::{Footer, MAX_META_BYTES};
use crate::frame::{FrameWriter, TRAILER_BYTES};
use crate::handle::Handle;
use crate::index::{IndexBuilder, separator};
use crate::options::{FilterKind, TableOptions};
use crate::properties::{Properties, TableSummary};

/// Writes one table.
///
/// ```
/// use std::path::Path;
/// use alluvium_base::{FileNumber, Fs, InternalKey, KeyspaceId, Kind, MemFs, Seq};
/// use alluvium_table::{BlockCache, Table, TableBuilder, TableOptions, hash_key};
///
/// let (fs, path, number) = (MemFs::new(), Path::new("000007.table"), FileNumber(7));
/// let options = TableOptions::default();
/// let mut builder =
///     TableBuilder::new(fs.create(path)?, path, number, KeyspaceId::DEFAULT, &options)?;
/// builder.add(InternalKey::new(b"river", Seq::new(1), Kind::Put), b"rhine")?;
/// assert_eq!(builder.finish()?.entry_count, 1);
///
/// let cache = BlockCache::new(1 << 20);
/// let table = Table::open(fs.open(path)?, path, number, KeyspaceId::DEFAULT, cache)?;
/// let entry = table.get(b"river", hash_key(b"river"), Seq::MAX)?.expect("just written");
/// assert_eq!(entry.value, "rhine");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TableBuilder {
    sink: Sink,
    frames: FrameWriter,
    number: FileNumber,
    keyspace: KeyspaceId,
    options: TableOptions,
    block: BlockBuilder,
    index: IndexBuilder,
    /// One for each distinct user key.
    hashes: Hashes,
    last: Last,
    /// Unset until the first entry.
    summary: Option<TableSummary>,
    separator_room: Vec<u8>,
    /// Who is told how much memory this takes.
    memory: Option<Reservation>,
    /// Who keeps or notes its blocks, and those kept or noted so far.
    kept: Option<(Arc<WrittenBlocks>, ProvisionalSlots)>,
    /// Whether the entry added last comes from a cached block.
    was_cached: bool,
}

/// The entry added last.
#[derive(Debug, Default)]
struct Last {
    user_key: Vec<u8>,
    hash: u64,
    seq: Seq,
}

impl TableBuilder {
    /// Starts a table in the empty file `file`, which is found at `path`. `number` and `keyspace`
    /// become its identity. Fails with [`Error::Invalid`] on options that make no sense.
    pub fn new(
        file: Arc<dyn File>,
        path: &Path,
        number: FileNumber,
        keyspace: KeyspaceId,
        options: &TableOptions,
    ) -> Result<Self> {
        options.check()?;
        Ok(Self {
            sink: Sink::new(file, path),
            frames: FrameWriter::new(number, options.compression),
            number,
            keyspace,
            options: options.clone(),
            block: BlockBuilder::default(),
            index: IndexBuilder::new(),
            hashes: Hashes::default(),
            last: Last::default(),
            summary: None,
            separator_room: Vec::new(),
            memory: None,
            kept: None,
            was_cached: false,
        })
    }

    /// From here on, the memory that the builder takes is reserved with `memory`.
    pub fn charge_to(&mut self, memory: Reservation) {
        self.memory = Some(memory);
        self.reserve(0);
    }

    /// From here on, blocks are kept or noted by `written`, as that is told to: for
    /// [`Table::adopt`](crate::Table::adopt) and [`Table::read_noted`](crate::Table::read_noted).
    pub fn keep_blocks(&mut self, written: &Arc<WrittenBlocks>) {
        self.kept = Some((Arc::clone(written), written.begin_table()));
    }

    /// Says whether the entry added last comes from a cached block: a hint for what to keep.
    #[inline]
    pub const fn note_cached(&mut self, was_cached: bool) {
        self.was_cached = was_cached;
    }

    /// Reserves what it takes now and `more` bytes that it is about to.
    fn reserve(&self, more: usize) {
        if let Some(memory) = &self.memory {
            let held = self.sink.buffer.capacity()
                + self.index.memory_bytes()
                + self.hashes.memory_bytes()
                + self.block.memory_bytes()
                + FrameWriter::MEMORY_BYTES;
            memory.set(held + more);
        }
    }

    /// Adds the next entry. Fails with [`Error::Invalid`] on an entry beyond the limits or one whose
    /// value does not suit its kind, and when a write fails; then give the table up.
    ///
    /// # Panics
    /// Unless keys come in strictly ascending internal key order.
    #[inline]
    pub fn add(&mut self, key: InternalKey<'_>, value: &[u8]) -> Result<()> {
        check_entry(key, value)?;
        let is_new_key = self.summary.is_none() || *key.user_key != *self.last.user_key;
        if let Some(summary) = &mut self.summary {
            assert!(
                compare(&self.last.user_key, self.last.seq, key.user_key, key.seq).is_lt(),
                "entries are added in ascending order"
            );
            summary.count(key, value);
            let cached_len = self.block.cached_len_with(key, value.len());
            if !self.block.is_empty() && cached_len > self.options.block_size {
                self.cut_block(Some(key.user_key))?;
            }
        } else {
            self.summary = Some(TableSummary::of_first(key, value));
        }
        if is_new_key {
            self.last.hash = hash_key(key.user_key);
            self.last.user_key.clear();
            self.last.user_key.extend_from_slice(key.user_key);
            if self.options.filter != FilterKind::None {
                let is_left_out = is_planted(Bug::FilterLeavesOutKey) && self.hashes.len() == 5;
                self.hashes.push(self.last.hash ^ u64::from(is_left_out));
            }
        }
        self.last.seq = key.seq;
        self.block.add(key, tag_of(self.last.hash), value);
        Ok(())
    }

    /// About how long the file would be if it were finished now, in bytes: the block at hand counts
    /// before compression.
    pub fn estimated_bytes(&self) -> u64 {
        let rest = self.block.len() + self.index.len() + self.filter_bytes() + Footer::SIZE;
        self.sink.offset() + rest as u64
    }

    fn filter_bytes(&self) -> usize {
        let [_, bits_per_key] = self.options.filter.encode();
        self.hashes.len() * usize::from(bits_per_key) / 8
    }

    /// How many entries were added.
    pub fn entry_count(&self) -> u64 {
        self.summary.as_ref().map_or(0, |summary| summary.entry_count)
    }

    /// Writes the rest and syncs the file; the name is durable only once its folder is synced too.
    /// Fails with [`Error::Invalid`] when there are no entries.
    pub fn finish(mut self) -> Result<TableSummary> {
        let Some(mut summary) = self.summary.take() else {
            return Err(Error::invalid("a table has at least one entry"));
        };
        self.cut_block(None)?;
        summary.largest = Bytes::from(std::mem::take(&mut self.last.user_key));
        // The filter, and its copy on the way to the file.
        self.reserve(2 * self.filter_bytes());
        let filter = match Filter::build(self.options.filter, &self.hashes) {
            Some(block) => self.append_meta(&block)?,
            None => Handle { offset: self.sink.offset(), len: 0 },
        };
        let range_tombstones = Handle { offset: self.sink.offset(), len: 0 };
        let index = std::mem::replace(&mut self.index, IndexBuilder::new()).finish();
        let index = self.append_meta(&index)?;
        let mut properties = Properties {
            number: self.number,
            keyspace: self.keyspace,
            options: self.options.clone(),
            summary,
        };
        let properties_handle = self.append_meta(&properties.encode())?;
        let footer = Footer {
            filter,
            range_tombstones,
            index,
            properties: properties_handle,
            number: self.number,
        };
        self.sink.buffer.extend_from_slice(&footer.encode());
        properties.summary.file_size = self.sink.finish()?;
        if let Some((written, slots)) = self.kept {
            written.end_table(self.number, slots);
        }
        Ok(properties.summary)
    }

    /// Ends the block at hand. `next` is the user key that the next one begins with.
    fn cut_block(&mut self, next: Option<&[u8]>) -> Result<()> {
        let offset = self.sink.offset();
        let (frames, out) = (&mut self.frames, &mut self.sink.buffer);
        self.block.finish(|raw| {
            frames.append_compressed(out, raw, offset);
            if let Some((_, slots)) = &mut self.kept {
                slots.offer(raw, self.was_cached);
            }
        });
        let last = &*self.last.user_key;
        let separator = match next {
            Some(next) if next != last => separator(last, next, &mut self.separator_room),
            Some(_) | None => last,
        };
        self.index.add(self.sink.offset() - offset, separator);
        if self.sink.write_if_full()? {
            self.reserve(0);
        }
        Ok(())
    }

    fn append_meta(&mut self, block: &[u8]) -> Result<Handle> {
        let len = (block.len() + TRAILER_BYTES) as u64;
        if len > MAX_META_BYTES {
            return Err(Error::invalid(format!(
                "the table's index or filter has {len} bytes; at most {MAX_META_BYTES} are allowed"
            )));
        }
        let offset = self.sink.offset();
        self.frames.append(&mut self.sink.buffer, block, offset);
        self.sink.write_if_full()?;
        Ok(Handle { offset, len })
    }
}

/// Refuses an entry that a reader would refuse.
#[inline]
fn check_entry(key: InternalKey<'_>, value: &[u8]) -> Result<()> {
    let value_bytes = match key.kind {
        Kind::Put | Kind::Merge | Kind::DeleteRange => value.len(),
        Kind::Delete if value.is_empty() => 0,
        Kind::Delete => return Err(Error::invalid("a tombstone has no value")),
        Kind::PutExpiring => {
            let (_, rest) = split_expiry(value)
                .ok_or_else(|| Error::invalid("the value of an expiring entry has its expiry"))?;
            rest.len()
        }
    };
    check_limits(key.user_key.len(), value_bytes)
}

/// Gathers bytes into large writes at the end of a file.
#[derive(Debug)]
struct Sink {
    file: Arc<dyn File>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// How much of the file stands before the buffer.
    written: u64,
    /// How much of it the system was asked to bring to disk.
    started: u64,
}

impl Sink {
    /// Large enough that a call costs nothing beside its copy, small enough to stay in cache. Every
    /// write but the last begins and ends at a multiple of it: then the system keeps the file in pages of
    /// this size, and finds them sooner than many small ones (`docs/decisions/0026`).
    const WRITE_BYTES: usize = 256 << 10;
    /// Keeps the final sync short without a call for every write.
    const WRITEBACK_BYTES: u64 = 1 << 20;

    fn new(file: Arc<dyn File>, path: &Path) -> Self {
        let buffer = Vec::with_capacity(Self::WRITE_BYTES + (16 << 10));
        Self { file, path: path.into(), buffer, written: 0, started: 0 }
    }

    /// Where the next byte goes.
    fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes what was gathered if that is enough; answers whether it was.
    fn write_if_full(&mut self) -> Result<bool> {
        let whole = self.buffer.len() - self.buffer.len() % Self::WRITE_BYTES;
        if whole == 0 {
            return Ok(false);
        }
        self.write(whole)?;
        let unstarted = self.written - self.started;
        if unstarted >= Self::WRITEBACK_BYTES {
            self.file.start_writeback(self.started, unstarted);
            self.started = self.written;
        }
        Ok(true)
    }

    /// Writes the first `len` bytes of what was gathered.
    fn write(&mut self, len: usize) -> Result<()> {
        self.file
            .write_all_at(&self.buffer[..len], self.written)
            .map_err(|error| Error::io("write", &self.path, error))?;
        self.written += len as u64;
        self.buffer.drain(..len);
        Ok(())
    }

    /// Writes what is left, syncs, and returns the file's length.
    fn finish(&mut self) -> Result<u64> {
        self.write(self.buffer.len())?;
        self.file.sync().map_err(|error| Error::io("sync", &self.path, error))?;
        Ok(self.written)
    }
}
