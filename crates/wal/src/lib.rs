//! The write-ahead log: what was committed, in order, before anything else knows of it.
//!
//! ```text
//!            append ──► ┌──────────┐ sealed  ┌──────────┐ sealed  ┌──────────┬ ─ ─ ─ ─ ┐
//!  (one owner, no sync) │ 000002   │ ──────► │ 000005   │ ──────► │ 000007   │ zeroes
//!                       └──────────┘         └──────────┘         └──────────┴ ─ ─ ─ ─ ┘
//!            release ◄── flushed                        sync_to ──────────►▲ many threads,
//!                                                                            one sync
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `format` | the bytes; see also `FORMAT.md` |
//! | `segment` | one file being written: mapped or buffered |
//! | `ahead` | the thread that creates the next segment ahead of need |
//! | `writer` | appending and rotation |
//! | `group` | many threads share one sync |
//! | `sync` | what a sync does: older segments first, then the watermark |
//! | `release` | which segments there are, and letting go of those nobody needs |
//! | `reader` | one file being read, without trust |
//! | `replay` | all of a log read: torn tail or damage? |
//! | `renew` | writing again what a failed sync may have dropped |
//! | `settle` | ending a log where replay stopped |
//! | `copy` | copying a log that is being written to |
//! | `salvage` | every record that verifies, behind damage too |
//! | `log_file` | the same records in one growing file, for the manifest |
//!
//! Life of a log: [`replay`] what is there, [`renew`] and [`settle`] it, or [`seal`] it and make its
//! records durable elsewhere, then [`start`] behind it.
//!
//! Invariants:
//! - A log is a prefix of what was appended. Everything before its durable watermark is there or
//!   reading fails; what follows may be dropped, and only as a whole.
//! - No record of a segment is reported durable before all of the segments before it are.
//! - After the first failed write or sync nothing is written and nothing reported durable any more.

mod ahead;
mod copy;
mod format;
mod group;
mod log_file;
mod options;
mod reader;
mod release;
mod renew;
mod replay;
mod salvage;
mod segment;
mod settle;
mod sync;
mod writer;

pub use copy::copy_segments;
pub use format::MAX_PAYLOAD_BYTES;
pub use log_file::{LogFileWriter, ReplayedFile, replay_file};
pub use options::{EarlierSegments, SegmentInfo, WalConfig, WalMode, WalOptions};
pub use renew::renew;
pub use replay::{KnownSegments, RecordAt, Replayed, TornTail, replay};
pub use salvage::{SalvagedLog, SalvagedRecord, SkippedBytes, salvage_log_file, salvage_segment};
pub use settle::{seal, settle};
pub use sync::Wal;
pub use writer::{LogEnd, WalWriter, start};
