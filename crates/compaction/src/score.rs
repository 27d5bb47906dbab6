//! How urgent each level is, and how much work is owed.

use alluvium_manifest::{LEVEL_COUNT, Level, Version};

use crate::options::CompactionOptions;
use crate::targets::{LevelTargets, level_targets};

/// How urgent each level is. A level is due from 1 on; the bottom has 0, for nothing lies below it.
///
/// Level 0 counts tables against `l0_trigger`, since each is one more place a reader looks; the
/// others compare their bytes with their target.
pub fn scores(version: &Version, options: &CompactionOptions) -> [f64; LEVEL_COUNT] {
    scores_of(version, options, &level_targets(version, options))
}

pub(crate) fn scores_of(
    version: &Version,
    options: &CompactionOptions,
    targets: &LevelTargets,
) -> [f64; LEVEL_COUNT] {
    let mut scores = [0.0; LEVEL_COUNT];
    scores[0] = version.level(Level::ZERO).len() as f64 / options.l0_trigger.max(1) as f64;
    for level in Level::all().filter(|&level| targets.base_level <= level && level < Level::BOTTOM)
    {
        let target = targets.target_bytes[level.index()].max(1);
        scores[level.index()] = version.level_bytes(level) as f64 / target as f64;
    }
    scores
}

/// About how many bytes compaction must write until every score is at most 1; 0 when they are.
///
/// Level 0 merges with its whole base level; of each other level, what exceeds its target moves
/// down, rewriting its share of the next level, which may then exceed its own.
pub fn debt_bytes(version: &Version, options: &CompactionOptions) -> u64 {
    let targets = level_targets(version, options);
    let mut debt = 0;
    let mut arriving = 0;
    if scores_of(version, options, &targets)[0] > 1.0 {
        arriving = version.level_bytes(Level::ZERO);
        debt = arriving + version.level_bytes(targets.base_level);
    }
    let mut level = targets.base_level;
    while let Some(below) = level.below() {
        let size = version.level_bytes(level) + arriving;
        arriving = size.saturating_sub(targets.target_bytes[level.index()]);
        let share = arriving as f64 / size.max(1) as f64;
        debt += arriving + (version.level_bytes(below) as f64 * share) as u64;
        level = below;
    }
    debt
}

/// How many entries a merge of level 0 into its base level would go through; 0 without any table there.
pub fn relief_entries(version: &Version, options: &CompactionOptions) -> u64 {
    let entries = |level| version.level(level).iter().map(|table| table.entry_count).sum::<u64>();
    let l0 = entries(Level::ZERO);
    if l0 == 0 { 0 } else { l0 + entries(level_targets(version, options).base_level) }
}

#[cfg(test)]
mod tests;
