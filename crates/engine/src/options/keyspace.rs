//! Options of one keyspace, each with its unit and default.

use alluvium_base::memory;
use alluvium_compaction::CompactionOptions;
use alluvium_manifest::Level;
use alluvium_table::{FilterKind, TableOptions};
use serde::{Deserialize, Serialize};

use super::MIB;
use crate::{Error, Result};

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Compression {
    /// Not at all.
    None,
    /// With LZ4, unless a block does not shrink by an eighth.
    #[default]
    Lz4,
}

/// What spares a lookup the tables that do not hold its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filter {
    /// No filter: smaller files, more reads.
    None,
    /// A Bloom filter in which a lookup touches one cache line.
    Blocked {
        /// Bits a key; 10 err in about 1 of 100 lookups.
        bits_per_key: u8,
    },
    /// The textbook Bloom filter: fewer errors a bit, more cache lines.
    Standard {
        /// Bits a key; 10 err in about 1 of 120 lookups.
        bits_per_key: u8,
    },
}

impl Filter {
    fn bits_per_key(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Blocked { bits_per_key } | Self::Standard { bits_per_key } => Some(bits_per_key),
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::Blocked { bits_per_key: 10 }
    }
}

/// Options of one keyspace; stored with it when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyspaceOptions {
    /// Size at which a memtable is set aside and flushed, in bytes. Default 64 MiB, or a sixteenth
    /// of the memory that the system lets the process have, whichever is less. The memory of one
    /// that was flushed is kept for the next, unless the database has a budget of memory.
    pub write_buffer_size: u64,
    /// Memtables held at once, the active one included, before writes wait for a flush.
    /// Default 3.
    pub max_write_buffers: usize,
    /// Size of a data block before compression, as it lies in the cache, in bytes. Default 4 KiB.
    pub block_size: usize,
    /// Compression of the tables of each level, L0 first; deeper levels use the last one given.
    /// Default LZ4 everywhere.
    pub compression: Vec<Compression>,
    /// Filter of new tables. Default a blocked one with 10 bits a key.
    pub filter: Filter,
    /// Tables in L0 at which they are compacted, even if nobody reads; where reads have lost
    /// a sixteenth of what a compaction costs to them, they are before. Default 12.
    pub l0_trigger: usize,
    /// Tables in L0 from which writes are slowed, the more the nearer to `l0_stop`. Default 24.
    pub l0_slowdown: usize,
    /// Tables in L0 at which writes wait. Default 48.
    pub l0_stop: usize,
    /// Size of the first level below L0, in bytes. Default 256 MiB.
    pub level_base_bytes: u64,
    /// How many times larger each level is than the one above. Default 10.
    pub level_multiplier: u64,
    /// Size at which compaction begins another table, in bytes. Default 64 MiB.
    pub target_file_size: u64,
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        let memory = memory::limit_bytes().unwrap_or(u64::MAX);
        Self {
            write_buffer_size: (64 * MIB).min(memory / 16).max(MIB),
            max_write_buffers: 3,
            block_size: 4096,
            compression: vec![Compression::Lz4],
            filter: Filter::default(),
            l0_trigger: 12,
            l0_slowdown: 24,
            l0_stop: 48,
            level_base_bytes: 256 * MIB,
            level_multiplier: 10,
            target_file_size: 64 * MIB,
        }
    }
}

impl KeyspaceOptions {
    /// Refuses values that make no sense, each with the range that does.
    pub(crate) fn check(&self) -> Result<()> {
        let rules = [
            (self.write_buffer_size >= 1, "write_buffer_size must be at least 1 byte"),
            (self.max_write_buffers >= 2, "max_write_buffers must be at least 2"),
            (
                (64..=16 << 20).contains(&self.block_size),
                "block_size must be from 64 bytes to 16 MiB",
            ),
            (!self.compression.is_empty(), "compression needs one entry at least"),
            (self.l0_trigger >= 1, "l0_trigger must be at least 1"),
            (
                self.l0_trigger <= self.l0_slowdown && self.l0_slowdown < self.l0_stop,
                "l0_trigger, l0_slowdown and l0_stop must rise in this order",
            ),
            (
                self.filter.bits_per_key().is_none_or(|bits| (1..=32).contains(&bits)),
                "a filter needs from 1 to 32 bits per key: Filter::None has none",
            ),
            (self.level_base_bytes >= 1, "level_base_bytes must be at least 1 byte"),
            (
                (2..=1000).contains(&self.level_multiplier),
                "level_multiplier must be from 2 to 1000",
            ),
            (self.target_file_size >= 1, "target_file_size must be at least 1 byte"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Error::invalid(rule)),
            None => Ok(()),
        }
    }

    pub(crate) fn compaction(&self) -> CompactionOptions {
        CompactionOptions {
            l0_trigger: self.l0_trigger,
            level_base_bytes: self.level_base_bytes,
            level_multiplier: self.level_multiplier,
            target_file_size: self.target_file_size,
            max_compaction_bytes: self.target_file_size.saturating_mul(25),
        }
    }

    pub(crate) fn table(&self, level: Level) -> TableOptions {
        let at = usize::from(level.0).min(self.compression.len() - 1);
        TableOptions {
            block_size: self.block_size,
            compression: match self.compression[at] {
                Compression::None => alluvium_table::Compression::None,
                Compression::Lz4 => alluvium_table::Compression::Lz4,
            },
            filter: match self.filter {
                Filter::None => FilterKind::None,
                Filter::Blocked { bits_per_key } => FilterKind::Blocked { bits_per_key },
                Filter::Standard { bits_per_key } => FilterKind::Standard { bits_per_key },
            },
        }
    }
}
