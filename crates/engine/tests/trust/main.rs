//! Trust tests: what Alluvium promises, tried against disks that crash, fail, fill and rot.
//!
//! | module | what it tries |
//! |---|---|
//! | `crash` | the power cut, or the process killed, at every operation of the disk, also in recovery |
//! | `fault` | every operation of the disk failing in every way, once and for good |
//! | `full_disk` | a disk without room, and then with room again |
//! | `model` | a million operations against an oracle |
//! | `flips` | every bit flipped and every truncation of every file |
//! | `golden` | the files of every released format |
//! | `kill` | locks, and a child process killed at random |
//! | `memory` | a log far larger than memory |
//! | `stories` | bugs that were found, each with its story |
//!
//! All disks but those of `golden` and `kill` are simulated. Whatever is random prints its seed, and
//! a failure prints the command that replays it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may fail loudly, and say what they measured"
)]

mod crash;
mod fault;
mod flips;
mod full_disk;
mod golden;
mod history;
mod kill;
mod memory;
mod model;
mod stories;
mod workload;
