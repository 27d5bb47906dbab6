//! All of a log read, front to back: what is there, and is its end a torn tail or damage?
//!
//! ```text
//!  000002 ── sealed │ 000005 ── sealed │ 000007 ───── ✗ ~~~~~~~~ │ 000009 ~~~~~
//!                                             stop ▲  ◄── behind ──────────►
//! ```
//!
//! Reading stops at the first place that does not verify, or at the end of a segment that is not
//! sealed: what comes next in order is missing. Everything behind that place is then looked at.
//!
//! | behind the stop | verdict |
//! |---|---|
//! | a record whose watermark lies beyond the stop | **damage**: an error, nothing is dropped |
//! | bytes, but no such record | a **torn tail**: never durable, all of it is dropped |
//! | nothing (zeroes, segments without records) | a clean end |
//!
//! A log that was cut short from outside shows no such record. So a segment's header says how long
//! the file is, its sealed mark names the segment that comes next, and whoever replays the log knows
//! one segment that must be there: what is shorter, or missing, is **damage** too.
//!
//! Invariant: whatever is dropped stands behind the durable watermark and reaches to the end of the
//! log, so that what remains is a prefix.

use std::path::{Path, PathBuf};

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Bytes, Error, FileName, FileNumber, Fs, Result, Seq};

use crate::SegmentInfo;
use crate::format::{BARE_RECORD_BYTES, FoundHeader, PREDECESSOR_OFFSET, Place, Role};
use crate::reader::{Behind, LogReader, Step};

/// What a log held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The segments that hold records or that are known to be part of the log, oldest first. This is what [`WalConfig::recovered`](crate::WalConfig) takes:
    /// their bytes count the sealed mark that [`settle`](crate::settle) ends the last one with.
    pub segments: Vec<SegmentInfo>,
    /// Where the log was torn, if it was.
    pub torn: Option<TornTail>,
    /// Segments without records behind all others, created ahead of need and never used.
    /// [`settle`](crate::settle) removes them.
    pub empty: Vec<FileNumber>,
    /// How many records were handed out.
    pub records: u64,
    /// Where the last of `segments` wants its sealed mark, unless it has one.
    pub(crate) unsealed_at: Option<u64>,
    /// Everything before this place was durable, the records say.
    pub(crate) durable: Place,
    /// Everything behind the last of `segments`, oldest first, the empty ones included.
    pub(crate) behind: Vec<FileNumber>,
}

impl Replayed {
    /// How many bytes of it no record says were durable: those that [`renew`](crate::renew) copies.
    pub fn unsettled_bytes(&self) -> u64 {
        let last = self.segments.last().map(|segment| segment.number);
        let unsettled = |segment: &SegmentInfo| {
            let is_first = segment.number == self.durable.file;
            let from = if is_first { self.durable.offset } else { 0 };
            // The last one's length counts a sealed mark that is yet to be written.
            let unsealed_at = self.unsealed_at.filter(|_| last == Some(segment.number));
            unsealed_at.unwrap_or(segment.bytes).saturating_sub(from)
        };
        let behind = |segment: &&SegmentInfo| segment.number >= self.durable.file;
        self.segments.iter().filter(behind).map(unsettled).sum()
    }

    /// Whether [`settle`](crate::settle) removes segment `number`.
    pub fn drops(&self, number: FileNumber) -> bool {
        self.behind.contains(&number)
    }

    /// Whether the log held the same records in the same places as another time. What is dropped is
    /// none of it: [`renew`](crate::renew) leaves it out.
    pub fn found_the_same(&self, other: &Self) -> bool {
        let Self { segments, torn: _, empty: _, records, unsealed_at, durable, behind } = self;
        *segments == other.segments
            && *records == other.records
            && *unsealed_at == other.unsealed_at
            && *durable == other.durable
            && *behind == other.behind
    }
}

/// The end of a log that was never reported durable, and does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment that it begins in.
    pub segment: FileNumber,
    /// Where in that segment.
    pub offset: u64,
    /// How many bytes are dropped, those in later segments included.
    pub dropped_bytes: u64,
}

/// What is known of a log's segments before it is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSegments {
    /// Those with smaller numbers are garbage: they are not looked at.
    pub first: FileNumber,
    /// One that must be there: it was active, see [`Wal::active`](crate::Wal::active), and is no
    /// garbage.
    pub active: Option<FileNumber>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordAt {
    /// In which segment.
    pub segment: FileNumber,
    /// Where in that segment it begins, in bytes.
    pub offset: u64,
}

const LOST_HEADER: &str = "the header of this log segment does not verify, yet it was durable";

/// What [`replay`] hands each record to: its first sequence, its payload and where it stands.
type Each<'a> = &'a mut dyn FnMut(Seq, Bytes, RecordAt) -> Result<()>;

/// Reads the log in `dir`, oldest record first, and hands each to `each`, whose error ends the
/// walk. Writes nothing. Memory is bounded by one payload and a window of the file.
///
/// Fails with [`Error::Corrupt`], naming file and offset, when a record that was reported durable
/// does not verify, when a segment is shorter than it was, or when one is missing between two
/// others, behind the last one, or the one that is known. `each` has then seen the records before that
/// place. That the first segments are missing cannot be told from their having been released: compare
/// the first sequence with what is expected.
pub fn replay(fs: &dyn Fs, dir: &Path, known: KnownSegments, each: Each<'_>) -> Result<Replayed> {
    let mut numbers = segment_numbers(fs, dir)?;
    numbers.retain(|number| *number >= known.first);
    let mut walk =
        Walk { fs, dir, known: known.active, named: None, replayed: Replayed::default(), kept: 0 };
    walk.check_known(&numbers)?;
    for (index, &number) in numbers.iter().enumerate() {
        let mut reader = walk.open(number)?;
        let previous = index.checked_sub(1).and_then(|index| numbers.get(index).copied());
        let ended = walk.segment(&mut reader, previous, each)?;
        if ended == Ended::Sealed || is_planted(Bug::ReplayGoesOn) {
            continue;
        }
        walk.stop(reader, &numbers[index + 1..])?;
        break;
    }
    walk.check_named()?;
    Ok(walk.finish(&numbers))
}

/// The numbers of the segments in `dir`, ascending.
pub(crate) fn segment_numbers(fs: &dyn Fs, dir: &Path) -> Result<Vec<FileNumber>> {
    let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
    let number = |name: &String| match FileName::parse(name)? {
        FileName::Wal(number) => Some(number),
        FileName::Current
        | FileName::CurrentTemporary
        | FileName::Lock
        | FileName::Options
        | FileName::OptionsTemporary
        | FileName::Manifest(_)
        | FileName::WalTemporary(_)
        | FileName::Table(_) => None,
    };
    let mut numbers: Vec<_> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// How a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Sealed,
    /// At a place that does not verify.
    Unverified,
}

/// A replay under way.
#[derive(Debug)]
struct Walk<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    /// The segment that must be there.
    known: Option<FileNumber>,
    /// The segment that the last sealed mark names, until it is read.
    named: Option<FileNumber>,
    replayed: Replayed,
    /// How many of the segments so far reach up to the last one that is part of the log.
    kept: usize,
}

impl Walk<'_> {
    fn path(&self, number: FileNumber) -> PathBuf {
        FileName::Wal(number).in_dir(self.dir)
    }

    fn open(&self, number: FileNumber) -> Result<LogReader> {
        LogReader::open(self.fs, self.path(number), Role::Segment, number)
    }

    /// The segment that must be there is, and its header verifies.
    fn check_known(&self, numbers: &[FileNumber]) -> Result<()> {
        let Some(known) = self.known else { return Ok(()) };
        if numbers.binary_search(&known).is_err() {
            return Err(Error::corrupt(self.path(known), 0, "this log segment is missing"));
        }
        match self.open(known)?.header {
            FoundHeader::Valid(_) => Ok(()),
            FoundHeader::Damaged => Err(Error::corrupt(self.path(known), 0, LOST_HEADER)),
        }
    }

    /// The segment that the last sealed mark names was read.
    fn check_named(&self) -> Result<()> {
        self.named.map_or(Ok(()), |named| {
            let what = "this log segment is missing: the one before it names it";
            Err(Error::corrupt(self.path(named), 0, what))
        })
    }

    /// Reads one segment; `previous` is the one before it in the folder.
    fn segment(
        &mut self,
        reader: &mut LogReader,
        previous: Option<FileNumber>,
        each: Each<'_>,
    ) -> Result<Ended> {
        let named = self.named.take();
        if named.is_some_and(|named| named != reader.number) {
            self.named = named;
            self.check_named()?;
        }
        let FoundHeader::Valid(header) = reader.header else {
            if named.is_some() {
                return Err(Error::corrupt(&reader.path, 0, LOST_HEADER));
            }
            reader.offset = 0;
            return Ok(Ended::Unverified);
        };
        if let (Some(previous), Some(named)) = (previous, header.predecessor)
            && previous != named
        {
            let what = format!(
                "the log continues {} here, yet the segment before it in the folder is {}",
                FileName::Wal(named),
                FileName::Wal(previous)
            );
            return Err(Error::corrupt(&reader.path, PREDECESSOR_OFFSET, what));
        }
        let last_seq = self.replayed.segments.last().map_or(Seq::ZERO, |before| before.last_seq);
        let mut info =
            SegmentInfo { number: reader.number, first_seq: last_seq, last_seq, bytes: 0 };
        let mut has_records = false;
        let ended = loop {
            match reader.step()? {
                Step::Data { header, payload, offset } => {
                    if !has_records {
                        info.first_seq = header.first_seq;
                        has_records = true;
                    }
                    info.last_seq = info.last_seq.max(header.last_seq);
                    self.replayed.records += 1;
                    let at = RecordAt { segment: reader.number, offset };
                    each(header.first_seq, payload, at)?;
                }
                Step::Watermark { .. } => {}
                Step::Sealed { header } => {
                    self.named = header.successor();
                    break Ended::Sealed;
                }
                Step::Unverified => break Ended::Unverified,
            }
        };
        if ended == Ended::Unverified && reader.len < header.reserved {
            let what = format!(
                "this log segment was cut short: it was {} bytes long and is {}",
                header.reserved, reader.len
            );
            return Err(Error::corrupt(&reader.path, reader.offset, what));
        }
        info.bytes = reader.offset;
        self.replayed.durable = self.replayed.durable.max(reader.watermark);
        self.replayed.unsealed_at = (ended == Ended::Unverified).then_some(reader.offset);
        self.replayed.segments.push(info);
        if has_records || named.is_some() || self.known >= Some(reader.number) {
            self.kept = self.replayed.segments.len();
        }
        Ok(ended)
    }

    /// Looks at everything behind the place where reading stopped: damage, a torn tail or nothing?
    fn stop(&mut self, mut reader: LogReader, later: &[FileNumber]) -> Result<()> {
        let stop = reader.place();
        let mut behind = Behind::new(stop);
        reader.scan(&mut behind)?;
        for &number in later {
            self.open(number)?.scan_all(&mut behind)?;
        }
        if let Some(damage) = behind.damage(reader.path, stop.offset) {
            return Err(damage);
        }
        let Behind { dropped_bytes, .. } = behind;
        self.replayed.torn = (dropped_bytes > 0).then_some(TornTail {
            segment: stop.file,
            offset: stop.offset,
            dropped_bytes,
        });
        Ok(())
    }

    /// Sets the segments without records at the log's end aside; `numbers` are all there are.
    fn finish(self, numbers: &[FileNumber]) -> Replayed {
        let Self { mut replayed, kept, .. } = self;
        if kept < replayed.segments.len() {
            // Reading goes past a segment only when it is sealed.
            replayed.unsealed_at = None;
            replayed.segments.truncate(kept);
        }
        if let (Some(last), Some(at)) = (replayed.segments.last_mut(), replayed.unsealed_at) {
            last.bytes = at + BARE_RECORD_BYTES;
        }
        let last = replayed.segments.last().map(|segment| segment.number);
        let behind =
            numbers.iter().copied().filter(|&number| last.is_none_or(|last| number > last));
        replayed.behind = behind.collect();
        let torn = replayed.torn;
        let is_whole = |number: &FileNumber| torn.is_none_or(|torn| *number < torn.segment);
        replayed.empty = replayed.behind.iter().copied().filter(is_whole).collect();
        replayed
    }
}
