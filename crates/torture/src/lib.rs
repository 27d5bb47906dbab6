//! Tries to lose data, for as long as it is told.
//!
//! Each layer is a way to break a promise: it makes cases from seeds, tries them, and counts what it
//! tried. The tests of this crate run a short form of each; `cargo xtask torture` runs the long form
//! and writes what it found into `docs/reliability.md`.
//!
//! | layer | what it tries |
//! |---|---|
//! | [`crash`] | the power cut, or the process killed, at every operation of the disk, also in recovery |
//! | [`fault`] | every operation of the disk failing in every way, once and for good |
//! | [`model`] | random operations against an oracle |
//! | [`metamorphic`] | the same operations under every set of options, done in different ways |
//! | [`history`] | operations of several threads at once: one order must explain every answer |
//! | [`bytes`] | every bit flipped and every truncation of every file |
//! | [`threads`] | writers, readers, flushes and compactions at once |
//! | [`kill`] | locks, and a child process killed at random |
//! | [`power`] | real file systems: the power cut, a full disk, a disk that fails |
//!
//! The layer `seeded`, in a build of its own, tries the others: see [`alluvium_base::seeded`].
//!
//! [`workload`] and [`states`] are what they share: a small workload that goes through everything,
//! and the states that it went through. [`layer`] and [`run`] are what runs them, [`command`] is the
//! command line.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a harness may fail loudly, and says what it measured"
)]

pub mod bytes;
pub mod command;
pub mod crash;
pub mod fault;
pub mod history;
pub mod kill;
pub mod layer;
pub mod metamorphic;
pub mod model;
pub mod option_sets;
pub mod power;
pub mod report;
pub mod run;
#[cfg(feature = "seeded-bugs")]
pub mod seeded;
pub mod states;
pub mod threads;
pub mod workload;

use layer::Layer;

/// Every layer, in the order of the published table.
pub const LAYERS: &[&Layer] = &[
    &crash::LAYER,
    &fault::LAYER,
    &model::LAYER,
    &metamorphic::LAYER,
    &history::LAYER,
    &bytes::LAYER,
    &threads::LAYER,
    &kill::LAYER,
    &power::LAYER,
    &power::FULL,
    &power::EIO,
];
