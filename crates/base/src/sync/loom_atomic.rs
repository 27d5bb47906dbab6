//! loom's atomics, with what it leaves out of `SeqCst` and of its search added.
//!
//! loom takes a sequentially consistent access for an acquiring or releasing one, so it would report
//! lost wake-ups that cannot be:
//!
//! ```text
//!   publisher                        sleeper
//!   visible.store(7, SeqCst)         sleepers.fetch_add(1, SeqCst)
//!   sleepers.load(SeqCst) == 0       visible.load(SeqCst) == 6        both: impossible
//! ```
//!
//! It does know sequentially consistent *fences*, so one is put between such a store and the next
//! such load of the same thread, and nowhere else: with any of the four accesses weakened there is no
//! fence on its side, and the model finds the lost wake-up. What a fence orders beyond the two
//! accesses themselves, the model takes for granted.
//!
//! And loom remembers one access to an atomic. A thread that loads before it stores, as most do, hides
//! from it that the store races with an earlier load of another thread, and so an order of the two is
//! never tried. Here each access also touches a shadow, an addition of nothing that orders nothing:
//! those loom knows to try in every order.

use std::cell::Cell;

use loom::sync::atomic as plain;
pub use plain::{Ordering, fence};

loom::thread_local! {
    /// Whether this thread made a sequentially consistent store and no such load since.
    static OWES_FENCE: Cell<bool> = Cell::new(false);
}

fn before_load(order: Ordering) {
    if order == Ordering::SeqCst && OWES_FENCE.with(|owes| owes.replace(false)) {
        fence(Ordering::SeqCst);
    }
}

fn after_store(order: Ordering) {
    if order == Ordering::SeqCst {
        OWES_FENCE.with(|owes| owes.set(true));
    }
}

fn touch(shadow: &plain::AtomicUsize) {
    shadow.fetch_add(0, Ordering::Relaxed);
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        /// As the one of `std`.
        #[derive(Debug, Default)]
        pub struct $name {
            value: plain::$name,
            shadow: plain::AtomicUsize,
        }

        impl $name {
            /// Holds `value`.
            #[track_caller]
            pub fn new(value: $value) -> Self {
                Self { value: plain::$name::new(value), shadow: plain::AtomicUsize::new(0) }
            }

            /// Reads it.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                touch(&self.shadow);
                before_load(order);
                self.value.load(order)
            }

            /// Writes it.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                touch(&self.shadow);
                self.value.store(value, order);
                after_store(order);
            }

            /// Replaces it.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                touch(&self.shadow);
                before_load(order);
                let old = self.value.swap(value, order);
                after_store(order);
                old
            }
        }

        impl From<$value> for $name {
            #[track_caller]
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }
    };
}

macro_rules! atomic_number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);

        impl $name {
            /// Adds to it; returns what it was.
            #[track_caller]
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                touch(&self.shadow);
                before_load(order);
                let old = self.value.fetch_add(value, order);
                after_store(order);
                old
            }

            /// Subtracts from it; returns what it was.
            #[track_caller]
            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                touch(&self.shadow);
                before_load(order);
                let old = self.value.fetch_sub(value, order);
                after_store(order);
                old
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic_number!(AtomicU64, u64);
atomic_number!(AtomicUsize, usize);
