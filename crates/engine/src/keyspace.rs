//! A keyspace: a named tree inside a database.

use std::sync::Arc;
use std::time::Duration;

use alluvium_base::key::hash_key;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Bytes, KeyspaceId, Seq, WriteBatch};

use crate::commit::{PreparedBatch, Touched};
use crate::db::Handle;
use crate::options::KeyspaceOptions;
use crate::read::{Read, ReadSource};
use crate::resolve::ReadTime;
use crate::view::{ReadView, TreeView};
use crate::{Error, Result};

/// A named tree inside a database, with levels and options of its own, sharing the log, the order
/// of writes and the block cache with the others. Clones are handles to the same keyspace.
#[derive(Clone, Debug)]
pub struct Keyspace {
    handle: Arc<Handle>,
    id: KeyspaceId,
    name: Arc<str>,
}

/// What a conditional [`put`](Keyspace::put) asks of the key before it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: write in any case.
    #[default]
    Always,
    /// The key has no value.
    Absent,
    /// The key has a value, whatever it is.
    Present,
    /// The key has exactly this value.
    Equals(Bytes),
}

/// How a [`put`](Keyspace::put) writes. `Put::default()` is a plain insert.
///
/// ```
/// use std::time::Duration;
/// use alluvium::{Condition, Db, ErrorKind, Put};
/// let db = Db::in_memory()?;
/// let once = Put { only_if: Condition::Absent, ttl: Some(Duration::from_mins(1)) };
/// db.default_keyspace().put("lease", "me", once.clone())?;
/// let refused = db.default_keyspace().put("lease", "you", once).unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Conflict);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// How long the value stays, from now on; `None` for ever. Millisecond precision.
    pub ttl: Option<Duration>,
    /// What must hold for the write to be made.
    pub only_if: Condition,
}

impl Keyspace {
    pub(crate) fn new(handle: Arc<Handle>, id: KeyspaceId, name: Arc<str>) -> Self {
        Self { handle, id, name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn id(&self) -> KeyspaceId {
        self.id
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// The options it works with.
    pub fn options(&self) -> Result<KeyspaceOptions> {
        let view = self.handle.core.view.load();
        Ok(KeyspaceOptions::clone(&view.tree(self.id)?.options))
    }

    /// Sets `key` to `value`, visible when the call returns and as durable as the database's
    /// default says.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when a limit is exceeded (key 64 KiB, value 256 MiB);
    /// [`Io`](crate::ErrorKind::Io) when the log cannot be written, which poisons the database;
    /// [`Poisoned`](crate::ErrorKind::Poisoned) and [`Closed`](crate::ErrorKind::Closed) after.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.write_one(key.len() + value.len(), |batch| batch.put(self.id, key, value))
    }

    /// Removes `key`, whether it has a value or not. Errors as for [`insert`](Self::insert).
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<()> {
        let key = key.as_ref();
        self.write_one(key.len(), |batch| batch.delete(self.id, key))
    }

    /// Sets `key` to `value` for a time or on a condition. The condition is checked and the write
    /// made in one step: no other write comes between.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) when the condition does not hold, and nothing was
    /// written; otherwise as for [`insert`](Self::insert).
    #[expect(clippy::needless_pass_by_value, reason = "options read best where they are used")]
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, put: Put) -> Result<()> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let core = &self.handle.core;
        let mut batch = WriteBatch::with_capacity(key.len() + value.len() + 24);
        match put.ttl {
            Some(ttl) => {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let expiry_ms = core.clock.now_ms().saturating_add(ttl_ms);
                batch.put_expiring(self.id, key, value, expiry_ms)?;
            }
            None => batch.put(self.id, key, value)?,
        }
        let batch = PreparedBatch::new(batch, Touched::One(self.id));
        if put.only_if == Condition::Always {
            return core.write(&batch, core.default_persist).map(drop);
        }
        self.put_if(key, &batch, &put.only_if)
    }

    /// Reads outside the commit lock, checks and writes under it; starts over when another write
    /// to the key came between.
    fn put_if(&self, key: &[u8], batch: &PreparedBatch, condition: &Condition) -> Result<()> {
        let core = &self.handle.core;
        loop {
            core.check_open()?;
            let (view, seq) = core.pin();
            let tree = view.tree(self.id)?;
            let now = ReadTime::Live(&*core.clock);
            let old = tree.get(key, seq, now)?;
            condition.check(old.as_deref(), key)?;
            let is_still_so = |current: &ReadView, last_assigned| {
                if is_planted(Bug::ConditionNotRechecked) {
                    return Ok(true);
                }
                core.publisher.wait_for(last_assigned);
                Ok(is_unchanged(current, tree, key, seq))
            };
            let committed = core.write_if(batch, is_still_so, |_, _| {})?;
            if let Some(log_end) = committed {
                if core.default_persist == crate::Persist::Sync {
                    core.sync_to(log_end)?;
                }
                return Ok(());
            }
        }
    }

    fn write_one(
        &self,
        bytes: usize,
        fill: impl FnOnce(&mut WriteBatch) -> Result<()>,
    ) -> Result<()> {
        let core = &self.handle.core;
        // Kind, keyspace and two lengths.
        let mut batch = WriteBatch::with_capacity(bytes + 16);
        fill(&mut batch)?;
        core.write(&PreparedBatch::new(batch, Touched::One(self.id)), core.default_persist)?;
        Ok(())
    }

    /// Flushes the memtable, so that everything written before is in tables, and returns when that
    /// is done.
    pub fn flush(&self) -> Result<()> {
        self.handle.core.flush_tree(self.id)
    }

    /// Compacts the whole keyspace down to its last level: removed, replaced and expired entries
    /// that no snapshot sees give back their space. Returns when that is done.
    pub fn compact(&self) -> Result<()> {
        self.handle.core.compact_tree(self.id, None, None)
    }
}

/// Whether no write to `key` came after `seq`: what was read still holds. If memtables were rotated
/// or flushed meanwhile, it cannot be told, and the caller reads again: one that is gone may have
/// taken a write along that came before the rotation, and was not yet visible when we read.
fn is_unchanged(current: &ReadView, read: &TreeView, key: &[u8], seq: Seq) -> bool {
    let Ok(tree) = current.tree(read.id) else { return false };
    // With the same active memtable, none was added to the others.
    let is_same_memory = Arc::ptr_eq(&tree.active.memtable, &read.active.memtable)
        && tree.immutable.len() == read.immutable.len();
    let newest = || tree.find_in_memory(key, hash_key(key), Seq::MAX);
    is_same_memory && newest().is_none_or(|newest| newest.seq <= seq)
}

impl Condition {
    fn check(&self, old: Option<&[u8]>, key: &[u8]) -> Result<()> {
        let (holds, wanted) = match self {
            Self::Always => (true, ""),
            Self::Absent => (old.is_none(), "has a value already"),
            Self::Present => (old.is_some(), "has no value"),
            Self::Equals(value) => (old == Some(value), "has another value than expected"),
        };
        if holds {
            return Ok(());
        }
        Err(Error::Conflict(format!("the key \"{}\" {wanted}", key.escape_ascii())))
    }
}

impl Read for Keyspace {
    fn source(&self) -> ReadSource<'_> {
        ReadSource::now(&self.handle, self.id)
    }
}

#[cfg(test)]
mod tests {
    use alluvium_manifest::Version;
    use alluvium_wal::LogEnd;

    use super::*;
    use crate::view::{ActiveMemtable, OpenTables};

    /// A view of one keyspace.
    fn view_of(tree: &TreeView) -> ReadView {
        let mut view = ReadView::default();
        view.set(tree.id, Some(tree.clone()));
        view
    }

    fn write(memtable: &ActiveMemtable, seq: u64) {
        let batch = Bytes::from_static(b"kv");
        memtable.memtable.insert(&batch, 0..1, 1..2, Seq::new(seq), alluvium_base::Kind::Put);
    }

    /// The write at sequence 1 got its place before the memtable was rotated, and its copy into it
    /// came after the read at sequence 0. Found by a schedule of shuttle: once the memtable was
    /// flushed, the conditional write overlooked it, and an increment was lost.
    #[test]
    fn a_flush_between_read_and_write_makes_the_writer_read_again() {
        let cache = alluvium_table::BlockCache::new(0);
        let memtables = crate::view::MemtableMaker { cache, pool: Arc::default() };
        let active = memtables.make(Seq::new(1));
        let tree = TreeView {
            id: alluvium_base::KeyspaceId::DEFAULT,
            name: "default".into(),
            options: Arc::default(),
            active: active.clone(),
            immutable: Vec::new(),
            version: Arc::new(Version::default()),
            tables: Arc::new(OpenTables::default()),
            read_debt: Arc::default(),
            dead_stretches: Arc::new(crate::dead_stretches::DeadStretches::new(
                std::sync::Weak::new(),
            )),
        };
        let read = tree.rotated(Seq::new(1), LogEnd(1), &memtables);
        assert!(is_unchanged(&view_of(&read), &read, b"k", Seq::ZERO));
        write(&active, 1);
        assert!(!is_unchanged(&view_of(&read), &read, b"k", Seq::ZERO));
        assert!(is_unchanged(&view_of(&read), &read, b"k", Seq::new(1)));
        let mut flushed = read.clone();
        flushed.immutable.pop();
        assert!(!is_unchanged(&view_of(&flushed), &read, b"k", Seq::ZERO));
        let rotated = read.rotated(Seq::new(1), LogEnd(1), &memtables);
        assert!(!is_unchanged(&view_of(&rotated), &read, b"k", Seq::ZERO));
    }
}
