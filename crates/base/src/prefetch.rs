//! Asking for a cache line ahead of its use.
//!
//! A load that misses the processor's caches takes as long as several hundred instructions. Whoever
//! knows early what it will need, and has something else to do meanwhile, asks for it first.
#![allow(unsafe_code, reason = "the instruction has no safe wrapper: docs/decisions/0017")]

/// Bytes of a cache line.
pub const LINE_BYTES: usize = 64;

/// How many lines behind what was written a writer who goes on there asks for: about those of one write of an
/// entry of a hundred bytes. Those of longer writes the processor fetches by itself.
const NEXT_LINES: usize = 4;

/// Asks for the cache lines behind `end`, where what was just written ends and the next write will begin. A
/// lock that is given back waits for all that was written before, and so for lines that were not there.
#[inline]
pub fn prefetch_behind(end: usize) {
    (0..NEXT_LINES).for_each(|line| prefetch(end.wrapping_add(line * LINE_BYTES)));
}

/// Asks for the cache line at `address`, which may be anything, even no address at all: the line is
/// brought to the processor where there is one, and nothing is read. Does nothing on processors
/// other than x86-64.
#[inline(always)]
pub fn prefetch(address: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let pointer = std::ptr::without_provenance::<i8>(address);
        // SAFETY: a prefetch is a hint. It accesses no memory and cannot fault, whatever the address
        // (Intel SDM, PREFETCHh; AMD64 manual, volume 3, PREFETCHlevel).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        let _unused = address;
    }
}
