//! Publication: writes become visible in the order of their sequences.
//!
//! Writers get their sequences under the commit lock but fill the memtable outside it, so a later
//! write may be done first. It waits here until all before it are visible: a reader at sequence
//! *s* then sees every write up to *s*, and batches whole.
//!
//! Where one writer is interrupted, all behind it pile up, and each could only wake the next one. So
//! they wait in different places, by sequence, and a writer wakes the one whose turn it is: waking
//! all of them for each would cost the square of their number.

use std::sync::Arc;

use alluvium_base::Seq;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use alluvium_base::sync::{ArcSwap, Condvar, Guard, Mutex, hint, thread};

/// Turns a writer spins before it gives way: those before it are mid-copy, some hundred nanoseconds.
const SPINS: usize = if cfg!(any(loom, shuttle)) { 1 } else { 128 };
/// Times it gives way before it sleeps: to be woken takes both of them ten times as long as a write,
/// and one that was interrupted goes on.
const YIELDS: usize = if cfg!(any(loom, shuttle)) { 0 } else { 16 };

/// Times a reader with the bug [`SeqBeforeView`](Bug::SeqBeforeView) gives way at the wrong moment.
const UNLUCKY_YIELDS: usize = if cfg!(any(loom, shuttle)) { 1 } else { 100 };

/// Places to wait in: writers rarely share one unless there are more of them.
const PLACES: usize = if cfg!(any(loom, shuttle)) { 2 } else { 32 };

/// Knows up to where writes are visible.
#[derive(Debug)]
pub(crate) struct Publisher {
    visible: AtomicU64,
    sleepers: AtomicUsize,
    /// How many of the sleepers wait for some sequence, and not for their own turn.
    onlookers: Mutex<usize>,
    /// Where writers wait for their turn.
    places: [Condvar; PLACES],
    /// Where onlookers wait.
    moved: Condvar,
}

impl Publisher {
    pub(crate) fn new(visible: Seq) -> Self {
        Self {
            visible: AtomicU64::new(visible.get()),
            sleepers: AtomicUsize::new(0),
            onlookers: Mutex::new(0),
            places: std::array::from_fn(|_| Condvar::new()),
            moved: Condvar::new(),
        }
    }

    /// The newest sequence that readers may see: it and all before it are in their memtables.
    #[inline]
    pub(crate) fn visible(&self) -> Seq {
        Seq::new(self.visible.load(Ordering::Acquire))
    }

    /// Pins a view and the newest sequence visible in it: a consistent point across keyspaces.
    ///
    /// The view comes first, or a compaction between the two could have dropped what the sequence
    /// still needs (rocksdb 6973). It must also still be current when the sequence is read, or
    /// writes to a newer memtable of one keyspace would be missed and those to another seen.
    #[inline]
    pub(crate) fn pin<V>(&self, current: &ArcSwap<V>) -> (Guard<Arc<V>>, Seq) {
        // The unlucky moment is of nanoseconds: giving way makes it come up in seconds.
        let too_early = is_planted(Bug::SeqBeforeView).then(|| {
            let visible = self.visible();
            (0..UNLUCKY_YIELDS).for_each(|_| thread::yield_now());
            visible
        });
        loop {
            let view = current.load();
            let seq = too_early.unwrap_or_else(|| self.visible());
            if Arc::ptr_eq(&view, &current.load()) {
                return (view, seq);
            }
        }
    }

    /// Makes the sequences from `first` to `last` visible, after all before them.
    #[inline]
    pub(crate) fn publish(&self, first: Seq, last: Seq) {
        if !is_planted(Bug::PublishOutOfOrder) {
            self.wait_for_turn(first);
        }
        // Sequentially consistent with `sleepers`: either we see the sleeper, or it sees the store.
        self.visible.store(last.get(), Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.wake(last.next());
        }
    }

    /// Wakes the writer whose turn it is, if it sleeps, and all onlookers.
    #[cold]
    fn wake(&self, next: Seq) {
        // Behind the lock: whoever is about to sleep has seen the store, or sleeps already.
        let onlookers = *self.onlookers.lock();
        self.place(next).notify_all();
        if onlookers > 0 {
            self.moved.notify_all();
        }
    }

    /// Where the writer whose first sequence is `first` waits for its turn.
    fn place(&self, first: Seq) -> &Condvar {
        &self.places[first.get() as usize % PLACES]
    }

    /// Returns once all before `first` is visible.
    #[inline]
    fn wait_for_turn(&self, first: Seq) {
        if self.visible() < first.prev() && !self.spin(first.prev()) {
            self.sleep(first.prev(), Some(first));
        }
    }

    /// Returns once `seq` is visible.
    #[inline]
    pub(crate) fn wait_for(&self, seq: Seq) {
        if self.visible() < seq && !self.spin(seq) {
            self.sleep(seq, None);
        }
    }

    /// Waits for a moment; answers whether that was enough.
    #[cold]
    fn spin(&self, seq: Seq) -> bool {
        for turn in 0..SPINS + YIELDS {
            if turn < SPINS {
                hint::spin_loop();
            } else {
                thread::yield_now();
            }
            if self.visible() >= seq {
                return true;
            }
        }
        false
    }

    /// Sleeps until `seq` is visible: in the place of the writer that begins with `turn`, or as an
    /// onlooker.
    #[cold]
    fn sleep(&self, seq: Seq, turn: Option<Seq>) {
        let place = turn.map_or(&self.moved, |first| self.place(first));
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut onlookers = self.onlookers.lock();
        *onlookers += usize::from(turn.is_none());
        while self.visible.load(Ordering::SeqCst) < seq.get() {
            place.wait(&mut onlookers);
        }
        *onlookers -= usize::from(turn.is_none());
        drop(onlookers);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod models;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// Many threads publish in random order of arrival; nobody ever sees a gap.
    #[test]
    fn sequences_become_visible_in_order() {
        let publisher = Publisher::new(Seq::ZERO);
        let next = AtomicU64::new(1);
        let done: Vec<_> = (0..2000).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        let seq = next.fetch_add(1, Ordering::Relaxed);
                        if seq >= 2000 {
                            return;
                        }
                        done[seq as usize].store(1, Ordering::Relaxed);
                        publisher.publish(Seq::new(seq), Seq::new(seq));
                        let visible = publisher.visible().get() as usize;
                        assert!(visible >= seq as usize);
                        assert!(done[1..=visible].iter().all(|d| d.load(Ordering::Relaxed) == 1));
                    }
                });
            }
        });
        assert_eq!(publisher.visible(), Seq::new(1999));
    }
}
