//! Appending: one owner, one short lock, no sync.
//!
//! Invariants:
//! - The cursor moves only after a record is written: a failed write leaves no gap, for it poisons
//!   the log before anything can be written behind it.
//! - Every segment keeps room behind its last data record for a watermark or its sealed mark. A
//!   watermark moves no cursor: whatever is written next takes its place.
//! - Rotation: the next segment exists durably, then the old one is sealed, then the cursor moves.
//!   The old one's file is handed to the next sync, which syncs it before the new one.

use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::{AtomicU64, Ordering};
use alluvium_base::{Error, Result, Seq};

use crate::ahead::{self, NextSegment, Window};
use crate::format::{
    BARE_RECORD_BYTES, FILE_HEADER_BYTES, MAX_PAYLOAD_BYTES, Place, RecordHeader, RecordKind,
    record_bytes,
};
use crate::segment::{Segment, SegmentMaker};
use crate::sync::{Shared, UnsyncedFile, Wal};
use crate::{EarlierSegments, SegmentInfo, WalConfig};

/// Room that stays behind a data record: for a watermark, and the sealed mark in its place.
const KEPT_BYTES: u64 = BARE_RECORD_BYTES;
/// How far ahead of the writer memory is made ready: twice that, each time half of it was used.
const WINDOW_BYTES: u64 = 512 << 10;
/// Where so much is written between syncs, one of them more or less costs little.
const RARE_BYTES: u64 = 4 << 20;
/// The smallest segment that makes sense; options below it are raised to it.
const MIN_SEGMENT_BYTES: u64 = 1 << 10;

/// End of a record in the log, as a count of bytes since this process opened it. Only compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct LogEnd(pub u64);

/// The place where the next record goes, and all that changes with it. Guarded by `Shared::cursor`.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) segment: Segment,
    pub(crate) offset: u64,
    /// Past this offset the next segment is asked for.
    ask_at: u64,
    /// Past this offset the memory behind it is asked for.
    populate_at: u64,
    /// Memory up to here was asked for.
    populated_to: u64,
    /// Of the active segment, see [`SegmentInfo`].
    first_seq: Option<Seq>,
    last_seq: Seq,
    /// End of the last data record.
    pub(crate) written: LogEnd,
    /// Everything before this place is durable: what records carry as their watermark.
    pub(crate) watermark: Place,
    /// Segments behind which the cursor has moved since the last sync, oldest first.
    pub(crate) unsynced: Vec<UnsyncedFile>,
    /// Segments before the active one, oldest first.
    pub(crate) older: Vec<SegmentInfo>,
}

/// The appending half of a log: one owner.
#[derive(Debug)]
pub struct WalWriter {
    shared: Arc<Shared>,
    next: NextSegment,
    end: LogEnd,
}

/// Starts a new log behind the segments of `config.earlier`. Creates the first segment, durably, and starts the thread that creates the
/// next one ahead of need; dropping the [`Wal`] joins it.
pub fn start(config: WalConfig) -> Result<(WalWriter, Arc<Wal>)> {
    let WalConfig { fs, dir, numbers, mut options, earlier } = config;
    options.segment_size = options.segment_size.max(MIN_SEGMENT_BYTES);
    let maker = SegmentMaker { fs: fs.clone(), dir: dir.clone(), numbers, options };
    let predecessor = earlier.segments.last().map(|segment| segment.number);
    let segment = maker.make(predecessor, 0)?;
    let (ahead, next) = ahead::prepare(maker)?;
    let shared = Arc::new(Shared::new(fs, dir, Cursor::new(segment, earlier, &next)));
    let writer = WalWriter { shared: shared.clone(), next, end: LogEnd::default() };
    Ok((writer, Arc::new(Wal::new(shared, ahead))))
}

impl WalWriter {
    /// Appends one record and returns its end. `last_seq` is the sequence of the payload's last
    /// entry; `payload_crc` is `crc32(payload)`, which the caller computes before taking its lock.
    ///
    /// When it returns `Ok`, the bytes are the kernel's: they survive the death of the process.
    /// [`Wal::sync_to`] makes them survive the loss of power. Changes to the next segment when this
    /// one is full.
    ///
    /// A payload over [`MAX_PAYLOAD_BYTES`] is refused with [`Error::Invalid`]. Any other error is
    /// final: what it left is unknown, and every later call fails with [`Error::Poisoned`].
    pub fn append(
        &mut self,
        first_seq: Seq,
        last_seq: Seq,
        payload: &[u8],
        payload_crc: u32,
    ) -> Result<LogEnd> {
        assert!(first_seq <= last_seq, "a record's sequences ascend");
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(Error::invalid(format!(
                "a log record of {} bytes exceeds {MAX_PAYLOAD_BYTES} bytes",
                payload.len()
            )));
        }
        let header = RecordHeader {
            kind: RecordKind::Data,
            len: payload.len() as u32,
            payload_crc,
            first_seq,
            last_seq,
            watermark: Place::default(),
        };
        let bytes = record_bytes(payload.len());
        let shared = self.shared.clone();
        let mut cursor = shared.cursor.lock();
        while !cursor.has_room_for(bytes) {
            drop(cursor);
            shared.check()?;
            self.rotate(bytes).map_err(|error| shared.poison(error))?;
            cursor = shared.cursor.lock();
        }
        // Under the lock, here and in what the check looks at: nothing is written behind a failure.
        shared.check()?;
        let put = cursor.put(header, payload, bytes, &shared.counters);
        if put.is_err() && forgives() {
            cursor.offset += bytes;
            return put.map(|()| self.end);
        }
        put.map_err(|error| shared.poison(error))?;
        let asks = cursor.asks();
        let populated = if asks && cursor.is_rarely_synced() { 2 * WINDOW_BYTES } else { 0 };
        let window = cursor.wanted_window();
        let active = cursor.segment.number;
        let end = cursor.written;
        drop(cursor);
        if asks {
            self.next.ask(active, populated);
        }
        if let Some(window) = window {
            self.next.populate(window);
        }
        self.end = end;
        Ok(end)
    }

    /// End of the last record appended.
    pub const fn end(&self) -> LogEnd {
        self.end
    }

    /// Moves to a segment with room for a record of `bytes`. The cursor's lock is not held while
    /// files are created: syncing goes on.
    fn rotate(&mut self, bytes: u64) -> Result<()> {
        let active = self.shared.cursor.lock().segment.number;
        let capacity = FILE_HEADER_BYTES + bytes + KEPT_BYTES;
        let next = self.next.take(active, capacity)?;
        let mut cursor = self.shared.cursor.lock();
        self.shared.check()?;
        let moved = cursor.move_to(next, &self.next, &self.shared.counters);
        let old = moved.map_err(|error| self.shared.poison(error))?;
        drop(cursor);
        self.next.give_back(old);
        Ok(())
    }
}

/// Whether a failed write is to be forgotten, by mistake.
fn forgives() -> bool {
    is_planted(Bug::LogGoesOnBehindGarbage) || is_planted(Bug::FailedSeqReused)
}

/// Figures that are read without the cursor's lock, and written under it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) written: AtomicU64,
    pub(crate) live_bytes: AtomicU64,
}

impl Cursor {
    fn new(segment: Segment, earlier: EarlierSegments, next: &NextSegment) -> Self {
        let EarlierSegments { segments: older, durable } = earlier;
        // This segment's header was synced.
        let header_end = Place::new(segment.number, FILE_HEADER_BYTES);
        let last_seq = older.last().map_or(Seq::ZERO, |segment| segment.last_seq);
        Self {
            offset: FILE_HEADER_BYTES,
            ask_at: ask_at(&segment, next),
            populate_at: if next.creates_ahead() { WINDOW_BYTES } else { u64::MAX },
            populated_to: 0,
            first_seq: None,
            last_seq,
            written: LogEnd::default(),
            watermark: durable
                .filter(|_| !is_planted(Bug::SealedTakenForDurable))
                .unwrap_or(header_end),
            unsynced: Vec::new(),
            older,
            segment,
        }
    }

    pub(crate) const fn place(&self) -> Place {
        Place::new(self.segment.number, self.offset)
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        SegmentInfo {
            number: self.segment.number,
            first_seq: self.first_seq.unwrap_or(self.last_seq),
            last_seq: self.last_seq,
            bytes: self.offset,
        }
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.older.iter().map(|segment| segment.bytes).sum::<u64>() + self.offset
    }

    /// Whether a data record of `bytes` in all fits.
    const fn has_room_for(&self, bytes: u64) -> bool {
        self.offset + bytes + KEPT_BYTES <= self.segment.capacity
    }

    /// Whether now is the time to ask for the next segment; true once per segment.
    fn asks(&mut self) -> bool {
        let asks = self.offset >= self.ask_at;
        if asks {
            self.ask_at = u64::MAX;
        }
        asks
    }

    /// The part of the segment whose memory should be made ready now, if any.
    #[inline]
    fn wanted_window(&mut self) -> Option<Window> {
        if self.offset < self.populate_at { None } else { self.next_window() }
    }

    /// Whether much was written since the last sync.
    fn is_rarely_synced(&self) -> bool {
        let synced =
            if self.watermark.file == self.segment.number { self.watermark.offset } else { 0 };
        !self.unsynced.is_empty() || self.offset - synced >= RARE_BYTES
    }

    #[cold]
    fn next_window(&mut self) -> Option<Window> {
        self.populate_at = self.offset + WINDOW_BYTES / 2;
        // Where syncs are frequent they would have to write what was made ready; and little is
        // written between them.
        let is_rarely_synced = self.is_rarely_synced();
        let end = (self.offset + 2 * WINDOW_BYTES).min(self.segment.capacity);
        let start = self.populated_to.max(self.offset);
        if !is_rarely_synced || start >= end {
            return None;
        }
        self.populated_to = end;
        let memory = self.segment.writer.populator()?;
        Some(Window { memory, range: start as usize..end as usize })
    }

    /// Writes a data record of `bytes` in all.
    #[inline]
    fn put(
        &mut self,
        mut header: RecordHeader,
        payload: &[u8],
        bytes: u64,
        counters: &Counters,
    ) -> Result<()> {
        header.watermark = self.watermark;
        self.write(&header, payload, bytes, counters)?;
        self.first_seq.get_or_insert(header.first_seq);
        self.last_seq = self.last_seq.max(header.last_seq);
        self.written.0 += bytes;
        counters.written.store(self.written.0, Ordering::Release);
        Ok(())
    }

    /// Says, right behind what was written, how far it was synced. The cursor stays: the next
    /// record says the same in its own header, and takes this one's place. So a log that is synced
    /// record by record grows no larger for it, and reaches fresh blocks, which cost the file
    /// system a commit, no sooner.
    pub(crate) fn put_watermark(&mut self) -> Result<()> {
        let header = RecordHeader::bare(RecordKind::Watermark, self.watermark);
        self.write_here(&header, &[])
    }

    #[inline]
    fn write(
        &mut self,
        header: &RecordHeader,
        payload: &[u8],
        bytes: u64,
        counters: &Counters,
    ) -> Result<()> {
        self.write_here(header, payload)?;
        self.offset += bytes;
        // Written under the lock alone, so this needs no atomic addition.
        let live_bytes = counters.live_bytes.load(Ordering::Relaxed) + bytes;
        counters.live_bytes.store(live_bytes, Ordering::Relaxed);
        Ok(())
    }

    #[inline]
    fn write_here(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<()> {
        let Segment { number, path, writer, .. } = &mut self.segment;
        writer
            .write(self.offset, &header.encode(*number), payload)
            .map_err(|error| Error::io("write", &*path, error))
    }

    /// Seals the active segment and makes `next` the active one. Returns the old one.
    fn move_to(
        &mut self,
        next: Segment,
        asked: &NextSegment,
        counters: &Counters,
    ) -> Result<Segment> {
        let sealed = RecordHeader::sealed(next.number, self.watermark);
        self.write(&sealed, &[], BARE_RECORD_BYTES, counters)?;
        self.older.push(self.info());
        self.ask_at = ask_at(&next, asked);
        self.populate_at = if asked.creates_ahead() { next.populated / 4 } else { u64::MAX };
        self.populated_to = next.populated;
        self.offset = FILE_HEADER_BYTES;
        self.first_seq = None;
        let old = std::mem::replace(&mut self.segment, next);
        if !is_planted(Bug::UnsyncedRotation) {
            let (number, file, path) = (old.number, old.file.clone(), old.path.clone());
            self.unsynced.push(UnsyncedFile { number, file, path });
        }
        counters.live_bytes.store(self.live_bytes(), Ordering::Relaxed);
        Ok(old)
    }
}

/// Half way: early enough to be ready, late enough that a small log reserves no second segment.
const fn ask_at(segment: &Segment, next: &NextSegment) -> u64 {
    if next.creates_ahead() { segment.capacity / 2 } else { u64::MAX }
}

const _: () = assert!(MIN_SEGMENT_BYTES > FILE_HEADER_BYTES + 2 * KEPT_BYTES);
