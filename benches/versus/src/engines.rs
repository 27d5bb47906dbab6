//! The engines behind one trait.

mod alluvium;
mod fjall;
#[cfg(feature = "lmdb")]
mod lmdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;

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

    /// Shows the value, if there is one, and returns what `check` makes of it.
    fn get(&self, key: &[u8], check: &mut dyn FnMut(&[u8]) -> bool) -> Result<Option<bool>>;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "lower")]
pub enum EngineName {
    Alluvium,
    Fjall,
    Redb,
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    #[cfg(feature = "lmdb")]
    Lmdb,
}

impl EngineName {
    /// Opens a fresh database.
    pub fn open(self, dir: &Path, cache_bytes: u64) -> Result<Arc<dyn Engine>> {
        Ok(match self {
            Self::Alluvium => Arc::new(alluvium::Alluvium::open(dir, cache_bytes)?),
            Self::Fjall => Arc::new(fjall::Fjall::open(dir, cache_bytes)?),
            Self::Redb => Arc::new(redb::Redb::open(dir, cache_bytes)?),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => Arc::new(rocksdb::Rocks::open(dir, cache_bytes)?),
            #[cfg(feature = "lmdb")]
            Self::Lmdb => Arc::new(lmdb::Lmdb::open(dir)?),
        })
    }
}
