//! The names of [`sync`](super) as a model checker understands them.
//!
//! loom and shuttle imitate `std`; here their locks take the shape of `parking_lot`'s, and what
//! neither of them has is built from those: the lock that can be read recursively, the cell that is
//! set once, the shared pointer that is swapped. The last is thus *assumed* to be one indivisible
//! step; `arc-swap` has tests of its own for that.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LockResult, PoisonError};
use std::time::Duration;

#[cfg(loom)]
use loom as checker;
#[cfg(shuttle)]
use shuttle as checker;

pub use checker::{hint, thread};

#[cfg(shuttle)]
pub use checker::sync::atomic;

/// Atomics of loom, whose `SeqCst` is mended.
#[cfg(loom)]
#[path = "loom_atomic.rs"]
pub mod atomic;

use atomic::{AtomicBool, Ordering};

/// Locks of `parking_lot` are not poisoned: destructors go on after a panic.
fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// As [`parking_lot::Mutex`].
pub struct Mutex<T>(checker::sync::Mutex<T>);

/// As [`parking_lot::MutexGuard`].
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// `None` while its owner waits.
    held: Option<checker::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// Guards `value`.
    pub fn new(value: T) -> Self {
        Self(checker::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(unpoisoned(self.0.lock())) }
    }

    /// Takes the lock if nobody has it.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|held| MutexGuard { mutex: self, held: Some(held) })
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("given away only while its owner waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("given away only while its owner waits")
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// As [`parking_lot::Condvar`].
#[derive(Default)]
pub struct Condvar(checker::sync::Condvar);

/// As [`parking_lot::WaitTimeoutResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time went by.
    pub const fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Nobody waits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for a notification, giving back the lock meanwhile.
    #[track_caller]
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect("given away only while its owner waits");
        guard.held = Some(unpoisoned(self.0.wait(held)));
    }

    /// Lets the others get on, and says that the time went by: how long that takes is up to the
    /// schedule. No wake-up is waited for, so none that is lost is noticed here.
    #[track_caller]
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> WaitTimeoutResult {
        guard.held = None;
        thread::yield_now();
        guard.held = Some(unpoisoned(guard.mutex.0.lock()));
        WaitTimeoutResult(true)
    }

    /// Wakes one of those who wait.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

/// As [`parking_lot::RwLock`].
pub struct RwLock<T>(checker::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// Guards `value`.
    pub fn new(value: T) -> Self {
        Self(checker::sync::RwLock::new(value))
    }

    /// Waits until nobody writes.
    #[track_caller]
    pub fn read(&self) -> checker::sync::RwLockReadGuard<'_, T> {
        unpoisoned(self.0.read())
    }

    /// Waits until nobody reads or writes.
    #[track_caller]
    pub fn write(&self) -> checker::sync::RwLockWriteGuard<'_, T> {
        unpoisoned(self.0.write())
    }

    /// What it guarded.
    pub fn into_inner(self) -> T {
        unpoisoned(self.0.into_inner())
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}

/// As [`parking_lot::RecursiveRwLock`]: readers come in whenever nobody writes.
#[derive(Debug, Default)]
pub struct RecursiveRwLock<T> {
    holders: Mutex<Holders>,
    left: Condvar,
    value: T,
}

#[derive(Debug, Default)]
struct Holders {
    readers: usize,
    has_writer: bool,
}

/// As [`parking_lot::RecursiveRwLockReadGuard`].
#[derive(Debug)]
pub struct RecursiveRwLockReadGuard<'a, T>(&'a RecursiveRwLock<T>);

/// As [`parking_lot::RecursiveRwLockWriteGuard`], for a value that nobody changes.
#[derive(Debug)]
pub struct RecursiveRwLockWriteGuard<'a, T>(&'a RecursiveRwLock<T>);

impl<T> RecursiveRwLock<T> {
    /// Guards `value`.
    pub fn new(value: T) -> Self {
        Self { holders: Mutex::default(), left: Condvar::new(), value }
    }

    /// Waits until nobody writes.
    pub fn read(&self) -> RecursiveRwLockReadGuard<'_, T> {
        let mut holders = self.holders.lock();
        while holders.has_writer {
            self.left.wait(&mut holders);
        }
        holders.readers += 1;
        RecursiveRwLockReadGuard(self)
    }

    /// Waits until nobody reads or writes.
    pub fn write(&self) -> RecursiveRwLockWriteGuard<'_, T> {
        let mut holders = self.holders.lock();
        while holders.has_writer || holders.readers > 0 {
            self.left.wait(&mut holders);
        }
        holders.has_writer = true;
        RecursiveRwLockWriteGuard(self)
    }
}

impl<T> Deref for RecursiveRwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Drop for RecursiveRwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.0.holders.lock().readers -= 1;
        self.0.left.notify_all();
    }
}

impl<T> Drop for RecursiveRwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.0.holders.lock().has_writer = false;
        self.0.left.notify_all();
    }
}

/// As [`std::sync::OnceLock`]. The flag makes each look at it a step of the schedule.
pub struct OnceLock<T> {
    is_set: AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    /// Not set yet.
    pub fn new() -> Self {
        Self { is_set: AtomicBool::new(false), value: std::sync::OnceLock::new() }
    }

    /// The value, once it is set.
    pub fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
    }

    /// Sets it, unless it is set.
    pub fn set(&self, value: T) -> Result<(), T> {
        let result = self.value.set(value);
        self.is_set.store(true, Ordering::Release);
        result
    }

    /// The value, set now if it was not.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let value = self.value.get_or_init(make);
        self.is_set.store(true, Ordering::Release);
        value
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceLock").finish_non_exhaustive()
    }
}

/// As [`arc_swap::ArcSwapAny`]: a shared pointer that is replaced whole.
#[derive(Default)]
pub struct ArcSwapAny<P>(Mutex<P>);

/// As [`arc_swap::ArcSwap`].
pub type ArcSwap<T> = ArcSwapAny<Arc<T>>;

/// As [`arc_swap::ArcSwapOption`].
pub type ArcSwapOption<T> = ArcSwapAny<Option<Arc<T>>>;

/// As [`arc_swap::Guard`].
#[derive(Debug)]
pub struct Guard<P>(P);

impl<P: Clone> ArcSwapAny<P> {
    /// Points where `pointer` does.
    pub fn new(pointer: P) -> Self {
        Self(Mutex::new(pointer))
    }

    /// Where it points now.
    pub fn load(&self) -> Guard<P> {
        Guard(self.load_full())
    }

    /// Where it points now.
    pub fn load_full(&self) -> P {
        self.0.lock().clone()
    }

    /// Points elsewhere from now on.
    pub fn store(&self, pointer: P) {
        drop(self.swap(pointer));
    }

    /// Points elsewhere from now on; returns where it did before.
    pub fn swap(&self, pointer: P) -> P {
        std::mem::replace(&mut *self.0.lock(), pointer)
    }
}

impl<T> ArcSwap<T> {
    /// Points to a new `value`.
    pub fn from_pointee(value: T) -> Self {
        Self::new(Arc::new(value))
    }
}

impl<T> ArcSwapOption<T> {
    /// Points nowhere.
    pub fn empty() -> Self {
        Self::new(None)
    }
}

impl<P> fmt::Debug for ArcSwapAny<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArcSwapAny").finish_non_exhaustive()
    }
}

impl<P> Deref for Guard<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.0
    }
}
