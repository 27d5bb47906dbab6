//! Publication in every interleaving: `cargo xtask concurrency loom`.
//!
//! What each model was seen to find, when the line it guards was broken by hand:
//!
//! | broken | found by |
//! |---|---|
//! | `visible` loaded with `Relaxed` | `a_visible_sequence_is_in_its_memtable` |
//! | `visible` stored with `Relaxed` | `a_visible_sequence_is_in_its_memtable` |
//! | `visible` stored with `Release` | `the_last_of_those_who_wait_is_woken`: a lost wake-up |
//! | `sleepers` counted with `AcqRel` | `the_last_of_those_who_wait_is_woken`: a lost wake-up |
//! | `sleepers` loaded with `Acquire` | `the_last_of_those_who_wait_is_woken`: a lost wake-up |
//! | `visible` loaded with `Acquire` under the lock | `the_last_of_those_who_wait_is_woken` |
//! | no lock between the store and the notification | `the_last_of_those_who_wait_is_woken` |
//! | notified before the store | `the_last_of_those_who_wait_is_woken` |
//! | `notify_one` for onlookers | `all_who_wait_are_woken` |
//! | `publish` does not wait for its turn | `a_visible_sequence_is_in_its_memtable` |
//! | `pin` without its second look | `a_read_point_misses_no_earlier_write` |
//! | `pin` reads the sequence first | `a_read_point_has_the_view_its_sequence_needs` |

use alluvium_base::sync::{explore, thread};

use super::*;

/// Stands for an entry in a memtable: written without order, as the copy into one is.
#[derive(Debug)]
struct Entry(AtomicUsize);

impl Entry {
    fn absent() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn insert(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 1
    }
}

/// Two writers finish in either order; whoever reads a sequence sees its write and all before it.
#[test]
fn a_visible_sequence_is_in_its_memtable() {
    explore("a_visible_sequence_is_in_its_memtable", || {
        let publisher = Arc::new(Publisher::new(Seq::ZERO));
        let entries = Arc::new([Entry::absent(), Entry::absent()]);
        let writers: Vec<_> = (1..=2)
            .map(|at: u64| {
                let (publisher, entries) = (Arc::clone(&publisher), Arc::clone(&entries));
                thread::spawn(move || {
                    entries[at as usize - 1].insert();
                    publisher.publish(Seq::new(at), Seq::new(at));
                    assert!(publisher.visible() >= Seq::new(at), "a writer reads its own write");
                })
            })
            .collect();
        let reader = {
            let (publisher, entries) = (Arc::clone(&publisher), Arc::clone(&entries));
            thread::spawn(move || {
                let visible = publisher.visible().get() as usize;
                assert!(entries[..visible].iter().all(Entry::is_there), "visible up to {visible}");
            })
        };
        reader.join().unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(publisher.visible(), Seq::new(2));
    });
}

/// One who sleeps is woken by the one before him: a wake-up lost would be a deadlock.
#[test]
fn the_last_of_those_who_wait_is_woken() {
    explore("the_last_of_those_who_wait_is_woken", || {
        let publisher = Arc::new(Publisher::new(Seq::ZERO));
        let sleeper = Arc::clone(&publisher);
        let sleeper = thread::spawn(move || sleeper.sleep(Seq::new(1), None));
        publisher.publish(Seq::new(1), Seq::new(1));
        sleeper.join().unwrap();
    });
}

/// A batch may be what several others wait for.
#[test]
fn all_who_wait_are_woken() {
    explore("all_who_wait_are_woken", || {
        let publisher = Arc::new(Publisher::new(Seq::ZERO));
        let sleepers: Vec<_> = [1, 2]
            .map(|seq| {
                let sleeper = Arc::clone(&publisher);
                thread::spawn(move || sleeper.sleep(Seq::new(seq), None))
            })
            .into();
        publisher.publish(Seq::new(1), Seq::new(2));
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    });
}

/// A writer who waits for his turn is woken by the one before him, wherever others wait.
#[test]
fn the_writer_whose_turn_it_is_is_woken() {
    explore("the_writer_whose_turn_it_is_is_woken", || {
        let publisher = Arc::new(Publisher::new(Seq::ZERO));
        let later: Vec<_> = [2, 3]
            .map(|seq| {
                let writer = Arc::clone(&publisher);
                thread::spawn(move || {
                    writer.sleep(Seq::new(seq - 1), Some(Seq::new(seq)));
                    writer.publish(Seq::new(seq), Seq::new(seq));
                })
            })
            .into();
        publisher.publish(Seq::new(1), Seq::new(1));
        for writer in later {
            writer.join().unwrap();
        }
        assert_eq!(publisher.visible(), Seq::new(3));
    });
}

/// Which memtables of two keyspaces a view has: the second of either is empty at first.
#[derive(Debug)]
struct View {
    memtables: [usize; 2],
}

/// A write to the new memtable of one keyspace, then one to the other keyspace: who sees the later
/// one sees the earlier.
#[test]
fn a_read_point_misses_no_earlier_write() {
    explore("a_read_point_misses_no_earlier_write", || {
        let publisher = Arc::new(Publisher::new(Seq::ZERO));
        let view = Arc::new(ArcSwap::from_pointee(View { memtables: [0, 0] }));
        let writer = {
            let (publisher, view) = (Arc::clone(&publisher), Arc::clone(&view));
            thread::spawn(move || {
                // As `Core::write_if` does under the commit lock: rotate, then write.
                view.store(Arc::new(View { memtables: [1, 0] }));
                publisher.publish(Seq::new(1), Seq::new(1));
                publisher.publish(Seq::new(2), Seq::new(2));
            })
        };
        let reader = thread::spawn(move || {
            let (pinned, seq) = publisher.pin(&view);
            // Sequence 1 is in memtable 1 of the first keyspace, sequence 2 in memtable 0 of the
            // other.
            let sees_later = seq >= Seq::new(2) && pinned.memtables[1] == 0;
            let sees_earlier = seq >= Seq::new(1) && pinned.memtables[0] == 1;
            assert!(!sees_later || sees_earlier, "sequence {seq:?} in {pinned:?}");
        });
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// A compaction drops what is hidden at the newest sequence. Whoever reads in its view reads at that
/// sequence, or a later one.
#[test]
fn a_read_point_has_the_view_its_sequence_needs() {
    explore("a_read_point_has_the_view_its_sequence_needs", || {
        let publisher = Arc::new(Publisher::new(Seq::ZERO));
        let view = Arc::new(ArcSwap::from_pointee(Seq::ZERO));
        let compaction = {
            let (publisher, view) = (Arc::clone(&publisher), Arc::clone(&view));
            thread::spawn(move || {
                publisher.publish(Seq::new(1), Seq::new(1));
                // Keeps no version that the one at sequence 1 hides.
                view.store(Arc::new(Seq::new(1)));
            })
        };
        let reader = thread::spawn(move || {
            let (oldest_kept, seq) = publisher.pin(&view);
            assert!(seq >= **oldest_kept, "reads at {seq:?} what was dropped at {oldest_kept:?}");
        });
        reader.join().unwrap();
        compaction.join().unwrap();
    });
}
