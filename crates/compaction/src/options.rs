//! How large tables, levels and compactions may get.

use alluvium_base::{Error, Result};

/// What shapes the tree of one keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionOptions {
    /// How many tables in level 0 make it due for compaction.
    pub l0_trigger: usize,
    /// Least target of a level: a level is opened above another once that one needs more than
    /// this to be a [`level_multiplier`](Self::level_multiplier)th of the one below it.
    pub level_base_bytes: u64,
    /// How many times larger each level is to be than the one above it.
    pub level_multiplier: u64,
    /// Size at which an output table ends and the next begins.
    pub target_file_size: u64,
    /// How large one pick may grow by taking more tables than it must, and how many bytes below
    /// its new place a moved table may overlap. The fewest tables that must go together may exceed
    /// it.
    pub max_compaction_bytes: u64,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        let target_file_size = 64 << 20;
        Self {
            l0_trigger: 4,
            level_base_bytes: 64 << 20,
            level_multiplier: 10,
            target_file_size,
            max_compaction_bytes: 25 * target_file_size,
        }
    }
}

impl CompactionOptions {
    /// Fails with [`Error::Invalid`] when no tree could be kept in shape with these options.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(Error::invalid(what));
        if self.l0_trigger == 0 {
            return refuse("l0_trigger is 0: an empty level 0 cannot be compacted; use 1 or more");
        }
        if self.level_multiplier < 2 {
            return refuse("level_multiplier is below 2: levels would not grow; 10 is usual");
        }
        if self.level_base_bytes == 0 || self.target_file_size == 0 {
            return refuse("level_base_bytes and target_file_size must not be 0");
        }
        if self.max_compaction_bytes < self.target_file_size {
            return refuse("max_compaction_bytes is below target_file_size: use 25 times it");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_allowed_and_shapeless_options_are_not() {
        let good = CompactionOptions::default();
        good.check().expect("the defaults are sound");
        for bad in [
            CompactionOptions { l0_trigger: 0, ..good.clone() },
            CompactionOptions { level_multiplier: 1, ..good.clone() },
            CompactionOptions { level_base_bytes: 0, ..good.clone() },
            CompactionOptions { target_file_size: 0, ..good.clone() },
            CompactionOptions { max_compaction_bytes: 1, ..good.clone() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
