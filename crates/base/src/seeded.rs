//! Seeded bugs: traps that other engines fell into, put back one at a time so that the tests can
//! prove that they would notice.
//!
//! A harness that never fails proves nothing. Each [`Bug`] is a line of product code done wrong,
//! behind [`is_planted`]; `cargo xtask torture seeded` plants one after the other and demands that a
//! layer of tests catches it.
//!
//! Invariants:
//! - Without the feature `seeded-bugs`, [`is_planted`] is `false` at compile time: nothing of this
//!   is left in a release.
//! - With it, nothing is planted until [`plant`] is called: all other tests still pass.
//! - One bug at a time, for the whole process.

#[cfg(feature = "seeded-bugs")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A bug that can be planted, numbered as the trap it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Bug {
    /// The old log segment is not synced at rotation: recovery has a hole (leveldb 193).
    UnsyncedRotation = 7,
    /// A record that does not verify is passed over, and replay goes on with the next segment
    /// (pebble 864).
    ReplayGoesOn = 9,
}

impl Bug {
    /// Every one there is.
    pub const ALL: &[Self] = &[Self::UnsyncedRotation, Self::ReplayGoesOn];
}

#[cfg(feature = "seeded-bugs")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug in this process, instead of the one that was; `None` removes it.
#[cfg(feature = "seeded-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
}

/// Whether this bug is to be made.
#[cfg(feature = "seeded-bugs")]
#[inline]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}

/// Whether this bug is to be made: never, for this is not a build with seeded bugs.
#[cfg(not(feature = "seeded-bugs"))]
#[inline]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
