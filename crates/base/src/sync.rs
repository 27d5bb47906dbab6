//! Locks, shared pointers, atomics and threads, which a model checker can take the place of.
//!
//! ```text
//!                      ┌─ a normal build ──► parking_lot, arc-swap, std: re-exported, nothing added
//!  engine, wal, table ─┤
//!   use base::sync     ├─ --cfg loom ──────► every interleaving, every value a weak load may return
//!                      └─ --cfg shuttle ───► random schedules of the whole engine
//! ```
//!
//! What goes through here is what the models see: everything that one thread does and another waits
//! for or looks at. Figures that order nothing (counters, file numbers) stay with `std`.
//!
//! Invariant: both sides have the same names and signatures, those of the re-exported crates. The
//! code that is checked is the code that is shipped.

#[cfg(not(any(loom, shuttle)))]
pub use self::shipped::*;
#[cfg(any(loom, shuttle))]
pub use checked::*;

#[cfg(any(loom, shuttle))]
mod checked;
#[cfg(any(loom, shuttle))]
mod explore;

#[cfg(loom)]
pub use explore::explore;
#[cfg(shuttle)]
pub use explore::{draw, explore};

/// What a normal build runs on.
#[cfg(not(any(loom, shuttle)))]
mod shipped {
    pub use std::sync::{OnceLock, atomic};
    pub use std::{hint, thread};

    pub use arc_swap::{ArcSwap, ArcSwapOption, Guard};
    pub use parking_lot::{
        Condvar, Mutex, MutexGuard, RecursiveRwLock, RecursiveRwLockReadGuard, RwLock,
        WaitTimeoutResult,
    };
}
