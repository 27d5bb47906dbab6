//! What the log holds beyond the tables, read in one pass and sorted once.
//!
//! ```text
//!   records, in order of sequence ─► chunks, one sort ─► memtable that takes no others
//! ```
//!
//! An insertion at a random place of a memtable is a chain of cache misses: so the entries of each
//! keyspace are collected and sorted once.
//!
//! Memory is bounded: where a keyspace has more in the log than its memtables may hold, everything is
//! let go of, and the rest is merely verified. Then [`LogReplay`](crate::replay::LogReplay) reads
//! the log again and flushes as it goes.

use std::collections::BTreeMap;
use std::path::Path;

use alluvium_base::{BatchEntry, Bytes, FileNumber, KeyspaceId, Seq};
use alluvium_manifest::State;
use alluvium_memtable::{SortedEntry, SortedMemtable};

use crate::Result;
use crate::options::KeyspaceOptions;
use crate::replay::RecordOrder;

/// How many bytes of keys and values lie in one piece. Whoever holds one value of a memtable that is
/// gone holds its whole chunk.
const CHUNK_BYTES: usize = 64 << 10;

/// Takes records in order and keeps what is in no table.
#[derive(Debug)]
pub(crate) struct Gathering {
    order: RecordOrder,
    /// `None` once there was too much.
    keyspaces: Option<BTreeMap<KeyspaceId, Gathered>>,
}

/// What is in no table, by keyspace.
pub(crate) type SortedMemtables = BTreeMap<KeyspaceId, SortedMemtable>;

/// The entries of one keyspace.
#[derive(Debug)]
struct Gathered {
    /// Entries up to here are in tables.
    flushed: Seq,
    /// Most memory that it may take, in bytes.
    limit_bytes: u64,
    /// Keys and values, each key before its value.
    chunks: Vec<Vec<u8>>,
    content_bytes: u64,
    entries: Vec<SortedEntry>,
}

impl Gathering {
    /// `options` are those of the keyspaces of `state`.
    pub(crate) fn new(
        dir: &Path,
        state: &State,
        options: &BTreeMap<KeyspaceId, KeyspaceOptions>,
    ) -> Self {
        let gathered = |id: &KeyspaceId, options: &KeyspaceOptions| {
            let flushed = state.keyspaces.get(id)?.flushed;
            let limit_bytes =
                options.write_buffer_size.saturating_mul(options.max_write_buffers as u64);
            Some((*id, Gathered::new(flushed, limit_bytes)))
        };
        let keyspaces = options.iter().filter_map(|(id, options)| gathered(id, options)).collect();
        Self { order: RecordOrder::new(dir, state), keyspaces: Some(keyspaces) }
    }

    /// Takes the next record. Fails as [`RecordOrder::check`] does.
    pub(crate) fn record(
        &mut self,
        first: Seq,
        payload: &Bytes,
        segment: FileNumber,
        offset: u64,
    ) -> Result<()> {
        let entries = self.order.check(first, payload, segment, offset)?;
        let Some(keyspaces) = &mut self.keyspaces else { return Ok(()) };
        let mut is_full = false;
        for (at, entry) in (0..).zip(entries) {
            let seq = first.plus(at);
            // Nothing is known of a dropped keyspace.
            if let Some(keyspace) = keyspaces.get_mut(&entry.keyspace)
                && seq > keyspace.flushed
            {
                keyspace.add(payload, entry, seq);
                is_full |= keyspace.is_full();
            }
        }
        if is_full {
            self.keyspaces = None;
        }
        Ok(())
    }

    /// The last sequence ever given, and what was gathered, unless that was too much. Fails as
    /// [`RecordOrder::finish`] does.
    pub(crate) fn finish(self) -> Result<(Seq, Option<SortedMemtables>)> {
        let last = self.order.finish()?;
        let sorted = self.keyspaces.map(|keyspaces| {
            let filled = keyspaces.into_iter().filter(|(_, gathered)| !gathered.entries.is_empty());
            filled.map(|(id, gathered)| (id, gathered.into_sorted())).collect()
        });
        Ok((last, sorted))
    }
}

impl Gathered {
    const fn new(flushed: Seq, limit_bytes: u64) -> Self {
        Self { flushed, limit_bytes, chunks: Vec::new(), content_bytes: 0, entries: Vec::new() }
    }

    fn add(&mut self, payload: &[u8], entry: &BatchEntry, seq: Seq) {
        let (key, value) = (&payload[entry.key.clone()], &payload[entry.value.clone()]);
        let bytes = key.len() + value.len();
        let has_room = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() >= bytes;
        if !self.chunks.last().is_some_and(has_room) {
            self.chunks.push(Vec::with_capacity(bytes.max(CHUNK_BYTES)));
        }
        self.content_bytes += bytes as u64;
        let index = self.chunks.len() - 1;
        let chunk = &mut self.chunks[index];
        let start = chunk.len();
        chunk.extend_from_slice(key);
        chunk.extend_from_slice(value);
        let (key, value) = (start..start + key.len(), start + key.len()..chunk.len());
        self.entries.push(SortedEntry::new((index as u32, chunk), key, value, seq, entry.kind));
    }

    fn is_full(&self) -> bool {
        let entries_bytes = self.entries.len() * size_of::<SortedEntry>();
        self.content_bytes + entries_bytes as u64 > self.limit_bytes
    }

    fn into_sorted(self) -> SortedMemtable {
        SortedMemtable::new(self.chunks.into_iter().map(Bytes::from).collect(), self.entries)
    }
}
