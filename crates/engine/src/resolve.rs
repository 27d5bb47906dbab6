//! Visibility, decided in one place: what a reader makes of the newest entry it may see.

use alluvium_base::key::{EXPIRY_BYTES, split_expiry};
use alluvium_base::{Bytes, Clock, Kind};

use crate::{Error, Result};

/// Which moment a read takes for "now" when it meets a value that expires.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReadTime<'a> {
    /// The clock is asked, and only when such a value is met.
    Live(&'a dyn Clock),
    /// A snapshot's moment, in milliseconds since the Unix epoch.
    At(u64),
}

impl ReadTime<'_> {
    pub(crate) fn now_ms(self) -> u64 {
        match self {
            Self::Live(clock) => clock.now_ms(),
            Self::At(now_ms) => now_ms,
        }
    }
}

/// What the newest visible entry of a key means to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The key has the stored value's bytes from this offset on.
    Value {
        /// Where the caller's bytes begin in the stored value.
        skip: usize,
        /// When it expires, in milliseconds since the Unix epoch.
        expiry_ms: Option<u64>,
    },
    /// The key is not there.
    Absent,
}

/// Decides what an entry means. An expired value is as absent as a deleted one, from the very
/// millisecond of its expiry on.
#[inline]
pub(crate) fn resolve(kind: Kind, stored: &[u8], now: ReadTime<'_>) -> Result<Meaning> {
    match kind {
        Kind::Put => Ok(Meaning::Value { skip: 0, expiry_ms: None }),
        Kind::Delete => Ok(Meaning::Absent),
        Kind::PutExpiring => {
            let (expiry_ms, _) = split_expiry(stored)
                .ok_or_else(|| Error::invalid("a value that expires is too short"))?;
            if expiry_ms <= now.now_ms() {
                return Ok(Meaning::Absent);
            }
            Ok(Meaning::Value { skip: EXPIRY_BYTES, expiry_ms: Some(expiry_ms) })
        }
        Kind::Merge | Kind::DeleteRange => Err(Error::invalid(
            "the database holds merges or range deletes, which this release cannot read: \
             use a newer one",
        )),
    }
}

/// [`resolve`] for an entry whose value is at hand: the caller's bytes, or `None` when absent.
#[inline]
pub(crate) fn resolve_value(
    kind: Kind,
    stored: &Bytes,
    now: ReadTime<'_>,
) -> Result<Option<Bytes>> {
    Ok(match resolve(kind, stored, now)? {
        Meaning::Value { skip: 0, .. } => Some(stored.clone()),
        Meaning::Value { skip, .. } => Some(stored.slice(skip..)),
        Meaning::Absent => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_value_is_absent_from_its_very_millisecond() {
        let mut stored = 100u64.to_le_bytes().to_vec();
        stored.extend_from_slice(b"v");
        let stored = Bytes::from(stored);
        let at = |now| resolve_value(Kind::PutExpiring, &stored, ReadTime::At(now)).expect("valid");
        assert_eq!(at(99), Some(Bytes::from_static(b"v")));
        assert_eq!(at(100), None);
        assert!(resolve(Kind::PutExpiring, b"short", ReadTime::At(0)).is_err());
    }
}
