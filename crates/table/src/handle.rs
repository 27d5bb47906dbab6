//! Where a piece of a table lies.

use alluvium_base::codec::Decoder;

/// Offset and length of a frame (payload and trailer) in its file. As decoded it is a claim: who
/// decodes one checks it against the file before anything is allocated for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Handle {
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// How long it is, trailer included, in bytes.
    pub(crate) len: u64,
}

impl Handle {
    /// Bytes of an encoded handle: offset and length, `u64` each, little-endian.
    pub(crate) const SIZE: usize = 2 * size_of::<u64>();

    /// Where it ends, or `None` when no file can be that long.
    pub(crate) const fn end(self) -> Option<u64> {
        self.offset.checked_add(self.len)
    }

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
    }

    pub(crate) fn read(decoder: &mut Decoder<'_>) -> Option<Self> {
        Some(Self { offset: decoder.u64()?, len: decoder.u64()? })
    }
}
