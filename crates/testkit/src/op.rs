//! What a test does to a database, as values: generated, shrunk, replayed and fuzzed.

use std::ops::Bound;

/// Which keyspace an operation is about, as a small number: 0 is the default keyspace, which is
/// always there. [`keyspace_name`] gives the others names.
pub type KeyspaceSlot = u8;

/// The name a driver gives to keyspace `slot`: `"default"`, `"ks1"`, `"ks2"`, …
pub fn keyspace_name(slot: KeyspaceSlot) -> String {
    if slot == 0 { "default".to_owned() } else { format!("ks{slot}") }
}

/// One entry of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Sets a key.
    Put {
        /// Where.
        keyspace: KeyspaceSlot,
        /// The key.
        key: Vec<u8>,
        /// Its value from now on.
        value: Vec<u8>,
    },
    /// Sets a key for a while.
    PutExpiring {
        /// Where.
        keyspace: KeyspaceSlot,
        /// The key.
        key: Vec<u8>,
        /// Its value until then.
        value: Vec<u8>,
        /// How long from the moment of the write, in milliseconds.
        ttl_ms: u64,
    },
    /// Removes a key, whether it is there or not.
    Remove {
        /// Where.
        keyspace: KeyspaceSlot,
        /// The key.
        key: Vec<u8>,
    },
}

impl Write {
    /// The keyspace it writes to.
    pub const fn keyspace(&self) -> KeyspaceSlot {
        match self {
            Self::Put { keyspace, .. }
            | Self::PutExpiring { keyspace, .. }
            | Self::Remove { keyspace, .. } => *keyspace,
        }
    }

    /// The key it writes.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::PutExpiring { key, .. } | Self::Remove { key, .. } => key,
        }
    }
}

/// What an acknowledged write is to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The death of the process.
    Buffer,
    /// The loss of power.
    Sync,
}

/// Which moment a read sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Now.
    Latest,
    /// The snapshot in this slot; a driver reads the latest state when the slot is empty.
    Snapshot(u8),
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Ascending.
    Forward,
    /// Descending.
    Backward,
    /// One from the front, one from the back, and so on until they meet.
    Alternating,
}

/// One step of a test. A driver carries it out on the database and on the
/// [`Oracle`](crate::Oracle), and compares.
///
/// Generated steps can make no sense at the moment they come (a write to a keyspace that was
/// dropped, a snapshot that was never taken): the driver skips those.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Sets a key.
    Insert {
        /// Where.
        keyspace: KeyspaceSlot,
        /// The key.
        key: Vec<u8>,
        /// Its value from now on.
        value: Vec<u8>,
    },
    /// Sets a key for a while.
    PutExpiring {
        /// Where.
        keyspace: KeyspaceSlot,
        /// The key.
        key: Vec<u8>,
        /// Its value until then.
        value: Vec<u8>,
        /// How long from now, in milliseconds.
        ttl_ms: u64,
    },
    /// Removes a key, whether it is there or not.
    Remove {
        /// Where.
        keyspace: KeyspaceSlot,
        /// The key.
        key: Vec<u8>,
    },
    /// Writes all of these or none.
    Batch {
        /// What to write, in this order; of two writes of one key the later counts.
        writes: Vec<Write>,
        /// What it is to survive once acknowledged.
        durability: Durability,
    },
    /// Looks a key up.
    Get {
        /// Where.
        keyspace: KeyspaceSlot,
        /// The key.
        key: Vec<u8>,
        /// As of when.
        view: View,
    },
    /// Walks a range.
    Scan {
        /// Where.
        keyspace: KeyspaceSlot,
        /// The lower bound.
        start: Bound<Vec<u8>>,
        /// The upper bound; may lie below the lower one, and then the range is empty.
        end: Bound<Vec<u8>>,
        /// Which way.
        direction: Direction,
        /// As of when.
        view: View,
    },
    /// Takes a snapshot, in place of the one in this slot.
    Snapshot {
        /// Where to keep it.
        slot: u8,
    },
    /// Lets the snapshot in this slot go.
    DropSnapshot {
        /// Where it is kept.
        slot: u8,
    },
    /// Creates a keyspace.
    CreateKeyspace {
        /// Which; never 0.
        keyspace: KeyspaceSlot,
    },
    /// Drops a keyspace and all in it.
    DropKeyspace {
        /// Which; never 0.
        keyspace: KeyspaceSlot,
    },
    /// Moves what is in memory into files.
    Flush {
        /// Where.
        keyspace: KeyspaceSlot,
    },
    /// Compacts a keyspace, wholly.
    Compact {
        /// Where.
        keyspace: KeyspaceSlot,
    },
    /// Makes everything written so far durable.
    Persist,
    /// Lets time pass.
    AdvanceClock {
        /// How much, in milliseconds.
        ms: u64,
    },
    /// Closes the database in order and opens it again.
    Reopen,
    /// The process dies; the database is opened again.
    Kill,
    /// The power is cut; the database is opened again.
    Crash {
        /// For [`Survival::Random`](crate::Survival::Random).
        seed: u64,
    },
}

impl Op {
    /// What it writes and what that is to survive; `None` for an operation that writes nothing.
    /// Single writes are batches of one, with [`Durability::Buffer`].
    pub fn writes(&self) -> Option<(Vec<Write>, Durability)> {
        let write = match self.clone() {
            Self::Batch { writes, durability } => return Some((writes, durability)),
            Self::Insert { keyspace, key, value } => Write::Put { keyspace, key, value },
            Self::PutExpiring { keyspace, key, value, ttl_ms } => {
                Write::PutExpiring { keyspace, key, value, ttl_ms }
            }
            Self::Remove { keyspace, key } => Write::Remove { keyspace, key },
            Self::Get { .. }
            | Self::Scan { .. }
            | Self::Snapshot { .. }
            | Self::DropSnapshot { .. }
            | Self::CreateKeyspace { .. }
            | Self::DropKeyspace { .. }
            | Self::Flush { .. }
            | Self::Compact { .. }
            | Self::Persist
            | Self::AdvanceClock { .. }
            | Self::Reopen
            | Self::Kill
            | Self::Crash { .. } => return None,
        };
        Some((vec![write], Durability::Buffer))
    }
}
