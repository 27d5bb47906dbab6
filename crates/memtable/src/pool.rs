//! Memory of memtables that are gone, for those to come.
//!
//! A memtable is filled within a fraction of a second, flushed, and dropped. Giving its memory back to
//! the operating system and asking for the same again costs more than it seems: the kernel clears every
//! page anew, and a writer that meets it while it takes tens of megabytes away waits for milliseconds.
//! So the large pieces stay here in between:
//!
//! ```text
//!   memtable ── dropped ──► pool │ rooms for chunks │ leaves │ filter │ ──► the next memtable
//!   a thread ── touched ──►      │ some more        │ some   │
//! ```
//!
//! Until memtables come back, a thread stocks the pool: a page that is touched for the first time costs the
//! writer microseconds, and a huge one milliseconds, hundreds of times as long as its write.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use alluvium_base::append::Room;
use alluvium_base::sync::{Condvar, Mutex};

use crate::entries::LARGEST_CHUNK_BYTES;
use crate::filter::{KeyFilter, Words};
use crate::leaf::Leaf;

/// Keeps memory of dropped memtables, up to a limit. Share one among all memtables of a database.
#[derive(Default)]
pub struct MemtablePool {
    most_bytes: usize,
    /// What is kept, or about to be.
    bytes: AtomicUsize,
    /// A leaf lock, as the other one.
    stock: Mutex<Stock>,
    /// Something is wanted, or nothing any more.
    wanted: Condvar,
    /// The filter of one, all zero: to clear it takes as long as some hundred writes.
    filter: Mutex<Words>,
}

/// What memtables take piece by piece.
#[derive(Default)]
struct Stock {
    /// For chunks of the largest size.
    rooms: Vec<Room>,
    /// Empty ones.
    #[allow(clippy::vec_box, reason = "they go to memtables as they are: nothing is to be moved")]
    leaves: Vec<Box<Leaf>>,
    /// Memtables grow as large as to take rooms.
    has_room_takers: bool,
    stocking: Stocking,
}

/// What the thread that stocks the pool is to do.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Stocking {
    /// There is no such thread.
    #[default]
    Never,
    Waiting,
    Wanted,
    Over,
}

/// What is enough of both, at most: 4 MiB of rooms and half a MiB of leaves. A writer takes what is between
/// few and enough within some milliseconds.
const ENOUGH_ROOMS: usize = 16;
const ENOUGH_LEAVES: usize = 320;

/// Three quarters of what is enough.
const fn few(enough: usize) -> usize {
    enough - enough / 4
}

const LEAF_BYTES: usize = size_of::<Leaf>();

/// Leaves come back by so many: a writer meets the lock less often.
const RETURNED_AT_ONCE: usize = 256;

impl Stock {
    /// Asks for more; answers whether the thread that makes it, if there is one, is to be woken.
    fn want(&mut self) -> bool {
        let waits = self.stocking == Stocking::Waiting;
        if waits {
            self.stocking = Stocking::Wanted;
        }
        waits
    }
}

impl MemtablePool {
    /// A pool that keeps `most_bytes` at most; with 0 it keeps nothing.
    pub fn new(most_bytes: usize) -> Self {
        Self { most_bytes, ..Self::default() }
    }

    /// How many bytes it keeps.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Room for a chunk of `capacity` bytes.
    pub(crate) fn take_room(&self, capacity: usize) -> Room {
        if capacity < LARGEST_CHUNK_BYTES {
            return Room::new(capacity);
        }
        let room = self.take(|stock| {
            stock.has_room_takers = true;
            let room = stock.rooms.pop();
            (room, stock.rooms.len() < few(self.enough_rooms()))
        });
        let Some(room) = room else { return Room::new(capacity) };
        self.bytes.fetch_sub(LARGEST_CHUNK_BYTES, Ordering::Relaxed);
        room
    }

    /// An empty leaf.
    pub(crate) fn take_leaf(&self) -> Box<Leaf> {
        let leaf = self.take(|stock| {
            let leaf = stock.leaves.pop();
            let are_few = leaf.is_some() && stock.leaves.len() < few(self.enough_leaves());
            (leaf, are_few)
        });
        let Some(leaf) = leaf else { return Box::new(Leaf::new()) };
        self.bytes.fetch_sub(LEAF_BYTES, Ordering::Relaxed);
        leaf
    }

    /// What `choose` takes from the stock, if anything; it also says whether more is wanted. A writer
    /// does not wait for whoever is in there: a thread that has to share its processor may hold the
    /// lock for milliseconds, in which thousands of writes could be made.
    fn take<T>(&self, choose: impl FnOnce(&mut Stock) -> (Option<T>, bool)) -> Option<T> {
        let mut stock = self.stock.try_lock()?;
        let (taken, are_few) = choose(&mut stock);
        let is_woken = are_few && stock.want();
        drop(stock);
        if is_woken {
            self.wanted.notify_all();
        }
        taken
    }

    /// Keeps those of the largest size.
    pub(crate) fn keep_rooms(&self, rooms: impl Iterator<Item = Room>) {
        for room in rooms.filter(|room| room.capacity() == LARGEST_CHUNK_BYTES) {
            if !self.has_room_for(LARGEST_CHUNK_BYTES) {
                return;
            }
            self.stock.lock().rooms.push(room);
        }
    }

    /// Keeps leaves that nobody needs any more.
    pub(crate) fn keep_leaves(&self, leaves: impl Iterator<Item = Box<Leaf>>) {
        let mut kept = Vec::with_capacity(RETURNED_AT_ONCE);
        for mut leaf in leaves.take_while(|_| self.has_room_for(LEAF_BYTES)) {
            // Before the lock: it takes its time.
            *leaf = Leaf::new();
            kept.push(leaf);
            if kept.len() == RETURNED_AT_ONCE {
                self.stock.lock().leaves.append(&mut kept);
            }
        }
        self.stock.lock().leaves.append(&mut kept);
    }

    /// Makes rooms and leaves, and touches their memory, whenever few are left; for a thread of its own.
    /// Returns after [`stop_stocking`](Self::stop_stocking).
    pub fn stock_until_stopped(&self) {
        while self.wait_until_wanted() {
            if self.are_leaves_short() && self.has_room_for(LEAF_BYTES) {
                let leaf = Box::new(Leaf::new());
                self.stock.lock().leaves.push(leaf);
                continue;
            }
            if self.are_rooms_short() && self.has_room_for(LARGEST_CHUNK_BYTES) {
                let mut room = Room::new(LARGEST_CHUNK_BYTES);
                room.touch();
                self.stock.lock().rooms.push(room);
                continue;
            }
            let mut stock = self.stock.lock();
            if stock.stocking == Stocking::Wanted {
                stock.stocking = Stocking::Waiting;
            }
        }
    }

    /// Half of what may be kept, at most, and none where nothing may.
    fn enough_rooms(&self) -> usize {
        (self.most_bytes / 2 / LARGEST_CHUNK_BYTES).min(ENOUGH_ROOMS)
    }

    /// An eighth of what may be kept, at most.
    fn enough_leaves(&self) -> usize {
        (self.most_bytes / 8 / LEAF_BYTES).min(ENOUGH_LEAVES)
    }

    fn are_leaves_short(&self) -> bool {
        self.stock.lock().leaves.len() < self.enough_leaves()
    }

    fn are_rooms_short(&self) -> bool {
        let stock = self.stock.lock();
        stock.has_room_takers && stock.rooms.len() < self.enough_rooms()
    }

    /// Returns once something is wanted, or false once nothing will be any more.
    fn wait_until_wanted(&self) -> bool {
        let mut stock = self.stock.lock();
        if stock.stocking == Stocking::Never {
            stock.stocking = Stocking::Waiting;
        }
        while stock.stocking == Stocking::Waiting {
            self.wanted.wait(&mut stock);
        }
        stock.stocking == Stocking::Wanted
    }

    /// Ends [`stock_until_stopped`](Self::stock_until_stopped), also one that is still to come.
    pub fn stop_stocking(&self) {
        self.stock.lock().stocking = Stocking::Over;
        self.wanted.notify_all();
    }

    /// The words of a filter of `bytes`, all zero.
    pub(crate) fn take_filter(&self, bytes: usize) -> Words {
        let mut kept = self.filter.lock();
        if kept.is_empty() || kept.len() != bytes / size_of::<u64>() {
            // One of another size is left to whoever wants that.
            drop(kept);
            return KeyFilter::words(bytes);
        }
        self.bytes.fetch_sub(size_of_val(&**kept), Ordering::Relaxed);
        std::mem::take(&mut *kept)
    }

    /// Keeps the words of a filter that is of no use any more, in place of others.
    pub(crate) fn keep_filter(&self, filter: KeyFilter) {
        let bytes = filter.memory_bytes();
        if bytes == 0 || !self.has_room_for(bytes) {
            return;
        }
        // Before the lock: it takes its time.
        let cleared = filter.into_cleared();
        let other = std::mem::replace(&mut *self.filter.lock(), cleared);
        self.bytes.fetch_sub(size_of_val(&*other), Ordering::Relaxed);
    }

    /// Counts `bytes` as kept, if they may be.
    fn has_room_for(&self, bytes: usize) -> bool {
        let add = |kept: usize| kept.checked_add(bytes).filter(|&sum| sum <= self.most_bytes);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

impl fmt::Debug for MemtablePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemtablePool").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alluvium_base::{Bytes, Kind, Seq};

    use super::*;
    use crate::{Memtable, PackedMemtable, WritableMemtable};

    fn fill(pool: &Arc<MemtablePool>, count: u32) -> PackedMemtable {
        let memtable = PackedMemtable::with_pool(Arc::clone(pool), 1 << 12);
        for n in 0..count {
            let mut batch = n.wrapping_mul(0x9e37_79b9).to_be_bytes().to_vec();
            batch.extend_from_slice(&[n as u8; 100]);
            let batch = Bytes::from(batch);
            memtable.insert(&batch, 0..4, 4..104, Seq::new(u64::from(n) + 1), Kind::Put);
        }
        memtable
    }

    fn value(memtable: &PackedMemtable, n: u32) -> Bytes {
        let key = n.wrapping_mul(0x9e37_79b9).to_be_bytes();
        memtable.get(&key, Seq::MAX).expect("it was inserted").value
    }

    #[test]
    fn memory_goes_from_memtable_to_memtable_and_values_stay() {
        let pool = Arc::new(MemtablePool::new(64 << 20));
        let first = Arc::new(fill(&pool, 100_000));
        let held = value(&first, 77);
        let mut reader = Memtable::iter(Arc::clone(&first) as Arc<dyn Memtable>);
        reader.seek_to_first().expect("memory does not fail");
        let taken = first.memory_bytes();
        drop(first);
        assert_eq!(pool.bytes(), 0, "a reader has it");
        drop(reader);
        assert!(pool.bytes() * 10 > taken * 6, "{} of {taken} kept", pool.bytes());
        let second = fill(&pool, 100_000);
        assert!(pool.bytes() * 10 < taken, "{} left", pool.bytes());
        assert_eq!(held[..], [77; 100]);
        assert!((0..100_000).all(|n| value(&second, n)[..] == [n as u8; 100]));
    }

    /// It was taken away, and freed, by every memtable that wanted none or another one.
    #[test]
    fn a_filter_is_left_to_a_memtable_that_wants_one_of_its_size() {
        let pool = Arc::new(MemtablePool::new(1 << 20));
        pool.keep_filter(KeyFilter::new(KeyFilter::words(4096)));
        assert_eq!(pool.take_filter(0).len(), 0);
        assert_eq!(pool.take_filter(800).len(), 100);
        assert_eq!(pool.bytes(), 4096);
        assert_eq!(pool.take_filter(4096).len(), 512);
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn a_thread_stocks_the_pool_until_it_is_stopped() {
        let pool = Arc::new(MemtablePool::new(64 << 20));
        let stocking = {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || pool.stock_until_stopped())
        };
        assert_eq!(pool.bytes(), 0, "nothing was asked for");
        while pool.bytes() <= 4 << 20 {
            // The first may come before the thread.
            drop(pool.take_room(LARGEST_CHUNK_BYTES));
            std::thread::yield_now();
        }
        pool.stop_stocking();
        stocking.join().expect("it returns");
        pool.stock_until_stopped();
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let pool = Arc::new(MemtablePool::new(1 << 20));
        drop(fill(&pool, 100_000));
        assert!((700_000..=1 << 20).contains(&pool.bytes()), "{}", pool.bytes());
        let nothing = Arc::new(MemtablePool::new(0));
        drop(fill(&nothing, 100_000));
        assert_eq!(nothing.bytes(), 0);
    }
}
