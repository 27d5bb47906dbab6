//! What a test does, and what it is answered: values, so that answers can be compared.
//!
//! testkit's generator knows the operations that fuzzing shares; [`Actions`] adds those that it does
//! not know: conditional writes, many keys at once, scans that live across flushes and compactions,
//! checkpoints. All of it follows from a seed alone, never from an answer.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;

use alluvium_testkit::{
    Choices, Content, GeneratorOptions, Op, OpGenerator, SeededRandom, View, Weights, key_of,
};

/// Pairs of key and value.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Scans that are open at a time, at most.
pub const OPEN_SCANS: usize = 6;
/// Keys that conditional writes and reads of many keys are about.
const KEY_COUNT: u64 = 100;

/// What a conditional write asks of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyIf {
    /// It has no value.
    Absent,
    /// It has one.
    Present,
    /// It has the value that it has; none is never equal.
    EqualsCurrent,
    /// It has a value that nobody writes.
    EqualsOther,
}

/// One step of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One that testkit knows.
    Op(Op),
    /// A conditional write.
    PutIf {
        /// In which keyspace.
        slot: u8,
        /// Where.
        key: Vec<u8>,
        /// On which condition.
        only_if: OnlyIf,
        /// What.
        value: Vec<u8>,
        /// How long it stays.
        ttl_ms: Option<u64>,
    },
    /// Reads many keys.
    GetMany {
        /// In which keyspace.
        slot: u8,
        /// Which.
        keys: Vec<Vec<u8>>,
    },
    /// Reads first, last, count, and what begins with a prefix.
    Ends {
        /// In which keyspace.
        slot: u8,
        /// Which prefix.
        prefix: Vec<u8>,
    },
    /// Opens a scan, which stays open.
    OpenScan {
        /// In which keyspace.
        slot: u8,
        /// The lower bound.
        start: Bound<Vec<u8>>,
        /// The upper bound.
        end: Bound<Vec<u8>>,
        /// As of when.
        view: View,
    },
    /// Steps every open scan twice, from the ends that these bits say.
    StepScans {
        /// See [`end_of`].
        ends: u64,
    },
    /// Opens the folder a second time, which is refused.
    OpenAgain,
    /// Background work.
    Step,
    /// Makes a checkpoint and reads it.
    Checkpoint,
}

/// Whether step `step` of open scan number `scan` is at the front.
pub fn end_of(ends: u64, scan: usize, step: usize) -> bool {
    ends >> ((scan * 2 + step) % 64) & 1 == 1
}

/// What a caller learns from an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// That it was done.
    Done,
    /// That it was refused, or that there is no such keyspace.
    Refused,
    /// A value, and when it expires.
    Value(Option<Vec<u8>>, Option<u64>),
    /// Values.
    Values(Vec<Option<Vec<u8>>>),
    /// What a scan yielded, in its order.
    Pairs(Pairs),
    /// The first pair and the last, how many there are, and those with the prefix.
    Ends(Option<(Vec<u8>, Vec<u8>)>, Option<(Vec<u8>, Vec<u8>)>, u64, Pairs),
    /// What open scans yielded, scan by scan.
    Scans(Vec<Pairs>),
    /// All that is visible.
    Content(Content),
    /// All that is visible after a power cut, and when it expires, where it does.
    Recovered(Content, Expiries),
}

/// When keys expire, by keyspace and key.
pub type Expiries = BTreeMap<(u8, Vec<u8>), u64>;

impl Answer {
    /// A number that differs where answers differ, as good as surely.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Where power cuts may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// Anywhere: what is lost is for an oracle to judge.
    Anywhere,
    /// Only when everything is durable: nothing may be lost.
    OnceDurable,
}

/// Endless actions from a seed.
#[derive(Clone, Debug)]
pub struct Actions {
    ops: OpGenerator,
    random: SeededRandom,
    cuts: Cuts,
    next: Option<Action>,
}

impl Actions {
    /// The actions that belong to `seed`.
    pub fn new(seed: u64, cuts: Cuts) -> Self {
        let weights = Weights {
            insert: 300,
            remove: 100,
            put_expiring: 60,
            batch: 120,
            get: 300,
            scan: 60,
            snapshot: 10,
            drop_snapshot: 10,
            create_keyspace: 6,
            drop_keyspace: 3,
            flush: 4,
            compact: 2,
            persist: 6,
            advance_clock: 30,
            reopen: 1,
            kill: 1,
            crash: 1,
        };
        let ops = OpGenerator::new(seed, GeneratorOptions { weights, ..Default::default() });
        Self { ops, random: SeededRandom::with_stream(seed, 1), cuts, next: None }
    }

    /// What the generator does not know of.
    fn extra(&mut self) -> Action {
        let random = &mut self.random;
        let slot = random.below(4).saturating_sub(1) as u8;
        match random.below(400) {
            0..80 => self.put_if(slot),
            80..140 => {
                let keys = (0..6).map(|_| key_of(random.below(KEY_COUNT + 10) as u32));
                Action::GetMany { slot, keys: keys.collect() }
            }
            140..180 => Action::Ends { slot, prefix: key_of(random.below(20) as u32) },
            180..220 => {
                let (start, end) = (self.bound(), self.bound());
                let view = View::Snapshot(self.random.below(4) as u8);
                Action::OpenScan { slot, start, end, view }
            }
            220..380 => Action::StepScans { ends: random.next_u64() },
            380..385 => Action::OpenAgain,
            385..399 => Action::Step,
            _ => Action::Checkpoint,
        }
    }

    fn put_if(&mut self, slot: u8) -> Action {
        let random = &mut self.random;
        let key = key_of(random.below(KEY_COUNT) as u32);
        let only_if = match random.below(6) {
            0 | 1 => OnlyIf::Absent,
            2 | 3 => OnlyIf::Present,
            4 => OnlyIf::EqualsCurrent,
            _ => OnlyIf::EqualsOther,
        };
        let value = format!("conditional {}", random.below(1000)).into_bytes();
        let ttl_ms = random.chance(1, 3).then(|| random.below(500));
        Action::PutIf { slot, key, only_if, value, ttl_ms }
    }

    fn bound(&mut self) -> Bound<Vec<u8>> {
        match self.random.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(key_of(self.random.below(KEY_COUNT) as u32)),
            _ => Bound::Excluded(key_of(self.random.below(KEY_COUNT) as u32)),
        }
    }
}

impl Iterator for Actions {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        let action = if self.random.chance(1, 7) {
            self.extra()
        } else {
            self.ops.next().map(Action::Op)?
        };
        if self.cuts == Cuts::OnceDurable && matches!(action, Action::Op(Op::Crash { .. })) {
            self.next = Some(action);
            return Some(Action::Op(Op::Persist));
        }
        Some(action)
    }
}
