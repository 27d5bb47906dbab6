//! How tables are built and read.

use alluvium_base::{Error, Result};

/// How data blocks are compressed. The numbers are in files for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compression {
    /// Stored as they are.
    None = 0,
    /// [LZ4 block format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md), where it
    /// saves at least an eighth.
    Lz4 = 1,
}

impl Compression {
    /// The compression stored as `byte`.
    pub(crate) const fn decode(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Lz4),
            _ => None,
        }
    }

    /// The byte that stands for it in files.
    pub(crate) const fn encode(self) -> u8 {
        self as u8
    }
}

/// Which filter tells that a table does not hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterKind {
    /// None: every lookup reads a block.
    None,
    /// A Bloom filter that answers from one cache line: about 1 % wrong "maybe" at 10 bits.
    Blocked {
        /// Bits for each user key, 1 to 32.
        bits_per_key: u8,
    },
    /// The textbook Bloom filter: fewer wrong answers, several times slower.
    Standard {
        /// Bits for each user key, 1 to 32.
        bits_per_key: u8,
    },
}

/// Most filter bits a key can get.
const MAX_BITS_PER_KEY: u8 = 32;

impl FilterKind {
    /// The two bytes that stand for it in files: which one, and its bits per key.
    pub(crate) const fn encode(self) -> [u8; 2] {
        match self {
            Self::None => [0, 0],
            Self::Blocked { bits_per_key } => [1, bits_per_key],
            Self::Standard { bits_per_key } => [2, bits_per_key],
        }
    }

    /// The filter that [`encode`](Self::encode) made these bytes for.
    pub(crate) const fn decode([kind, bits_per_key]: [u8; 2]) -> Option<Self> {
        match (kind, bits_per_key) {
            (0, 0) => Some(Self::None),
            (1, 1..=MAX_BITS_PER_KEY) => Some(Self::Blocked { bits_per_key }),
            (2, 1..=MAX_BITS_PER_KEY) => Some(Self::Standard { bits_per_key }),
            _ => None,
        }
    }
}

/// How a table is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// Where data blocks are cut, by what they take in a cache, in bytes: 64 to 16 Mi. That is before
    /// compression, and with what makes searches fast. A larger entry gets a block of its own. Larger blocks
    /// compress better and make point reads dearer; allocators like powers of two.
    pub block_size: usize,
    /// How data blocks are compressed.
    pub compression: Compression,
    /// Which filter is built over the user keys.
    pub filter: FilterKind,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            block_size: 4096,
            compression: Compression::Lz4,
            filter: FilterKind::Blocked { bits_per_key: 10 },
        }
    }
}

/// Largest block size one can ask for, in bytes.
const MAX_BLOCK_SIZE: usize = 16 << 20;

impl TableOptions {
    /// Refuses options that make no sense.
    pub(crate) fn check(&self) -> Result<()> {
        if !(64..=MAX_BLOCK_SIZE).contains(&self.block_size) {
            return Err(Error::invalid(format!(
                "a block size of {} bytes is not between 64 and {MAX_BLOCK_SIZE}",
                self.block_size
            )));
        }
        if FilterKind::decode(self.filter.encode()).is_none() {
            return Err(Error::invalid(format!(
                "a filter has 1 to {MAX_BITS_PER_KEY} bits per key, not {:?}",
                self.filter
            )));
        }
        Ok(())
    }
}

/// How a cursor reads a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Whether blocks read from disk stay in the cache. Compaction says no: it reads each once.
    /// Such a cursor still uses what is cached, without counting or prolonging it.
    pub fill_cache: bool,
    /// Whether many blocks are read with one call from the first on. Without it the cursor begins
    /// with single blocks and reads ever longer stretches while it finds none of them cached.
    pub readahead: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { fill_cache: true, readahead: false }
    }
}
