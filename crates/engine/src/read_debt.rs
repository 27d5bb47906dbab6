//! When reads pay for a compaction.
//!
//! Each table in level 0 is one more place that a reader looks at. To merge them after every few
//! flushes keeps reads fast, and writes everything several times over, whether or not anybody reads.
//! So level 0 may grow, and readers count what they lose to it:
//!
//! ```text
//!   lost by reads  ▁▂▃▄▅▆▇█│▁▁▁▂▂▃        what a merge would cost is lost: merge
//!                          └ compaction
//! ```
//!
//! This is the problem of whether to rent skis or to buy them, day by day and not knowing how many are
//! still to come: who buys when the rent has reached the price never pays more than twice what was
//! needed (Karlin et al., *Competitive Snoopy Caching*, 1988). Here a sixteenth of the price is enough,
//! for a background thread pays it while readers go on. That gives up the promise of twice: where reads
//! end just then, the merge was for nothing.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium_compaction::{CompactionOptions, relief_entries};
use alluvium_manifest::Version;

use crate::core::Core;
use crate::options::Background;
use crate::view::TreeView;

/// What a lookup loses to each table in L0: about 40 ns for a look into its filter. The unit of all
/// that is counted here.
const LOOKUP: u64 = 1;
/// What a scan loses to each: it seeks in all of them.
pub(crate) const SCAN: u64 = 10;
/// What the merge of an entry costs is six units; a sixteenth of that is enough, in eighths.
const MERGED_ENTRY_EIGHTHS: u64 = 3;
/// A merge of next to nothing is not worth a thread's waking up.
const LEAST_LIMIT: u64 = 20_000;
/// One of so many reads speaks for all.
const SAMPLED: u32 = 32;

/// For how much loss a merge of so many entries is worth while.
fn price(entries: u64) -> u64 {
    (entries * MERGED_ENTRY_EIGHTHS / 8).max(LEAST_LIMIT)
}

/// What reads of a keyspace have lost to its level 0. Figures that steer, and order nothing.
#[derive(Debug, Default)]
pub(crate) struct ReadDebt {
    lost: AtomicU64,
    /// A merge is due once so much is lost; 0 where there is nothing to merge.
    limit: AtomicU64,
}

impl ReadDebt {
    /// Takes note of new tables. A merge of `merged_entries`, with level 0 among them, has been paid.
    pub(crate) fn renew(
        &self,
        version: &Version,
        options: &CompactionOptions,
        merged_entries: u64,
    ) {
        let entries = relief_entries(version, options);
        let limit = if entries == 0 { 0 } else { price(entries) };
        self.limit.store(limit, Ordering::Relaxed);
        let paid = if merged_entries == 0 { 0 } else { price(merged_entries) };
        let rest = |lost: u64| Some(if limit == 0 { 0 } else { lost.saturating_sub(paid) });
        self.lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).unwrap_or_default();
    }

    /// Whether reads have lost what a merge of level 0 is worth.
    pub(crate) fn is_due(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        limit > 0 && self.lost.load(Ordering::Relaxed) >= limit
    }

    /// Counts a loss; answers whether that makes a merge due.
    fn lose(&self, units: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let before = self.lost.fetch_add(units, Ordering::Relaxed);
        before < limit && before + units >= limit
    }
}

/// Whether this thread's read is the one of [`SAMPLED`] that counts.
#[inline]
fn is_sampled() -> bool {
    thread_local! {
        static READS: Cell<u32> = const { Cell::new(0) };
    }
    READS.with(|reads| {
        let count = reads.get().wrapping_add(1);
        reads.set(count);
        count.is_multiple_of(SAMPLED)
    })
}

impl Core {
    /// Counts `lookups` in `tree`, or scans at [`SCAN`] lookups each. Where nothing works in the
    /// background, what happens is to depend on writes alone.
    #[inline]
    pub(crate) fn note_lookups(&self, tree: &TreeView, lookups: u64) {
        if !tree.tables.l0.is_empty() && is_sampled() {
            self.note_loss(tree, lookups);
        }
    }

    #[cold]
    fn note_loss(&self, tree: &TreeView, lookups: u64) {
        let units = LOOKUP * lookups * tree.tables.l0.len() as u64 * u64::from(SAMPLED);
        if self.background != Background::Manual && tree.read_debt.lose(units) {
            self.schedule.notify_work();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_merge_is_due_once_and_when_reads_have_lost_enough() {
        let debt = Arc::new(ReadDebt::default());
        assert!(!debt.lose(1 << 40) && !debt.is_due(), "there is nothing to merge");
        let debt = ReadDebt::default();
        debt.limit.store(100, Ordering::Relaxed);
        assert!(!debt.lose(99) && !debt.is_due());
        assert!(debt.lose(1) && debt.is_due());
        assert!(!debt.lose(1) && debt.is_due(), "told once");
        debt.renew(&Version::default(), &CompactionOptions::default(), 1);
        assert!(!debt.is_due());
    }
}
