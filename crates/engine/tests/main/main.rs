//! The engine through its public API.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests explain themselves by their names, and damage files by hand"
)]

mod basics;
mod keyspaces;
mod large_batches;
mod queues;
mod relief;
mod reopen;
mod repair;
mod stalls;
mod stories;
mod support;
