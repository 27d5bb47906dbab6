//! Reading: the same verbs for a database, a keyspace and a snapshot.

use std::sync::Arc;

use alluvium_base::{Bytes, KeyspaceId, Seq};

use crate::Result;
use crate::core::Core;
use crate::db::Handle;
use crate::range::{KeyRange, Span};
use crate::read_debt::SCAN;
use crate::resolve::ReadTime;
use crate::scan::{KeyValue, Scan};
use crate::view::TreeView;

/// What a read is made of: a database, a keyspace in it, and a moment.
#[derive(Debug)]
pub struct ReadSource<'a> {
    handle: &'a Arc<Handle>,
    keyspace: KeyspaceId,
    /// A snapshot's sequence and moment; `None` reads what is visible now.
    at: Option<(Seq, u64)>,
}

impl<'a> ReadSource<'a> {
    pub(crate) fn now(handle: &'a Arc<Handle>, keyspace: KeyspaceId) -> Self {
        Self { handle, keyspace, at: None }
    }

    pub(crate) fn at(handle: &'a Arc<Handle>, keyspace: KeyspaceId, seq: Seq, at_ms: u64) -> Self {
        Self { handle, keyspace, at: Some((seq, at_ms)) }
    }

    fn core(&self) -> &'a Arc<Core> {
        &self.handle.core
    }

    fn time(&self) -> ReadTime<'a> {
        match self.at {
            Some((_, at_ms)) => ReadTime::At(at_ms),
            None => ReadTime::Live(&*self.core().clock),
        }
    }

    /// Runs `read` on the pinned keyspace, with the sequence and time to read at.
    fn with<T>(&self, read: impl FnOnce(&TreeView, Seq, ReadTime<'_>) -> Result<T>) -> Result<T> {
        let core = self.core();
        core.check_open()?;
        let (view, visible) = core.pin();
        let seq = self.at.map_or(visible, |(seq, _)| seq);
        read(view.tree(self.keyspace)?, seq, self.time())
    }

    /// The value of `key` for a reader at `seq` and `now`.
    fn get(
        &self,
        tree: &TreeView,
        key: &[u8],
        seq: Seq,
        now: ReadTime<'_>,
    ) -> Result<Option<Bytes>> {
        self.core().note_lookups(tree, 1);
        tree.get(key, seq, now)
    }

    fn scan(&self, span: Span) -> Scan {
        let core = self.core();
        let (view, visible) = core.pin();
        let tree = core.check_open().and_then(|()| view.tree(self.keyspace).cloned());
        let tree = tree.inspect(|tree| core.note_lookups(tree, SCAN));
        let seq = self.at.map_or(visible, |(seq, _)| seq);
        Scan::new(tree, seq, self.time().now_ms(), span)
    }
}

/// When a value expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// It stays until it is replaced or removed.
    Never,
    /// From this moment on it is gone: milliseconds since the Unix epoch.
    AtMs(u64),
}

/// Reading, with the verbs of `BTreeMap`.
///
/// Implemented by [`Db`](crate::Db) (its default keyspace), [`Keyspace`](crate::Keyspace),
/// [`Snapshot`](crate::Snapshot) and [`SnapshotView`](crate::SnapshotView). Keys are compared
/// bytewise. Values come as [`Bytes`]: slices of the block they live in, not copies; keeping one
/// keeps its block in memory.
///
/// Every method fails with [`Io`](crate::ErrorKind::Io) or [`Corrupt`](crate::ErrorKind::Corrupt)
/// when the disk does, and with [`Closed`](crate::ErrorKind::Closed) when the database was closed
/// or the keyspace dropped. Nothing wrong or stale is ever returned instead.
pub trait Read {
    /// What is read. For implementors; callers have no use for it.
    #[doc(hidden)]
    fn source(&self) -> ReadSource<'_>;

    /// The value of `key`, or `None` when it has none.
    fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        let source = self.source();
        source.with(|tree, seq, now| source.get(tree, key.as_ref(), seq, now))
    }

    /// The values of many keys, in their order, all seen at one moment.
    fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Bytes>>> {
        let source = self.source();
        source.with(|tree, seq, now| {
            let keys: Vec<K> = keys.into_iter().collect();
            source.core().note_lookups(tree, keys.len() as u64);
            tree.get_many(&keys, seq, ReadTime::At(now.now_ms()))
        })
    }

    /// Whether `key` has a value.
    fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// When the value of `key` expires, or `None` when it has no value.
    fn expires_at(&self, key: impl AsRef<[u8]>) -> Result<Option<Expiry>> {
        self.source().with(|tree, seq, now| tree.expires_at(key.as_ref(), seq, now))
    }

    /// The keys and values of a range, ascending; `.rev()` for descending.
    ///
    /// ```
    /// use alluvium::{Db, Read};
    /// let db = Db::in_memory()?;
    /// for key in ["a", "b", "c"] {
    ///     db.insert(key, "")?;
    /// }
    /// let keys: Result<Vec<_>, _> = db.range("b"..).rev().map(|kv| kv.map(|kv| kv.0)).collect();
    /// assert_eq!(keys?, ["c", "b"]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    fn range(&self, range: impl KeyRange) -> Scan {
        self.source().scan(Span::of(&range))
    }

    /// The keys that begin with `prefix`, and their values, ascending.
    fn prefix(&self, prefix: impl AsRef<[u8]>) -> Scan {
        self.source().scan(Span::of_prefix(prefix.as_ref()))
    }

    /// All keys and values, ascending.
    fn iter(&self) -> Scan {
        self.range(..)
    }

    /// The smallest key and its value.
    fn first(&self) -> Result<Option<KeyValue>> {
        self.iter().next().transpose()
    }

    /// The greatest key and its value.
    fn last(&self) -> Result<Option<KeyValue>> {
        self.iter().next_back().transpose()
    }

    /// How many keys have a value. Walks over all of them.
    fn count(&self) -> Result<u64> {
        self.iter().count_entries()
    }
}
