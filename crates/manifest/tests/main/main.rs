//! The manifest from outside: scripts, properties, bytes and crashes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod format;
mod generate;
mod properties;
mod script;
mod states;
mod versions;
