//! Trust tests: what Alluvium promises, tried against disks that crash, fail, fill and rot.
//!
//! | module | what it tries |
//! |---|---|
//! | `layers` | a short form of every layer that `cargo xtask torture` runs for as long as it is told |
//! | `full_disk` | a disk without room, and then with room again |
//! | `golden` | the files of every released format |
//! | `locks` | one process at a time |
//! | `memory` | a log far larger than memory |
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

mod full_disk;
mod golden;
mod layers;
mod locks;
mod memory;
mod stories;
