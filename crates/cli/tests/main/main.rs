//! The real program, run as a person or a script runs it, over temporary folders.
#![allow(clippy::disallowed_methods, reason = "tests damage real files and wait for real time")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod basics;
mod damage;
mod import_export;
mod inspection;
mod killed;
mod program;
mod repair;
mod shell;
