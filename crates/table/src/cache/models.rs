//! The cache slots in every interleaving: `cargo xtask concurrency loom`.
//!
//! The pointer in a slot is assumed to be swapped in one step, as `arc-swap` promises.
//!
//! What the models were seen to find, when a line was broken by hand:
//!
//! | broken | found by |
//! |---|---|
//! | `insert` does not look again under the lock | `each_filled_slot_is_charged_once` |
//! | `insert` looks again before it takes the lock | `each_filled_slot_is_charged_once` |
//! | `insert` gives back the lock while it fills the slot | `each_filled_slot_is_charged_once` |
//! | `insert` gives back the lock after it made room | `blocks_that_push_each_other_out_…` |
//! | the hand does not empty the slot | `blocks_that_push_each_other_out_…` |
//! | the hand does not ask whether a table is closed | `a_closing_table_takes_its_charge_with_it` |
//! | `forget` marks the table closed before it takes the lock | `a_closing_table_takes_its_charge_with_it` |
//! | `forget` reads the charge before it takes the lock | `a_closing_table_takes_its_charge_with_it` |
//! | `forget` does not count the dead | `a_closing_table_takes_its_charge_with_it` |

use alluvium_base::sync::{explore, thread};

use super::tests::{block, charge_of};
use super::*;

/// As `Table::with_block` does: from the cache, or from disk and into the cache.
fn read(cache: &BlockCache, slots: &Arc<Slots>, index: usize, block: &Block) {
    match slots.peek(index).as_ref() {
        Some(cached) => {
            cache.hit(cached);
            assert_eq!(cached.block.len(), block.len(), "a block outlives its eviction");
        }
        None => cache.insert(slots, index, block),
    }
}

/// What must hold whenever nobody is at it: the cache is charged for the filled slots of open
/// tables, each of which has one entry in the ring.
fn check(cache: &BlockCache, open: &[&Arc<Slots>], charge: usize) {
    let filled =
        |slots: &Slots| slots.blocks.iter().filter(|slot| slot.block.load().is_some()).count();
    let mut all_filled = 0;
    for slots in open {
        let filled = filled(slots);
        assert_eq!(slots.block_count.load(Ordering::Relaxed), filled);
        assert_eq!(slots.charged_bytes.load(Ordering::Relaxed), filled * charge);
        all_filled += filled;
    }
    let ring = cache.ring.lock();
    assert_eq!(ring.used_bytes, all_filled * charge);
    assert_eq!(ring.entries.len(), all_filled + ring.dead_count, "an entry for each");
}

/// Three threads read two blocks, with room for `room` of them.
fn read_two_blocks(name: &str, room: usize) {
    let block = block(100);
    let charge = charge_of(&block);
    explore(name, move || {
        let cache = BlockCache::new(room * charge);
        let slots = Slots::new(2);
        let readers: Vec<_> = [0, 1, 0]
            .map(|index| {
                let (cache, slots, block) = (Arc::clone(&cache), Arc::clone(&slots), block.clone());
                thread::spawn(move || {
                    read(&cache, &slots, index, &block);
                    let used_bytes = cache.stats().used_bytes;
                    assert!(used_bytes <= room * charge, "the budget is kept at any moment");
                })
            })
            .into();
        for reader in readers {
            reader.join().expect("no reader panics");
        }
        check(&cache, &[&slots], charge);
    });
}

#[test]
fn each_filled_slot_is_charged_once() {
    read_two_blocks("each_filled_slot_is_charged_once", 3);
}

#[test]
fn blocks_that_push_each_other_out_keep_to_the_budget() {
    read_two_blocks("blocks_that_push_each_other_out_keep_to_the_budget", 1);
}

/// A table closes while blocks of another one push out its blocks.
#[test]
fn a_closing_table_takes_its_charge_with_it() {
    let block = block(100);
    let charge = charge_of(&block);
    explore("a_closing_table_takes_its_charge_with_it", move || {
        let cache = BlockCache::new(2 * charge);
        let (closing, open) = (Slots::new(2), Slots::new(2));
        cache.insert(&closing, 0, &block);
        cache.insert(&closing, 1, &block);
        let reader = {
            let (cache, open, block) = (Arc::clone(&cache), Arc::clone(&open), block.clone());
            thread::spawn(move || {
                read(&cache, &open, 0, &block);
                read(&cache, &open, 1, &block);
            })
        };
        // As `Table` does when it is dropped: the slots may live on in the hand of another thread.
        cache.forget(&closing);
        drop(closing);
        reader.join().unwrap();
        check(&cache, &[&open], charge);
        assert_eq!(cache.stats().used_bytes, 2 * charge, "what was given back is of use again");
    });
}
