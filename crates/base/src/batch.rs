//! Write batches: the atomic unit, encoded once.
//!
//! The same bytes are the payload of the log record, the memory that memtable entries point into,
//! and what a replica is sent. Entry *i* of a batch has the sequence `first + i`, so the batch
//! itself holds no sequence numbers.
//!
//! ```text
//! batch  := entry_count: u32 | entry…
//! entry  := kind: u8 | keyspace: varint | key_len: varint | key | value_len: varint | stored value
//! ```
//!
//! All integers are little-endian. The stored value of [`Kind::PutExpiring`] begins with its expiry
//! (`u64`, milliseconds since the Unix epoch), that of [`Kind::Delete`] is empty, and that of
//! [`Kind::DeleteRange`] is the end of the range, which is not part of it.

use std::ops::Range;

use bytes::Bytes;

use crate::codec::{Decoder, put_slice, put_varint};
use crate::error::{Error, Result};
use crate::key::{EXPIRY_BYTES, Kind, check_limits};

/// Names a keyspace inside a database; never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u32);

impl KeyspaceId {
    /// The keyspace that every database has.
    pub const DEFAULT: Self = Self(0);
}

/// Largest encoded batch, in bytes.
pub const MAX_BATCH_BYTES: usize = 1 << 30;

const COUNT_BYTES: usize = size_of::<u32>();

/// Collects writes into one atomic unit.
///
/// ```
/// use alluvium_base::{BatchReader, KeyspaceId, Kind, WriteBatch};
/// let mut batch = WriteBatch::new();
/// batch.put(KeyspaceId::DEFAULT, b"river", b"rhine")?;
/// batch.delete(KeyspaceId::DEFAULT, b"lake")?;
/// let bytes = batch.into_bytes();
/// let kinds: Vec<Kind> = BatchReader::new(&bytes)?.map(|entry| entry.map(|e| e.kind)).collect::<Result<_, _>>()?;
/// assert_eq!(kinds, [Kind::Put, Kind::Delete]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    count: u32,
}

impl Default for WriteBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl WriteBatch {
    /// A batch without entries.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// A batch without entries, with room for `payload_bytes` of keys, values and their lengths.
    pub fn with_capacity(payload_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(COUNT_BYTES + payload_bytes);
        bytes.extend_from_slice(&[0; COUNT_BYTES]);
        Self { bytes, count: 0 }
    }

    /// How many entries it has.
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether it has no entries.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its size once encoded, in bytes.
    pub const fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> Result<()> {
        self.entry(Kind::Put, keyspace, key, &[value])
    }

    /// Sets `key` to `value` until `expiry_ms`, in milliseconds since the Unix epoch.
    pub fn put_expiring(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &[u8],
        expiry_ms: u64,
    ) -> Result<()> {
        self.entry(Kind::PutExpiring, keyspace, key, &[&expiry_ms.to_le_bytes(), value])
    }

    /// Removes `key`.
    pub fn delete(&mut self, keyspace: KeyspaceId, key: &[u8]) -> Result<()> {
        self.entry(Kind::Delete, keyspace, key, &[])
    }

    /// The encoded batch.
    pub fn into_bytes(mut self) -> Bytes {
        self.bytes[..COUNT_BYTES].copy_from_slice(&self.count.to_le_bytes());
        // A memtable keeps these bytes alive and accounts for their length: spare room would be
        // memory that nobody counts.
        if self.bytes.capacity() > self.bytes.len() + self.bytes.len() / 8 + 16 {
            self.bytes.shrink_to_fit();
        }
        Bytes::from(self.bytes)
    }

    /// Appends an entry whose stored value is `value_parts` side by side. A refused entry leaves
    /// the batch as it was.
    fn entry(
        &mut self,
        kind: Kind,
        keyspace: KeyspaceId,
        key: &[u8],
        value_parts: &[&[u8]],
    ) -> Result<()> {
        let value_bytes: usize = value_parts.iter().map(|part| part.len()).sum();
        let expiry_bytes = if kind == Kind::PutExpiring { EXPIRY_BYTES } else { 0 };
        check_limits(key.len(), value_bytes - expiry_bytes)?;
        // Kind, keyspace and two lengths take at most 1 + 5 + 3 + 5 bytes.
        if self.bytes.len() + key.len() + value_bytes + 14 > MAX_BATCH_BYTES {
            return Err(Error::invalid(format!(
                "the batch would exceed {MAX_BATCH_BYTES} bytes: commit it in parts"
            )));
        }
        self.bytes.push(kind.encode());
        put_varint(&mut self.bytes, u64::from(keyspace.0));
        put_slice(&mut self.bytes, key);
        put_varint(&mut self.bytes, value_bytes as u64);
        for part in value_parts {
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
        Ok(())
    }
}

/// One entry of an encoded batch: where its key and stored value lie in the batch's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// The keyspace it writes to.
    pub keyspace: KeyspaceId,
    /// What it does.
    pub kind: Kind,
    /// The user key, as a range of the batch's bytes.
    pub key: Range<usize>,
    /// The stored value, as a range of the batch's bytes.
    pub value: Range<usize>,
}

/// Walks the entries of an encoded batch that may hold anything.
#[derive(Clone, Debug)]
pub struct BatchReader<'a> {
    decoder: Decoder<'a>,
    left: u32,
}

impl<'a> BatchReader<'a> {
    /// Starts at the first entry. Fails with [`Error::Invalid`] when `bytes` is no batch.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut decoder = Decoder::new(bytes);
        let left = decoder.u32().ok_or_else(|| Error::invalid("a batch begins with its count"))?;
        Ok(Self { decoder, left })
    }

    /// How many entries are left, as the batch claims.
    pub const fn entries_left(&self) -> u32 {
        self.left
    }

    fn entry(&mut self) -> Option<BatchEntry> {
        let kind = Kind::decode(self.decoder.u8()?)?;
        let keyspace = KeyspaceId(u32::try_from(self.decoder.varint()?).ok()?);
        let key = self.range()?;
        let value = self.range()?;
        let expiry_bytes = match kind {
            Kind::Delete if !value.is_empty() => return None,
            Kind::PutExpiring => EXPIRY_BYTES,
            Kind::Delete | Kind::Put | Kind::Merge | Kind::DeleteRange => 0,
        };
        let value_bytes = value.len().checked_sub(expiry_bytes)?;
        check_limits(key.len(), value_bytes).ok()?;
        Some(BatchEntry { keyspace, kind, key, value })
    }

    fn range(&mut self) -> Option<Range<usize>> {
        let length = self.decoder.length()?;
        let start = self.decoder.position();
        self.decoder.bytes(length)?;
        Some(start..start + length)
    }
}

impl Iterator for BatchReader<'_> {
    type Item = Result<BatchEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.decoder.is_empty() {
                return None;
            }
            self.decoder = Decoder::new(&[]);
            return Some(Err(Error::invalid("bytes follow the last entry of a batch")));
        }
        let at = self.decoder.position();
        self.left -= 1;
        let entry = self.entry();
        if entry.is_none() {
            (self.left, self.decoder) = (0, Decoder::new(&[]));
        }
        Some(entry.ok_or_else(|| Error::invalid(format!("no batch entry at byte {at}"))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_come_back_as_they_went_in() {
        let mut batch = WriteBatch::new();
        batch.put(KeyspaceId(3), b"k", b"v").expect("within limits");
        batch.put_expiring(KeyspaceId::DEFAULT, b"", b"", 77).expect("within limits");
        batch.delete(KeyspaceId(300), b"gone").expect("within limits");
        assert_eq!(batch.len(), 3);
        let bytes = batch.into_bytes();
        let entries: Vec<_> =
            BatchReader::new(&bytes).and_then(Iterator::collect).expect("well-formed");
        assert_eq!(&bytes[entries[0].key.clone()], b"k");
        assert_eq!(&bytes[entries[0].value.clone()], b"v");
        assert_eq!(
            crate::key::split_expiry(&bytes[entries[1].value.clone()]),
            Some((77, &b""[..]))
        );
        assert_eq!((entries[2].keyspace, entries[2].kind), (KeyspaceId(300), Kind::Delete));
    }

    #[test]
    fn a_refused_entry_leaves_the_batch_as_it_was() {
        let mut batch = WriteBatch::new();
        batch.put(KeyspaceId::DEFAULT, b"k", b"v").expect("within limits");
        let before = batch.size_bytes();
        let long = vec![0; crate::key::MAX_KEY_BYTES + 1];
        assert!(batch.put(KeyspaceId::DEFAULT, &long, b"").is_err());
        assert_eq!((batch.len(), batch.size_bytes()), (1, before));
        batch.put(KeyspaceId::DEFAULT, &long[1..], b"").expect("the limit itself is allowed");
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_error_or_the_end(bytes: Vec<u8>) {
            if let Ok(reader) = BatchReader::new(&bytes) {
                let mut steps = 0;
                for entry in reader {
                    steps += 1;
                    if entry.is_err() { break; }
                }
                prop_assert!(steps <= bytes.len());
            }
        }
    }
}
