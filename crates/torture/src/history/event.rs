//! What threads did and were answered: the material that the search judges.
//!
//! Every value is written once, so a read names the write that it saw. A value is known by a number,
//! and its bytes follow from it: a read checks all of them.

use std::collections::HashMap;
use std::fmt;

use alluvium_testkit::{Choices, SeededRandom};

/// How many keys there are in all.
pub const KEYS: usize = 8;
/// How many of them are in the default keyspace; the rest are in the other one.
pub const DEFAULT_KEYS: usize = 5;
/// The most threads of a history, the one that looks at the end included.
pub const MAX_THREADS: usize = 7;

/// A key: its place among all of them.
pub type Key = usize;
/// A value: which one, or 0 for none.
pub type Value = u32;
/// What each key holds.
pub type State = [Value; KEYS];

/// The bytes of a key within its keyspace.
pub fn key_bytes(key: Key) -> Vec<u8> {
    let at = if key < DEFAULT_KEYS { key } else { key - DEFAULT_KEYS };
    format!("k{at}").into_bytes()
}

/// The key with these bytes, in the default keyspace or the other.
pub fn parse_key(bytes: &[u8], is_default: bool) -> Result<Key, String> {
    let keys = if is_default { 0..DEFAULT_KEYS } else { DEFAULT_KEYS..KEYS };
    let mut keys = keys.filter(|&key| key_bytes(key) == bytes);
    keys.next().ok_or_else(|| format!("a key that nobody wrote: \"{}\"", bytes.escape_ascii()))
}

/// The bytes of a value: its number over and over, of a length that follows from it.
pub fn value_bytes(value: Value) -> Vec<u8> {
    let text = format!("{value}.");
    let len = text.len() + SeededRandom::new(u64::from(value)).below(180) as usize;
    text.bytes().cycle().take(len).collect()
}

/// Which value these bytes are.
pub fn parse_value(bytes: &[u8]) -> Result<Value, String> {
    let digits = bytes.split(|&byte| byte == b'.').next().unwrap_or_default();
    let value = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    match value {
        Some(value) if value != 0 && value_bytes(value) == bytes => Ok(value),
        Some(_) | None => Err(format!("a value that nobody wrote: \"{}\"", bytes.escape_ascii())),
    }
}

/// What a conditional write asks of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyIf {
    /// It has no value.
    Absent,
    /// It has one.
    Present,
    /// It has this one.
    Equals(Value),
}

/// How a read was made; it makes no difference to what it may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One key.
    Get,
    /// Many keys at one moment.
    GetMany,
    /// A range, of the moment when the scan began.
    Scan,
    /// All keys, of the moment when the snapshot was taken.
    Snapshot,
    /// All keys, when nobody writes.
    Last,
}

/// An operation and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Values, or removals, all at once.
    Write(Vec<(Key, Value)>),
    /// A write on a condition, and whether it was made.
    PutIf {
        /// Where.
        key: Key,
        /// On which condition.
        only_if: OnlyIf,
        /// What.
        value: Value,
        /// Whether the condition held.
        is_made: bool,
    },
    /// What keys held, all at one moment.
    Read(How, Vec<(Key, Value)>),
}

/// An operation of a thread: when, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place among all beginnings and ends of operations.
    pub begun: u64,
    /// The place of its end.
    pub done: u64,
    /// The time of day at both, in milliseconds.
    pub clock: (u64, u64),
    /// What was done and answered.
    pub what: What,
}

/// What several threads did from a known state on. Each thread's operations are in their order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What each key held before.
    pub start: State,
    /// By thread.
    pub threads: Vec<Vec<Event>>,
    /// When values expire that do: at the earliest, and at the latest.
    pub expiries: HashMap<Value, (u64, u64)>,
}

impl History {
    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.threads.iter().map(Vec::len).sum()
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of one key: the operations on it, and of those the part that concerns it.
    #[must_use]
    pub fn of_key(&self, wanted: Key) -> Self {
        let pick = |pairs: &[(Key, Value)]| {
            let pairs = pairs.iter().copied().filter(|(key, _)| *key == wanted);
            pairs.collect::<Vec<_>>()
        };
        let project = |event: &Event| {
            let what = match &event.what {
                What::Write(pairs) => What::Write(pick(pairs)),
                What::Read(how, pairs) => What::Read(*how, pick(pairs)),
                What::PutIf { key, .. } if *key == wanted => event.what.clone(),
                What::PutIf { .. } => return None,
            };
            let concerns = |pairs: &[(Key, Value)]| !pairs.is_empty();
            let is_of_key = match &what {
                What::Write(pairs) | What::Read(_, pairs) => concerns(pairs),
                What::PutIf { .. } => true,
            };
            is_of_key.then(|| Event { what, ..event.clone() })
        };
        let threads =
            self.threads.iter().map(|events| events.iter().filter_map(project).collect()).collect();
        let mut start = State::default();
        start[wanted] = self.start[wanted];
        Self { start, threads, expiries: self.expiries.clone() }
    }
}

fn name_of(key: Key) -> String {
    let keyspace = if key < DEFAULT_KEYS { "default" } else { "other" };
    format!("{keyspace}/{}", String::from_utf8_lossy(&key_bytes(key)))
}

fn show(value: Value) -> String {
    if value == 0 { "nothing".to_owned() } else { format!("v{value}") }
}

fn list(pairs: &[(Key, Value)]) -> String {
    let pairs = pairs.iter().map(|(key, value)| format!("{} = {}", name_of(*key), show(*value)));
    pairs.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(pairs) => match pairs[..] {
                [(key, 0)] => write!(f, "remove   {}", name_of(key)),
                [(key, value)] => write!(f, "put      {} = {}", name_of(key), show(value)),
                _ => write!(f, "batch    {}", list(pairs)),
            },
            Self::PutIf { key, only_if, value, is_made } => {
                let (key, value) = (name_of(*key), show(*value));
                let only_if = match only_if {
                    OnlyIf::Absent => "absent".to_owned(),
                    OnlyIf::Present => "present".to_owned(),
                    OnlyIf::Equals(value) => format!("it is {}", show(*value)),
                };
                let outcome = if *is_made { "made" } else { "refused" };
                write!(f, "put if   {only_if}: {key} = {value}  -> {outcome}")
            }
            Self::Read(how, pairs) => {
                let how = match how {
                    How::Get => "get     ",
                    How::GetMany => "get many",
                    How::Scan => "scan    ",
                    How::Snapshot => "snapshot",
                    How::Last => "at last ",
                };
                write!(f, "{how}  -> {}", list(pairs))
            }
        }
    }
}

impl fmt::Display for History {
    /// One line for each operation, in the order of their beginnings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: Vec<_> = self.start.iter().copied().enumerate().collect();
        let start: Vec<_> = start.into_iter().filter(|(_, value)| *value != 0).collect();
        let start = if start.is_empty() { "nothing".to_owned() } else { list(&start) };
        writeln!(f, "  at first: {start}")?;
        let threads = self.threads.iter().enumerate();
        let mut events: Vec<_> =
            threads.flat_map(|(at, events)| events.iter().map(move |event| (at, event))).collect();
        events.sort_by_key(|(_, event)| event.begun);
        for (thread, Event { begun, done, clock, what }) in events {
            write!(f, "  [{begun:>5} ..{done:>5}] thread {thread}  {what}")?;
            let (What::Write(values) | What::Read(_, values)) = what else {
                writeln!(f)?;
                continue;
            };
            for (_, value) in values {
                if let Some((earliest, latest)) = self.expiries.get(value) {
                    write!(f, "  (v{value} until {earliest} to {latest}, now {clock:?})")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
