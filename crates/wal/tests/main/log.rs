//! A log of records that can be told from their sequence, and what must hold of them.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::checksum::crc32;
use alluvium_base::{Bytes, FileName, FileNumber, FileNumbers, Fs, Result, Seq};
use alluvium_wal::{
    EarlierSegments, KnownSegments, LogEnd, Replayed, Wal, WalConfig, WalMode, WalOptions,
    WalWriter, replay, settle, start,
};

pub(crate) const DIR: &str = "/db";

/// Segments of a kilobyte, and nothing happens on other threads.
pub(crate) const SMALL: WalOptions =
    WalOptions { segment_size: 1 << 10, mode: WalMode::Auto, create_ahead: false };

/// The bytes of record `seq`, given how many there are.
pub(crate) fn payload(seq: u64, len: usize) -> Vec<u8> {
    let first = (seq as u8).wrapping_mul(31) | 1;
    (0..len).map(|at| first.wrapping_add((at as u8).wrapping_mul(7))).collect()
}

/// A log that is open for writing. Record *n* has the sequence *n*, from 1 on.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) writer: WalWriter,
    pub(crate) wal: Arc<Wal>,
    pub(crate) last: u64,
}

impl Log {
    /// Opens the log in [`DIR`] as the engine does. Returns what it held.
    pub(crate) fn open(fs: &Arc<dyn Fs>, options: WalOptions) -> Result<(Self, Found)> {
        Self::open_from(fs, options, FileNumber(0))
    }

    /// The same when segments before `first` are garbage.
    pub(crate) fn open_from(
        fs: &Arc<dyn Fs>,
        options: WalOptions,
        first: FileNumber,
    ) -> Result<(Self, Found)> {
        Self::open_in(fs, Path::new(DIR), options, first)
    }

    pub(crate) fn open_in(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        first: FileNumber,
    ) -> Result<(Self, Found)> {
        let found = Found::read(&**fs, dir, first)?;
        let earlier = settle(&**fs, dir, &found.replayed)?;
        Self::start_behind(fs, dir, options, &found, (earlier, first)).map(|log| (log, found))
    }

    /// Writes behind what was found; numbers up to `first` are taken.
    pub(crate) fn start_behind(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        found: &Found,
        (earlier, first): (EarlierSegments, FileNumber),
    ) -> Result<Self> {
        let used = fs.list(dir).map_err(|error| alluvium_base::Error::io("list", dir, error))?;
        let used = used.iter().filter_map(|name| FileName::parse(name)?.number()).max();
        let next = used.max(Some(first)).map_or(FileNumber(1), |used| FileNumber(used.0 + 1));
        let (writer, wal) = start(WalConfig {
            fs: fs.clone(),
            dir: dir.to_owned(),
            numbers: Arc::new(FileNumbers::starting_at(next)),
            options,
            earlier,
        })?;
        let last = found.records.last().map_or(0, |&(seq, _)| seq);
        Ok(Self { writer, wal, last })
    }

    /// Appends the next record, with a payload of `len` bytes.
    pub(crate) fn append(&mut self, len: usize) -> Result<LogEnd> {
        let seq = Seq::new(self.last + 1);
        let payload = payload(seq.get(), len);
        let end = self.writer.append(seq, seq, &payload, crc32(&payload))?;
        self.last += 1;
        Ok(end)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.wal.sync_to(self.wal.written())
    }
}

/// What a log held.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) records: Vec<(u64, Bytes)>,
    pub(crate) replayed: Replayed,
}

impl Found {
    /// Of the segments from `first` on.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path, first: FileNumber) -> Result<Self> {
        let mut records = Vec::new();
        let known = KnownSegments { first, active: None };
        let replayed = replay(fs, dir, known, &mut |first, payload, _at| {
            records.push((first.get(), payload));
            Ok(())
        })?;
        assert_eq!(replayed.records, records.len() as u64);
        Ok(Self { records, replayed })
    }

    pub(crate) fn in_dir(fs: &dyn Fs) -> Result<Self> {
        Self::read(fs, Path::new(DIR), FileNumber(0))
    }

    /// The records are whole and without a gap, from one at or before `first` up to one at or
    /// behind `last`. Returns the last one.
    #[track_caller]
    pub(crate) fn check(&self, first: u64, last: u64) -> u64 {
        let found_first = self.records.first().map_or(first, |&(seq, _)| seq);
        assert!(found_first <= first, "the first record is {found_first}, not {first}");
        for (expected, (seq, bytes)) in (found_first..).zip(&self.records) {
            assert_eq!(*seq, expected, "there is a gap");
            assert_eq!(*bytes, payload(*seq, bytes.len()), "record {seq} has other bytes");
        }
        let found_last = self.records.last().map_or(first - 1, |&(seq, _)| seq);
        assert!(found_last >= last, "the last record is {found_last}; {last} was durable");
        found_last
    }
}
