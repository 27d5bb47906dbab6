//! The disks held against one another, and the mapping against readers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod disks;
mod mapping;
mod standard;
