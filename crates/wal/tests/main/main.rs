//! The log as its users see it: what is written is found again, or its loss is reported.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crash;
mod faults;
mod flips;
mod log;
mod log_file;
mod rotation;
mod settle;
mod stress;
mod sync;
mod torn;
