//! What the threads of a history share, and how what they read is understood.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use alluvium::{Background, Bytes, Db, Keyspace, Read, Scan, Snapshot};
use alluvium_testkit::{Choices, SeededRandom, SimClock, SimFs};

use super::event::{
    DEFAULT_KEYS, Event, How, KEYS, Key, State, Value, What, key_bytes, parse_key, parse_value,
};
use crate::layer::Failure;
use crate::option_sets::OptionSet;

/// What the threads of a history share.
#[derive(Debug)]
pub struct Shared {
    /// The database.
    pub db: Db,
    /// The default keyspace and the other one.
    pub keyspaces: [Keyspace; 2],
    /// Its time.
    pub clock: SimClock,
    /// Counts beginnings and ends of operations: their order in real time.
    pub moments: AtomicU64,
    /// The next value that nobody wrote.
    pub next_value: AtomicU32,
    /// Who flushes and compacts.
    pub background: Background,
}

/// When values expire that do: at the earliest, and at the latest.
pub type Expiries = Vec<(Value, (u64, u64))>;

impl Shared {
    /// Opens the database and its two keyspaces.
    pub fn open(set: &OptionSet, disk: &SimFs, clock: &SimClock) -> alluvium::Result<Self> {
        let db = set.builder(disk, clock).open()?;
        let keyspaces = [db.default_keyspace(), db.keyspace("other", set.keyspace.clone())?];
        let (moments, next_value) = (AtomicU64::new(0), AtomicU32::new(1));
        let (clock, background) = (clock.clone(), set.background);
        Ok(Self { db, keyspaces, clock, moments, next_value, background })
    }

    /// Where a key lives.
    pub fn keyspace_of(&self, key: Key) -> &Keyspace {
        &self.keyspaces[usize::from(key >= DEFAULT_KEYS)]
    }

    /// A value that nobody wrote before.
    pub fn new_value(&self) -> Value {
        self.next_value.fetch_add(1, Ordering::Relaxed)
    }

    /// Carries out an operation, between two moments.
    pub fn timed<T>(&self, run: impl FnOnce() -> T) -> (T, Event) {
        let from_ms = self.clock.now();
        let begun = self.moments.fetch_add(1, Ordering::SeqCst);
        let answer = run();
        let done = self.moments.fetch_add(1, Ordering::SeqCst);
        let clock = (from_ms, self.clock.now());
        (answer, Event { begun, done, clock, what: What::Write(Vec::new()) })
    }

    /// All keys, when nobody writes.
    pub fn read_at_last(&self) -> Result<(State, Event), Failure> {
        let (snapshot, event) = self.timed(|| self.db.snapshot());
        let pairs = read_snapshot(&snapshot, &self.keyspaces, 0)?;
        let mut state = State::default();
        for (key, value) in &pairs {
            state[*key] = *value;
        }
        Ok((state, Event { what: What::Read(How::Last, pairs), ..event }))
    }
}

/// What was seen of `keys`, those that were not met being absent.
fn seen(keys: Range<Key>, met: &[(Key, Value)]) -> Vec<(Key, Value)> {
    let value_of = |key| met.iter().find(|(met, _)| *met == key).map_or(0, |(_, value)| *value);
    keys.map(|key| (key, value_of(key))).collect()
}

/// Which value was found, if any.
pub fn parse_found(found: Option<&Bytes>) -> Result<Value, Failure> {
    Ok(found.map_or(Ok(0), |bytes| parse_value(bytes))?)
}

fn parse_pair(
    entry: alluvium::Result<(Bytes, Bytes)>,
    is_default: bool,
) -> Result<(Key, Value), Failure> {
    let (key, value) = entry?;
    Ok((parse_key(&key, is_default)?, parse_value(&value)?))
}

/// All keys of a snapshot, read in one of four ways.
pub fn read_snapshot(
    snapshot: &Snapshot,
    keyspaces: &[Keyspace; 2],
    way: u64,
) -> Result<Vec<(Key, Value)>, Failure> {
    let mut pairs = Vec::new();
    for (at, keyspace) in keyspaces.iter().enumerate() {
        let (view, is_default) = (snapshot.of(keyspace), at == 0);
        let keys = if is_default { 0..DEFAULT_KEYS } else { DEFAULT_KEYS..KEYS };
        let met: Result<Vec<_>, Failure> = match way % 4 {
            0 => view.iter().map(|entry| parse_pair(entry, is_default)).collect(),
            1 => view.iter().rev().map(|entry| parse_pair(entry, is_default)).collect(),
            2 => {
                let found = view.get_many(keys.clone().map(key_bytes))?;
                let found = keys.clone().zip(&found);
                found.map(|(key, found)| Ok((key, parse_found(found.as_ref())?))).collect()
            }
            _ => {
                let get = |key| Ok((key, parse_found(view.get(key_bytes(key))?.as_ref())?));
                keys.clone().map(get).collect()
            }
        };
        pairs.extend(seen(keys, &met?));
    }
    Ok(pairs)
}

/// A scan that other operations come in between.
#[derive(Debug)]
pub struct OpenScan {
    /// Which event it is.
    pub at: usize,
    keys: Range<Key>,
    scan: Scan,
    front: Vec<(Key, Value)>,
    back: Vec<(Key, Value)>,
}

impl OpenScan {
    /// A scan of `keys` that has not been stepped.
    pub fn new(at: usize, keys: Range<Key>, scan: Scan) -> Self {
        Self { at, keys, scan, front: Vec::new(), back: Vec::new() }
    }

    /// Steps from either end; answers whether there is more.
    pub fn step(&mut self, is_front: bool) -> Result<bool, Failure> {
        let is_default = self.keys.start < DEFAULT_KEYS;
        let step = if is_front { self.scan.next() } else { self.scan.next_back() };
        let Some(entry) = step else { return Ok(false) };
        let pair = parse_pair(entry, is_default)?;
        if is_front {
            self.front.push(pair);
        } else {
            self.back.push(pair);
        }
        Ok(true)
    }

    /// What the whole scan saw.
    pub fn finish(mut self, random: &mut SeededRandom) -> Result<Vec<(Key, Value)>, Failure> {
        let ends = random.below(3);
        while self.step(match ends {
            0 => true,
            1 => false,
            _ => random.chance(1, 2),
        })? {}
        let met: Vec<_> = self.front.into_iter().chain(self.back.into_iter().rev()).collect();
        let is_inside = met.iter().all(|(key, _)| self.keys.contains(key));
        if !is_inside || !met.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(format!("a scan of {:?} met {met:?}", self.keys).into());
        }
        Ok(seen(self.keys, &met))
    }
}
