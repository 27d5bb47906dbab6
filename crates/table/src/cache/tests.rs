use alluvium_base::{InternalKey, Kind, Seq};

use super::*;
use crate::block_builder::BlockBuilder;

pub(super) fn block(value_bytes: usize) -> Block {
    let mut builder = BlockBuilder::default();
    let mut out = Vec::new();
    builder.add(InternalKey::new(b"k", Seq::ZERO, Kind::Put), 0, &vec![0; value_bytes]);
    builder.finish(|raw| out.extend_from_slice(raw));
    Block::parse(out.into()).expect("just built")
}

pub(super) fn charge_of(block: &Block) -> usize {
    block.len() + OVERHEAD_BYTES
}

#[test]
fn used_blocks_outlive_unused_ones() {
    let charge = charge_of(&block(1000));
    let cache = BlockCache::new(4 * charge);
    let slots = Slots::new(100);
    cache.insert(&slots, 0, &block(1000));
    for index in 1..100 {
        cache.insert(&slots, index, &block(1000));
        let guard = slots.peek(0);
        cache.hit(guard.as_ref().expect("always used since the hand passed"));
    }
    let stats = cache.stats();
    assert_eq!(stats.used_bytes, 4 * charge);
    assert_eq!((stats.hits, stats.evictions), (99, 96));
    assert_eq!(stats.inserted_bytes, 100 * charge as u64);
    assert_eq!((0..100).filter(|&index| slots.peek(index).is_some()).count(), 4);
}

#[test]
fn what_a_reader_holds_stays_as_long_as_something_else_can_go() {
    let charge = charge_of(&block(1000));
    let cache = BlockCache::new(4 * charge);
    let slots = Slots::new(100);
    cache.insert(&slots, 0, &block(1000));
    let held = slots.peek(0).as_ref().map(|cached| cached.block.clone());
    (1..100).for_each(|index| cache.insert(&slots, index, &block(1000)));
    assert!(slots.peek(0).is_some());
    drop(held);
    (1..100).for_each(|index| cache.insert(&slots, index, &block(1000)));
    assert!(slots.peek(0).is_none());
}

#[test]
fn what_is_reserved_is_taken_from_blocks_where_the_budget_is_shared() {
    let charge = charge_of(&block(1000));
    for (cache, left) in [(BlockCache::shared(4 * charge), 1), (BlockCache::new(4 * charge), 4)] {
        let slots = Slots::new(10);
        (0..4).for_each(|index| cache.insert(&slots, index, &block(1000)));
        let (tables, buffers) =
            (cache.reserve(MemoryUse::Tables), cache.reserve(MemoryUse::Buffers));
        tables.set(2 * charge);
        buffers.set(1);
        assert_eq!(cache.stats().used_bytes, left * charge);
        assert_eq!(cache.reserved_bytes(MemoryUse::Tables), 2 * charge);
        // Beyond the budget, nothing is left, and nothing is kept.
        buffers.set(5 * charge);
        cache.insert(&slots, 9, &block(1000));
        assert_eq!(cache.stats().used_bytes, if left == 4 { 4 * charge } else { 0 });
        drop((tables, buffers));
        cache.insert(&slots, 9, &block(1000));
        assert!(slots.peek(9).is_some() && cache.reserved_bytes(MemoryUse::Buffers) == 0);
    }
}

/// A full cache of `blocks` blocks, and the slots of a table that has none of them.
fn full_cache(blocks: usize) -> (Arc<BlockCache>, Arc<Slots>, Arc<Slots>) {
    let cache = BlockCache::new(blocks * charge_of(&block(1000)));
    let (cached, others) = (Slots::new(blocks), Slots::new(1000));
    for index in 0..blocks {
        assert!(cache.admits(&cached, index, 1000, MissedBy::Lookup), "there is room");
        cache.insert(&cached, index, &block(1000));
    }
    (cache, cached, others)
}

#[test]
fn a_full_cache_keeps_what_is_missed_again_soon() {
    let (cache, _cached, others) = full_cache(20);
    let admits = |index| cache.admits(&others, index, 1000, MissedBy::Lookup);
    assert!((0..10).all(|index| !admits(index)), "all for the first time");
    assert!(admits(0), "ten misses ago");
    assert!(!admits(100) && !admits(101) && !admits(2), "eleven misses ago");
    assert!(admits(2), "the last miss counts");
}

#[test]
fn what_a_long_scan_passes_over_is_kept_the_second_time() {
    let cache = BlockCache::new(100_000);
    let slots = Slots::new(10);
    let admits = |index| cache.admits(&slots, index, 1000, MissedBy::LongScan);
    assert!(!(0..10).any(admits));
    assert!((0..10).all(admits));
}

#[test]
fn a_miss_now_and_then_is_kept_for_luck() {
    let (cache, _cached, others) = full_cache(20);
    let kept =
        (0..1000).filter(|&index| cache.admits(&others, index, 1000, MissedBy::Lookup)).count();
    assert_eq!(kept, 1000 / admission::LUCKY as usize);
}

#[test]
fn room_that_a_closed_table_leaves_is_for_everybody() {
    let (cache, cached, others) = full_cache(20);
    assert!(!cache.admits(&others, 0, 1000, MissedBy::Lookup));
    cache.forget(&cached);
    assert!(cache.admits(&others, 1, 1000, MissedBy::Lookup));
}

#[test]
fn a_block_beyond_the_budget_is_not_kept() {
    let cache = BlockCache::new(1000);
    let slots = Slots::new(1);
    cache.insert(&slots, 0, &block(1000));
    assert!(slots.peek(0).is_none());
    assert_eq!(cache.stats().used_bytes, 0);
}

#[test]
fn a_filled_slot_is_charged_once() {
    let block = block(100);
    let cache = BlockCache::new(10_000);
    let slots = Slots::new(1);
    cache.insert(&slots, 0, &block);
    cache.insert(&slots, 0, &block);
    assert_eq!(cache.stats().used_bytes, charge_of(&block));
}

#[test]
fn closed_tables_weigh_nothing_and_their_entries_are_swept() {
    let block = block(500);
    let cache = BlockCache::new(20 * charge_of(&block));
    let kept = Slots::new(100);
    for round in 0..50 {
        let slots = Slots::new(10);
        for index in 0..10 {
            cache.insert(&slots, index, &block);
        }
        cache.insert(&kept, round, &block);
        cache.forget(&slots);
    }
    let stats = cache.stats();
    assert!(stats.used_bytes <= 20 * charge_of(&block), "{stats:?}");
    let kept_count = (0..100).filter(|&index| kept.peek(index).is_some()).count();
    assert_eq!(stats.used_bytes, kept_count * charge_of(&block));
    cache.forget(&kept);
    assert_eq!(cache.stats().used_bytes, 0);
    assert!(cache.ring.lock().entries.is_empty(), "nothing is left for tables that are gone");
}

#[test]
fn threads_that_fill_and_read_keep_within_the_budget() {
    let block = block(300);
    let budget = 16 * charge_of(&block);
    let cache = BlockCache::new(budget);
    let tables: Vec<_> = (0..4).map(|_| Slots::new(64)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (cache, tables, block) = (&cache, &tables, &block);
            scope.spawn(move || {
                let mut at = thread * 7919 + 1;
                for _ in 0..5000 {
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (table, index) = (&tables[at >> 60 & 3], at >> 40 & 63);
                    let guard = table.peek(index);
                    match guard.as_ref() {
                        Some(cached) => cache.hit(cached),
                        None => cache.insert(table, index, block),
                    }
                    assert!(cache.stats().used_bytes <= budget);
                }
            });
        }
    });
    let filled = tables.iter().flat_map(|table| (0..64).map(|index| table.peek(index)));
    let filled = filled.filter(|guard| guard.is_some()).count();
    assert_eq!(cache.stats().used_bytes, filled * charge_of(&block));
}
