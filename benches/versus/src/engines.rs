//! The engines behind one trait.

mod alluvium;
mod fjall;
#[cfg(feature = "lmdb")]
mod lmdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::load::Key;

/// Size of a write buffer, for every engine that has one.
pub const WRITE_BUFFER_BYTES: u64 = 64 << 20;

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// A storage engine with one keyspace. Without sync, a write survives the death of the process.
pub trait Engine: Send + Sync {
    fn put(&self, key: &[u8], value: &[u8], is_synced: bool) -> Result<()>;

    fn remove(&self, key: &[u8]) -> Result<()>;

    /// Puts all of them or, at a crash, none; not synced.
    fn put_all(&self, entries: &[(Key, Vec<u8>)]) -> Result<()>;

    /// Shows the value, if there is one, and returns what `check` makes of it.
    fn get(&self, key: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<bool>>;

    /// Shows the values of several keys, by place among `keys`, in one call where there is one.
    fn get_many(&self, keys: &[Key], show: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        for (at, key) in keys.iter().enumerate() {
            self.get(key, &mut |value| {
                show(at, value);
                true
            })?;
        }
        Ok(())
    }

    /// Shows up to `limit` entries from `from` on (or from the end of the order), and counts them.
    fn scan(
        &self,
        from: Option<&[u8]>,
        limit: usize,
        order: Order,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize>;

    /// Returns once nothing is left to flush or compact.
    fn drain(&self) -> Result<()>;
}

/// The engines there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[value(rename_all = "kebab-case")]
pub enum EngineName {
    Alluvium,
    Fjall,
    Redb,
    Sled,
    /// With LZ4, filters, HyperClock cache and dynamic levels.
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    /// As it comes, but for the sizes of cache and write buffer.
    #[cfg(feature = "rocksdb")]
    RocksdbDefault,
    #[cfg(feature = "lmdb")]
    Lmdb,
}

impl EngineName {
    /// The argument that chooses it.
    pub fn argument(self) -> String {
        let value = self.to_possible_value().expect("no engine is hidden");
        value.get_name().to_owned()
    }

    /// Opens the database in `dir`, or makes one.
    pub fn open(self, dir: &Path, cache_bytes: u64) -> Result<Arc<dyn Engine>> {
        Ok(match self {
            Self::Alluvium => Arc::new(alluvium::Alluvium::open(dir, cache_bytes)?),
            Self::Fjall => Arc::new(fjall::Fjall::open(dir, cache_bytes)?),
            Self::Redb => Arc::new(redb::Redb::open(dir, cache_bytes)?),
            Self::Sled => Arc::new(sled::Sled::open(dir, cache_bytes)?),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => Arc::new(rocksdb::Rocks::open_tuned(dir, cache_bytes)?),
            #[cfg(feature = "rocksdb")]
            Self::RocksdbDefault => Arc::new(rocksdb::Rocks::open_default(dir, cache_bytes)?),
            #[cfg(feature = "lmdb")]
            Self::Lmdb => Arc::new(lmdb::Lmdb::open(dir)?),
        })
    }
}
