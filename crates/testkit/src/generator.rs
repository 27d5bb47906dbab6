//! Where operations come from: a seed, the bytes of a fuzzer, or proptest.
//!
//! All three go through one function over [`Choices`], so a case found by one is a case for the
//! others. Keys are few and collide on purpose: bugs live where a key is overwritten, removed and
//! read again while files move below it, not among millions of fresh keys.

use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::op::{Direction, Durability, KeyspaceSlot, Op, View, Write};
use crate::random::{ByteChoices, Choices, SeededRandom};

/// How often each kind of operation comes, relative to the others; 0 is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the weight of the operation of its name")]
pub struct Weights {
    pub insert: u32,
    pub remove: u32,
    pub put_expiring: u32,
    pub batch: u32,
    pub get: u32,
    pub scan: u32,
    pub snapshot: u32,
    pub drop_snapshot: u32,
    pub create_keyspace: u32,
    pub drop_keyspace: u32,
    pub flush: u32,
    pub compact: u32,
    pub persist: u32,
    pub advance_clock: u32,
    pub reopen: u32,
    pub kill: u32,
    pub crash: u32,
}

impl Default for Weights {
    /// Mostly writes and reads; a flush every thirty operations, a crash every hundred.
    fn default() -> Self {
        Self {
            insert: 30,
            remove: 10,
            put_expiring: 6,
            batch: 12,
            get: 15,
            scan: 8,
            snapshot: 2,
            drop_snapshot: 2,
            create_keyspace: 1,
            drop_keyspace: 1,
            flush: 3,
            compact: 2,
            persist: 3,
            advance_clock: 3,
            reopen: 1,
            kill: 1,
            crash: 1,
        }
    }
}

/// The shape of generated operations.
///
/// ```
/// use alluvium_testkit::{GeneratorOptions, Weights};
/// let calm = GeneratorOptions {
///     key_count: 20,
///     weights: Weights { crash: 0, kill: 0, reopen: 0, ..Weights::default() },
///     ..GeneratorOptions::default()
/// };
/// # drop(calm);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratorOptions {
    /// How many different keys there are; low ones come more often. See [`key_of`].
    pub key_count: u32,
    /// The longest value, in bytes. Half the values are shorter than 16.
    pub max_value_bytes: u32,
    /// The most writes in a batch.
    pub max_batch_len: u32,
    /// How many keyspaces there are, with the default one.
    pub keyspace_count: u8,
    /// How many snapshots are kept at a time.
    pub snapshot_count: u8,
    /// The longest time to live and the longest step of the clock, in milliseconds.
    pub max_ttl_ms: u32,
    /// How often each kind of operation comes.
    pub weights: Weights,
}

impl Default for GeneratorOptions {
    fn default() -> Self {
        Self {
            key_count: 100,
            max_value_bytes: 600,
            max_batch_len: 6,
            keyspace_count: 3,
            snapshot_count: 3,
            max_ttl_ms: 1_000,
            weights: Weights::default(),
        }
    }
}

/// Endless operations from a seed.
///
/// ```
/// use alluvium_testkit::{GeneratorOptions, Op, OpGenerator};
/// let ops: Vec<Op> = OpGenerator::new(42, GeneratorOptions::default()).take(1_000).collect();
/// let again: Vec<Op> = OpGenerator::new(42, GeneratorOptions::default()).take(1_000).collect();
/// assert_eq!(ops, again);
/// ```
#[derive(Clone, Debug)]
pub struct OpGenerator {
    random: SeededRandom,
    options: GeneratorOptions,
}

impl OpGenerator {
    /// The operations that belong to `seed`.
    pub const fn new(seed: u64, options: GeneratorOptions) -> Self {
        Self { random: SeededRandom::new(seed), options }
    }
}

impl Iterator for OpGenerator {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        Some(Op::choose(&mut self.random, &self.options))
    }
}

/// A proptest strategy for one operation. A failing case shrinks to fewer and simpler ones.
pub fn any_op(options: GeneratorOptions) -> impl Strategy<Value = Op> {
    vec(any::<u8>(), 0..64)
        .prop_map(move |bytes| Op::choose(&mut ByteChoices::new(&bytes), &options))
}

/// A proptest strategy for up to `max_len` operations.
pub fn any_ops(options: GeneratorOptions, max_len: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(any_op(options), 0..=max_len)
}

/// Key number `index`: all strings over `00 'a' 'b' ff`, shorter ones first, so the empty key is
/// number 0, most keys are prefixes of others, and the ends of the key space are among them.
pub fn key_of(index: u32) -> Vec<u8> {
    const ALPHABET: [u8; 4] = [b'a', b'b', 0x00, 0xff];
    let mut key = Vec::new();
    let mut left = index;
    while left > 0 {
        left -= 1;
        key.push(ALPHABET[(left % 4) as usize]);
        left /= 4;
    }
    key.reverse();
    key
}

impl Op {
    /// Decodes a fuzzer's bytes into operations: every byte string means something.
    pub fn decode_from_bytes(bytes: &[u8], options: &GeneratorOptions) -> Vec<Self> {
        let mut choices = ByteChoices::new(bytes);
        let mut ops = Vec::new();
        while !choices.is_exhausted() {
            ops.push(Self::choose(&mut choices, options));
        }
        ops
    }

    /// Chooses one operation.
    pub fn choose(choices: &mut dyn Choices, options: &GeneratorOptions) -> Self {
        let mut chooser = Chooser { choices, options };
        let make = chooser.maker();
        make(&mut chooser)
    }
}

type Maker<'a> = fn(&mut Chooser<'a>) -> Op;

struct Chooser<'a> {
    choices: &'a mut dyn Choices,
    options: &'a GeneratorOptions,
}

impl<'a> Chooser<'a> {
    /// Which kind of operation comes, by weight. The first in the table is what a fuzzer's zeroes
    /// and a shrunk case come down to.
    fn maker(&mut self) -> Maker<'a> {
        let weights = &self.options.weights;
        let table: [(u32, Maker<'a>); 17] = [
            (weights.insert, Self::insert),
            (weights.get, Self::get),
            (weights.remove, Self::remove),
            (weights.batch, Self::batch),
            (weights.scan, Self::scan),
            (weights.put_expiring, Self::put_expiring),
            (weights.flush, |chooser| Op::Flush { keyspace: chooser.keyspace() }),
            (weights.compact, |chooser| Op::Compact { keyspace: chooser.keyspace() }),
            (weights.persist, |_chooser| Op::Persist),
            (weights.advance_clock, |chooser| Op::AdvanceClock { ms: chooser.ttl_ms() }),
            (weights.snapshot, |chooser| Op::Snapshot { slot: chooser.snapshot() }),
            (weights.drop_snapshot, |chooser| Op::DropSnapshot { slot: chooser.snapshot() }),
            (weights.create_keyspace, Self::create_keyspace),
            (weights.drop_keyspace, Self::drop_keyspace),
            (weights.reopen, |_chooser| Op::Reopen),
            (weights.kill, |_chooser| Op::Kill),
            (weights.crash, |chooser| Op::Crash { seed: chooser.choices.next_u64() }),
        ];
        let total: u32 = table.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, make) in table {
            if left < weight {
                return make;
            }
            left -= weight;
        }
        Self::insert
    }

    fn below(&mut self, end: u32) -> u32 {
        self.choices.below(u64::from(end)) as u32
    }

    /// The default keyspace half of the time.
    fn keyspace(&mut self) -> KeyspaceSlot {
        let count = u32::from(self.options.keyspace_count.max(1));
        self.below(count * 2).saturating_sub(count) as KeyspaceSlot
    }

    fn snapshot(&mut self) -> u8 {
        self.below(u32::from(self.options.snapshot_count)) as u8
    }

    /// Low keys more often: the lower of two, of four one time in four.
    fn key(&mut self) -> Vec<u8> {
        let count = self.options.key_count;
        let one = self.below(count);
        key_of(if one % 4 == 3 { one } else { one.min(self.below(count)) })
    }

    /// Mostly short, now and then long; each recognisable, and some that do not compress.
    fn value(&mut self) -> Vec<u8> {
        let max = self.options.max_value_bytes;
        let len = match self.below(8) {
            0..4 => self.below(max.min(15) + 1),
            4..7 => self.below(max / 8 + 1),
            _ => self.below(max + 1),
        };
        let tag = u64::from(self.below(1 << 16));
        let mut value = vec![0; len as usize];
        if tag % 4 == 0 {
            SeededRandom::new(tag).fill(&mut value);
        } else {
            let text = format!("v{tag}.");
            for (byte, letter) in value.iter_mut().zip(text.bytes().cycle()) {
                *byte = letter;
            }
        }
        value
    }

    fn ttl_ms(&mut self) -> u64 {
        u64::from(self.below(self.options.max_ttl_ms.saturating_add(1)))
    }

    fn view(&mut self) -> View {
        if self.options.snapshot_count == 0 || self.below(3) < 2 {
            View::Latest
        } else {
            View::Snapshot(self.snapshot())
        }
    }

    fn write(&mut self) -> Write {
        let (keyspace, key) = (self.keyspace(), self.key());
        match self.below(8) {
            0..5 => Write::Put { keyspace, key, value: self.value() },
            5..7 => Write::Remove { keyspace, key },
            _ if self.options.weights.put_expiring == 0 => Write::Remove { keyspace, key },
            _ => {
                let (value, ttl_ms) = (self.value(), self.ttl_ms());
                Write::PutExpiring { keyspace, key, value, ttl_ms }
            }
        }
    }

    fn insert(&mut self) -> Op {
        Op::Insert { keyspace: self.keyspace(), key: self.key(), value: self.value() }
    }

    fn remove(&mut self) -> Op {
        Op::Remove { keyspace: self.keyspace(), key: self.key() }
    }

    fn put_expiring(&mut self) -> Op {
        let (keyspace, key) = (self.keyspace(), self.key());
        Op::PutExpiring { keyspace, key, value: self.value(), ttl_ms: self.ttl_ms() }
    }

    fn batch(&mut self) -> Op {
        let durability = if self.below(3) == 0 { Durability::Sync } else { Durability::Buffer };
        let len = 1 + self.below(self.options.max_batch_len);
        Op::Batch { writes: (0..len).map(|_| self.write()).collect(), durability }
    }

    fn get(&mut self) -> Op {
        Op::Get { keyspace: self.keyspace(), key: self.key(), view: self.view() }
    }

    fn scan(&mut self) -> Op {
        let (keyspace, start, end) = (self.keyspace(), self.bound(), self.bound());
        let direction = match self.below(3) {
            0 => Direction::Forward,
            1 => Direction::Backward,
            _ => Direction::Alternating,
        };
        Op::Scan { keyspace, start, end, direction, view: self.view() }
    }

    fn bound(&mut self) -> Bound<Vec<u8>> {
        match self.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(self.key()),
            _ => Bound::Excluded(self.key()),
        }
    }

    fn create_keyspace(&mut self) -> Op {
        self.other_keyspace().map_or(Op::Persist, |keyspace| Op::CreateKeyspace { keyspace })
    }

    fn drop_keyspace(&mut self) -> Op {
        self.other_keyspace().map_or(Op::Persist, |keyspace| Op::DropKeyspace { keyspace })
    }

    /// Any keyspace but the default one, if there are others.
    fn other_keyspace(&mut self) -> Option<KeyspaceSlot> {
        let others = u32::from(self.options.keyspace_count).checked_sub(1).filter(|&n| n > 0)?;
        Some(1 + self.below(others) as KeyspaceSlot)
    }
}

#[cfg(test)]
mod tests;
