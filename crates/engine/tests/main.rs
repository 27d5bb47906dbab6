//! The engine through its public API.
#![allow(missing_docs, reason = "tests explain themselves by their names")]

mod basics;
mod keyspaces;
mod reopen;
mod support;
