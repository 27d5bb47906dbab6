//! LMDB, one transaction a write.
#![allow(unsafe_code, reason = "opening an LMDB environment is unsafe")]

use std::ops::Bound;
use std::path::Path;

use anyhow::Result;
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, WithoutTls};

use super::{Engine, Order};
use crate::load::Key;

/// Address space set aside: more than any run needs.
const MAP_BYTES: usize = 64 << 30;

pub struct Lmdb {
    env: Env<WithoutTls>,
    db: Database<Bytes, Bytes>,
}

impl Lmdb {
    pub fn open(dir: &Path) -> Result<Self> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP_BYTES);
        // SAFETY: the folder is ours alone; without NO_SYNC every commit would be synced, and
        // `put` syncs where the workload asks for it.
        let env = unsafe { options.flags(EnvFlags::NO_SYNC).open(dir)? };
        let mut transaction = env.write_txn()?;
        let db = env.create_database(&mut transaction, None)?;
        transaction.commit()?;
        Ok(Self { env, db })
    }
}

impl Engine for Lmdb {
    fn put(&self, key: &[u8], value: &[u8], is_synced: bool) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.db.put(&mut transaction, key, value)?;
        transaction.commit()?;
        if is_synced {
            self.env.force_sync()?;
        }
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.db.delete(&mut transaction, key)?;
        Ok(transaction.commit()?)
    }

    fn put_all(&self, entries: &[(Key, Vec<u8>)]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in entries {
            self.db.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<bool>> {
        let transaction = self.env.read_txn()?;
        Ok(self.db.get(&transaction, key)?.map(check))
    }

    fn get_many(&self, keys: &[Key], show: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        let transaction = self.env.read_txn()?;
        for (at, key) in keys.iter().enumerate() {
            if let Some(value) = self.db.get(&transaction, key)? {
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
        let transaction = self.env.read_txn()?;
        let bound = from.map_or(Bound::Unbounded, Bound::Included);
        let mut count = 0;
        match order {
            Order::Ascending => {
                let range = (bound, Bound::<&[u8]>::Unbounded);
                for entry in self.db.range(&transaction, &range)?.take(limit) {
                    let (key, value) = entry?;
                    show(key, value);
                    count += 1;
                }
            }
            Order::Descending => {
                let range = (Bound::<&[u8]>::Unbounded, bound);
                for entry in self.db.rev_range(&transaction, &range)?.take(limit) {
                    let (key, value) = entry?;
                    show(key, value);
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
