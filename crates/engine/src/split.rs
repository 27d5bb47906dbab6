//! One merge, done by two threads: each takes half of the keys.
//!
//! Only while somebody waits for it and for nothing else: at all other times, the second core is the
//! readers' and writers'.
//!
//! ```text
//!   inputs    ▬▬▬▬▬▬▬▬▬▬▬│▬▬▬▬▬▬▬▬▬▬▬
//!               ▬▬▬▬▬▬▬▬▬│▬▬▬▬▬▬▬▬▬▬▬▬
//!             first half │ second half           cut where the inputs have as much on either side
//!   outputs   ▬▬▬ ▬▬▬ ▬▬ │ ▬▬▬ ▬▬▬ ▬
//! ```

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use alluvium_base::sync::atomic::{AtomicUsize, Ordering};
use alluvium_base::{Bytes, MergingIterator};
use alluvium_compaction::{Below, KeyPart, Output, Pick, write_part};
use alluvium_manifest::TableMeta;
use alluvium_table::{Table, WrittenBlocks};

use crate::Result;
use crate::core::Core;
use crate::view::TreeView;

/// How many callers wait for background work to end.
#[derive(Debug, Default)]
pub(crate) struct Waiters(AtomicUsize);

/// One of them, for as long as this lives.
pub(crate) struct Waiter<'a>(&'a Waiters);

impl Waiters {
    pub(crate) fn enter(&self) -> Waiter<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiter(self)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Core {
    /// Writes what survives of a compaction's inputs.
    pub(crate) fn write_merged(
        &self,
        tree: &TreeView,
        pick: &Pick,
        blocks: &Arc<WrittenBlocks>,
    ) -> Result<Vec<TableMeta>> {
        let Some(middle) = self.is_worth_splitting(tree, pick).then(|| middle_of(tree, pick))
        else {
            return self.write_merged_part(tree, pick, blocks, KeyPart::ALL);
        };
        let (low, high) = thread::scope(|scope| {
            let part = KeyPart { start: Some(&middle), end: None };
            let write_high = move || self.write_merged_part(tree, pick, blocks, part);
            let helper = thread::Builder::new().name("alluvium-compact-half".to_owned());
            let helper = helper.spawn_scoped(scope, write_high);
            let part = KeyPart { start: None, end: Some(&middle) };
            let low = self.write_merged_part(tree, pick, blocks, part);
            let high = match helper {
                Ok(helper) => helper.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // No thread to be had: then one after the other.
                Err(_) => write_high(),
            };
            (low, high)
        });
        match (low, high) {
            (Ok(mut low), Ok(high)) => {
                low.extend(high);
                Ok(low)
            }
            (Err(error), Ok(other)) | (Ok(other), Err(error)) => {
                self.remove_tables(other.iter().map(|meta| meta.number));
                Err(error)
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Whether a second thread is of use, and takes nobody's core, nor memory that is scarce.
    fn is_worth_splitting(&self, tree: &TreeView, pick: &Pick) -> bool {
        !cfg!(any(loom, shuttle))
            && self.waiters.0.load(Ordering::Relaxed) > 0
            && self.background != crate::Background::Manual
            && self.memory.is_none()
            && pick.input_bytes() >= tree.options.target_file_size
    }

    fn write_merged_part(
        &self,
        tree: &TreeView,
        pick: &Pick,
        blocks: &Arc<WrittenBlocks>,
        part: KeyPart<'_>,
    ) -> Result<Vec<TableMeta>> {
        // The view that was decided on holds all inputs open.
        let gc = self.gc_context();
        let below = Below::of(&tree.version, pick.to, &pick.inputs);
        let mut input = MergingIterator::new(Self::inputs(tree, pick));
        let count = |bytes| {
            self.counters.compacted(bytes);
            self.let_syncs_pass();
            self.give_way_to_flushes();
        };
        let target = tree.options.target_file_size;
        let output: Output<'_> =
            self.output(tree, pick.to, blocks, target, &pick.grandparents, &count);
        write_part(&mut input, part, &gc, below, &output)
            .inspect_err(|error| self.poison_if_final(error))
    }
}

/// A key that has about as many bytes of the inputs before it as behind: the best of those in the
/// middle of each input.
fn middle_of(tree: &TreeView, pick: &Pick) -> Bytes {
    let inputs: Vec<&Arc<Table>> =
        pick.inputs.iter().filter_map(|(_, meta)| tree.tables.find(meta.number)).collect();
    let half = pick.input_bytes() / 2;
    let before = |key: &[u8]| inputs.iter().map(|table| table.approximate_offset(key)).sum::<u64>();
    let middles = inputs.iter().map(|table| Bytes::copy_from_slice(table.middle_key()));
    middles.min_by_key(|key| before(key).abs_diff(half)).unwrap_or_default()
}
