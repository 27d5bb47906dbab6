//! A full compaction of a key range, step by step.
//!
//! Level by level, from the top, what overlaps the range goes down until it is at the bottom: the
//! deepest level that has tables there. Then the bottom's own tables are rewritten where they are,
//! so that everything dead in the range is gone. Each step is decided anew from the version as it
//! is, so flushes and other compactions may come between.

use std::collections::BTreeSet;

use alluvium_base::{FileNumber, Seq};
use alluvium_manifest::{Level, TableMeta, Version};

use super::inputs::Growth;
use super::{Moving, Pick, Picker, Reason};
use crate::options::CompactionOptions;

/// What a manual compaction is to cover.
#[derive(Clone, Copy, Debug)]
pub struct ManualRange<'a> {
    /// First user key, or `None` from the beginning.
    pub start: Option<&'a [u8]>,
    /// Last user key, or `None` to the end.
    pub end: Option<&'a [u8]>,
    /// The first file number handed out after the compaction was asked for: L0 tables from it on
    /// are newer than the request, and bottom tables from it on have been rewritten.
    pub done_before: FileNumber,
    /// The last write when it was asked for. Tables with only later entries are left alone, so that
    /// the compaction ends even while writes go on.
    pub written_by: Seq,
}

impl ManualRange<'_> {
    fn touches(&self, table: &TableMeta) -> bool {
        self.start.is_none_or(|start| *start <= table.largest[..])
            && self.end.is_none_or(|end| table.smallest[..] <= *end)
    }
}

/// [`pick_manual_range`] from `start` to `end` (both included) for everything written so far.
///
/// While writes into the range go on it may have no end; a [`ManualRange`] can say where to stop.
pub fn pick_manual(
    version: &Version,
    options: &CompactionOptions,
    start: Option<&[u8]>,
    end: Option<&[u8]>,
    done_before: FileNumber,
    busy: &BTreeSet<FileNumber>,
) -> Option<Pick> {
    let range = ManualRange { start, end, done_before, written_by: Seq::MAX };
    pick_manual_range(version, options, &range, busy)
}

/// The next step of a full compaction of `range`, or `None` when there is none that can run now.
///
/// With an empty `busy`, `None` means that the range is done: whoever gets `None` beside running
/// picks asks with an empty set whether to wait. All entries must have been flushed when
/// `done_before` was taken.
pub fn pick_manual_range(
    version: &Version,
    options: &CompactionOptions,
    range: &ManualRange<'_>,
    busy: &BTreeSet<FileNumber>,
) -> Option<Pick> {
    let picker = Picker::new(version, options, busy);
    let touched = |level: Level| {
        let tables = version.level(level).iter().enumerate();
        tables.filter(|(_, table)| range.touches(table))
    };
    let mut runs = Level::all().rev().filter(|level| level.is_sorted_run());
    let bottom = runs.find(|&level| touched(level).next().is_some());
    let bottom = bottom.unwrap_or(picker.targets.base_level);

    // Whether something above the bottom must wait. Then the bottom waits too, or it would be
    // rewritten twice.
    let mut is_waiting = false;
    for level in Level::all().take_while(|&level| level < bottom) {
        let unfinished = touched(level).filter(|(_, table)| match level {
            Level::ZERO => table.number < range.done_before,
            _ => table.smallest_seq <= range.written_by,
        });
        let mut has_any = false;
        // The oldest L0 table first; any order does for a sorted run.
        let seeds: Vec<usize> = unfinished.map(|(seed, _)| seed).rev().collect();
        for seed in seeds {
            has_any = true;
            let inputs = if level == Level::ZERO {
                picker.l0_inputs(seed)
            } else {
                picker.run_inputs(level, seed, Growth::Connected)
            };
            if let Some(inputs) = inputs {
                // What arrives at the bottom as it is would still have to be rewritten there.
                let moving = if inputs.to < bottom { Moving::Allowed } else { Moving::Forbidden };
                return Some(picker.decide(Reason::Manual, inputs, moving));
            }
        }
        is_waiting |= has_any;
    }
    if is_waiting {
        return None;
    }
    let inputs = touched(bottom)
        .filter(|(_, table)| table.number < range.done_before)
        .find_map(|(seed, _)| picker.inputs_in_place(bottom, seed))?;
    Some(picker.decide(Reason::Manual, inputs, Moving::Forbidden))
}
