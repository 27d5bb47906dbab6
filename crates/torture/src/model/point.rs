//! What players are made with: points to read at, a clock, conditional writes.

use std::time::Duration;

use alluvium::{
    Bytes, Clock, Condition, Db, ErrorKind, Expiry, Keyspace, Put, Read, ReadSource,
    Result as DbResult, SnapshotView,
};
use alluvium_testkit::{Content, SimClock, keyspace_name};

use super::action::{Answer, Expiries, OnlyIf, Pairs};

/// A clock that nobody's waiting moves: it shows the time of a [`SimClock`], and moves only when a
/// test moves that. How long writes are held back differs from one set of options to the next, and
/// when values expire must not.
#[derive(Debug)]
pub(super) struct StillClock(pub(super) SimClock);

impl Clock for StillClock {
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, _duration: Duration) {
        std::thread::yield_now();
    }
}

/// What a read is of: a keyspace now, or as a snapshot saw it.
#[derive(Debug)]
pub(super) enum Point {
    Now(Keyspace),
    Then(SnapshotView),
}

impl Read for Point {
    fn source(&self) -> ReadSource<'_> {
        match self {
            Self::Now(keyspace) => keyspace.source(),
            Self::Then(view) => view.source(),
        }
    }
}

/// What a call answered that cannot fail on a sound disk.
pub(super) fn sound<T>(result: DbResult<T>) -> T {
    result.unwrap_or_else(|error| panic!("on a sound disk: {error}"))
}

/// A pair of its own.
pub(super) fn owned((key, value): (Bytes, Bytes)) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

/// All that a scan yields.
pub(super) fn to_pairs(scan: impl Iterator<Item = DbResult<(Bytes, Bytes)>>) -> Pairs {
    scan.map(|entry| owned(sound(entry))).collect()
}

/// All that is visible.
pub(super) fn read_content(db: &Db) -> Content {
    let mut content = Content::new();
    for name in sound(db.keyspaces()) {
        let slot = name.strip_prefix("ks").map_or(0, |n| n.parse().expect("ours"));
        let keyspace = sound(db.find_keyspace(&name)).expect("it was just listed");
        content.insert(slot, to_pairs(keyspace.iter()).into_iter().collect());
    }
    content
}

/// When the keys of `content` expire, those that do.
pub(super) fn read_expiries(db: &Db, content: &Content) -> Expiries {
    let mut expiries = Expiries::new();
    for (&slot, entries) in content {
        let keyspace = sound(db.find_keyspace(&keyspace_name(slot))).expect("it was just read");
        for key in entries.keys() {
            if let Some(Expiry::AtMs(at_ms)) = sound(keyspace.expires_at(key)) {
                expiries.insert((slot, key.clone()), at_ms);
            }
        }
    }
    expiries
}

/// Writes on a condition.
pub(super) fn put_if(
    keyspace: &Keyspace,
    key: &[u8],
    only_if: OnlyIf,
    value: &[u8],
    ttl_ms: Option<u64>,
) -> Answer {
    let other = Bytes::from_static(b"something else");
    let only_if = match only_if {
        OnlyIf::Absent => Condition::Absent,
        OnlyIf::Present => Condition::Present,
        OnlyIf::EqualsCurrent => Condition::Equals(sound(keyspace.get(key)).unwrap_or(other)),
        OnlyIf::EqualsOther => Condition::Equals(other),
    };
    let put = Put { ttl: ttl_ms.map(Duration::from_millis), only_if };
    match keyspace.put(key, value, put) {
        Ok(()) => Answer::Done,
        Err(error) if error.kind() == ErrorKind::Conflict => Answer::Refused,
        Err(error) => panic!("on a sound disk: {error}"),
    }
}
