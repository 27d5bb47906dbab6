//! All entries of one keyspace that can be read, as one cursor: newest version of each key first.
//!
//! ```text
//!   spilled log   ▬▬▬▬▬▬▬▬▬▬▬     one run each
//!   tables        ▬▬▬ ▬▬▬▬ ▬▬▬    runs of tables that do not overlap: one is open at a time
//!                 ▬▬▬▬ ▬▬▬▬▬▬▬
//! ```
//!
//! Which version of a key is newest, its sequence says. Two entries of one key and sequence are the
//! same write, or versions whose age was forgotten (sequence zero): then the one from the file
//! written later counts. Only one table that is live can hold such a version of a key, so two of
//! them mean that one table is obsolete, and the later one took in the earlier.
//!
//! Invariants: entries ascend strictly whatever the tables hold, and memory is bounded by the number
//! of runs.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use alluvium_base::key::compare;
use alluvium_base::{Bytes, FileNumber, Fs, InternalIterator, InternalKey, Result, Seq};
use alluvium_table::{LostStretch, SalvageCursor, SalvagedTable};

use crate::Error;

/// Where a file stands among those of the same keyspace: later ones win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A table of the old database.
    Table(FileNumber),
    /// Part of its log, spilled to a table of the new one.
    Log(FileNumber),
}

/// One table to read.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) number: FileNumber,
    pub(super) rank: Rank,
    /// Smallest and largest user key, if they are known.
    pub(super) range: Option<(Bytes, Bytes)>,
}

/// What became of one table.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) rank: Rank,
    pub(super) saved_entries: u64,
    pub(super) lost: Vec<LostStretch>,
    /// Entries that cannot be: out of order, of a kind that no release writes, of a sequence that
    /// none comes to.
    pub(super) refused: u64,
    /// Why it could not be opened.
    pub(super) error: Option<Error>,
}

/// Sorts tables into as few runs as their ranges allow.
pub(super) fn runs(mut inputs: Vec<Input>) -> Vec<VecDeque<Input>> {
    let start = |input: &Input| input.range.as_ref().map(|(smallest, _)| smallest.clone());
    inputs.sort_by(|a, b| start(a).cmp(&start(b)).then(a.number.cmp(&b.number)));
    let mut runs: Vec<VecDeque<Input>> = Vec::new();
    for input in inputs {
        let fits = |run: &&mut VecDeque<Input>| {
            let last = run.back().and_then(|last| last.range.as_ref());
            let (Some((_, end)), Some((start, _))) = (last, &input.range) else { return false };
            end < start
        };
        match runs.iter_mut().find(fits) {
            Some(run) => run.push_back(input),
            None => runs.push(VecDeque::from([input])),
        }
    }
    runs
}

/// The merged cursor. It moves forward only.
#[derive(Debug)]
pub(super) struct SalvageMerge<'a> {
    fs: &'a dyn Fs,
    runs: Vec<Run>,
    /// The run whose entry is at hand.
    at: Option<usize>,
    outcomes: Vec<Outcome>,
    /// The user key at hand.
    user_key: Vec<u8>,
    seq: Option<Seq>,
    /// Where the newest version of that key comes from, and whether it was found doubtful.
    newest: Option<(Rank, Seq)>,
    /// Whether the log lacks some of its sequences.
    log_has_gaps: bool,
    /// See [`RepairReport::uncertain_keys`](super::RepairReport::uncertain_keys).
    pub(super) uncertain_keys: u64,
}

#[derive(Debug)]
struct Run {
    waiting: VecDeque<Input>,
    open: Option<(Rank, SalvageCursor)>,
    refused: u64,
}

impl<'a> SalvageMerge<'a> {
    pub(super) fn new(fs: &'a dyn Fs, inputs: Vec<Input>, log_has_gaps: bool) -> Self {
        let run = |waiting| Run { waiting, open: None, refused: 0 };
        Self {
            fs,
            runs: runs(inputs).into_iter().map(run).collect(),
            at: None,
            outcomes: Vec::new(),
            user_key: Vec::new(),
            seq: None,
            newest: None,
            log_has_gaps,
            uncertain_keys: 0,
        }
    }

    /// What became of each table. To be asked at the end.
    pub(super) fn outcomes(self) -> Vec<Outcome> {
        self.outcomes
    }

    /// Moves run `index` to its next entry, opening its next table if need be.
    fn advance(&mut self, index: usize) {
        let run = &mut self.runs[index];
        loop {
            if let Some((rank, mut cursor)) = run.open.take() {
                if cursor.advance() {
                    run.open = Some((rank, cursor));
                    return;
                }
                self.outcomes.push(Outcome {
                    rank,
                    saved_entries: cursor.entry_count() - run.refused,
                    lost: cursor.lost().to_vec(),
                    refused: std::mem::take(&mut run.refused),
                    error: None,
                });
            }
            let Some(input) = run.waiting.pop_front() else { return };
            let rank = input.rank;
            match open_table(self.fs, &input.path, input.number) {
                Ok(table) => run.open = Some((rank, table.cursor())),
                Err(error) => self.outcomes.push(Outcome {
                    rank,
                    saved_entries: 0,
                    lost: Vec::new(),
                    refused: 0,
                    error: Some(error),
                }),
            }
        }
    }

    /// The run whose entry comes first; of equal ones that of the latest file.
    fn first(&self) -> Option<usize> {
        let entries = self.runs.iter().enumerate().filter_map(|(index, run)| {
            let (rank, cursor) = run.open.as_ref()?;
            Some((index, *rank, cursor.key()))
        });
        let first = entries.min_by(|(_, a_rank, a), (_, b_rank, b)| {
            compare(a.user_key, a.seq, b.user_key, b.seq).then(b_rank.cmp(a_rank))
        });
        first.map(|(index, ..)| index)
    }

    /// Stands on the first entry that follows the one before, past those that may not be used.
    fn settle(&mut self) {
        loop {
            self.at = self.first();
            let Some(index) = self.at else { return };
            let Some((rank, cursor)) = &self.runs[index].open else { return };
            let (rank, key) = (*rank, cursor.key());
            let order = match self.seq {
                Some(seq) => compare(&self.user_key, seq, key.user_key, key.seq),
                None => Ordering::Less,
            };
            let is_strange = key.kind.is_reserved() || key.seq > Seq::HIGHEST_REAL;
            let is_refused = order.is_gt() || is_strange;
            if order.is_lt() && !is_refused {
                let is_new_key = self.seq.is_none() || self.user_key != key.user_key;
                let seq = key.seq;
                if is_new_key {
                    self.user_key.clear();
                    self.user_key.extend_from_slice(key.user_key);
                }
                self.note(rank, seq, is_new_key);
                self.seq = Some(seq);
                return;
            }
            self.runs[index].refused += u64::from(is_refused);
            self.advance(index);
        }
    }

    /// Watches for keys of which nobody can say which version is the newest.
    fn note(&mut self, rank: Rank, seq: Seq, is_new_key: bool) {
        if is_new_key {
            self.newest = (seq > Seq::ZERO).then_some((rank, seq));
            return;
        }
        let Some((newest, _)) = self.newest else { return };
        let may_be_later = match newest {
            Rank::Table(_) => rank > newest,
            Rank::Log(_) => self.log_has_gaps,
        };
        if seq == Seq::ZERO && may_be_later {
            self.uncertain_keys += 1;
            self.newest = None;
        }
    }

    fn cursor(&self) -> &SalvageCursor {
        const VALID: &str = "the caller asked whether there is an entry";
        let index = self.at.expect(VALID);
        &self.runs[index].open.as_ref().expect(VALID).1
    }
}

/// Opens a table that may hold anything.
pub(super) fn open_table(fs: &dyn Fs, path: &Path, number: FileNumber) -> Result<SalvagedTable> {
    let file = fs.open(path).map_err(|error| Error::io("open", path, error))?;
    SalvagedTable::open(file, path, number)
}

fn forward_only() -> Error {
    Error::invalid("a damaged table is read from front to back only")
}

impl InternalIterator for SalvageMerge<'_> {
    fn is_valid(&self) -> bool {
        self.at.is_some()
    }

    fn key(&self) -> InternalKey<'_> {
        self.cursor().key()
    }

    fn value(&self) -> &[u8] {
        self.cursor().value()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        for index in 0..self.runs.len() {
            self.advance(index);
        }
        self.settle();
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        if let Some(index) = self.at {
            self.advance(index);
            self.settle();
        }
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        Err(forward_only())
    }

    fn seek(&mut self, _: &[u8], _: Seq) -> Result<()> {
        Err(forward_only())
    }

    fn seek_before(&mut self, _: &[u8], _: Seq) -> Result<()> {
        Err(forward_only())
    }

    fn prev(&mut self) -> Result<()> {
        Err(forward_only())
    }
}

impl Outcome {
    /// Whether all of the table was read.
    pub(super) fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.refused == 0 && self.error.is_none()
    }
}
