//! Which tables go together next.
//!
//! A pick is a value: the tables to merge, where the result goes, and why. It is decided from
//! metadata alone. What is urgent by [`scores`](crate::scores) comes first; with nothing due, tables
//! full of garbage are cleaned out.
//!
//! # Picks that run at once never get in each other's way
//!
//! The *reach* of a pick is the span of user keys from the smallest to the largest of its inputs;
//! its outputs lie within it. Every pick keeps these rules:
//!
//! 1. None of its tables is busy, that is, an input of a running pick.
//! 2. It takes every table of the output level that overlaps its reach.
//! 3. Its inputs hang together: their ranges cover the reach without a gap.
//! 4. An L0 table goes only with every older L0 table that overlaps it, and only one pick takes L0
//!    tables at a time.
//! 5. L0 goes to the base level, above which there is no table ([`targets`](crate::targets)); every
//!    other pick goes one level down or stays where it is.
//!
//! *No two running picks write to one key range of a level.* Take the first new pick whose reach
//! shares a key with that of a running one into the same level. By 3, some input of each covers
//! that key. If one of these two tables is in the output level, it overlaps the other pick's reach,
//! so by 2 both picks take it, against 1. If not, both lie above the output level. Both in L0 is
//! against 4. Both in one sorted run makes them the same table, against 1. An L0 table going beside
//! a sorted run's: that run is above the output level, so by 5 it was empty when the L0 pick was
//! made; with the L0 pick made last, the other's inputs are in that run, and with it made first,
//! only another L0 pick could have filled the run since, against 4.
//!
//! Without 3 this would fail: a table that appears in a gap could be moved down into the reach of
//! the running pick.
//!
//! *Nothing comes to lie below a running pick's reach that did not lie there before*, so an answer
//! of [`Below`](crate::Below) stays right: such an entry would have to leave the output level, where
//! all tables in the reach are busy, or jump over it from L0, against 4 or 5.

mod garbage;
mod inputs;
mod manual;
mod size;

use std::collections::BTreeSet;
use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, Seq};
use alluvium_manifest::{Cause, LEVEL_COUNT, Level, TableMeta, Version};

use crate::options::CompactionOptions;
use crate::score::scores_of;
use crate::targets::{LevelTargets, level_targets};
use inputs::Inputs;

pub use garbage::next_due_ms;
pub use manual::{ManualRange, pick_manual, pick_manual_range};

/// Why tables are compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The level holds more than its target.
    Size,
    /// Level 0 has as many tables as it may.
    L0Files,
    /// Readers have lost so much to the tables of level 0 that merging them is worth while.
    Reads,
    /// Half of a table's entries or more have expired.
    Expired,
    /// Half of a table's entries or more are tombstones.
    Tombstones,
    /// Somebody asked for it.
    Manual,
}

/// What a pick must know beside the tree itself.
#[derive(Clone, Copy, Debug)]
pub struct PickContext<'a> {
    /// The inputs of all running picks of this keyspace.
    pub busy: &'a BTreeSet<FileNumber>,
    /// The clock of the oldest snapshot, or the present where there is none. The
    /// [`GcContext`](crate::GcContext) that runs the pick must not be earlier, or expired tables
    /// would be rewritten for nothing.
    pub now_ms: u64,
    /// Where the oldest snapshot stands, if there is one.
    pub oldest_snapshot: Option<Seq>,
    /// Whether readers suffer from level 0 so much that it is due, however few its tables.
    pub relieves_reads: bool,
}

/// A decided compaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    /// Why.
    pub reason: Reason,
    /// The level it relieves.
    pub from: Level,
    /// The level its outputs belong to; `from` itself when garbage is cleaned out in place.
    pub to: Level,
    /// The tables it replaces: those of `from` (L0 newest first, else ascending), then those of
    /// `to`, ascending.
    pub inputs: Vec<(Level, Arc<TableMeta>)>,
    /// How urgent `from` was.
    pub score: f64,
    /// Whether the one input can become a table of `to` by edit alone.
    pub is_trivial_move: bool,
    /// The tables one level below `to` within its reach, ascending: outputs end at their ends.
    pub grandparents: Vec<Arc<TableMeta>>,
}

impl Pick {
    /// Sum of the sizes of its inputs.
    pub fn input_bytes(&self) -> u64 {
        self.inputs.iter().map(|(_, table)| table.size_bytes).sum()
    }

    /// How many entries are merged to relieve level 0; 0 where it is another level, or a mere move.
    pub fn merged_l0_entries(&self) -> u64 {
        if self.from != Level::ZERO || self.is_trivial_move {
            return 0;
        }
        self.inputs.iter().map(|(_, table)| table.entry_count).sum()
    }

    /// The file numbers of its inputs.
    pub fn numbers(&self) -> impl Iterator<Item = FileNumber> {
        self.inputs.iter().map(|(_, table)| table.number)
    }

    /// What the manifest notes as the cause of its edit.
    pub fn cause(&self) -> Cause {
        let (from, to) = (self.from, self.to);
        if self.is_trivial_move {
            return Cause::TrivialMove { from, to };
        }
        match self.reason {
            Reason::Size | Reason::L0Files | Reason::Reads | Reason::Tombstones => {
                Cause::Compaction { from, to, score_percent: (self.score * 100.0) as u32 }
            }
            Reason::Expired => Cause::Expiry,
            Reason::Manual => Cause::Manual,
        }
    }
}

/// The next compaction worth doing beside those running, or `None`. Pure: same arguments, same
/// pick.
///
/// Without new writes, running picks until there is none ends with every score below 1.
pub fn pick(
    version: &Version,
    options: &CompactionOptions,
    context: &PickContext<'_>,
) -> Option<Pick> {
    let picker = Picker::new(version, options, context.busy);
    size::pick_due(&picker, context.relieves_reads)
        .or_else(|| garbage::pick_garbage(&picker, context.now_ms, context.oldest_snapshot))
}

/// What all ways to pick look at.
#[derive(Debug)]
struct Picker<'a> {
    version: &'a Version,
    options: &'a CompactionOptions,
    busy: &'a BTreeSet<FileNumber>,
    targets: LevelTargets,
    scores: [f64; LEVEL_COUNT],
}

/// Whether a lone table may sink as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moving {
    Allowed,
    /// It is to be rewritten: its garbage could go, or is to go, at the level it comes to.
    Forbidden,
}

impl<'a> Picker<'a> {
    fn new(
        version: &'a Version,
        options: &'a CompactionOptions,
        busy: &'a BTreeSet<FileNumber>,
    ) -> Self {
        let targets = level_targets(version, options);
        let scores = scores_of(version, options, &targets);
        Self { version, options, busy, targets, scores }
    }

    fn is_busy(&self, table: &TableMeta) -> bool {
        self.busy.contains(&table.number)
    }

    /// Whether a running pick takes L0 tables: there is to be one at a time.
    fn is_l0_busy(&self) -> bool {
        self.version.level(Level::ZERO).iter().any(|table| self.is_busy(table))
    }

    /// Whether a level deeper than `level` may hold keys of `smallest..=largest`.
    fn has_below(&self, level: Level, smallest: &[u8], largest: &[u8]) -> bool {
        let deeper = Level::all().filter(|&deeper| deeper > level);
        deeper.into_iter().any(|deeper| {
            !inputs::overlap(self.version.level(deeper), smallest, largest).is_empty()
        })
    }

    /// Makes a pick of tables that keep the rules.
    fn decide(&self, reason: Reason, inputs: Inputs, moving: Moving) -> Pick {
        let Inputs { from, to, tables, smallest, largest } = inputs;
        let grandparents = to
            .below()
            .map_or_else(Vec::new, |level| self.version.overlapping(level, &smallest, &largest));
        let overlapped: u64 = grandparents.iter().map(|table| table.size_bytes).sum();
        // A table that overlaps much below would later cost more than writing it in pieces now.
        let is_trivial_move = moving == Moving::Allowed
            && from != to
            && tables.len() == 1
            && overlapped <= self.options.max_compaction_bytes;
        let score = self.scores[from.index()];
        Pick { reason, from, to, inputs: tables, score, is_trivial_move, grandparents }
    }
}

/// The lesser and the greater end of two spans of user keys.
fn hull(a: (&Bytes, &Bytes), b: (&Bytes, &Bytes)) -> (Bytes, Bytes) {
    (a.0.min(b.0).clone(), a.1.max(b.1).clone())
}

#[cfg(test)]
mod simulation;
