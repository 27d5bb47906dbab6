//! Trust tests: what Alluvium promises, tried against disks that crash, fail, fill and rot.
//!
//! | module | what it tries |
//! |---|---|
//! | `layers` | a short form of every layer that `cargo xtask torture` runs for as long as it is told |
//! | `golden` | the files of every released format |
//! | `memory` | a log far larger than memory |
//! | `promises` | poison, a full disk, one opener, other versions: what the caller sees |
//! | `stories` | bugs that were found, each with its story |
//!
//! Whatever is random prints its seed, and a failure prints the command that replays it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may fail loudly, and say what they measured"
)]

/// As the torture program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod golden;
mod layers;
mod memory;
mod promises;
mod stories;
