//! The memory model held against an allocator that counts.
//!
//! A binary of its own, with one test: a global allocator counts whatever runs beside it.
#![allow(unsafe_code, reason = "implementing GlobalAlloc takes it; this is no part of the library")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alluvium_base::{BatchReader, Bytes, KeyspaceId, Seq, WriteBatch};
use alluvium_memtable::{PackedMemtable, SkiplistMemtable, WritableMemtable};

/// Counts what is allocated, each request rounded up to 16 bytes as allocators do.
struct Counting;

static ALLOCATED_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to `System` unchanged; counting touches an atomic and nothing else.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.fetch_add(layout.size().next_multiple_of(16), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED_BYTES.fetch_sub(layout.size().next_multiple_of(16), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A load: `batch_count` batches of `batch_len` entries with keys and values of these lengths.
struct Load {
    what: &'static str,
    batch_count: usize,
    batch_len: usize,
    key_len: usize,
    value_len: usize,
    order: Order,
}

#[derive(Clone, Copy)]
enum Order {
    Random,
    Ascending,
    Descending,
}

const fn load(
    what: &'static str,
    batch_count: usize,
    batch_len: usize,
    key_len: usize,
    value_len: usize,
    order: Order,
) -> Load {
    Load { what, batch_count, batch_len, key_len, value_len, order }
}

const LOADS: [Load; 8] = [
    load("single entries", 20_000, 1, 16, 100, Order::Random),
    load("single entries, ascending", 20_000, 1, 16, 100, Order::Ascending),
    load("single entries, descending", 20_000, 1, 16, 100, Order::Descending),
    load("tiny entries", 20_000, 1, 8, 0, Order::Random),
    load("large values", 200, 1, 16, 100_000, Order::Random),
    load("large batches", 20, 1000, 16, 100, Order::Random),
    load("large batches of tiny entries", 20, 1000, 8, 1, Order::Random),
    load("a few", 40, 1, 16, 100, Order::Random),
];

/// Exact capacity: `Bytes` does not tell how much is spare, so the model knows nothing of it.
fn batch_of(load: &Load, first: u64, random: &mut fastrand::Rng) -> Bytes {
    let mut batch = WriteBatch::new();
    for n in first..first + load.batch_len as u64 {
        let number = match load.order {
            Order::Random => random.u64(..),
            Order::Ascending => n,
            Order::Descending => u64::MAX - n,
        };
        let mut key = number.to_be_bytes().to_vec();
        key.resize(load.key_len, b'k');
        let value = vec![b'v'; load.value_len];
        batch.put(KeyspaceId::DEFAULT, &key, &value).expect("within limits");
    }
    Bytes::from(batch.into_bytes().to_vec().into_boxed_slice())
}

fn fill(memtable: &dyn WritableMemtable, load: &Load, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut seq = 0;
    for _ in 0..load.batch_count {
        let batch = batch_of(load, seq, &mut random);
        for entry in BatchReader::new(&batch).expect("a batch") {
            let entry = entry.expect("whole");
            seq += 1;
            memtable.insert(&batch, entry.key, entry.value, Seq::new(seq), entry.kind);
        }
    }
}

type Make = fn() -> Arc<dyn WritableMemtable>;

#[test]
fn memory_is_within_a_tenth_of_what_the_allocator_hands_out() {
    let makers: [(&str, Make); 3] = [
        ("skiplist", || Arc::new(SkiplistMemtable::new())),
        ("packed", || Arc::new(PackedMemtable::new())),
        ("packed, with a filter", || {
            Arc::new(PackedMemtable::with_pool(Arc::default(), 512 << 10))
        }),
    ];
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    // Whatever a thread allocates once belongs to no memtable.
    fill(&SkiplistMemtable::new(), &LOADS[7], seed);
    for (name, make) in makers {
        for load in &LOADS {
            let before = ALLOCATED_BYTES.load(Ordering::Relaxed);
            let memtable = make();
            fill(&*memtable, load, seed);
            let actual = ALLOCATED_BYTES.load(Ordering::Relaxed) - before;
            let counted = memtable.memory_bytes();
            let per_entry = actual / (load.batch_count * load.batch_len);
            let error = (counted as f64 / actual as f64 - 1.0) * 100.0;
            println!("{name}, {}: {per_entry} B an entry, error {error:+.1} %", load.what);
            assert!(counted.abs_diff(actual) * 10 <= actual, "{name}, {}", load.what);
        }
    }
}
