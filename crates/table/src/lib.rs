//! The sorted table files of Alluvium: blocks, index, filter and block cache.
//!
//! A table holds entries in internal key order and never changes once it is written. A
//! [`TableBuilder`] writes one from front to back, [`Table`] looks keys up in it, [`TableIterator`]
//! walks it, and [`RunIterator`] walks a whole sorted run of tables. `FORMAT.md` beside this crate's
//! sources describes every byte.
//!
//! ```text
//!   ┌────────┬────────┬───┬────────┬───────┬────────────┬────────┐
//!   │ data 0 │ data 1 │ … │ filter │ index │ properties │ footer │
//!   └────────┴────────┴───┴────────┴───────┴────────────┴────────┘
//!       ▲        ▲             │       │                    fixed size: where the others are
//!       └────────┴── slots ────┼───────┘
//!         filled from the      └ in memory while the table is open
//!         block cache
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `builder` | entries in, file out |
//! | `table`, `iter`, `run` | lookups; a cursor over one table; over many |
//! | `block`, `block_builder` | data blocks |
//! | `frame`, `lz4` | compression and checksum around every block; unpacking a part of one |
//! | `index`, `filter`, `properties`, `footer` | everything that is not data |
//! | `cache`, `readahead`, `scratch` | blocks kept, blocks fetched early, blocks looked into once |
//! | `verify` | distrust |
//! | `salvage` | what is left of a damaged table |
//!
//! Nothing read from disk is believed: checksums come before decompression, lengths are held against
//! the file and against caps before memory is taken for them, and damage is an error that names file
//! and offset.

mod block;
mod block_builder;
mod builder;
mod cache;
mod fences;
mod filter;
mod footer;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod index;
mod iter;
mod lz4;
mod options;
mod properties;
mod readahead;
mod run;
mod salvage;
mod scratch;
mod table;
mod verify;

pub use alluvium_base::key::hash_key;
pub use builder::TableBuilder;
pub use cache::{BlockCache, CacheStats, Keep, MemoryUse, Reservation, WrittenBlocks};
pub use iter::TableIterator;
pub use options::{Compression, FilterKind, ReadOptions, TableOptions};
pub use properties::TableSummary;
pub use run::RunIterator;
pub use salvage::{LostStretch, SalvageCursor, SalvagedTable};
pub use table::{Located, Table, TableEntry};
