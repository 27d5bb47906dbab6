//! Sequence numbers, kinds and internal keys: the one order of everything.
//!
//! Every write gets a [`Seq`], its place in the one order of writes. An [`InternalKey`] is a user
//! key with the sequence number and the kind of the write:
//!
//! ```text
//!   user key ascending, bytewise          sequence number descending
//!   ───────────────────────────►          ──────────────────────────►
//!   "apple"                                9 Delete   7 Put   2 Put
//!   "pear"                                 5 Put
//! ```
//!
//! So the newest version of a key comes first, and a reader at sequence 8 that seeks to
//! (`"apple"`, 8) lands on the version it is to see: 7. The pair (user key, sequence) is unique:
//! nothing is ever overwritten.

use std::cmp::Ordering;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// A place in the one order of writes, shared by all keyspaces of a database.
///
/// Only 56 bits are used, so that a sequence and a [`Kind`] fit one `u64` on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(u64);

impl Seq {
    /// Before every write. Compaction gives it to entries that no reader can tell from older ones.
    pub const ZERO: Self = Self(0);
    /// After every write; as a seek target it stands before all versions of a user key.
    pub const MAX: Self = Self((1 << 56) - 1);

    /// No honest database comes here; beyond, there would be too few sequences left to go on with. A
    /// file that says so is damaged.
    pub const HIGHEST_REAL: Self = Self(1 << 55);

    /// The sequence numbered `n`.
    ///
    /// # Panics
    /// When `n` exceeds 56 bits: decoders check with [`Seq::decode`] instead.
    pub const fn new(n: u64) -> Self {
        assert!(n <= Self::MAX.0, "a sequence number has 56 bits");
        Self(n)
    }

    /// The sequence numbered `n`, or `None` when it exceeds 56 bits.
    pub const fn decode(n: u64) -> Option<Self> {
        if n <= Self::MAX.0 { Some(Self(n)) } else { None }
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sequence `count` places later.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self::new(self.0 + count)
    }

    /// The next sequence.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The sequence before this one; `ZERO` stays where it is.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The hash of a user key that filters and tags are made from: XXH3, 64 bits, seed 0. Part of the
/// format of tables.
#[inline]
pub fn hash_key(user_key: &[u8]) -> u64 {
    xxh3_64(user_key)
}

/// What an entry does. The numbers are in files for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The key is gone.
    Delete = 0,
    /// The key has this value.
    Put = 1,
    /// The key has this value until a moment: the stored value is the expiry in milliseconds since
    /// the Unix epoch (`u64`, little-endian), then the caller's bytes. See [`split_expiry`].
    PutExpiring = 2,
    /// An operand for a merge operator. Reserved: no writer makes it yet.
    Merge = 3,
    /// All keys from this one up to the one in the value are gone. Reserved: no writer makes it yet.
    DeleteRange = 4,
}

impl Kind {
    /// The kind stored as `byte`, or `None` for a byte that no format version uses.
    pub const fn decode(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Delete),
            1 => Some(Self::Put),
            2 => Some(Self::PutExpiring),
            3 => Some(Self::Merge),
            4 => Some(Self::DeleteRange),
            _ => None,
        }
    }

    /// Whether no release writes or reads this kind yet.
    pub const fn is_reserved(self) -> bool {
        matches!(self, Self::Merge | Self::DeleteRange)
    }

    /// The byte that stands for this kind in files.
    pub const fn encode(self) -> u8 {
        self as u8
    }
}

/// A user key with the sequence and kind of one write to it. Borrowed: cursors hand it out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InternalKey<'a> {
    /// The caller's bytes.
    pub user_key: &'a [u8],
    /// The write's place in the order.
    pub seq: Seq,
    /// What the write does. Not part of the order: (user key, sequence) is unique.
    pub kind: Kind,
}

impl<'a> InternalKey<'a> {
    /// Puts the three parts together.
    pub const fn new(user_key: &'a [u8], seq: Seq, kind: Kind) -> Self {
        Self { user_key, seq, kind }
    }

    /// Compares with the position (user key, sequence), which needs no kind.
    #[inline]
    pub fn cmp_position(&self, user_key: &[u8], seq: Seq) -> Ordering {
        compare(self.user_key, self.seq, user_key, seq)
    }
}

impl Ord for InternalKey<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.user_key, self.seq, other.user_key, other.seq)
            .then_with(|| self.kind.encode().cmp(&other.kind.encode()))
    }
}

impl PartialOrd for InternalKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for InternalKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"{:?}:{:?}", self.user_key.escape_ascii(), self.seq, self.kind)
    }
}

/// The one order of everything: user key ascending, then sequence descending.
#[inline]
pub fn compare(a_key: &[u8], a_seq: Seq, b_key: &[u8], b_seq: Seq) -> Ordering {
    a_key.cmp(b_key).then_with(|| b_seq.cmp(&a_seq))
}

/// The first eight bytes of `user_key` as a big-endian number, padded with zeroes.
///
/// For any two keys, `a < b` implies `key_prefix(a) <= key_prefix(b)`: different prefixes decide an
/// order with one instruction and no cache miss, equal ones ask for the full comparison.
#[inline]
pub fn key_prefix(user_key: &[u8]) -> u64 {
    if let Some(first) = user_key.first_chunk::<8>() {
        return u64::from_be_bytes(*first);
    }
    let mut padded = [0; 8];
    padded[..user_key.len()].copy_from_slice(user_key);
    u64::from_be_bytes(padded)
}

/// The smallest key greater than every key that starts with `prefix`, or `None` when there is none
/// (the prefix is empty or all `0xff`).
pub fn prefix_successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}

/// Length of the expiry that precedes the caller's bytes in a [`Kind::PutExpiring`] value.
pub const EXPIRY_BYTES: usize = size_of::<u64>();

/// Splits the stored value of a [`Kind::PutExpiring`] entry into its expiry (milliseconds since the
/// Unix epoch) and the caller's bytes, or `None` when it is too short to hold an expiry.
#[inline]
pub fn split_expiry(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (expiry, value) = stored.split_first_chunk::<EXPIRY_BYTES>()?;
    Some((u64::from_le_bytes(*expiry), value))
}

/// Longest user key, in bytes.
pub const MAX_KEY_BYTES: usize = 64 << 10;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 256 << 20;

/// Refuses a key or a value over its limit, before anything is allocated for it.
pub fn check_limits(key_bytes: usize, value_bytes: usize) -> Result<()> {
    if key_bytes > MAX_KEY_BYTES {
        return Err(Error::invalid(format!(
            "the key has {key_bytes} bytes; at most {MAX_KEY_BYTES} are allowed"
        )));
    }
    if value_bytes > MAX_VALUE_BYTES {
        return Err(Error::invalid(format!(
            "the value has {value_bytes} bytes; at most {MAX_VALUE_BYTES} are allowed: \
             split it over several keys"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_of_a_key_come_first() {
        let newer = InternalKey::new(b"apple", Seq::new(9), Kind::Delete);
        let older = InternalKey::new(b"apple", Seq::new(2), Kind::Put);
        let other = InternalKey::new(b"pear", Seq::new(99), Kind::Put);
        assert!(newer < older && older < other);
    }

    #[test]
    fn key_prefix_never_contradicts_the_full_order() {
        let keys: [&[u8]; 7] = [
            b"",
            b"\0",
            b"a",
            b"a\0",
            b"abcdefgh",
            b"abcdefghi",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        for pair in keys.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(key_prefix(pair[0]) <= key_prefix(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn prefix_successor_is_the_end_of_the_prefix() {
        assert_eq!(prefix_successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_successor(b"\xff"), None);
        assert_eq!(prefix_successor(b""), None);
    }

    #[test]
    fn every_kind_decodes_to_itself_and_no_other_byte_decodes() {
        for byte in 0..=u8::MAX {
            match Kind::decode(byte) {
                Some(kind) => assert_eq!(kind.encode(), byte),
                None => assert!(byte > 4),
            }
        }
    }
}
