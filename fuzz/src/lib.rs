//! What the fuzz targets share: each hands hostile bytes, or operations, to one part of Alluvium.
//!
//! ```text
//!   input ─► mode ─┬─ raw ───────────────────────────────┐
//!                  ├─ resealed: checksums made to agree ─┼─► decoder ─► an answer or an error;
//!                  └─ assembled: parts laid out as they ─┘             no panic, bounded memory
//!                     should be
//! ```
//!
//! A fuzzer does not guess a CRC-32. Left alone it would test the checksum for ever and nothing
//! behind it, so the first byte of most inputs says whether the checksums are recomputed first.
//!
//! | module | what it is |
//! |---|---|
//! | [`input`] | an input taken apart |
//! | [`log_bytes`], [`table_bytes`] | checksums made to agree; a table from its parts |
//! | [`memory`] | an allocator that counts |
//! | [`samples`] | real files: what seeds are made from, and what the resealing is held against |
//! | [`reading`] | everything one can ask of an open table |
//! | [`driver`] | operations on a database and on the oracle |
//! | [`folder`] | whole databases with bytes changed under good checksums |
//!
//! `cargo xtask fuzz` builds all targets and runs them, for as long as it is told; `cargo xtask ci`
//! does so for a few seconds each. Seeds are written by
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.

pub mod driver;
pub mod folder;
pub mod input;
pub mod log_bytes;
pub mod memory;
pub mod reading;
pub mod samples;
pub mod table_bytes;
