//! What a log is started with, and what is said about its segments.

use std::path::PathBuf;
use std::sync::Arc;

use alluvium_base::{FileNumber, FileNumbers, Fs, Seq};

use crate::format::Place;

/// How records reach the file. Both ways write the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WalMode {
    /// Mapped where the file system allows it, else buffered.
    #[default]
    Auto,
    /// Through a shared mapping; starting fails where the file system cannot.
    Mapped,
    /// With one `write` per record.
    Buffered,
}

/// Options of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// Bytes of one segment file. A larger record gets a segment of its own size.
    pub segment_size: u64,
    /// How records reach the file.
    pub mode: WalMode,
    /// Whether a background thread creates the next segment ahead of need. Without it, appending
    /// does so at a rotation, and everything the log does happens on the caller's threads.
    pub create_ahead: bool,
}

impl Default for WalOptions {
    /// Segments of 64 MiB, mapped if possible, created ahead.
    fn default() -> Self {
        Self { segment_size: 64 << 20, mode: WalMode::Auto, create_ahead: true }
    }
}

/// One segment of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The number in its name.
    pub number: FileNumber,
    /// The first sequence of its first record; of a segment without records the last sequence
    /// before it.
    pub first_seq: Seq,
    /// The highest sequence of all records up to its end.
    pub last_seq: Seq,
    /// Bytes written, not those reserved: a copy of that many is a copy of the segment.
    pub bytes: u64,
}

/// The segments of a log that was replayed, ended by [`settle`](crate::settle) or
/// [`seal`](crate::seal).
#[derive(Clone, Debug, Default)]
pub struct EarlierSegments {
    /// Oldest first.
    pub(crate) segments: Vec<SegmentInfo>,
    /// How far they are durable; `None` when all of them are.
    pub(crate) durable: Option<Place>,
}

/// What a log is started with.
#[derive(Clone, Debug)]
pub struct WalConfig {
    /// The disk.
    pub fs: Arc<dyn Fs>,
    /// The folder of the segments.
    pub dir: PathBuf,
    /// Where segments get their numbers; the next one must be above those of all segments.
    pub numbers: Arc<FileNumbers>,
    /// Options.
    pub options: WalOptions,
    /// The segments that are there; none is the default. They stay until they are released.
    pub earlier: EarlierSegments,
}
