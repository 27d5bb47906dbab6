//! The manifest from outside: scripts, properties, bytes and crashes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bytes;
mod crash_fs;
mod crashes;
mod database;
mod files;
mod format;
mod generate;
mod properties;
mod script;
mod states;
mod versions;
