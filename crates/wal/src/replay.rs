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
//! Invariant: whatever is dropped stands behind the durable watermark and reaches to the end of the
//! log, so that what remains is a prefix.

use std::path::{Path, PathBuf};

use alluvium_base::{Bytes, Error, FileName, FileNumber, Fs, Result, Seq};

use crate::SegmentInfo;
use crate::format::{BARE_RECORD_BYTES, FoundHeader, PREDECESSOR_OFFSET, Place, Role};
use crate::reader::{Behind, LogReader, Step};

/// What a log held.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// The segments that hold records, oldest first. One without records is among them only where
    /// it stands between others. This is what [`WalConfig::recovered`](crate::WalConfig) takes:
    /// their bytes count the sealed mark that [`settle`](crate::settle) ends the last one with.
    pub segments: Vec<SegmentInfo>,
    /// Where the log was torn, if it was.
    pub torn: Option<TornTail>,
    /// Segments without records behind all others. [`settle`](crate::settle) removes them.
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

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordAt {
    /// In which segment.
    pub segment: FileNumber,
    /// Where in that segment it begins, in bytes.
    pub offset: u64,
}

/// What [`replay`] hands each record to: its first sequence, its payload and where it stands.
type Each<'a> = &'a mut dyn FnMut(Seq, Bytes, RecordAt) -> Result<()>;

/// Reads the log in `dir`, oldest record first, and hands each to `each`, whose error ends the
/// walk. Writes nothing. Memory is bounded by one payload.
///
/// Fails with [`Error::Corrupt`], naming file and offset, when a record that was reported durable
/// does not verify, or when a segment is missing between two others. `each` has then seen the
/// records before that place. That the first segments are missing cannot be told from their having
/// been released: compare the first sequence with what is expected.
pub fn replay(fs: &dyn Fs, dir: &Path, each: Each<'_>) -> Result<Replayed> {
    let numbers = segment_numbers(fs, dir)?;
    let mut walk = Walk { fs, dir, replayed: Replayed::default(), kept: 0 };
    for (index, &number) in numbers.iter().enumerate() {
        let mut reader = walk.open(number)?;
        let previous = index.checked_sub(1).and_then(|index| numbers.get(index).copied());
        if walk.segment(&mut reader, previous, each)? == Ended::Sealed {
            continue;
        }
        walk.stop(reader, &numbers[index + 1..])?;
        break;
    }
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
    replayed: Replayed,
    /// How many of the segments so far reach up to the last one with records.
    kept: usize,
}

impl Walk<'_> {
    fn path(&self, number: FileNumber) -> PathBuf {
        FileName::Wal(number).in_dir(self.dir)
    }

    fn open(&self, number: FileNumber) -> Result<LogReader> {
        LogReader::open(self.fs, self.path(number), Role::Segment, number)
    }

    /// Reads one segment; `previous` is the one before it in the folder.
    fn segment(
        &mut self,
        reader: &mut LogReader,
        previous: Option<FileNumber>,
        each: Each<'_>,
    ) -> Result<Ended> {
        let FoundHeader::Valid(header) = reader.header else {
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
                Step::Watermark => {}
                Step::Sealed => break Ended::Sealed,
                Step::Unverified => break Ended::Unverified,
            }
        };
        info.bytes = reader.offset;
        self.replayed.durable = self.replayed.durable.max(reader.watermark);
        self.replayed.unsealed_at = (ended == Ended::Unverified).then_some(reader.offset);
        self.replayed.segments.push(info);
        if has_records {
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
