//! What a table says of itself: its identity, how it was built, and what is in it.
//!
//! | offset | size | field                                                         |
//! |-------:|-----:|---------------------------------------------------------------|
//! |      0 |    8 | file number                                                   |
//! |      8 |    4 | keyspace                                                      |
//! |     12 |    4 | block size                                                    |
//! |     16 |    1 | compression: 0 none, 1 LZ4                                    |
//! |     17 |    2 | filter: 0 none, 1 blocked, 2 standard; bits per key           |
//! |     19 |    5 | reserved, zero                                                |
//! |     24 |    8 | entries                                                       |
//! |     32 |    8 | of them tombstones                                            |
//! |     40 |    8 | of them expiring                                              |
//! |     48 |    8 | earliest expiry, ms since the Unix epoch; 0 if none expires   |
//! |     56 |    8 | latest expiry; 0 if none expires                              |
//! |     64 |    8 | smallest sequence                                             |
//! |     72 |    8 | largest sequence                                              |
//! |     80 |    8 | bytes of all user keys                                        |
//! |     88 |    8 | bytes of all stored values                                    |
//! |     96 |    – | smallest user key, then largest: varint length and bytes each |

use alluvium_base::codec::{Decoder, put_slice};
use alluvium_base::key::{MAX_KEY_BYTES, split_expiry};
use alluvium_base::{Bytes, FileNumber, InternalKey, KeyspaceId, Kind, Seq};

use crate::options::{Compression, FilterKind, TableOptions};

/// What is in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSummary {
    /// Length of the file, in bytes.
    pub file_size: u64,
    /// How many entries it has: at least one.
    pub entry_count: u64,
    /// How many of them are tombstones (deletions, of a key or a range).
    pub tombstone_count: u64,
    /// How many of them expire.
    pub expiring_count: u64,
    /// When the first of those expires, in milliseconds since the Unix epoch.
    pub earliest_expiry_ms: Option<u64>,
    /// When the last of those expires, in milliseconds since the Unix epoch.
    pub latest_expiry_ms: Option<u64>,
    /// The smallest user key.
    pub smallest: Bytes,
    /// The largest user key.
    pub largest: Bytes,
    /// The smallest sequence.
    pub smallest_seq: Seq,
    /// The largest sequence.
    pub largest_seq: Seq,
    /// Bytes of all user keys together.
    pub raw_key_bytes: u64,
    /// Bytes of all stored values together.
    pub raw_value_bytes: u64,
}

impl TableSummary {
    /// The summary of a table that has this one entry, without the file's length.
    pub(crate) fn of_first(key: InternalKey<'_>, value: &[u8]) -> Self {
        let mut summary = Self {
            file_size: 0,
            entry_count: 0,
            tombstone_count: 0,
            expiring_count: 0,
            earliest_expiry_ms: None,
            latest_expiry_ms: None,
            smallest: Bytes::copy_from_slice(key.user_key),
            largest: Bytes::new(),
            smallest_seq: key.seq,
            largest_seq: key.seq,
            raw_key_bytes: 0,
            raw_value_bytes: 0,
        };
        summary.count(key, value);
        summary
    }

    /// Counts one more entry. The largest key is set once, at the end.
    #[inline]
    pub(crate) fn count(&mut self, key: InternalKey<'_>, value: &[u8]) {
        self.entry_count += 1;
        self.raw_key_bytes += key.user_key.len() as u64;
        self.raw_value_bytes += value.len() as u64;
        self.smallest_seq = self.smallest_seq.min(key.seq);
        self.largest_seq = self.largest_seq.max(key.seq);
        match key.kind {
            Kind::Delete | Kind::DeleteRange => self.tombstone_count += 1,
            Kind::PutExpiring => {
                let (expiry, _) = split_expiry(value).expect("checked before it is counted");
                self.expiring_count += 1;
                self.earliest_expiry_ms =
                    Some(self.earliest_expiry_ms.map_or(expiry, |earliest| earliest.min(expiry)));
                self.latest_expiry_ms =
                    Some(self.latest_expiry_ms.map_or(expiry, |latest| latest.max(expiry)));
            }
            Kind::Put | Kind::Merge => {}
        }
    }

    /// Whether a table can have this summary.
    fn is_sound(&self) -> bool {
        let counts_fit = self
            .tombstone_count
            .checked_add(self.expiring_count)
            .is_some_and(|special| special <= self.entry_count);
        self.entry_count > 0
            && counts_fit
            && self.smallest <= self.largest
            && self.largest.len() <= MAX_KEY_BYTES
            && self.smallest.len() <= MAX_KEY_BYTES
            && self.smallest_seq <= self.largest_seq
            && self.earliest_expiry_ms <= self.latest_expiry_ms
    }
}

/// The properties block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) number: FileNumber,
    pub(crate) keyspace: KeyspaceId,
    pub(crate) options: TableOptions,
    pub(crate) summary: TableSummary,
}

const FIXED_BYTES: usize = 96;
const RESERVED_BYTES: usize = 5;

impl Properties {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let summary = &self.summary;
        let mut out = Vec::with_capacity(FIXED_BYTES + 2 * 3 + 64);
        out.extend_from_slice(&self.number.0.to_le_bytes());
        out.extend_from_slice(&self.keyspace.0.to_le_bytes());
        out.extend_from_slice(&(self.options.block_size as u32).to_le_bytes());
        out.push(self.options.compression.encode());
        out.extend_from_slice(&self.options.filter.encode());
        out.extend_from_slice(&[0; RESERVED_BYTES]);
        for number in [
            summary.entry_count,
            summary.tombstone_count,
            summary.expiring_count,
            summary.earliest_expiry_ms.unwrap_or(0),
            summary.latest_expiry_ms.unwrap_or(0),
            summary.smallest_seq.get(),
            summary.largest_seq.get(),
            summary.raw_key_bytes,
            summary.raw_value_bytes,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        assert_eq!(out.len(), FIXED_BYTES, "the fields add up");
        put_slice(&mut out, &summary.smallest);
        put_slice(&mut out, &summary.largest);
        out
    }

    /// Reads a block that may hold anything, of a file of `file_size` bytes.
    pub(crate) fn decode(block: &[u8], file_size: u64) -> Option<Self> {
        let mut decoder = Decoder::new(block);
        let number = FileNumber(decoder.u64()?);
        let keyspace = KeyspaceId(decoder.u32()?);
        let options = TableOptions {
            block_size: decoder.u32()? as usize,
            compression: Compression::decode(decoder.u8()?)?,
            filter: FilterKind::decode(decoder.array()?)?,
        };
        options.check().ok()?;
        if decoder.array()? != [0; RESERVED_BYTES] {
            return None;
        }
        let (entry_count, tombstone_count) = (decoder.u64()?, decoder.u64()?);
        let (expiring_count, earliest, latest) = (decoder.u64()?, decoder.u64()?, decoder.u64()?);
        let expires = expiring_count > 0;
        if !expires && (earliest, latest) != (0, 0) {
            return None;
        }
        let summary = TableSummary {
            file_size,
            entry_count,
            tombstone_count,
            expiring_count,
            earliest_expiry_ms: expires.then_some(earliest),
            latest_expiry_ms: expires.then_some(latest),
            smallest_seq: Seq::decode(decoder.u64()?)?,
            largest_seq: Seq::decode(decoder.u64()?)?,
            raw_key_bytes: decoder.u64()?,
            raw_value_bytes: decoder.u64()?,
            smallest: Bytes::copy_from_slice(decoder.slice()?),
            largest: Bytes::copy_from_slice(decoder.slice()?),
        };
        let is_whole = decoder.is_empty() && summary.is_sound();
        is_whole.then_some(Self { number, keyspace, options, summary })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn properties() -> Properties {
        let value = [9u64.to_le_bytes().as_slice(), b"v"].concat();
        let first = InternalKey::new(b"a", Seq::new(7), Kind::PutExpiring);
        let mut summary = TableSummary::of_first(first, &value);
        summary.count(InternalKey::new(b"b", Seq::new(3), Kind::Delete), b"");
        summary.largest = Bytes::from_static(b"b");
        summary.file_size = 1000;
        let options = TableOptions::default();
        Properties { number: FileNumber(5), keyspace: KeyspaceId(2), options, summary }
    }

    #[test]
    fn properties_come_back_as_they_were() {
        let properties = properties();
        assert_eq!(properties.summary.earliest_expiry_ms, Some(9));
        assert_eq!(Properties::decode(&properties.encode(), 1000), Some(properties));
    }

    proptest! {
        #[test]
        fn any_change_decodes_to_something_sound_or_nothing(at: prop::sample::Index, to: u8) {
            let mut bytes = properties().encode();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let decoded = Properties::decode(&bytes, 1000);
            prop_assert!(decoded.is_none_or(|properties| properties.summary.is_sound()));
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes: Vec<u8>) {
            prop_assert!(Properties::decode(&bytes, 1000).is_none() || bytes.len() >= FIXED_BYTES);
        }
    }
}
