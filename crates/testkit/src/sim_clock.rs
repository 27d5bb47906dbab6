//! A clock that moves only when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use alluvium_base::Clock;

/// A clock that moves only when told to. Clones share it.
///
/// [`sleep`](Clock::sleep) does not wait: it moves the clock on by as much and returns. A test of a
/// value's expiry after a week therefore takes no time.
///
/// ```
/// use std::time::Duration;
/// use alluvium_base::Clock;
/// use alluvium_testkit::SimClock;
/// let clock = SimClock::new(1_000);
/// clock.advance_ms(500);
/// clock.sleep(Duration::from_millis(250));
/// assert_eq!(clock.now(), 1_750);
/// assert_eq!(clock.monotonic(), Duration::from_millis(750));
/// ```
#[derive(Clone, Debug)]
pub struct SimClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Time since the clock was made, in nanoseconds.
    elapsed_nanos: AtomicU64,
    /// What to add to the elapsed milliseconds to get the time of day.
    offset_ms: AtomicI64,
}

impl SimClock {
    /// A clock that shows `start_ms`, in milliseconds since the Unix epoch.
    pub fn new(start_ms: u64) -> Self {
        let offset_ms = AtomicI64::new(start_ms.cast_signed());
        Self { shared: Arc::new(Shared { elapsed_nanos: AtomicU64::new(0), offset_ms }) }
    }

    /// Moves the clock on by `ms` milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.sleep(Duration::from_millis(ms));
    }

    /// Sets the time of day, forwards or backwards, as an operator or NTP may; the monotonic time
    /// goes on as if nothing had happened.
    pub fn set_now_ms(&self, now_ms: u64) {
        let change = now_ms.wrapping_sub(self.now()).cast_signed();
        self.shared.offset_ms.fetch_add(change, Ordering::SeqCst);
    }

    /// The time of day, in milliseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        let elapsed_ms = self.shared.elapsed_nanos.load(Ordering::SeqCst) / 1_000_000;
        elapsed_ms.wrapping_add_signed(self.shared.offset_ms.load(Ordering::SeqCst))
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> u64 {
        self.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.shared.elapsed_nanos.load(Ordering::SeqCst))
    }

    /// Moves the clock on by `duration` instead of waiting.
    fn sleep(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.shared.elapsed_nanos.fetch_add(nanos, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_sleeps_add_up() {
        let clock = SimClock::new(0);
        for _ in 0..10 {
            clock.sleep(Duration::from_micros(150));
        }
        assert_eq!((clock.now_ms(), clock.monotonic()), (1, Duration::from_micros(1_500)));
    }

    #[test]
    fn setting_the_time_of_day_leaves_monotonic_time_alone() {
        let clock = SimClock::new(5_000);
        clock.advance_ms(10);
        clock.set_now_ms(1_000);
        clock.advance_ms(10);
        assert_eq!((clock.now(), clock.monotonic()), (1_010, Duration::from_millis(20)));
    }

    #[test]
    fn clones_share_the_time() {
        let clock = SimClock::new(1);
        clock.clone().advance_ms(1);
        assert_eq!(clock.now(), 2);
    }
}
