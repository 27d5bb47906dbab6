//! The database handle: opening, keyspaces, writing to the default one, closing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::sync::atomic::Ordering;
use alluvium_base::sync::thread::{self, JoinHandle, ThreadId};
use alluvium_base::sync::{Condvar, Mutex};
use alluvium_base::{KeyspaceId, MemFs};

use crate::batch::Batch;
use crate::core::Core;
use crate::keyspace::Keyspace;
use crate::options::{Builder, KeyspaceOptions, Persist};
use crate::read::{Read, ReadSource};
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::{Error, Result};

/// Name of the keyspace that every database has.
pub const DEFAULT_KEYSPACE: &str = "default";

/// An open database. Clones are handles to the same one; it closes when the last handle, keyspace,
/// batch and snapshot is gone, or with [`close`](Self::close).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use alluvium::{Db, Read};
/// let db = Db::open(dir.path())?;
/// db.insert("user:1", "Ada")?;
/// assert_eq!(db.get("user:1")?.as_deref(), Some(&b"Ada"[..]));
/// for kv in db.prefix("user:").rev() {
///     let (key, value) = kv?;
///     println!("{key:?} {value:?}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Writes survive the death of the process as soon as they return, and the loss of power with
/// [`Persist::Sync`]: per batch with [`Batch::commit`], for all before with
/// [`persist`](Self::persist), or always with
/// [`Builder::default_persist`](crate::Builder::default_persist).
#[derive(Clone, Debug)]
pub struct Db {
    handle: Arc<Handle>,
}

/// Keeps the database open: its last owner closes it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The database's own threads: callbacks run on them.
    own_threads: Vec<ThreadId>,
    /// How far closing is. A leaf lock.
    closing: Mutex<Closing>,
    /// Closing has come to an end.
    done: Condvar,
}

/// How far closing is.
#[derive(Debug)]
enum Closing {
    NotYet,
    /// Somebody is at it.
    UnderWay,
    Done(Result<()>),
}

impl Handle {
    pub(crate) fn new(core: Arc<Core>, threads: Vec<JoinHandle<()>>) -> Self {
        let own_threads = threads.iter().map(|thread| thread.thread().id()).collect();
        let (threads, closing) = (Mutex::new(threads), Mutex::new(Closing::NotYet));
        Self { core, threads, own_threads, closing, done: Condvar::new() }
    }

    /// Closes, once: whoever comes second waits until that is done, and is told the same.
    fn close(&self) -> Result<()> {
        let this_thread = thread::current().id();
        let mut closing = self.closing.lock();
        loop {
            match &*closing {
                Closing::NotYet => break,
                Closing::Done(outcome) => return outcome.clone(),
                // A callback would wait for the one who waits for its thread.
                Closing::UnderWay if self.own_threads.contains(&this_thread) => {
                    let what = "the database is being closed, and a callback cannot wait for that";
                    return Err(Error::Closed(what.to_owned()));
                }
                Closing::UnderWay => self.done.wait(&mut closing),
            }
        }
        *closing = Closing::UnderWay;
        drop(closing);
        let outcome = self.shut_down(this_thread);
        *self.closing.lock() = Closing::Done(outcome.clone());
        self.done.notify_all();
        outcome
    }

    /// Stops the threads, makes the log durable and gives back the lock.
    fn shut_down(&self, this_thread: ThreadId) -> Result<()> {
        let core = &self.core;
        {
            // Under the commit lock: no write is between its check and the log.
            let _commit = core.commit.lock();
            core.closed.store(true, Ordering::Release);
        }
        // While jobs still run: this one is worth the wait, for nothing is durable before it.
        let settled = core.settle_recovered();
        // Stopped first: a worker whose job is cancelled must not begin it again, over and over.
        core.schedule.stop();
        core.cancel.store(true, Ordering::Release);
        core.durable.stop();
        core.memtables.pool.stop_stocking();
        for thread in self.threads.lock().drain(..) {
            // A callback may own the last handle; its thread cannot wait for itself.
            if thread.thread().id() != this_thread && thread.join().is_err() {
                tracing::error!("a background thread panicked");
            }
        }
        // Whoever is still changing files on a caller's thread comes to an end first: the next opener
        // would use the same file numbers.
        let _outside = core.changing_files.write();
        core.wal.stop();
        // A log that is sound is synced even if the manifest failed.
        let synced = settled.and_then(|_| core.sync_to(core.wal.written()));
        let synced = core.poison_error().map_or(synced, Err);
        core.lock.lock().take();
        synced
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if matches!(*self.closing.lock(), Closing::Done(_)) {
            return;
        }
        if let Err(error) = self.close() {
            tracing::error!(%error, "the log could not be synced when the database was closed");
        }
    }
}

impl Db {
    /// Opens the database in the folder `dir` with default options, creating it if there is none.
    /// Errors as for [`Builder::open`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder(dir).open()
    }

    /// Options first, then [`open`](Builder::open).
    pub fn builder(dir: impl AsRef<Path>) -> Builder {
        Builder::new(dir.as_ref().to_owned())
    }

    /// A database that lives and dies with the process: everything works, nothing is written to
    /// disk.
    pub fn in_memory() -> Result<Self> {
        Builder::new(PathBuf::from("memory")).fs(Arc::new(MemFs::new())).open()
    }

    pub(crate) fn open_with(builder: Builder) -> Result<Self> {
        builder.check()?;
        let builder = builder.within_recovery_budget()?;
        let core = Arc::new(crate::recovery::recover(builder)?);
        let mut threads = Vec::new();
        let started = crate::background::spawn(&core, &mut threads);
        // Dropped if that failed, it stops those that run and gives back the lock.
        let db = Self { handle: Arc::new(Handle::new(core, threads)) };
        started.map(|()| db)
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    /// The folder it lives in.
    pub fn path(&self) -> &Path {
        &self.core().dir
    }

    /// The keyspace that every database has, and that `Db`'s own verbs work on.
    pub fn default_keyspace(&self) -> Keyspace {
        let name = DEFAULT_KEYSPACE.into();
        Keyspace::new(Arc::clone(&self.handle), KeyspaceId::DEFAULT, name)
    }

    /// Opens the keyspace `name`, creating it with `options` if there is none. An existing keyspace
    /// keeps the options it was created with.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when the name is empty or longer than 255 bytes or an
    /// option makes no sense; those of a write when the manifest cannot be written.
    pub fn keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        if let Some(keyspace) = self.find_keyspace(name)? {
            return Ok(keyspace);
        }
        let id = self.core().create_keyspace(name, options)?;
        Ok(Keyspace::new(Arc::clone(&self.handle), id, name.into()))
    }

    /// The keyspace `name`, if there is one.
    pub fn find_keyspace(&self, name: &str) -> Result<Option<Keyspace>> {
        self.core().check_open()?;
        let view = self.core().view.load();
        let found = view.trees().find(|tree| &*tree.name == name);
        Ok(found
            .map(|tree| Keyspace::new(Arc::clone(&self.handle), tree.id, Arc::clone(&tree.name))))
    }

    /// Drops the keyspace `name` with everything in it, in one durable step. Handles to it answer
    /// [`Closed`](crate::ErrorKind::Closed) from then on; scans already running go on.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when there is none or it is the default keyspace.
    pub fn drop_keyspace(&self, name: &str) -> Result<()> {
        self.core().drop_keyspace(name)
    }

    /// The names of all keyspaces, in the order of their creation.
    pub fn keyspaces(&self) -> Result<Vec<String>> {
        self.core().check_open()?;
        Ok(self.core().view.load().trees().map(|tree| tree.name.to_string()).collect())
    }

    /// Sets `key` to `value` in the default keyspace: see [`Keyspace::insert`].
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.default_keyspace().insert(key, value)
    }

    /// Removes `key` from the default keyspace: see [`Keyspace::remove`].
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.default_keyspace().remove(key)
    }

    /// An empty batch, for writes that happen together across keyspaces.
    pub fn batch(&self) -> Batch {
        Batch::new(&self.handle)
    }

    /// A consistent view of this moment, kept until it is dropped.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(&self.handle)
    }

    /// Makes all acknowledged writes as durable as `persist` says.
    pub fn persist(&self, persist: Persist) -> Result<()> {
        self.core().persist(persist)
    }

    /// Flushes the memtables of all keyspaces and returns when that is done.
    pub fn flush(&self) -> Result<()> {
        let ids: Vec<_> = self.core().view.load().trees().map(|tree| tree.id).collect();
        ids.into_iter().try_for_each(|id| self.core().flush_tree(id))
    }

    /// Compacts all keyspaces: see [`Keyspace::compact`].
    pub fn compact(&self) -> Result<()> {
        let ids: Vec<_> = self.core().view.load().trees().map(|tree| tree.id).collect();
        ids.into_iter().try_for_each(|id| self.core().compact_tree(id, None, None))
    }

    /// Returns once no flush or compaction is due or running.
    pub fn wait_idle(&self) -> Result<()> {
        self.core().wait_idle()
    }

    /// With [`Background::Manual`](crate::Background::Manual): does one piece of background work,
    /// if there is any; answers whether there was.
    pub fn step(&self) -> Result<bool> {
        self.core().check_open()?;
        self.core().step()
    }

    /// Writes a copy of the database as it is now to the new folder `dir`, itself an openable
    /// database. Tables are hard-linked, so it takes little time and space; both folders must be on
    /// one file system. Every write acknowledged before the call is in it.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when `dir` is not empty;
    /// [`Io`](crate::ErrorKind::Io) when the copy cannot be made: what was made of it is useless.
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<()> {
        self.core().checkpoint(dir.as_ref())
    }

    /// What the database holds and what it has done since it was opened.
    pub fn stats(&self) -> Result<Stats> {
        self.core().check_open()?;
        Ok(self.core().stats())
    }

    /// Closes the database: stops background work, makes the log durable, gives back the lock.
    /// Fails with [`Poisoned`](crate::ErrorKind::Poisoned), closed all the same, when the log or the
    /// manifest failed before.
    /// Other handles answer [`Closed`](crate::ErrorKind::Closed) from then on; closing one of them
    /// returns when the database is closed, with the same outcome. Dropping the last handle does the
    /// same, but cannot tell whether the last sync failed.
    ///
    /// A callback of [`Batch::commit_then`] that comes second cannot wait, and is refused with
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn close(self) -> Result<()> {
        self.handle.close()
    }

    /// Refuses a name that no keyspace may have.
    pub(crate) fn check_name(name: &str) -> Result<()> {
        if name.is_empty() || name.len() > 255 {
            return Err(Error::invalid("a keyspace's name has from 1 to 255 bytes"));
        }
        Ok(())
    }
}

/// Reads the default keyspace.
impl Read for Db {
    fn source(&self) -> ReadSource<'_> {
        ReadSource::now(&self.handle, KeyspaceId::DEFAULT)
    }
}
