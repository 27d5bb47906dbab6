//! Records into batches, batches into the database, in order.
//!
//! Every few megabytes the log is made durable on the side, while the import goes on: when something
//! stops it, most of what was read is known to be on the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium::{Batch, Persist};
use anyhow::Result;

use super::Imported;
use crate::database::Database;

/// A batch is committed at this many records …
const BATCH_RECORDS: usize = 1000;
/// … or this many bytes, whichever comes first.
const BATCH_BYTES: usize = 1 << 20;
/// The log is made durable at this many bytes.
const SYNC_BYTES: usize = 32 << 20;

/// Commits records in batches and knows how many are safe.
#[derive(Debug)]
pub(super) struct Sink<'d> {
    database: &'d Database,
    persist: Persist,
    batch: Batch,
    committed: u64,
    /// Of those, the ones known to be on the disk; counted up by a thread of the database.
    durable: Arc<AtomicU64>,
    bytes: u64,
    /// Bytes committed since the log was last made durable.
    unsynced_bytes: usize,
}

impl<'d> Sink<'d> {
    /// A sink whose batches are each as durable as `persist` says.
    pub(super) fn new(database: &'d Database, persist: Persist) -> Self {
        let batch = database.db.batch();
        let durable = Arc::new(AtomicU64::new(0));
        Self { database, persist, batch, committed: 0, durable, bytes: 0, unsynced_bytes: 0 }
    }

    /// Takes a record; answers whether that committed a batch.
    pub(super) fn add(&mut self, key: &[u8], record: &[u8]) -> Result<bool> {
        self.batch.insert(&self.database.keyspace, key, record);
        self.bytes += record.len() as u64;
        let is_full = self.batch.len() >= BATCH_RECORDS || self.batch.size_bytes() >= BATCH_BYTES;
        if is_full {
            self.commit()?;
        }
        Ok(is_full)
    }

    /// Commits what is left and makes everything durable.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.commit()?;
        self.database.db.persist(Persist::Sync)?;
        self.durable.store(self.committed, Ordering::Release);
        Ok(())
    }

    /// How many records are committed and durable so far.
    pub(super) fn imported(&self) -> Imported {
        Imported { committed: self.committed, durable: self.durable.load(Ordering::Acquire) }
    }

    /// Bytes of the records taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn commit(&mut self) -> Result<()> {
        let batch = std::mem::replace(&mut self.batch, self.database.db.batch());
        let committed = self.committed + batch.len() as u64;
        self.unsynced_bytes += batch.size_bytes();
        if self.persist == Persist::Sync {
            batch.commit(Persist::Sync)?;
            self.durable.store(committed, Ordering::Release);
        } else if self.unsynced_bytes >= SYNC_BYTES {
            self.unsynced_bytes = 0;
            let durable = Arc::clone(&self.durable);
            batch.commit_then(Persist::Sync, move |synced| {
                // A failure poisons the database: the next commit tells it.
                if synced.is_ok() {
                    durable.fetch_max(committed, Ordering::AcqRel);
                }
            })?;
        } else {
            batch.commit(Persist::Buffer)?;
        }
        self.committed = committed;
        Ok(())
    }
}
