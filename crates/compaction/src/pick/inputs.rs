//! Which tables must go together: the rules of [`pick`](mod@super) put into practice.

use std::ops::Range;
use std::sync::Arc;

use alluvium_base::Bytes;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_manifest::{Level, TableMeta};

use super::{Picker, hull};

/// Tables that keep the rules, ready to be a pick.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    pub(super) from: Level,
    pub(super) to: Level,
    pub(super) tables: Vec<(Level, Arc<TableMeta>)>,
    /// The smallest user key of the inputs.
    pub(super) smallest: Bytes,
    /// The largest user key of the inputs.
    pub(super) largest: Bytes,
}

/// How far inputs of a sorted run may grow beyond the table they were made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// By tables that bring no further table of the output level with them.
    Free,
    /// By any table that keeps the inputs without a gap.
    Connected,
}

/// Which tables of a sorted run may hold a key of `smallest..=largest`.
pub(super) fn overlap(run: &[Arc<TableMeta>], smallest: &[u8], largest: &[u8]) -> Range<usize> {
    let start = run.partition_point(|table| table.largest[..] < *smallest);
    let count = run[start..].partition_point(|table| table.smallest[..] <= *largest);
    start..start + count
}

impl Picker<'_> {
    /// The L0 tables that go with the one at `seed`, and what they overlap in the base level.
    /// `None` while something that must go with them is busy.
    pub(super) fn l0_inputs(&self, seed: usize) -> Option<Inputs> {
        if self.is_l0_busy() {
            return None;
        }
        let newest_first = self.version.level(Level::ZERO);
        let chosen = self.connected_l0(seed);
        let (mut smallest, mut largest) = (chosen[0].smallest.clone(), chosen[0].largest.clone());
        for table in &chosen {
            (smallest, largest) = hull((&smallest, &largest), (&table.smallest, &table.largest));
        }
        debug_assert!(chosen.len() <= newest_first.len());

        let to = self.targets.base_level;
        let base = self.version.level(to);
        let met = &base[overlap(base, &smallest, &largest)];
        if met.iter().any(|table| self.is_busy(table)) {
            return None;
        }
        if let (Some(first), Some(last)) = (met.first(), met.last()) {
            (smallest, largest) = hull((&smallest, &largest), (&first.smallest, &last.largest));
        }
        let upper = chosen.into_iter().map(|table| (Level::ZERO, table));
        let tables = upper.chain(met.iter().map(|table| (to, table.clone()))).collect();
        Some(Inputs { from: Level::ZERO, to, tables, smallest, largest })
    }

    /// The L0 tables that overlap the one at `seed`, those that overlap these, and so on; newest
    /// first. What would be too much for one pick is left to the next, newest first: whatever is
    /// taken goes with everything older that it overlaps.
    fn connected_l0(&self, seed: usize) -> Vec<Arc<TableMeta>> {
        let newest_first = self.version.level(Level::ZERO);
        let mut bytes = 0;
        let affordable = newest_first.iter().rev().take_while(|table| {
            bytes += table.size_bytes;
            bytes <= self.options.max_compaction_bytes
        });
        // From `start` on: the tables that are old enough, the seed always among them.
        let start = (newest_first.len() - affordable.count()).min(seed);

        let mut is_chosen = vec![false; newest_first.len()];
        let mut unexplored = vec![seed];
        is_chosen[seed] = true;
        while let Some(at) = unexplored.pop() {
            let table = &newest_first[at];
            for (other, candidate) in newest_first.iter().enumerate().skip(start) {
                if !is_chosen[other] && candidate.overlaps(&table.smallest, &table.largest) {
                    is_chosen[other] = true;
                    unexplored.push(other);
                }
            }
        }
        let chosen = newest_first.iter().zip(is_chosen).filter(|(_, is_chosen)| *is_chosen);
        let mut chosen: Vec<_> = chosen.map(|(table, _)| table.clone()).collect();
        if is_planted(Bug::OlderL0LeftOut) && chosen.len() > 1 {
            chosen.pop();
        }
        chosen
    }

    /// The table at `seed` of the sorted run `from`, what it overlaps one level down, and what can
    /// go with them cheaply. `None` while something that must go with it is busy.
    pub(super) fn run_inputs(&self, from: Level, seed: usize, growth: Growth) -> Option<Inputs> {
        let to = from.below()?;
        let mut run = Run::new(self, from, to, seed..seed + 1)?;
        while let Some(grown) = run.grown(growth) {
            run = grown;
        }
        Some(run.into_inputs())
    }

    /// The table at `seed` of the sorted run `level` alone, to be rewritten where it is.
    pub(super) fn inputs_in_place(&self, level: Level, seed: usize) -> Option<Inputs> {
        let table = &self.version.level(level)[seed];
        if self.is_busy(table) {
            return None;
        }
        let (smallest, largest) = (table.smallest.clone(), table.largest.clone());
        let tables = vec![(level, table.clone())];
        Some(Inputs { from: level, to: level, tables, smallest, largest })
    }
}

/// Neighbours of a sorted run with what they overlap one level down, none of them busy.
#[derive(Debug)]
struct Run<'a> {
    picker: &'a Picker<'a>,
    from: Level,
    to: Level,
    upper: Range<usize>,
    lower: Range<usize>,
}

impl<'a> Run<'a> {
    fn new(picker: &'a Picker<'a>, from: Level, to: Level, upper: Range<usize>) -> Option<Self> {
        let taken = &picker.version.level(from)[upper.clone()];
        let run = picker.version.level(to);
        let lower = overlap(run, &taken.first()?.smallest, &taken.last()?.largest);
        let mut all = taken.iter().chain(&run[lower.clone()]);
        if all.any(|table| picker.is_busy(table)) {
            return None;
        }
        Some(Self { picker, from, to, upper, lower })
    }

    /// One neighbour more, if one may join.
    fn grown(&self, growth: Growth) -> Option<Self> {
        let run = self.picker.version.level(self.from);
        let (smallest, largest) = self.reach();
        let before = self.upper.start.checked_sub(1).map(|at| (at, at..self.upper.end));
        let after = (self.upper.end, self.upper.start..self.upper.end + 1);
        [Some(after), before].into_iter().flatten().find_map(|(joining, upper)| {
            // A neighbour that does not overlap what is there would leave a gap.
            run.get(joining).filter(|table| table.overlaps(&smallest, &largest))?;
            let grown = Self::new(self.picker, self.from, self.to, upper)?;
            let is_free = grown.lower == self.lower;
            let is_affordable = grown.bytes() <= self.picker.options.max_compaction_bytes;
            (is_affordable && (is_free || growth == Growth::Connected)).then_some(grown)
        })
    }

    fn tables(&self) -> impl Iterator<Item = (Level, &'a Arc<TableMeta>)> {
        let upper = &self.picker.version.level(self.from)[self.upper.clone()];
        let lower = &self.picker.version.level(self.to)[self.lower.clone()];
        let (from, to) = (self.from, self.to);
        let upper = upper.iter().map(move |table| (from, table));
        upper.chain(lower.iter().map(move |table| (to, table)))
    }

    fn bytes(&self) -> u64 {
        self.tables().map(|(_, table)| table.size_bytes).sum()
    }

    /// The smallest and the largest user key.
    fn reach(&self) -> (Bytes, Bytes) {
        let smallest = self.tables().map(|(_, table)| &table.smallest).min();
        let largest = self.tables().map(|(_, table)| &table.largest).max();
        let some = "a run has at least the table it was made for";
        (smallest.expect(some).clone(), largest.expect(some).clone())
    }

    fn into_inputs(self) -> Inputs {
        let (smallest, largest) = self.reach();
        let tables = self.tables().map(|(level, table)| (level, table.clone())).collect();
        Inputs { from: self.from, to: self.to, tables, smallest, largest }
    }
}
