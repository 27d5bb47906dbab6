//! redb 4, one transaction a write, with its default options but for the cache.

use std::path::Path;

use anyhow::Result;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::{Engine, Order};
use crate::load::Key;

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("default");

pub struct Redb {
    db: Database,
}

impl Redb {
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes as usize);
        let db = builder.create(dir.join("redb"))?;
        let transaction = db.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self { db })
    }
}

impl Engine for Redb {
    fn put(&self, key: &[u8], value: &[u8], is_synced: bool) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        if !is_synced {
            transaction.set_durability(Durability::None)?;
        }
        transaction.open_table(TABLE)?.insert(key, value)?;
        Ok(transaction.commit()?)
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(Durability::None)?;
        transaction.open_table(TABLE)?.remove(key)?;
        Ok(transaction.commit()?)
    }

    fn put_all(&self, entries: &[(Key, Vec<u8>)]) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(Durability::None)?;
        let mut table = transaction.open_table(TABLE)?;
        for (key, value) in entries {
            table.insert(key.as_slice(), value.as_slice())?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<bool>> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| check(value.value())))
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        limit: usize,
        order: Order,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        let mut count = 0;
        match order {
            Order::Ascending => {
                for entry in table.range(from.unwrap_or_default()..)?.take(limit) {
                    let (key, value) = entry?;
                    show(key.value(), value.value());
                    count += 1;
                }
            }
            Order::Descending => {
                let end = from.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Included);
                let range = (std::ops::Bound::<&[u8]>::Unbounded, end);
                for entry in table.range::<&[u8]>(range)?.rev().take(limit) {
                    let (key, value) = entry?;
                    show(key.value(), value.value());
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    fn drain(&self) -> Result<()> {
        Ok(())
    }
}
