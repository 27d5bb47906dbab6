//! The manifest from outside: scripts, properties, bytes and crashes.

mod format;
mod generate;
mod properties;
mod script;
mod states;
mod versions;
