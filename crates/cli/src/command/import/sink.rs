//! Records into batches, batches into the database, in order.

use alluvium::{Batch, Persist};
use anyhow::Result;

use super::Imported;
use crate::database::Database;

/// A batch is committed at this many records …
const BATCH_RECORDS: usize = 1000;
/// … or this many bytes, whichever comes first.
const BATCH_BYTES: usize = 1 << 20;

/// Commits records in batches and knows how many are safe.
#[derive(Debug)]
pub(super) struct Sink<'d> {
    database: &'d Database,
    persist: Persist,
    batch: Batch,
    imported: Imported,
    bytes: u64,
}

impl<'d> Sink<'d> {
    /// A sink whose batches are each as durable as `persist` says.
    pub(super) fn new(database: &'d Database, persist: Persist) -> Self {
        let batch = database.db.batch();
        Self { database, persist, batch, imported: Imported::default(), bytes: 0 }
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
        self.imported.durable = self.imported.committed;
        Ok(())
    }

    /// How many records are committed and durable so far.
    pub(super) fn imported(&self) -> Imported {
        self.imported
    }

    /// Bytes of the records taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn commit(&mut self) -> Result<()> {
        let batch = std::mem::replace(&mut self.batch, self.database.db.batch());
        let records = batch.len() as u64;
        batch.commit(self.persist)?;
        self.imported.committed += records;
        if self.persist == Persist::Sync {
            self.imported.durable = self.imported.committed;
        }
        Ok(())
    }
}
