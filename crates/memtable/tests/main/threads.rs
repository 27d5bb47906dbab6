//! Many threads on one memtable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium_base::Seq;
use alluvium_memtable::WritableMemtable;

use crate::{every_memtable, put};

const WRITERS: u64 = 4;
const PER_WRITER: u64 = 5_000;

/// The key that `writer` inserts as its `n`-th: different shapes of load meet in one memtable.
fn nth_key(writer: u64, n: u64) -> Vec<u8> {
    match writer % 4 {
        // All over the place.
        0 => (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ writer).to_be_bytes().to_vec(),
        // Ascending, descending, and few keys with many versions, behind one long prefix.
        1 => format!("shared prefix:{n:08}").into_bytes(),
        2 => format!("shared prefix:{:08}", PER_WRITER - n).into_bytes(),
        _ => format!("shared prefix:{}", n % 7).into_bytes(),
    }
}

/// `n` counts from 0; sequences of different writers interleave.
fn nth_seq(writer: u64, n: u64) -> u64 {
    1 + n * WRITERS + writer
}

/// Each writer publishes how far it is; a reader must find everything published before it looked.
fn check_published(memtable: &dyn WritableMemtable, published: &[AtomicU64], seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        let counts: Vec<u64> = published.iter().map(|p| p.load(Ordering::Acquire)).collect();
        for (writer, &count) in (0..).zip(&counts) {
            if count == 0 {
                continue;
            }
            let n = random.u64(0..count);
            let (key, seq) = (nth_key(writer, n), nth_seq(writer, n));
            let found = memtable.get(&key, Seq::new(seq)).expect("published, so found");
            assert_eq!(found.seq.get(), seq);
            assert_eq!(found.value[..], seq.to_le_bytes());
        }
        if counts.iter().all(|count| *count == PER_WRITER) {
            return;
        }
    }
}

/// Scans both ways while entries come in: strict order, and nothing published before is missed.
fn check_scans(memtable: &Arc<dyn WritableMemtable>, published: &[AtomicU64]) {
    let mut is_done = false;
    while !is_done {
        let before: u64 = published.iter().map(|p| p.load(Ordering::Acquire)).sum();
        is_done = before == WRITERS * PER_WRITER;
        let mut cursor = Arc::clone(memtable).iter();
        let mut seen = 0;
        let mut last: Option<(Vec<u8>, u64)> = None;
        cursor.seek_to_first().expect("memory does not fail");
        while cursor.is_valid() {
            let key = cursor.key();
            if let Some((user_key, seq)) = &last {
                assert!(key.cmp_position(user_key, Seq::new(*seq)).is_gt(), "ascends at {key:?}");
            }
            last = Some((key.user_key.to_vec(), key.seq.get()));
            seen += 1;
            cursor.next().expect("memory does not fail");
        }
        assert!(seen >= before, "{seen} seen, {before} published before");
        let (mut seen_back, mut last) = (0, None::<(Vec<u8>, u64)>);
        cursor.seek_to_last().expect("memory does not fail");
        while cursor.is_valid() {
            let key = cursor.key();
            if let Some((user_key, seq)) = &last {
                assert!(key.cmp_position(user_key, Seq::new(*seq)).is_lt(), "descends at {key:?}");
            }
            last = Some((key.user_key.to_vec(), key.seq.get()));
            seen_back += 1;
            cursor.prev().expect("memory does not fail");
        }
        assert!(seen_back >= seen, "{seen_back} seen backwards, {seen} forwards before that");
    }
}

#[test]
fn readers_find_everything_published_while_writers_insert() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for (name, memtable) in every_memtable() {
        let published: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            let (memtable, published) = (&memtable, &published[..]);
            for (writer, published) in (0..).zip(published) {
                scope.spawn(move || {
                    for n in 0..PER_WRITER {
                        let seq = nth_seq(writer, n);
                        put(&**memtable, &nth_key(writer, n), seq, &seq.to_le_bytes());
                        published.store(n + 1, Ordering::Release);
                    }
                });
            }
            scope.spawn(move || check_published(&**memtable, published, seed));
            scope.spawn(move || check_scans(memtable, published));
        });
        assert_eq!(memtable.entry_count() as u64, WRITERS * PER_WRITER, "{name}");
        let highest = Seq::new(WRITERS * PER_WRITER);
        assert_eq!(memtable.seq_range(), Some((Seq::new(1), highest)), "{name}");
    }
}
