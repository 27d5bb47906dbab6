//! The checksum of every file of ours: CRC-32 (IEEE), as `crc32fast` computes it.

/// The checksum of `bytes`.
#[inline]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A checksum over several pieces, as if they stood side by side.
///
/// ```
/// use alluvium_base::checksum::{crc32, Checksum};
/// assert_eq!(Checksum::new().with(b"silt ").with(b"and sand").finish(), crc32(b"silt and sand"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Checksum(crc32fast::Hasher);

impl Checksum {
    /// The checksum of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes` behind what was added before.
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    /// The checksum of all that was added.
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}
