//! What a database holds and what it has done, for people and for monitoring.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium_base::Bytes;
use alluvium_manifest::{LEVEL_COUNT, Level, TableMeta};
use serde::Serialize;

use crate::core::Core;
use crate::memory::MemoryStats;
use crate::stall::StallStats;
use crate::view::TreeView;

/// Counts what was written, by whom.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    entries: AtomicU64,
    batches: AtomicU64,
    user_bytes: AtomicU64,
    flushed_bytes: AtomicU64,
    compacted_bytes: AtomicU64,
    compaction_read_bytes: AtomicU64,
}

impl Counters {
    #[inline]
    pub(crate) fn wrote(&self, entries: u32, bytes: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(u64::from(entries), Ordering::Relaxed);
        self.user_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn flushed(&self, bytes: u64) {
        self.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn compacted(&self, bytes: u64) {
        self.compacted_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn compaction_read(&self, bytes: u64) {
        self.compaction_read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What a database holds and what it has done since it was opened. Serialises to JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Each keyspace, in the order of creation.
    pub keyspaces: Vec<KeyspaceStats>,
    /// What was written.
    pub writes: WriteStats,
    /// The log.
    pub log: LogStats,
    /// Memory, and what it is held for.
    pub memory: MemoryStats,
    /// The block cache.
    pub cache: CacheStats,
    /// How long writes were held back, by cause.
    pub stalls: Vec<StallStats>,
    /// Snapshots that are held.
    pub snapshots: usize,
    /// Why writes are refused, if they are.
    pub poisoned: Option<String>,
    /// The last failure of background work that has not succeeded since.
    pub background_failure: Option<String>,
}

/// What was written since the database was opened.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct WriteStats {
    /// Entries written.
    pub entries: u64,
    /// Batches written.
    pub batches: u64,
    /// Bytes of batches as they were handed to the log: keys, values and a few bytes each.
    pub user_bytes: u64,
    /// Bytes of tables that flushes wrote.
    pub flushed_bytes: u64,
    /// Bytes of tables that compactions wrote.
    pub compacted_bytes: u64,
    /// Bytes of tables that compactions read.
    pub compaction_read_bytes: u64,
    /// Write amplification: bytes of tables written for each byte the user wrote. The log adds one
    /// more. 0 until something was flushed.
    pub amplification: f64,
}

/// The log.
#[derive(Clone, Debug, Serialize)]
pub struct LogStats {
    /// `mapped` or `buffered`.
    pub mode: &'static str,
    /// Segments that are kept.
    pub segments: usize,
    /// Bytes in them.
    pub live_bytes: u64,
    /// Syncs since the database was opened.
    pub syncs: u64,
}

/// The block cache.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CacheStats {
    /// Blocks found.
    pub hits: u64,
    /// Blocks read from disk.
    pub misses: u64,
    /// Bytes held.
    pub used_bytes: u64,
    /// Bytes it may hold.
    pub budget_bytes: u64,
}

/// One keyspace.
#[derive(Clone, Debug, Serialize)]
pub struct KeyspaceStats {
    /// Its name.
    pub name: String,
    /// Memory in memtables, in bytes.
    pub memtable_bytes: u64,
    /// Memtables, the active one included.
    pub memtables: usize,
    /// Memory in open tables' indexes and filters, in bytes.
    pub index_and_filter_bytes: u64,
    /// Bytes of its tables on disk.
    pub table_bytes: u64,
    /// Its levels, L0 first.
    pub levels: Vec<LevelStats>,
    /// Read amplification: sorted runs a lookup may have to ask, memtables included, if no filter
    /// spares it any.
    pub read_amplification: usize,
    /// Space amplification: bytes of all tables for each byte of the deepest level, which holds
    /// each key once. 0 for no tables.
    pub space_amplification: f64,
    /// Bytes that compaction owes.
    pub compaction_debt_bytes: u64,
}

/// One level of a keyspace.
#[derive(Clone, Debug, Serialize)]
pub struct LevelStats {
    /// Its number.
    pub level: u8,
    /// Bytes of its tables.
    pub bytes: u64,
    /// The size compaction holds it to, in bytes; 0 where it is not in use.
    pub target_bytes: u64,
    /// How urgently it wants compaction: over 1 it is due.
    pub score: f64,
    /// Entries in its tables, tombstones and old versions included.
    pub entries: u64,
    /// Its tables: newest first in L0, by key elsewhere.
    pub tables: Vec<TableStats>,
}

/// One table.
#[derive(Clone, Debug, Serialize)]
pub struct TableStats {
    /// The number in its file name.
    pub number: u64,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its entries.
    pub entries: u64,
    /// Those of them that are tombstones.
    pub tombstones: u64,
    /// Its smallest user key.
    #[serde(serialize_with = "escaped")]
    pub smallest: Bytes,
    /// Its greatest user key.
    #[serde(serialize_with = "escaped")]
    pub largest: Bytes,
}

fn escaped<S: serde::Serializer>(key: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&key.escape_ascii())
}

impl Core {
    pub(crate) fn stats(&self) -> Stats {
        let view = self.view.load();
        let cache = self.cache.stats();
        Stats {
            keyspaces: view.trees().map(|tree| keyspace_stats(tree)).collect(),
            writes: self.counters.stats(),
            log: LogStats {
                mode: self.wal.mode(),
                segments: self.wal.segments().len(),
                live_bytes: self.wal.live_bytes(),
                syncs: self.wal.sync_count(),
            },
            memory: self.memory_stats(),
            cache: CacheStats {
                hits: cache.hits,
                misses: cache.misses,
                used_bytes: cache.used_bytes as u64,
                budget_bytes: cache.budget_bytes as u64,
            },
            stalls: self.stalls.stats(),
            snapshots: self.snapshots.count(),
            poisoned: self.poison.get().map(ToString::to_string),
            background_failure: self.schedule.lock().failure().map(ToString::to_string),
        }
    }
}

impl Counters {
    fn stats(&self) -> WriteStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let user_bytes = get(&self.user_bytes);
        let (flushed_bytes, compacted_bytes) =
            (get(&self.flushed_bytes), get(&self.compacted_bytes));
        WriteStats {
            entries: get(&self.entries),
            batches: get(&self.batches),
            user_bytes,
            flushed_bytes,
            compacted_bytes,
            compaction_read_bytes: get(&self.compaction_read_bytes),
            amplification: ratio(flushed_bytes + compacted_bytes, user_bytes),
        }
    }
}

fn ratio(bytes: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { bytes as f64 / of as f64 }
}

fn keyspace_stats(tree: &TreeView) -> KeyspaceStats {
    let options = tree.options.compaction();
    let targets = alluvium_compaction::level_targets(&tree.version, &options);
    let scores = alluvium_compaction::scores(&tree.version, &options);
    let levels: Vec<LevelStats> = (0..LEVEL_COUNT)
        .map(|at| level_stats(tree, Level(at as u8), targets.target_bytes[at], scores[at]))
        .collect();
    let table_bytes = levels.iter().map(|level| level.bytes).sum();
    let deepest = levels.iter().rev().map(|level| level.bytes).find(|&bytes| bytes > 0);
    let in_runs = tree.tables.runs.iter().flat_map(|run| run.tables.iter());
    let open = tree.tables.l0.iter().chain(in_runs);
    KeyspaceStats {
        name: tree.name.to_string(),
        memtable_bytes: tree.memtable_bytes(),
        memtables: 1 + tree.immutable.len(),
        index_and_filter_bytes: open.map(|table| table.memory_bytes() as u64).sum(),
        table_bytes,
        read_amplification: 1
            + tree.immutable.len()
            + tree.tables.l0.len()
            + tree.tables.runs.len(),
        space_amplification: ratio(table_bytes, deepest.unwrap_or(0)),
        compaction_debt_bytes: alluvium_compaction::debt_bytes(&tree.version, &options),
        levels,
    }
}

fn level_stats(tree: &TreeView, level: Level, target_bytes: u64, score: f64) -> LevelStats {
    let metas = tree.version.level(level);
    LevelStats {
        level: level.0,
        bytes: tree.version.level_bytes(level),
        target_bytes,
        score,
        entries: metas.iter().map(|meta| meta.entry_count).sum(),
        tables: metas.iter().map(table_stats).collect(),
    }
}

fn table_stats(meta: &Arc<TableMeta>) -> TableStats {
    TableStats {
        number: meta.number.0,
        bytes: meta.size_bytes,
        entries: meta.entry_count,
        tombstones: meta.tombstone_count,
        smallest: meta.smallest.clone(),
        largest: meta.largest.clone(),
    }
}
