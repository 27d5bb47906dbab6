//! The engine under many threads: scheduled by shuttle, or by the machine and watched by a
//! sanitizer. `cargo xtask concurrency` runs them for as long as it is told.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

#[cfg(shuttle)]
mod schedules;
#[cfg(not(any(loom, shuttle)))]
mod stress;
