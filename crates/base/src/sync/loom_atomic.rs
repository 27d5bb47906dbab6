//! loom's atomics, with the one thing added that loom leaves out of `SeqCst`.
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

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        /// As the one of `std`.
        #[derive(Debug, Default)]
        pub struct $name(plain::$name);

        impl $name {
            /// Holds `value`.
            #[track_caller]
            pub fn new(value: $value) -> Self {
                Self(plain::$name::new(value))
            }

            /// Reads it.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                before_load(order);
                self.0.load(order)
            }

            /// Writes it.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, order);
                after_store(order);
            }

            /// Replaces it.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                before_load(order);
                let old = self.0.swap(value, order);
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
                before_load(order);
                let old = self.0.fetch_add(value, order);
                after_store(order);
                old
            }

            /// Subtracts from it; returns what it was.
            #[track_caller]
            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                before_load(order);
                let old = self.0.fetch_sub(value, order);
                after_store(order);
                old
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic_number!(AtomicU64, u64);
atomic_number!(AtomicUsize, usize);
