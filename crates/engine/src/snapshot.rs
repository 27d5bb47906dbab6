//! Snapshots: registered read points that garbage rules respect.

use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium_base::Seq;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::Mutex;

use crate::db::Handle;
use crate::keyspace::Keyspace;
use crate::read::{Read, ReadSource};

/// All live snapshots.
#[derive(Debug, Default)]
pub(crate) struct SnapshotRegistry {
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    next_id: u64,
    /// Sequence and moment (milliseconds since the Unix epoch) of each.
    points: BTreeMap<u64, (Seq, u64)>,
}

impl SnapshotRegistry {
    /// Registers the point that `now` answers. It is asked under the registry's lock, so a
    /// compaction that lists the snapshots either lists this one or works on entries that it sees.
    fn register(&self, now: impl FnOnce() -> (Seq, u64)) -> (u64, Seq, u64) {
        let mut live = self.live.lock();
        let (seq, at_ms) = now();
        let id = live.next_id;
        live.next_id += 1;
        live.points.insert(id, (seq, at_ms));
        (id, seq, at_ms)
    }

    fn release(&self, id: u64) {
        self.live.lock().points.remove(&id);
    }

    /// How many snapshots are held.
    pub(crate) fn count(&self) -> usize {
        self.live.lock().points.len()
    }

    /// The sequences of all live snapshots, ascending, and the oldest moment among them.
    pub(crate) fn live(&self) -> (Vec<Seq>, Option<u64>) {
        let live = self.live.lock();
        let mut seqs: Vec<Seq> = live.points.values().map(|point| point.0).collect();
        seqs.sort_unstable();
        seqs.dedup();
        (seqs, live.points.values().map(|point| point.1).min())
    }
}

/// A consistent past of the whole database: what it held at one moment, across all keyspaces, with
/// expiry judged by that moment's clock. Costs memory and disk space for as long as it lives, for
/// what it sees is kept.
///
/// ```
/// use alluvium::{Db, Read};
/// let db = Db::in_memory()?;
/// db.insert("a", "then")?;
/// let then = db.snapshot();
/// db.insert("a", "now")?;
/// assert_eq!(then.get("a")?.as_deref(), Some(&b"then"[..]));
/// assert_eq!(db.get("a")?.as_deref(), Some(&b"now"[..]));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    registered: Arc<Registered>,
}

#[derive(Debug)]
struct Registered {
    handle: Arc<Handle>,
    id: u64,
    seq: Seq,
    at_ms: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.handle.core.snapshots.release(self.id);
        // What only this snapshot saw can go now.
        self.handle.core.schedule.notify_work();
    }
}

impl Snapshot {
    pub(crate) fn new(handle: &Arc<Handle>) -> Self {
        let core = &handle.core;
        let (id, seq, at_ms) = core.snapshots.register(|| (core.pin().1, core.clock.now_ms()));
        let seq = if is_planted(Bug::SnapshotTooEarly) { seq.prev() } else { seq };
        let registered = Registered { handle: Arc::clone(handle), id, seq, at_ms };
        Self { registered: Arc::new(registered) }
    }

    /// The past of one keyspace. A keyspace created later is empty in it; one dropped later answers
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn of(&self, keyspace: &Keyspace) -> SnapshotView {
        SnapshotView { snapshot: self.clone(), keyspace: keyspace.clone() }
    }

    /// Its place in the order of writes: all writes up to it are seen, none after.
    pub fn seq(&self) -> Seq {
        self.registered.seq
    }

    fn source(&self, keyspace: alluvium_base::KeyspaceId) -> ReadSource<'_> {
        let registered = &*self.registered;
        ReadSource::at(&registered.handle, keyspace, registered.seq, registered.at_ms)
    }
}

/// Reads the default keyspace.
impl Read for Snapshot {
    fn source(&self) -> ReadSource<'_> {
        Self::source(self, alluvium_base::KeyspaceId::DEFAULT)
    }
}

/// One keyspace as a [`Snapshot`] saw it.
#[derive(Clone, Debug)]
pub struct SnapshotView {
    snapshot: Snapshot,
    keyspace: Keyspace,
}

impl Read for SnapshotView {
    fn source(&self) -> ReadSource<'_> {
        self.snapshot.source(self.keyspace.id())
    }
}
