//! sled 0.34, with its default options but for the cache.

use std::path::Path;

use anyhow::Result;
use sled::{Batch, Config, Db};

use super::{Engine, Order};
use crate::load::Key;

pub struct Sled {
    db: Db,
}

impl Sled {
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        Ok(Self { db: Config::new().path(dir.join("sled")).cache_capacity(cache_bytes).open()? })
    }
}

impl Engine for Sled {
    fn put(&self, key: &[u8], value: &[u8], is_synced: bool) -> Result<()> {
        self.db.insert(key, value)?;
        if is_synced {
            self.db.flush()?;
        }
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        self.db.remove(key)?;
        Ok(())
    }

    fn put_all(&self, entries: &[(Key, Vec<u8>)]) -> Result<()> {
        let mut batch = Batch::default();
        for (key, value) in entries {
            batch.insert(key, value.as_slice());
        }
        Ok(self.db.apply_batch(batch)?)
    }

    fn get(&self, key: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<bool>> {
        Ok(self.db.get(key)?.map(|value| check(&value)))
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        limit: usize,
        order: Order,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut count = 0;
        let mut each = |entry: sled::Result<(sled::IVec, sled::IVec)>| -> Result<()> {
            let (key, value) = entry?;
            show(&key, &value);
            count += 1;
            Ok(())
        };
        match order {
            Order::Ascending => {
                let entries = self.db.range(from.unwrap_or_default()..);
                entries.take(limit).try_for_each(&mut each)?;
            }
            Order::Descending => {
                let entries = from.map_or_else(|| self.db.iter(), |from| self.db.range(..=from));
                entries.rev().take(limit).try_for_each(&mut each)?;
            }
        }
        Ok(count)
    }

    fn drain(&self) -> Result<()> {
        Ok(())
    }
}
