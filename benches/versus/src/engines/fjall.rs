//! fjall 3, with its default options but for cache and memtable size.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Order, WRITE_BUFFER_BYTES};
use crate::load::Key;

pub struct Fjall {
    db: Database,
    keyspace: Keyspace,
}

impl Fjall {
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        let db = Database::builder(dir).cache_size(cache_bytes).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(WRITE_BUFFER_BYTES);
        let keyspace = db.keyspace("default", options)?;
        Ok(Self { db, keyspace })
    }
}

impl Engine for Fjall {
    fn put(&self, key: &[u8], value: &[u8], is_synced: bool) -> Result<()> {
        self.keyspace.insert(key, value)?;
        if is_synced {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        Ok(self.keyspace.remove(key)?)
    }

    fn put_all(&self, entries: &[(Key, Vec<u8>)]) -> Result<()> {
        let mut batch = self.db.batch();
        for (key, value) in entries {
            batch.insert(&self.keyspace, key, value.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<bool>> {
        Ok(self.keyspace.get(key)?.map(|value| check(&value)))
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        limit: usize,
        order: Order,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut count = 0;
        let mut each = |guard: fjall::Guard| -> Result<()> {
            let (key, value) = guard.into_inner()?;
            show(&key, &value);
            count += 1;
            Ok(())
        };
        match order {
            Order::Ascending => self
                .keyspace
                .range(from.unwrap_or_default()..)
                .take(limit)
                .try_for_each(&mut each)?,
            Order::Descending => {
                let end = from.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Included);
                let range = (std::ops::Bound::<&[u8]>::Unbounded, end);
                self.keyspace.range::<&[u8], _>(range).rev().take(limit).try_for_each(&mut each)?;
            }
        }
        Ok(count)
    }

    /// fjall flushes and compacts in the background and offers counters, not a wait.
    fn drain(&self) -> Result<()> {
        self.keyspace.rotate_memtable_and_wait()?;
        let mut calm = 0;
        while calm < 3 {
            let is_calm = self.db.outstanding_flushes() == 0 && self.db.active_compactions() == 0;
            calm = if is_calm { calm + 1 } else { 0 };
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
