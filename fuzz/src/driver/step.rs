//! What a driver is told to do: testkit's operations, and those that testkit leaves to drivers.

use std::ops::Bound;

use alluvium_testkit::{ByteChoices, Choices, GeneratorOptions, KeyspaceSlot, Op, View, key_of};

/// Most steps of one input. More find nothing that fewer do not, and take long.
const MOST_STEPS: usize = 1_500;

/// What a conditional write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Absent,
    Present,
    /// The very value that is there.
    Old,
    /// A value that is not there.
    Another,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// One of testkit's.
    Op(Op),
    PutIf {
        keyspace: KeyspaceSlot,
        key: Vec<u8>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
        only_if: Wanted,
    },
    GetMany {
        keyspace: KeyspaceSlot,
        keys: Vec<Vec<u8>>,
    },
    /// First, last, count and a prefix.
    Ends {
        keyspace: KeyspaceSlot,
        prefix: Vec<u8>,
    },
    /// Begins a scan that lives on.
    BeginScan {
        keyspace: KeyspaceSlot,
        start: Bound<Vec<u8>>,
        end: Bound<Vec<u8>>,
        view: View,
    },
    /// Moves every living scan on, at either end.
    MoveScans {
        count: u8,
    },
    /// Copies the database and opens the copy.
    Checkpoint,
}

impl Step {
    /// All that the bytes say.
    pub(super) fn decode_all(bytes: &[u8], options: &GeneratorOptions) -> Vec<Self> {
        let mut choices = ByteChoices::new(bytes);
        let mut steps = Vec::new();
        while !choices.is_exhausted() && steps.len() < MOST_STEPS {
            steps.push(Self::choose(&mut choices, options));
        }
        steps
    }

    /// One of testkit's four times out of five; a checkpoint once in a hundred and twenty-eight.
    fn choose(choices: &mut ByteChoices<'_>, options: &GeneratorOptions) -> Self {
        match choices.below(128) {
            0..100 => Self::Op(Op::choose(choices, options)),
            100..106 => Self::PutIf {
                keyspace: keyspace(choices),
                key: key(choices),
                value: vec![b'c'; choices.below(100) as usize],
                ttl_ms: choices.chance(1, 4).then(|| choices.below(1_000)),
                only_if: [Wanted::Absent, Wanted::Present, Wanted::Old, Wanted::Another]
                    [choices.below(4) as usize],
            },
            106..109 => Self::GetMany {
                keyspace: keyspace(choices),
                keys: (0..choices.below(5)).map(|_| key(choices)).collect(),
            },
            109..112 => {
                let prefix = key_of(choices.below(21) as u32);
                Self::Ends { keyspace: keyspace(choices), prefix }
            }
            112..117 => {
                let view = match choices.below(4) {
                    0 => View::Latest,
                    slot => View::Snapshot(slot as u8 - 1),
                };
                let (start, end) = (bound(choices), bound(choices));
                Self::BeginScan { keyspace: keyspace(choices), start, end, view }
            }
            117..127 => Self::MoveScans { count: choices.below(8) as u8 },
            _ => Self::Checkpoint,
        }
    }
}

/// The default one half of the time.
fn keyspace(choices: &mut ByteChoices<'_>) -> KeyspaceSlot {
    choices.below(6).saturating_sub(3) as KeyspaceSlot
}

fn key(choices: &mut ByteChoices<'_>) -> Vec<u8> {
    key_of(choices.below(40) as u32)
}

fn bound(choices: &mut ByteChoices<'_>) -> Bound<Vec<u8>> {
    match choices.below(4) {
        0 | 1 => Bound::Unbounded,
        2 => Bound::Included(key(choices)),
        _ => Bound::Excluded(key(choices)),
    }
}
