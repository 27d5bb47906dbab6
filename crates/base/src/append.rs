//! Bytes that one thread appends and many read, at the same time.
//!
//! ```text
//!   room    │ appended: never written again │ free: never read │
//!           └───────── shared by all ───────┴─ the appender's ─┘
//!                                           ▲
//!                                         length
//! ```
//!
//! Appended bytes are lent to readers while the appender writes behind them, which a `Vec` behind a lock
//! cannot do, and a [`BytesMut`](bytes::BytesMut) only for a shared count with each piece. What keeps the
//! two sides apart is the length: it grows when bytes are all there, and nobody reads beyond it.
#![allow(unsafe_code, reason = "no safe type lends a part while another is written: decision 24")]

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::prefetch::{prefetch, prefetch_behind};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// No system has smaller pages.
const LEAST_PAGE_BYTES: usize = 4096;

/// Memory to append to.
pub struct Room {
    /// Initialized from the front, as far as was ever appended.
    bytes: Box<[UnsafeCell<MaybeUninit<u8>>]>,
}

/// What was appended so far: readers share it.
pub struct Appended {
    room: Room,
    /// How much is there. Written by the one [`Appender`].
    len: AtomicUsize,
}

/// The one that appends.
#[derive(Debug)]
pub struct Appender {
    shared: Arc<Appended>,
    /// The same length, which nobody else changes.
    len: usize,
}

// SAFETY: bytes up to the length are not written any more, and may be read by any thread. Those behind it
// are written by the one appender, and read by nobody. The length orders the two: it is stored with
// `Release` after bytes were written, and loaded with `Acquire` before they are read.
unsafe impl Sync for Appended {}

impl Room {
    /// Room for `capacity` bytes. The memory is not touched yet.
    pub fn new(capacity: usize) -> Self {
        let bytes = Box::<[u8]>::new_uninit_slice(capacity);
        let raw = Box::into_raw(bytes) as *mut [UnsafeCell<MaybeUninit<u8>>];
        // SAFETY: `UnsafeCell` has the layout of what it holds, so the allocation is the same.
        Self { bytes: unsafe { Box::from_raw(raw) } }
    }

    /// How many bytes can be appended.
    pub const fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Has the kernel find all of the memory now: a page that is written to for the first time costs
    /// microseconds, and a huge one milliseconds.
    pub fn touch(&mut self) {
        for byte in self.bytes.iter_mut().step_by(LEAST_PAGE_BYTES) {
            byte.get_mut().write(0);
        }
    }

    /// An appender at the beginning.
    pub fn appender(self) -> Appender {
        Appender { shared: Arc::new(Appended { room: self, len: AtomicUsize::new(0) }), len: 0 }
    }
}

impl Appender {
    /// Appends the parts, one behind the other, and answers where they begin; `None`, having done nothing,
    /// where there is no room for all.
    #[inline]
    pub fn append(&mut self, parts: &[&[u8]]) -> Option<usize> {
        let start = self.len;
        let total = parts.iter().map(|part| part.len()).sum();
        let mut free = self.shared.room.bytes.get(start..)?.get(..total)?;
        for part in parts {
            let (target, rest) = free.split_at(part.len());
            // SAFETY: `target` is as long as `part`, and behind the length: no reader has a part of it,
            // and this appender is the only one, borrowed mutably.
            unsafe {
                let target = UnsafeCell::raw_get(target.as_ptr()).cast::<u8>();
                std::ptr::copy_nonoverlapping(part.as_ptr(), target, part.len());
            }
            free = rest;
        }
        prefetch_behind(free.as_ptr().addr());
        self.len += total;
        self.shared.len.store(self.len, Ordering::Release);
        Some(start)
    }

    /// The readers' half.
    pub fn appended(&self) -> Arc<Appended> {
        Arc::clone(&self.shared)
    }
}

impl Appended {
    /// What was appended from `start` on.
    ///
    /// # Panics
    /// When `start` is beyond that.
    #[inline]
    pub fn from(&self, start: usize) -> &[u8] {
        let bytes = &self.room.bytes[start..self.len.load(Ordering::Acquire)];
        // SAFETY: all of it is before the length, so it was written before that was stored, and is not
        // written again for as long as `self` is borrowed: only `into_room` starts over.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), bytes.len()) }
    }

    /// Asks for the cache line of the byte numbered `at`.
    #[inline]
    pub fn ask_for(&self, at: usize) {
        prefetch(self.room.bytes.as_ptr().addr().wrapping_add(at));
    }

    /// The memory, to append to anew; `None` while somebody else can read it, or append to it.
    pub fn into_room(self: Arc<Self>) -> Option<Room> {
        Arc::into_inner(self).map(|appended| appended.room)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("capacity", &self.capacity()).finish()
    }
}

impl fmt::Debug for Appended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.len.load(Ordering::Relaxed);
        f.debug_struct("Appended").field("room", &self.room).field("len", &len).finish()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn parts_are_appended_while_there_is_room_for_all() {
        let mut room = Room::new(10);
        room.touch();
        let mut appender = room.appender();
        let readers = appender.appended();
        assert_eq!(appender.append(&[b"ab", b"", b"cde"]), Some(0));
        let first = readers.from(1);
        assert_eq!(appender.append(&[b"fghi", b"jk"]), None);
        assert_eq!(appender.append(&[b"fghij"]), Some(5));
        assert_eq!((first, readers.from(4)), (&b"bcde"[..], &b"efghij"[..]));
        assert_eq!((appender.append(&[b"x"]), appender.append(&[])), (None, Some(10)));
    }

    #[test]
    #[should_panic(expected = "slice index")]
    fn nothing_is_read_that_was_not_appended() {
        let appender = Room::new(10).appender();
        appender.appended().from(1);
    }

    #[test]
    fn memory_starts_over_once_nobody_reads_it() {
        let mut appender = Room::new(4).appender();
        appender.append(&[b"old"]);
        let (one, other) = (appender.appended(), appender.appended());
        drop(appender);
        assert!(one.into_room().is_none(), "there is another reader");
        let room = other.into_room().expect("the last one");
        let mut appender = room.appender();
        assert_eq!(appender.appended().from(0), b"");
        appender.append(&[b"n"]);
        assert_eq!(appender.appended().from(0), b"n");
    }

    #[test]
    fn readers_see_whole_appends_while_more_come() {
        const APPENDS: u8 = if cfg!(miri) { 20 } else { 250 };
        let mut appender = Room::new(3 * usize::from(APPENDS)).appender();
        let readers = appender.appended();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for n in 0..APPENDS {
                    appender.append(&[&[n], &[n, n]]).expect("room");
                }
            });
            loop {
                let seen = readers.from(0);
                let triples = seen.chunks_exact(3).zip(0..);
                triples.for_each(|(triple, n)| assert_eq!(triple, [n; 3]));
                assert_eq!(seen.len() % 3, 0);
                if seen.len() == 3 * usize::from(APPENDS) {
                    return;
                }
            }
        });
    }
}
