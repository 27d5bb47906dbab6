//! How large each level should be.
//!
//! Levels are sized from the bottom up, as `RocksDB`'s `level_compaction_dynamic_level_bytes` does
//! (Dong et al., *Optimizing Space Amplification in RocksDB*, CIDR 2017): the largest level is
//! taken as it is, and each level above is to have a `level_multiplier`th of the one below. So at
//! most about a ninth of the data (at ten) lies above the bottom, whatever the size of the tree.
//! Levels too small to be worth their while stay closed; level 0 compacts past them into the *base
//! level*:
//!
//! ```text
//!          64 MiB base, multiplier 10, 5 GiB in L6
//!   L1…L3      –       closed: L4 is small enough to take L0 directly
//!   L4      64 MiB     base level (51 MiB, rounded up to the least target)
//!   L5     512 MiB
//!   L6       5 GiB     as it is
//! ```
//!
//! Invariant: no level between level 0 and the base level holds a table. What leaves level 0
//! therefore never jumps over older versions of itself.

use alluvium_manifest::{LEVEL_COUNT, Level, Version};

use crate::options::CompactionOptions;

/// How large each level should be, and where level 0 compacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelTargets {
    /// Where level 0 compacts to; every level between is empty.
    pub base_level: Level,
    /// Target size by level, in bytes. Level 0 and the closed levels have 0.
    pub target_bytes: [u64; LEVEL_COUNT],
}

/// Sizes the levels of `version`.
pub fn level_targets(version: &Version, options: &CompactionOptions) -> LevelTargets {
    let multiplier = options.level_multiplier.max(2);
    let runs = || Level::all().filter(|level| level.is_sorted_run());
    let largest = runs().map(|level| version.level_bytes(level)).max().unwrap_or(0);
    // What a level should hold for the largest amount to be right at the bottom.
    let ideal =
        |level: usize| (level..Level::BOTTOM.index()).fold(largest, |size, _| size / multiplier);

    let first = runs().find(|level| !version.level(*level).is_empty());
    let mut base = first.unwrap_or(Level::BOTTOM).index();
    while base > 1 && ideal(base) > options.level_base_bytes {
        base -= 1;
    }
    let mut target_bytes = [0; LEVEL_COUNT];
    for (level, target) in target_bytes.iter_mut().enumerate().skip(base) {
        // No less than the least target, or a level would be narrower than what falls into it.
        *target = ideal(level).max(options.level_base_bytes);
    }
    LevelTargets { base_level: Level(base as u8), target_bytes }
}
