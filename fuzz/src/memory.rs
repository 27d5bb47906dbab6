//! An allocator that counts, so that a length believed before it was verified is noticed even where
//! the machine has room for it.
//!
//! Invariant: what an input makes us take is at most its target's [`Budget`]: so many bytes, and so
//! many more for each of its own. libFuzzer's limits (`cargo xtask fuzz` sets them) stand behind
//! that, for the process as a whole.
#![allow(unsafe_code, reason = "implementing GlobalAlloc takes it; this is no part of the library")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

fn note_more(bytes: usize) {
    let live = LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
    PEAK_BYTES.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call goes to `System` unchanged; counting touches atomics and nothing else.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note_more(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note_more(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What an input may make us take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes that any input may take: windows, caches, threads' odds and ends.
    pub fixed_bytes: usize,
    /// Bytes more for each byte of the input.
    pub bytes_per_byte: usize,
}

impl Budget {
    /// That of a decoder, which keeps a few words about each byte that it was given.
    pub const DECODER: Self = Self { fixed_bytes: 64 << 10, bytes_per_byte: 64 };

    /// That of a reader of tables: LZ4 makes up to 255 bytes of one, and a cursor and the cache may
    /// each hold some of that.
    pub const TABLE: Self = Self { fixed_bytes: 2 << 20, bytes_per_byte: 1024 };

    /// In bytes, for an input of so many.
    pub const fn of(self, input_bytes: usize) -> usize {
        self.fixed_bytes.saturating_add(self.bytes_per_byte.saturating_mul(input_bytes))
    }

    /// Runs `work` on an input of `input_bytes` and fails if it takes more than this allows.
    pub fn bound<R>(self, input_bytes: usize, work: impl FnOnce() -> R) -> R {
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        PEAK_BYTES.store(before, Ordering::Relaxed);
        let result = work();
        let taken = PEAK_BYTES.load(Ordering::Relaxed).saturating_sub(before);
        let most = self.of(input_bytes);
        assert!(
            taken <= most,
            "an input of {input_bytes} bytes made us take {taken} bytes, and {most} is the most"
        );
        result
    }
}
