//! Shared syncs in every interleaving: `cargo xtask concurrency loom`.
//!
//! What the models were seen to find, when a line was broken by hand:
//!
//! | broken | found by |
//! |---|---|
//! | `synced` stored or loaded with `Relaxed` | `what_is_reported_durable_is_on_the_disk` |
//! | `synced` stored before the sync | `what_is_reported_durable_is_on_the_disk` |
//! | a follower returns when its leader does, however far that went | `what_is_reported_durable_is_on_the_disk` |
//! | the leader does not notify | both: a deadlock |
//! | the leader notifies before it steps down | both: a deadlock |
//! | a follower waits without looking whether there is still a leader | both: a deadlock |
//! | no `has_leader`: all sync | `one_thread_syncs_at_a_time` |
//! | the next leader does not check for poison | `a_failed_sync_fails_all_and_is_not_repeated` |
//! | the leader poisons after it has stepped down | `a_failed_sync_fails_all_and_is_not_repeated` |

use alluvium_base::sync::{explore, thread};

use super::*;

/// A log on a disk that knows only how far it was written and how far synced. Nothing here orders
/// one thread behind another: what order there is comes from the group.
#[derive(Debug)]
struct Disk {
    written: AtomicU64,
    durable: AtomicU64,
    syncing: AtomicU64,
    syncs: AtomicU64,
}

impl Disk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            syncing: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        })
    }

    /// Appends a record of one byte; returns its end.
    fn append(&self) -> LogEnd {
        LogEnd(self.written.fetch_add(1, Ordering::AcqRel) + 1)
    }

    #[expect(clippy::unnecessary_wraps, reason = "a sync as the group takes it")]
    fn sync(&self) -> Result<LogEnd> {
        assert_eq!(self.syncing.fetch_add(1, Ordering::Relaxed), 0, "one thread syncs at a time");
        let goal = self.written.load(Ordering::Acquire);
        self.durable.store(goal, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.syncing.fetch_sub(1, Ordering::Relaxed);
        Ok(LogEnd(goal))
    }

    /// A sync that fails, and leaves the pages clean: another would succeed.
    fn fail(&self) -> Result<LogEnd> {
        let earlier = self.syncs.fetch_add(1, Ordering::Relaxed);
        assert_eq!(earlier, 0, "a sync that failed is never repeated");
        Err(Error::invalid("the disk failed"))
    }
}

/// Each of three threads appends and syncs: when its call returns, its record is on the disk.
#[test]
fn what_is_reported_durable_is_on_the_disk() {
    explore("what_is_reported_durable_is_on_the_disk", || {
        let (group, disk) = (Arc::new(SyncGroup::new()), Disk::new());
        let write = |group: &SyncGroup, disk: &Disk| {
            let end = disk.append();
            group.sync_to(end, || disk.sync()).unwrap();
            assert!(disk.durable.load(Ordering::Relaxed) >= end.0, "{end:?} is not durable");
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (group, disk) = (Arc::clone(&group), Arc::clone(&disk));
                thread::spawn(move || write(&group, &disk))
            })
            .collect();
        write(&group, &disk);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!((1..=3).contains(&disk.syncs.load(Ordering::Relaxed)));
    });
}

/// Who reads how far the log is synced, without the lock, finds that much on the disk.
#[test]
fn the_synced_end_is_on_the_disk() {
    explore("the_synced_end_is_on_the_disk", || {
        let (group, disk) = (Arc::new(SyncGroup::new()), Disk::new());
        let writer = {
            let (group, disk) = (Arc::clone(&group), Arc::clone(&disk));
            thread::spawn(move || group.sync_to(disk.append(), || disk.sync()).unwrap())
        };
        let synced = group.synced();
        assert!(disk.durable.load(Ordering::Relaxed) >= synced.0);
        writer.join().unwrap();
        assert_eq!(group.synced(), LogEnd(1));
    });
}

/// The first sync fails: whoever waits for it and whoever comes later fail too, and nobody syncs
/// again.
#[test]
fn a_failed_sync_fails_all_and_is_not_repeated() {
    explore("a_failed_sync_fails_all_and_is_not_repeated", || {
        let (group, disk) = (Arc::new(SyncGroup::new()), Disk::new());
        let write = |group: &SyncGroup, disk: &Disk| {
            let end = disk.append();
            assert!(group.sync_to(end, || disk.fail()).is_err(), "nothing became durable");
            assert!(group.check().is_err(), "who saw a failure sees the poison");
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (group, disk) = (Arc::clone(&group), Arc::clone(&disk));
                thread::spawn(move || write(&group, &disk))
            })
            .collect();
        write(&group, &disk);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(disk.syncs.load(Ordering::Relaxed), 1);
        assert_eq!(group.synced(), LogEnd(0));
    });
}
