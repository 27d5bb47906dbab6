//! Alluvium, with default options but for the cache.

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use alluvium::{Db, Persist, Read};
use anyhow::Result;

use super::{Engine, Order, WRITE_BUFFER_BYTES};
use crate::load::Key;

pub struct Alluvium {
    db: Db,
}

impl Alluvium {
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        let keyspace = alluvium::KeyspaceOptions {
            write_buffer_size: WRITE_BUFFER_BYTES,
            ..Default::default()
        };
        let builder = Db::builder(dir).cache_bytes(cache_bytes).default_keyspace(keyspace);
        Ok(Self { db: builder.open()? })
    }
}

impl Engine for Alluvium {
    fn put(&self, key: &[u8], value: &[u8], is_synced: bool) -> Result<()> {
        if !is_synced {
            return Ok(self.db.insert(key, value)?);
        }
        let mut batch = self.db.batch();
        batch.insert(&self.db.default_keyspace(), key, value);
        Ok(batch.commit(Persist::Sync)?)
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        Ok(self.db.remove(key)?)
    }

    fn put_all(&self, entries: &[(Key, Vec<u8>)]) -> Result<()> {
        let keyspace = self.db.default_keyspace();
        let mut batch = self.db.batch();
        for (key, value) in entries {
            batch.insert(&keyspace, key, value);
        }
        Ok(batch.commit(Persist::Buffer)?)
    }

    fn get(&self, key: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<bool>> {
        Ok(self.db.get(key)?.map(|value| check(&value)))
    }

    fn get_many(&self, keys: &[Key], show: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        for (at, value) in self.db.get_many(keys)?.iter().enumerate() {
            if let Some(value) = value {
                show(at, value);
            }
        }
        Ok(())
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        limit: usize,
        order: Order,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut count = 0;
        let visit = |key: &[u8], value: &[u8]| {
            show(key, value);
            count += 1;
            if count < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        match order {
            Order::Ascending => self.db.range(from.unwrap_or_default()..).visit(visit)?,
            Order::Descending => {
                let end = from.map_or(Bound::Unbounded, Bound::Included);
                self.db.range((Bound::Unbounded, end)).visit_back(visit)?;
            }
        }
        Ok(count)
    }

    fn drain(&self) -> Result<()> {
        self.db.flush()?;
        Ok(self.db.wait_idle()?)
    }
}
