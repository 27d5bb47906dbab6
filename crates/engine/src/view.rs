//! What readers see: memtables and open tables, frozen in one immutable value.
//!
//! ```text
//!  ReadView ─► TreeView of each keyspace ─► active memtable        newest
//!                                           immutable memtables      │
//!                                           L0 tables                │
//!                                           L1 … L6 runs           oldest
//! ```
//!
//! A reader pins the whole view with one atomic load, so memtables and tables can be replaced
//! without its noticing. Views change by copy: rotation, flush, compaction, and creating or
//! dropping a keyspace each install a new one (see [`crate::core::Core::install`]).

use std::sync::Arc;

use alluvium_base::key::key_prefix;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{FileNumber, KeyspaceId, Seq};
use alluvium_manifest::Version;
use alluvium_memtable::{Memtable, MemtablePool, PackedMemtable, SortedMemtable, WritableMemtable};
use alluvium_table::{BlockCache, MemoryUse, Reservation, Table};
use alluvium_wal::LogEnd;

use crate::dead_stretches::DeadStretches;
use crate::options::KeyspaceOptions;
use crate::read_debt::ReadDebt;
use crate::{Error, Result};

/// All keyspaces at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadView {
    /// By keyspace number, ascending.
    trees: Vec<Arc<TreeView>>,
}

impl ReadView {
    /// The keyspace `id`; fails with [`Error::Closed`] when it was dropped.
    #[inline]
    pub(crate) fn tree(&self, id: KeyspaceId) -> Result<&Arc<TreeView>> {
        // Where no keyspace before it was dropped, it stands at its number.
        if let Some(tree) = self.trees.get(id.0 as usize)
            && tree.id == id
        {
            return Ok(tree);
        }
        self.place(id).map(|at| &self.trees[at]).map_err(|_| {
            Error::Closed("the keyspace was dropped: open it again to create a new one".to_owned())
        })
    }

    /// All keyspaces, in order of their numbers.
    pub(crate) fn trees(&self) -> impl Iterator<Item = &Arc<TreeView>> {
        self.trees.iter()
    }

    /// Replaces, adds or (with `None`) drops the keyspace `id`.
    pub(crate) fn set(&mut self, id: KeyspaceId, tree: Option<TreeView>) {
        match (self.place(id), tree.map(Arc::new)) {
            (Ok(at), Some(tree)) => self.trees[at] = tree,
            (Err(at), Some(tree)) => self.trees.insert(at, tree),
            (Ok(at), None) => drop(self.trees.remove(at)),
            (Err(_), None) => {}
        }
    }

    /// Where the keyspace `id` is, or would be.
    fn place(&self, id: KeyspaceId) -> Result<usize, usize> {
        self.trees.binary_search_by_key(&id, |tree| tree.id)
    }
}

/// One keyspace at one moment.
#[derive(Clone, Debug)]
pub(crate) struct TreeView {
    pub(crate) id: KeyspaceId,
    pub(crate) name: Arc<str>,
    pub(crate) options: Arc<KeyspaceOptions>,
    pub(crate) active: ActiveMemtable,
    /// Newest first.
    pub(crate) immutable: Vec<ImmutableMemtable>,
    pub(crate) version: Arc<Version>,
    pub(crate) tables: Arc<OpenTables>,
    /// What reads have lost to the number of its tables.
    pub(crate) read_debt: Arc<ReadDebt>,
    /// What all views of the keyspace know of stretches without anything visible.
    pub(crate) dead_stretches: Arc<DeadStretches>,
}

/// The memtable that takes writes.
#[derive(Clone, Debug)]
pub(crate) struct ActiveMemtable {
    pub(crate) memtable: Arc<dyn WritableMemtable>,
    /// No entry in it has a smaller sequence.
    pub(crate) start: Seq,
    /// What it takes of the memory budget, as of the last [`reserve`](Self::reserve).
    pub(crate) memory: Arc<Reservation>,
}

/// Where memtables have their memory from.
#[derive(Clone, Debug)]
pub(crate) struct MemtableMaker {
    /// Whose budget pays for it.
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) pool: Arc<MemtablePool>,
}

/// The filter of a memtable takes this part of its write buffer: seven bits for each entry of 116 bytes.
const FILTER_PART: u64 = 256;
/// A memtable so many times as large as a filter is worth one.
const WORTH_A_FILTER: usize = 8;

impl MemtableMaker {
    /// An empty memtable, in which no entry will have a sequence before `start`.
    pub(crate) fn make(&self, start: Seq) -> ActiveMemtable {
        self.make_with_filter(start, 0)
    }

    /// The one that follows `before`. It has a filter if as much is worth it: a keyspace that is hardly
    /// written to would hold far more for the filter than for its entries.
    fn make_after(
        &self,
        before: &ActiveMemtable,
        start: Seq,
        options: &KeyspaceOptions,
    ) -> ActiveMemtable {
        let filter_bytes = options.write_buffer_size / FILTER_PART;
        let filter_bytes = usize::try_from(filter_bytes).unwrap_or(0);
        let is_worth_it = before.memtable.memory_bytes() / WORTH_A_FILTER >= filter_bytes;
        self.make_with_filter(start, if is_worth_it { filter_bytes } else { 0 })
    }

    fn make_with_filter(&self, start: Seq, filter_bytes: usize) -> ActiveMemtable {
        let memory = Arc::new(self.cache.reserve(MemoryUse::Memtables));
        let memtable = PackedMemtable::with_pool(Arc::clone(&self.pool), filter_bytes);
        ActiveMemtable { memtable: Arc::new(memtable), start, memory }
    }

    /// A memtable that takes writes, with those of `sorted` in it; `None` if there are none.
    pub(crate) fn fill(&self, sorted: &SortedMemtable) -> Option<ActiveMemtable> {
        let (start, _) = sorted.seq_range()?;
        let active = self.make(start);
        for (buffer, key, value, seq, kind) in sorted.writes() {
            active.memtable.insert(buffer, key, value, seq, kind);
        }
        active.reserve();
        Some(active)
    }

    /// `sorted`, which has the writes from `start` to `last`, as one that waits to be flushed. The log
    /// has them up to `log_end`.
    pub(crate) fn set_aside(
        &self,
        sorted: SortedMemtable,
        (start, last): (Seq, Seq),
        log_end: LogEnd,
    ) -> ImmutableMemtable {
        let memory = Arc::new(self.cache.reserve(MemoryUse::Memtables));
        memory.set(sorted.memory_bytes());
        ImmutableMemtable { memtable: Arc::new(sorted), start, last, log_end, memory }
    }
}

impl ActiveMemtable {
    /// Reserves the memory that it takes by now.
    pub(crate) fn reserve(&self) {
        self.memory.set(self.memtable.memory_bytes());
    }
}

/// A memtable that waits to be flushed.
#[derive(Clone, Debug)]
pub(crate) struct ImmutableMemtable {
    pub(crate) memtable: Arc<dyn Memtable>,
    /// No entry in it has a smaller sequence.
    pub(crate) start: Seq,
    /// No entry in it has a greater sequence; once this one is visible, no writer is in it.
    pub(crate) last: Seq,
    /// End of the log record that holds `last`.
    pub(crate) log_end: LogEnd,
    /// What it takes of the memory budget: given back when the last view lets it go.
    pub(crate) memory: Arc<Reservation>,
}

impl TreeView {
    /// The smallest sequence that may be in a memtable and not in a table.
    pub(crate) fn unflushed_from(&self) -> Seq {
        let oldest = self.immutable.last();
        let oldest = oldest.filter(|_| !is_planted(Bug::WaitingMemtableForgotten));
        oldest.map_or(self.active.start, |oldest| oldest.start)
    }

    /// Has other tables from now on. A merge of `merged_entries`, with level 0 among them, made them.
    pub(crate) fn set_tables(
        &mut self,
        version: Arc<Version>,
        tables: Arc<OpenTables>,
        merged_entries: u64,
    ) {
        self.read_debt.renew(&version, &self.options.compaction(), merged_entries);
        (self.version, self.tables) = (version, tables);
    }

    /// Whether its active memtable is full.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.active.memtable.memory_bytes() as u64 >= self.options.write_buffer_size
    }

    /// Whether its active memtable is full, and no other may follow before a flush.
    #[inline]
    pub(crate) fn has_no_room(&self) -> bool {
        self.immutable.len() + 1 >= self.options.max_write_buffers && self.is_full()
    }

    /// Its memtables that have entries, newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = Arc<dyn Memtable>> {
        let active = &self.active.memtable;
        let active = (!active.is_empty()).then(|| Arc::clone(active) as Arc<dyn Memtable>);
        let waiting = self.immutable.iter().map(|waiting| &waiting.memtable);
        active.into_iter().chain(waiting.filter(|memtable| !memtable.is_empty()).cloned())
    }

    /// Memory held by its memtables, in bytes.
    pub(crate) fn memtable_bytes(&self) -> u64 {
        let waiting: usize = self.immutable.iter().map(|waiting| waiting.memory.bytes()).sum();
        (waiting + self.active.memtable.memory_bytes()) as u64
    }

    /// Sets the active memtable aside and begins another: the view after a rotation.
    pub(crate) fn rotated(&self, last: Seq, log_end: LogEnd, memtables: &MemtableMaker) -> Self {
        let mut tree = self.clone();
        let next = memtables.make_after(&self.active, last.next(), &self.options);
        let full = std::mem::replace(&mut tree.active, next);
        full.reserve();
        let ActiveMemtable { memtable, start, memory } = full;
        tree.immutable.insert(0, ImmutableMemtable { memtable, start, last, log_end, memory });
        tree
    }
}

impl TreeView {
    /// The view with `sorted` as its newest memtable but for an empty active one. The log ended at
    /// `log_end` before its writes.
    pub(crate) fn with_sorted(
        &self,
        sorted: ImmutableMemtable,
        log_end: LogEnd,
        memtables: &MemtableMaker,
    ) -> Self {
        let mut tree = if self.active.start < sorted.start {
            // A writer between log and memtable counts too: `start` tells what may still come.
            self.rotated(sorted.start.prev(), log_end, memtables)
        } else {
            self.clone()
        };
        // Another one even where it was empty: by that a conditional write sees that much has changed.
        tree.active = memtables.make_after(&self.active, sorted.last.next(), &self.options);
        let at = if is_planted(Bug::LargeBatchBehindOlder) { tree.immutable.len() } else { 0 };
        tree.immutable.insert(at, sorted);
        tree
    }

    /// Whether a memtable with writes in it, and the active one with its own, may wait for a flush
    /// together with those that do.
    pub(crate) fn has_room_for_sorted(&self) -> bool {
        self.immutable.len() + 2 <= self.options.max_write_buffers
    }
}

/// The tables of a version, open.
#[derive(Debug, Default)]
pub(crate) struct OpenTables {
    /// Newest first; their ranges overlap.
    pub(crate) l0: Vec<Arc<Table>>,
    /// L1 and deeper, those that have tables.
    pub(crate) runs: Vec<Run>,
}

impl OpenTables {
    /// The table `number`, wherever it is.
    pub(crate) fn find(&self, number: FileNumber) -> Option<&Arc<Table>> {
        let in_runs = self.runs.iter().flat_map(|run| run.tables.iter());
        self.l0.iter().chain(in_runs).find(|table| table.number() == number)
    }
}

/// One level below L0: tables with disjoint ranges, ascending.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) tables: Arc<[Arc<Table>]>,
    /// The first eight bytes of each table's largest key.
    fences: Box<[u64]>,
}

impl Run {
    pub(crate) fn new(tables: Vec<Arc<Table>>) -> Self {
        let fences = tables.iter().map(|table| key_prefix(&table.summary().largest)).collect();
        Self { tables: tables.into(), fences }
    }

    /// The one table that may hold `user_key`.
    #[inline]
    pub(crate) fn find(&self, user_key: &[u8]) -> Option<&Arc<Table>> {
        let prefix = key_prefix(user_key);
        let mut at = self.fences.partition_point(|&fence| fence < prefix);
        // Only tables whose fence ties need the full comparison.
        while *self.fences.get(at)? == prefix && &*self.tables[at].summary().largest < user_key {
            at += 1;
        }
        if is_planted(Bug::LastKeyOfTableMissed) {
            return self.tables[at..].iter().find(|table| user_key < &*table.summary().largest);
        }
        Some(&self.tables[at])
    }
}
