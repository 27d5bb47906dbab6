//! The one place that asks the machine's clock.
#![allow(
    clippy::disallowed_methods,
    reason = "measures real time for a person who waits; nothing here is ever simulated"
)]

use std::time::{Duration, Instant};

/// Measures time from one moment to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    start: Instant,
}

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time since the start or the last lap; starts the next lap with the same look at the
    /// clock, so that no time falls between two laps.
    pub(crate) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now - self.start;
        self.start = now;
        lap
    }
}
