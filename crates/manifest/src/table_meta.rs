//! What the manifest knows of a table: everything that picking a compaction needs, and nothing
//! that asks for the file.

use std::fmt;

use alluvium_base::{Bytes, FileNumber, Seq};
use serde::{Serialize, Serializer};

/// Longest table, in bytes. None comes near; the bound keeps sums of hostile sizes from overflowing.
pub const MAX_TABLE_BYTES: u64 = 1 << 40;

/// The metadata of one table. Its key range is inclusive on both ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableMeta {
    /// Names the file; unique in the database.
    #[serde(serialize_with = "number_as_integer")]
    pub number: FileNumber,
    /// Length of the file in bytes.
    pub size_bytes: u64,
    /// How many entries it holds, tombstones included.
    pub entry_count: u64,
    /// How many of them are tombstones.
    pub tombstone_count: u64,
    /// How many of them have an expiry.
    pub expiring_count: u64,
    /// The first expiry in it, in milliseconds since the Unix epoch.
    pub earliest_expiry_ms: Option<u64>,
    /// The last expiry in it, in milliseconds since the Unix epoch.
    pub latest_expiry_ms: Option<u64>,
    /// Its first user key.
    #[serde(serialize_with = "key_as_text")]
    pub smallest: Bytes,
    /// Its last user key.
    #[serde(serialize_with = "key_as_text")]
    pub largest: Bytes,
    /// The lowest sequence number in it.
    #[serde(serialize_with = "seq_as_integer")]
    pub smallest_seq: Seq,
    /// The highest sequence number in it.
    #[serde(serialize_with = "seq_as_integer")]
    pub largest_seq: Seq,
    /// Sum of the lengths of its user keys.
    pub raw_key_bytes: u64,
    /// Sum of the lengths of its stored values.
    pub raw_value_bytes: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl TableMeta {
    /// Whether the table may hold a user key of `smallest..=largest`.
    pub fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        self.smallest[..] <= *largest && *smallest <= self.largest[..]
    }

    /// Whether `user_key` lies in the table's range.
    pub fn contains(&self, user_key: &[u8]) -> bool {
        self.overlaps(user_key, user_key)
    }

    /// Says what contradicts itself, if anything: such a table was never written by us.
    pub fn check(&self) -> Result<(), String> {
        if self.smallest > self.largest {
            return Err(format!("table {self} begins behind its end"));
        }
        if self.smallest_seq > self.largest_seq {
            return Err(format!("table {self} has its sequence numbers the wrong way round"));
        }
        if self.size_bytes > MAX_TABLE_BYTES {
            return Err(format!("table {self} claims {} bytes", self.size_bytes));
        }
        if self.tombstone_count > self.entry_count || self.expiring_count > self.entry_count {
            return Err(format!("table {self} counts more entries of one kind than entries"));
        }
        if self.earliest_expiry_ms.is_some() != self.latest_expiry_ms.is_some()
            || self.earliest_expiry_ms > self.latest_expiry_ms
        {
            return Err(format!("table {self} has its expiries the wrong way round"));
        }
        Ok(())
    }
}

/// `000007 [apple..pear] #3-9`: number, key range, sequence range.
impl fmt::Display for TableMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (smallest, largest) = (self.smallest.escape_ascii(), self.largest.escape_ascii());
        write!(f, "{} [{smallest}..{largest}]", self.number)?;
        write!(f, " #{}-{}", self.smallest_seq, self.largest_seq)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn number_as_integer<S: Serializer>(n: &FileNumber, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(n.0)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn seq_as_integer<S: Serializer>(seq: &Seq, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(seq.get())
}

/// Keys are any bytes; people read them with everything but printable ASCII escaped.
fn key_as_text<S: Serializer>(key: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&key.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(smallest: &'static str, largest: &'static str) -> TableMeta {
        TableMeta {
            number: FileNumber(7),
            size_bytes: 100,
            entry_count: 3,
            tombstone_count: 1,
            expiring_count: 1,
            earliest_expiry_ms: Some(5),
            latest_expiry_ms: Some(5),
            smallest: Bytes::from(smallest),
            largest: Bytes::from(largest),
            smallest_seq: Seq::new(3),
            largest_seq: Seq::new(9),
            raw_key_bytes: 12,
            raw_value_bytes: 30,
            created_ms: 1,
        }
    }

    #[test]
    fn both_ends_of_the_range_belong_to_it() {
        let table = table("b", "d");
        assert!(table.contains(b"b") && table.contains(b"c") && table.contains(b"d"));
        assert!(!table.contains(b"a") && !table.contains(b"d\0"));
        assert!(table.overlaps(b"a", b"b") && table.overlaps(b"d", b"z"));
        assert!(!table.overlaps(b"", b"az") && !table.overlaps(b"da", b"z"));
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        assert_eq!(table("b", "d").check(), Ok(()));
        assert!(table("d", "b").check().is_err());
        assert!(TableMeta { smallest_seq: Seq::new(10), ..table("b", "d") }.check().is_err());
        assert!(TableMeta { tombstone_count: 4, ..table("b", "d") }.check().is_err());
        assert!(TableMeta { latest_expiry_ms: None, ..table("b", "d") }.check().is_err());
        assert!(TableMeta { earliest_expiry_ms: Some(6), ..table("b", "d") }.check().is_err());
    }
}
