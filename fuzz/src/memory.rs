//! An allocator that counts, so that a length believed before it was verified is noticed even where
//! the machine has room for it.
#![allow(unsafe_code, reason = "implementing GlobalAlloc takes it; this is no part of the library")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to `System` unchanged; counting touches atomics and nothing else.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What may be allocated whatever the input: windows, caches, threads' odds and ends.
const FIXED_BYTES: usize = 16 << 20;

/// What may be allocated for each byte of the input. LZ4 makes up to 255 of one, and a cursor and
/// the cache may each hold some of that.
const BYTES_PER_BYTE: usize = 2048;

/// What an input of `input_bytes` may make us take.
pub const fn budget(input_bytes: usize) -> usize {
    FIXED_BYTES + BYTES_PER_BYTE * input_bytes
}

/// Runs `work` on an input of `input_bytes` and fails if it takes more memory than such an input
/// can be worth.
pub fn bounded<R>(input_bytes: usize, work: impl FnOnce() -> R) -> R {
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    PEAK_BYTES.store(before, Ordering::Relaxed);
    let result = work();
    let taken = PEAK_BYTES.load(Ordering::Relaxed).saturating_sub(before);
    let most = budget(input_bytes);
    assert!(taken <= most, "an input of {input_bytes} bytes made us take {taken} bytes");
    result
}
