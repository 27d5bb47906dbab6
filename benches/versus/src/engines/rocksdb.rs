//! RocksDB as it comes, and tuned: LZ4, 10-bit filters, HyperClock cache, dynamic levels.

use std::path::Path;

use anyhow::Result;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Options, WaitForCompactOptions, WriteBatch,
    WriteOptions,
};

use super::{Engine, Order, WRITE_BUFFER_BYTES};
use crate::load::Key;

pub struct Rocks {
    db: DB,
    synced: WriteOptions,
}

impl Rocks {
    pub fn open_tuned(dir: &Path, cache_bytes: u64) -> Result<Self> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_hyper_clock_cache(cache_bytes as usize, 0));
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        Self::open(options, dir)
    }

    pub fn open_default(dir: &Path, cache_bytes: u64) -> Result<Self> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(cache_bytes as usize));
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        Self::open(options, dir)
    }

    fn open(mut options: Options, dir: &Path) -> Result<Self> {
        options.create_if_missing(true);
        options.set_write_buffer_size(WRITE_BUFFER_BYTES as usize);
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Self { db: DB::open(&options, dir)?, synced })
    }
}

impl Engine for Rocks {
    fn put(&self, key: &[u8], value: &[u8], is_synced: bool) -> Result<()> {
        if is_synced {
            return Ok(self.db.put_opt(key, value, &self.synced)?);
        }
        Ok(self.db.put(key, value)?)
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        Ok(self.db.delete(key)?)
    }

    fn put_all(&self, entries: &[(Key, Vec<u8>)]) -> Result<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in entries {
            batch.put(key, value);
        }
        Ok(self.db.write(batch)?)
    }

    fn get(&self, key: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<bool>> {
        Ok(self.db.get_pinned(key)?.map(|value| check(&value)))
    }

    fn get_many(&self, keys: &[Key], show: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        for (at, value) in self.db.multi_get(keys).into_iter().enumerate() {
            if let Some(value) = value? {
                show(at, &value);
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
        // The one that only borrows keys and values.
        let mut cursor = self.db.raw_iterator();
        match (from, order) {
            (Some(from), Order::Ascending) => cursor.seek(from),
            (Some(from), Order::Descending) => cursor.seek_for_prev(from),
            (None, Order::Ascending) => cursor.seek_to_first(),
            (None, Order::Descending) => cursor.seek_to_last(),
        }
        let mut count = 0;
        while count < limit {
            let Some((key, value)) = cursor.item() else { break };
            show(key, value);
            count += 1;
            match order {
                Order::Ascending => cursor.next(),
                Order::Descending => cursor.prev(),
            }
        }
        cursor.status()?;
        Ok(count)
    }

    fn drain(&self) -> Result<()> {
        self.db.flush()?;
        Ok(self.db.wait_for_compact(&WaitForCompactOptions::default())?)
    }
}
