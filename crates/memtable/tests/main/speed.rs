//! How fast the memtables are: one thread, a batch for each entry, as single puts make them.
//!
//! Ignored, since it takes a minute and asserts nothing about time:
//! `cargo test --release -p alluvium-memtable --test main -- --ignored --nocapture`.

use std::sync::Arc;

use alluvium_base::{Clock, Kind, Seq, SystemClock};
use alluvium_memtable::WritableMemtable;

use crate::{every_memtable, one_put};

const ENTRY_COUNT: usize = 500_000;
const ROUNDS: u64 = 5;

type Key = [u8; 16];
type Shape = (&'static str, fn(usize, &mut fastrand::Rng) -> Key);

const SHAPES: [Shape; 3] = [
    ("random", |_, random| random.u128(..).to_be_bytes()),
    ("random behind eight equal bytes", |_, random| {
        (u128::from(random.u64(..)) | 0x7573_6572_3a70_7265 << 64).to_be_bytes()
    }),
    ("ascending", |n, _| (n as u128).to_be_bytes()),
];

/// What is measured, in nanoseconds an entry.
const WHAT: [&str; 6] = ["insert", "get", "get absent", "scan", "scan back", "drop"];

fn measure(memtable: Arc<dyn WritableMemtable>, shape: Shape, seed: u64) -> [u64; WHAT.len()] {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut keys: Vec<Key> = (0..ENTRY_COUNT).map(|n| shape.1(n, &mut random)).collect();
    let absent: Vec<Key> =
        (0..ENTRY_COUNT).map(|n| shape.1(n + ENTRY_COUNT, &mut random)).collect();
    let batches: Vec<_> = keys.iter().map(|key| one_put(key, &[7; 100])).collect();
    let clock = SystemClock::new();
    let timed = |work: &mut dyn FnMut()| {
        let start = clock.monotonic();
        work();
        clock.monotonic().saturating_sub(start).as_nanos() as u64 / ENTRY_COUNT as u64
    };

    let insert = timed(&mut || {
        for ((batch, key, value), seq) in batches.iter().zip(1..) {
            memtable.insert(batch, key.clone(), value.clone(), Seq::new(seq), Kind::Put);
        }
    });
    drop(batches);
    random.shuffle(&mut keys);
    let found =
        |keys: &[Key]| keys.iter().filter(|key| memtable.get(*key, Seq::MAX).is_some()).count();
    let get = timed(&mut || assert_eq!(found(&keys), ENTRY_COUNT));
    let get_absent = timed(&mut || assert!(found(&absent) < ENTRY_COUNT));
    let mut cursor = Arc::clone(&memtable).iter();
    let mut count = 0;
    let scan = timed(&mut || {
        cursor.seek_to_first().expect("memory does not fail");
        while cursor.is_valid() {
            count += cursor.key().user_key.len().min(1);
            cursor.next().expect("memory does not fail");
        }
    });
    let scan_back = timed(&mut || {
        cursor.seek_to_last().expect("memory does not fail");
        while cursor.is_valid() {
            count -= cursor.key().user_key.len().min(1);
            cursor.prev().expect("memory does not fail");
        }
    });
    assert_eq!(count, 0, "both ways see the same");
    drop(cursor);
    let mut memtable = Some(memtable);
    let drop = timed(&mut || memtable = None);
    [insert, get, get_absent, scan, scan_back, drop]
}

/// The least of some rounds: what other work on the machine did not disturb.
#[test]
#[ignore = "a measurement: takes a minute, wants --release"]
fn speed_of_half_a_million_entries() {
    for shape in SHAPES {
        println!("\n{} keys, ns an entry:", shape.0);
        let mut best = vec![[u64::MAX; WHAT.len()]; every_memtable().len()];
        for seed in 0..ROUNDS {
            for (best, (_, memtable)) in best.iter_mut().zip(every_memtable()) {
                let figures = measure(memtable, shape, seed);
                for (best, figure) in best.iter_mut().zip(figures) {
                    *best = figure.min(*best);
                }
            }
        }
        for (best, (name, _)) in best.iter().zip(every_memtable()) {
            let figures = WHAT.iter().zip(best).map(|(what, ns)| format!("{what} {ns:>4}"));
            println!("{name:>8}: {}", figures.collect::<Vec<_>>().join("   "));
        }
    }
}
