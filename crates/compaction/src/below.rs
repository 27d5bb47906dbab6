//! May an older version of this key lie further down?
//!
//! A tombstone may vanish, and a sequence number become zero, only where nothing older of the same
//! user key is left outside the compaction. Ranges of tables answer that well enough:
//!
//! ```text
//!   output level     d · · · k · · · · p · · · · x        keys being written, ascending
//!   one deeper     ▬▬▬▬▬▬         ▬▬▬▬▬▬▬▬
//!   deepest                               ▬▬▬▬▬
//!   may hold       ├────┤         ├──────────┤            d: yes, k: no, p: yes, x: no
//! ```
//!
//! The answer stays right while the compaction runs: whatever else runs beside it moves no entry
//! from its key range to below its output (see [`pick`](mod@crate::pick)).

use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber};
use alluvium_manifest::{Level, TableMeta, Version};

/// Which user keys may have older versions below the output of a compaction. Asked for ascending
/// keys.
#[derive(Clone, Debug)]
pub struct Below {
    kind: BelowKind,
}

#[derive(Clone, Debug)]
enum BelowKind {
    Everything,
    /// Disjoint, ascending stretches of user keys that tables cover, and how many are behind.
    Covered {
        stretches: Vec<Stretch>,
        passed: usize,
    },
}

/// User keys from `smallest` to `largest`, both included.
#[derive(Clone, Debug)]
struct Stretch {
    smallest: Bytes,
    largest: Bytes,
}

impl Below {
    /// Looks at the tables of `version` that are none of `inputs` and may hold what is older than
    /// them: all below `output`, in `output` itself, and in the levels between the inputs and it.
    pub fn of(version: &Version, output: Level, inputs: &[(Level, Arc<TableMeta>)]) -> Self {
        let from = inputs.iter().map(|(level, _)| *level).min().unwrap_or(output);
        let newest = inputs.iter().map(|(_, table)| table.largest_seq).max();
        let mut numbers: Vec<FileNumber> = inputs.iter().map(|(_, table)| table.number).collect();
        numbers.sort_unstable();

        let is_older = |level: Level, table: &TableMeta| {
            if level == Level(0) {
                // A pick takes every older L0 table that overlaps it. Should one be left after all,
                // this keeps what hides its entries.
                return from == level && newest.is_some_and(|newest| table.smallest_seq < newest);
            }
            // The input level's other tables share no user key with the inputs.
            level > from || level == output
        };
        let mut stretches: Vec<Stretch> = version
            .tables()
            .filter(|(level, table)| is_older(*level, table))
            .filter(|(_, table)| numbers.binary_search(&table.number).is_err())
            .filter(|(_, table)| {
                inputs.iter().any(|(_, input)| input.overlaps(&table.smallest, &table.largest))
            })
            .map(|(_, table)| Stretch {
                smallest: table.smallest.clone(),
                largest: table.largest.clone(),
            })
            .collect();
        stretches.sort_unstable_by(|a, b| a.smallest.cmp(&b.smallest));
        stretches.dedup_by(|next, into| {
            let touches = next.smallest <= into.largest;
            if touches && next.largest > into.largest {
                into.largest = next.largest.clone();
            }
            touches
        });
        Self { kind: BelowKind::Covered { stretches, passed: 0 } }
    }

    /// Nothing lies below: every dead entry that all readers see may go.
    pub fn nothing() -> Self {
        Self { kind: BelowKind::Covered { stretches: Vec::new(), passed: 0 } }
    }

    /// Any key may lie below: what a flush assumes.
    pub fn everything() -> Self {
        Self { kind: BelowKind::Everything }
    }

    /// Whether an older version of `user_key` may lie below. Keys must not descend from call to
    /// call.
    #[inline]
    pub fn may_hold(&mut self, user_key: &[u8]) -> bool {
        let (stretches, passed) = match &mut self.kind {
            BelowKind::Everything => return true,
            BelowKind::Covered { stretches, passed } => (stretches, passed),
        };
        while let Some(stretch) = stretches.get(*passed) {
            if user_key <= &*stretch.largest {
                return user_key >= &*stretch.smallest;
            }
            *passed += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests;
