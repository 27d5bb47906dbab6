//! Batches: several writes that happen together or not at all, across keyspaces.

use std::sync::Arc;
use std::time::Duration;

use alluvium_base::WriteBatch;

use crate::commit::{PreparedBatch, Touched, refuse_empty};
use crate::db::Handle;
use crate::keyspace::Keyspace;
use crate::options::Persist;
use crate::{Error, Result};

/// Several writes that become visible, and survive a crash, together or not at all.
///
/// The first refused write (a limit, a keyspace of another database) is remembered, and
/// [`commit`](Self::commit) reports it instead of writing anything. Later writes to one key in a
/// batch win over earlier ones.
///
/// ```
/// use alluvium::{Db, KeyspaceOptions, Persist, Read};
/// let db = Db::in_memory()?;
/// let users = db.keyspace("users", KeyspaceOptions::default())?;
/// let mut batch = db.batch();
/// batch.insert(&users, "id:7", "Ada").remove(&db.default_keyspace(), "draft:7");
/// batch.commit(Persist::Sync)?;
/// assert!(users.contains_key("id:7")?);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    handle: Arc<Handle>,
    writes: WriteBatch,
    keyspaces: Option<Touched>,
    refused: Option<Error>,
}

impl Batch {
    pub(crate) fn new(handle: &Arc<Handle>) -> Self {
        let handle = Arc::clone(handle);
        Self { handle, writes: WriteBatch::new(), keyspaces: None, refused: None }
    }

    /// Sets `key` to `value`.
    pub fn insert(
        &mut self,
        keyspace: &Keyspace,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.add(keyspace, |writes| writes.put(keyspace.id(), key.as_ref(), value.as_ref()))
    }

    /// Sets `key` to `value` for the time `ttl`, counted from now.
    pub fn insert_expiring(
        &mut self,
        keyspace: &Keyspace,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Duration,
    ) -> &mut Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let expiry_ms = self.handle.core.clock.now_ms().saturating_add(ttl_ms);
        let (key, value) = (key.as_ref(), value.as_ref());
        self.add(keyspace, |writes| writes.put_expiring(keyspace.id(), key, value, expiry_ms))
    }

    /// Removes `key`.
    pub fn remove(&mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> &mut Self {
        self.add(keyspace, |writes| writes.delete(keyspace.id(), key.as_ref()))
    }

    /// How many writes it has.
    pub fn len(&self) -> usize {
        self.writes.len() as usize
    }

    /// Whether it has no writes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Its size in the log, in bytes. At most 1 GiB.
    pub fn size_bytes(&self) -> usize {
        self.writes.size_bytes()
    }

    /// Makes all writes at once: visible when the call returns, and as durable as `persist` says.
    /// An empty batch with [`Persist::Sync`] makes everything written before it durable.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) with the first refused write: nothing was written.
    /// [`Io`](crate::ErrorKind::Io) when the log fails: the database is poisoned, and whether the
    /// batch survives is known after reopening.
    pub fn commit(self, persist: Persist) -> Result<()> {
        let handle = Arc::clone(&self.handle);
        match self.prepare()? {
            Some(batch) => handle.core.write(&batch, persist).map(drop),
            None => handle.core.persist(persist),
        }
    }

    /// Makes all writes at once: visible when the call returns. `then` is called once they are as
    /// durable as `persist` says, with the error if that failed, on a thread of the database: it
    /// should be short and must not wait for other writes. With [`Persist::Sync`], callbacks run in
    /// the order of their batches; with [`Persist::Buffer`], `then` is called before this returns.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit), before anything is visible; `then` is not called then.
    pub fn commit_then(
        self,
        persist: Persist,
        then: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<()> {
        let handle = Arc::clone(&self.handle);
        handle.core.write_then(self.prepare()?.as_ref(), persist, Box::new(then))
    }

    fn add(
        &mut self,
        keyspace: &Keyspace,
        write: impl FnOnce(&mut WriteBatch) -> Result<()>,
    ) -> &mut Self {
        if self.refused.is_some() {
            return self;
        }
        let written = if Arc::ptr_eq(&self.handle, keyspace.handle()) {
            write(&mut self.writes)
        } else {
            Err(Error::invalid("the keyspace belongs to another database"))
        };
        match (written, &mut self.keyspaces) {
            (Err(error), _) => self.refused = Some(error),
            (Ok(()), Some(touched)) => touched.add(keyspace.id()),
            (Ok(()), none) => *none = Some(Touched::One(keyspace.id())),
        }
        self
    }

    /// The encoded batch, or `None` when it is empty.
    fn prepare(self) -> Result<Option<PreparedBatch>> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let Some(keyspaces) = self.keyspaces else { return Ok(None) };
        refuse_empty(&self.writes)?;
        Ok(Some(PreparedBatch::new(self.writes, keyspaces)))
    }
}
