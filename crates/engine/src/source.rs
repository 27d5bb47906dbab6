//! The cursors that a scan or a compaction merges: memtables, tables and whole levels.

use alluvium_base::{Bytes, InternalIterator, InternalKey, MergingIterator, Result, Seq, Taken};
use alluvium_memtable::Memtable;
use alluvium_table::{ReadOptions, RunIterator, TableIterator};

use crate::view::TreeView;

/// One cursor of a merge. An enum, not a trait object: stepping is inlined.
#[derive(Debug)]
pub(crate) enum Source {
    Memtable(MemtableSource),
    Table(Box<TableIterator>),
    Run(Box<RunIterator>),
}

/// A memtable's cursor; boxed by the memtable, which may be of any kind.
pub(crate) struct MemtableSource(pub(crate) Box<dyn InternalIterator>);

impl std::fmt::Debug for MemtableSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MemtableSource").field(&self.0.is_valid()).finish()
    }
}

/// Calls the same method on whichever cursor it is.
macro_rules! each {
    ($self:ident, $cursor:ident => $call:expr) => {
        match $self {
            Source::Memtable(MemtableSource($cursor)) => $call,
            Source::Table($cursor) => $call,
            Source::Run($cursor) => $call,
        }
    };
}

impl InternalIterator for Source {
    #[inline]
    fn is_valid(&self) -> bool {
        each!(self, cursor => cursor.is_valid())
    }
    #[inline]
    fn key(&self) -> InternalKey<'_> {
        each!(self, cursor => cursor.key())
    }
    #[inline]
    fn value(&self) -> &[u8] {
        each!(self, cursor => cursor.value())
    }
    #[inline]
    fn key_bytes(&self) -> Bytes {
        each!(self, cursor => cursor.key_bytes())
    }
    #[inline]
    fn value_bytes(&self) -> Bytes {
        each!(self, cursor => cursor.value_bytes())
    }
    #[inline]
    fn entry_bytes(&self) -> (Bytes, Bytes) {
        each!(self, cursor => cursor.entry_bytes())
    }
    #[inline]
    fn is_cached(&self) -> bool {
        each!(self, cursor => cursor.is_cached())
    }
    fn seek_to_first(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_to_first())
    }
    fn seek_to_last(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_to_last())
    }
    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        each!(self, cursor => cursor.seek(user_key, seq))
    }
    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        each!(self, cursor => cursor.seek_before(user_key, seq))
    }
    #[inline]
    fn next(&mut self) -> Result<()> {
        each!(self, cursor => cursor.next())
    }
    #[inline]
    fn prev(&mut self) -> Result<()> {
        each!(self, cursor => cursor.prev())
    }
    #[inline]
    fn show_while(
        &mut self,
        end: Option<&[u8]>,
        take: impl FnMut(InternalKey<'_>, &[u8]) -> Taken,
    ) -> Result<()> {
        match self {
            Self::Memtable(_) => Ok(()),
            // The cursors themselves: their boxes show nothing.
            Self::Table(cursor) => (**cursor).show_while(end, take),
            Self::Run(cursor) => (**cursor).show_while(end, take),
        }
    }
}

impl TreeView {
    /// Every entry of the keyspace, of all versions, as one cursor.
    pub(crate) fn cursor(&self, read: ReadOptions) -> MergingIterator<Source> {
        let memtables = self
            .memtables()
            .map(|memtable| Source::Memtable(MemtableSource(Memtable::iter(memtable))));
        let l0 = self.tables.l0.iter().map(|table| Source::Table(Box::new(table.iter(read))));
        let runs = self.tables.runs.iter().map(|run| {
            Source::Run(Box::new(RunIterator::new(std::sync::Arc::clone(&run.tables), read)))
        });
        MergingIterator::new(memtables.chain(l0).chain(runs).collect())
    }
}
