//! What the scores call for: level 0 has too many tables, or another level too many bytes.

use alluvium_manifest::Level;

use super::inputs::{Growth, overlap};
use super::{Moving, Pick, Picker, Reason};

/// The most urgent pick of those that can run now.
pub(super) fn pick_due(picker: &Picker<'_>, relieves_reads: bool) -> Option<Pick> {
    let score = |level: &Level| picker.scores[level.index()];
    let mut due: Vec<Level> = Level::all().filter(|level| score(level) >= 1.0).collect();
    // Stable: of equally urgent levels the upper one comes first.
    due.sort_by(|a, b| score(b).total_cmp(&score(a)));

    // With level 0 waiting for tables of the base level that are on their way down, sending more of
    // them there would let it wait for ever.
    let l0_is_due = score(&Level::ZERO) >= 1.0;
    let l0 = if l0_is_due { pick_l0(picker, Reason::L0Files) } else { None };
    let base_is_wanted = l0_is_due && l0.is_none() && !picker.is_l0_busy();
    for level in due {
        let found = if level == Level::ZERO {
            l0.clone()
        } else if level == picker.targets.base_level && base_is_wanted {
            None
        } else {
            pick_overfull(picker, level)
        };
        if found.is_some() {
            return found;
        }
    }
    // What is due anyway comes first: it may be what level 0 has to wait for.
    if relieves_reads && !l0_is_due { pick_l0(picker, Reason::Reads) } else { None }
}

/// The oldest L0 table that can go now, with all that must go with it.
fn pick_l0(picker: &Picker<'_>, reason: Reason) -> Option<Pick> {
    let oldest_first = (0..picker.version.level(Level::ZERO).len()).rev();
    let inputs = oldest_first.into_iter().find_map(|seed| picker.l0_inputs(seed))?;
    Some(picker.decide(reason, inputs, Moving::Allowed))
}

/// The table of a sorted run that overlaps least below for its size: it relieves the level with the
/// fewest bytes written.
fn pick_overfull(picker: &Picker<'_>, level: Level) -> Option<Pick> {
    let run = picker.version.level(level);
    let below = picker.version.level(level.below()?);
    let mut candidates: Vec<(f64, usize)> = run
        .iter()
        .enumerate()
        .filter(|(_, table)| !picker.is_busy(table))
        .map(|(at, table)| {
            let met = &below[overlap(below, &table.smallest, &table.largest)];
            let met_bytes: u64 = met.iter().map(|table| table.size_bytes).sum();
            (met_bytes as f64 / table.size_bytes.max(1) as f64, at)
        })
        .collect();
    candidates.sort_by(|(a_ratio, a), (b_ratio, b)| {
        let older = run[*a].number.cmp(&run[*b].number);
        a_ratio.total_cmp(b_ratio).then(older)
    });
    let mut seeds = candidates.into_iter().map(|(_, at)| at);
    let inputs = seeds.find_map(|seed| picker.run_inputs(level, seed, Growth::Free))?;
    Some(picker.decide(Reason::Size, inputs, Moving::Allowed))
}
