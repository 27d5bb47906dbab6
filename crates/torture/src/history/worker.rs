//! One thread of a history: chooses operations, carries them out, notes what they answered.

use std::ops::{Bound, Range};
use std::time::Duration;

use alluvium::{Background, Condition, ErrorKind, Persist, Put, Read, Snapshot};
use alluvium_testkit::{Choices, SeededRandom};

use super::event::{
    DEFAULT_KEYS, Event, How, KEYS, Key, OnlyIf, State, Value, What, key_bytes, value_bytes,
};
use super::shared::{Expiries, OpenScan, Shared, parse_found, read_snapshot};
use crate::layer::Failure;

/// The longest time to live, and the longest step of the clock, in milliseconds.
const LONGEST_TTL_MS: u64 = 60;
const LONGEST_STEP_MS: u64 = 20;
/// Snapshots that a thread keeps from round to round.
const KEPT_SNAPSHOTS: usize = 2;

/// A snapshot, and what was seen in it first.
#[derive(Debug)]
struct Kept {
    snapshot: Snapshot,
    seen: Vec<(Key, Value)>,
}

/// One thread.
#[derive(Debug)]
pub struct Worker<'a> {
    shared: &'a Shared,
    random: SeededRandom,
    events: Vec<Event>,
    expiries: Expiries,
    scans: Vec<OpenScan>,
    /// Snapshots of this round that were not read yet: which event, and the snapshot.
    unread: Vec<(usize, Snapshot)>,
    kept: Vec<Kept>,
    /// What this thread last wrote or saw: a guess for conditions.
    known: State,
    /// The keys of this round, the same for all threads: few in some, so that they meet.
    hot: Range<Key>,
}

impl<'a> Worker<'a> {
    /// Thread number `thread` of the history of `seed`.
    pub fn new(shared: &'a Shared, seed: u64, thread: u64) -> Self {
        let random = SeededRandom::with_stream(seed, 100 + thread);
        let (events, expiries, scans) = (Vec::new(), Vec::new(), Vec::new());
        let (unread, kept, known) = (Vec::new(), Vec::new(), State::default());
        Self { shared, random, events, expiries, scans, unread, kept, known, hot: 0..KEYS }
    }

    /// Carries out `count` operations of round number `round`; answers them.
    pub fn round(&mut self, round: u64, count: usize) -> Result<(Vec<Event>, Expiries), Failure> {
        let mut of_round = SeededRandom::with_stream(round, 98);
        let start = of_round.below(KEYS as u64) as Key;
        self.hot = start..start + 1 + of_round.below((KEYS - start) as u64) as Key;
        for _ in 0..count {
            self.operate()?;
            if self.random.chance(1, 4) {
                std::thread::yield_now();
            }
            for scan in &mut self.scans {
                let is_front = self.random.chance(1, 2);
                scan.step(is_front)?;
            }
        }
        for scan in std::mem::take(&mut self.scans) {
            let at = scan.at;
            self.events[at].what = What::Read(How::Scan, scan.finish(&mut self.random)?);
        }
        for (at, snapshot) in std::mem::take(&mut self.unread) {
            self.read_snapshot(at, snapshot)?;
        }
        self.read_kept_again()?;
        Ok((std::mem::take(&mut self.events), std::mem::take(&mut self.expiries)))
    }

    fn operate(&mut self) -> Result<(), Failure> {
        match self.random.below(100) {
            0..22 => self.put(),
            22..30 => self.remove(),
            30..42 => self.put_if(),
            42..56 => self.batch(),
            56..74 => self.get(),
            74..81 => self.get_many(),
            81..88 => self.scan(),
            88..93 => self.snapshot(),
            93..96 => {
                self.shared.clock.advance_ms(self.random.below(LONGEST_STEP_MS));
                Ok(())
            }
            _ => self.disturb(),
        }
    }

    fn key(&mut self) -> Key {
        self.hot.start + self.random.below(self.hot.len() as u64) as Key
    }

    /// One value in five expires.
    fn ttl_ms(&mut self) -> Option<u64> {
        self.random.chance(1, 5).then(|| self.random.below(LONGEST_TTL_MS))
    }

    /// Notes when a value expires that was written during `event`.
    fn note_expiry(&mut self, value: Value, ttl_ms: Option<u64>, event: &Event) {
        if let Some(ttl_ms) = ttl_ms {
            let (from_ms, to_ms) = event.clock;
            self.expiries.push((value, (from_ms + ttl_ms, to_ms + ttl_ms)));
        }
    }

    fn put(&mut self) -> Result<(), Failure> {
        let (key, value, ttl_ms) = (self.key(), self.shared.new_value(), self.ttl_ms());
        let ttl = ttl_ms.map(Duration::from_millis);
        let put = Put { ttl, only_if: Condition::Always };
        let keyspace = self.shared.keyspace_of(key);
        let write = || keyspace.put(key_bytes(key), value_bytes(value), put);
        let (answer, event) = self.shared.timed(write);
        answer?;
        self.note_expiry(value, ttl_ms, &event);
        self.known[key] = value;
        self.events.push(Event { what: What::Write(vec![(key, value)]), ..event });
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Failure> {
        let key = self.key();
        let keyspace = self.shared.keyspace_of(key);
        let (answer, event) = self.shared.timed(|| keyspace.remove(key_bytes(key)));
        answer?;
        self.known[key] = 0;
        self.events.push(Event { what: What::Write(vec![(key, 0)]), ..event });
        Ok(())
    }

    fn put_if(&mut self) -> Result<(), Failure> {
        let (key, value, ttl_ms) = (self.key(), self.shared.new_value(), self.ttl_ms());
        let known = self.known[key];
        let only_if = match self.random.below(4) {
            0 => OnlyIf::Absent,
            1 => OnlyIf::Present,
            _ if known == 0 => OnlyIf::Absent,
            _ => OnlyIf::Equals(known),
        };
        let condition = match only_if {
            OnlyIf::Absent => Condition::Absent,
            OnlyIf::Present => Condition::Present,
            OnlyIf::Equals(value) => Condition::Equals(value_bytes(value).into()),
        };
        let put = Put { ttl: ttl_ms.map(Duration::from_millis), only_if: condition };
        let keyspace = self.shared.keyspace_of(key);
        let write = || keyspace.put(key_bytes(key), value_bytes(value), put);
        let (answer, event) = self.shared.timed(write);
        let is_made = match answer {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::Conflict => false,
            Err(error) => return Err(error.into()),
        };
        if is_made {
            self.note_expiry(value, ttl_ms, &event);
            self.known[key] = value;
        }
        self.events.push(Event { what: What::PutIf { key, only_if, value, is_made }, ..event });
        Ok(())
    }

    /// Some keys, of either keyspace.
    fn batch(&mut self) -> Result<(), Failure> {
        let shared = self.shared;
        let (mut writes, mut expiring) = (Vec::new(), Vec::new());
        let (answer, event) = {
            let mut batch = shared.db.batch();
            let mut keys: Vec<Key> = (0..2 + self.random.below(3)).map(|_| self.key()).collect();
            keys.sort_unstable();
            keys.dedup();
            // Expiry is reckoned from when the entry is added.
            let added_ms = shared.clock.now();
            for key in keys {
                let keyspace = shared.keyspace_of(key);
                let value = if self.random.chance(1, 4) { 0 } else { shared.new_value() };
                match self.ttl_ms() {
                    _ if value == 0 => batch.remove(keyspace, key_bytes(key)),
                    None => batch.insert(keyspace, key_bytes(key), value_bytes(value)),
                    Some(ttl_ms) => {
                        expiring.push((value, ttl_ms));
                        let ttl = Duration::from_millis(ttl_ms);
                        batch.insert_expiring(keyspace, key_bytes(key), value_bytes(value), ttl)
                    }
                };
                writes.push((key, value));
            }
            let persist = if self.random.chance(1, 8) { Persist::Sync } else { Persist::Buffer };
            let (answer, mut event) = shared.timed(|| batch.commit(persist));
            event.clock.0 = added_ms;
            (answer, event)
        };
        answer?;
        for (value, ttl_ms) in expiring {
            self.note_expiry(value, Some(ttl_ms), &event);
        }
        for (key, value) in &writes {
            self.known[*key] = *value;
        }
        self.events.push(Event { what: What::Write(writes), ..event });
        Ok(())
    }

    fn get(&mut self) -> Result<(), Failure> {
        let key = self.key();
        let keyspace = self.shared.keyspace_of(key);
        let (found, event) = self.shared.timed(|| keyspace.get(key_bytes(key)));
        let value = parse_found(found?.as_ref())?;
        self.known[key] = value;
        self.events.push(Event { what: What::Read(How::Get, vec![(key, value)]), ..event });
        Ok(())
    }

    /// A range of keys in one keyspace.
    fn keys(&mut self) -> Range<Key> {
        let all = if self.random.chance(2, 3) { 0..DEFAULT_KEYS } else { DEFAULT_KEYS..KEYS };
        if self.random.chance(1, 2) {
            return all;
        }
        let start = all.start + self.random.below(all.len() as u64) as usize;
        start..start + 1 + self.random.below((all.end - start) as u64) as usize
    }

    fn get_many(&mut self) -> Result<(), Failure> {
        let keys = self.keys();
        let keyspace = self.shared.keyspace_of(keys.start);
        let wanted = keys.clone().map(key_bytes);
        let (found, event) = self.shared.timed(|| keyspace.get_many(wanted));
        let found = found?;
        let pairs: Result<Vec<_>, Failure> =
            keys.zip(&found).map(|(key, found)| Ok((key, parse_found(found.as_ref())?))).collect();
        self.events.push(Event { what: What::Read(How::GetMany, pairs?), ..event });
        Ok(())
    }

    /// Begins a scan; half of them are walked through later.
    fn scan(&mut self) -> Result<(), Failure> {
        let keys = self.keys();
        let keyspace = self.shared.keyspace_of(keys.start);
        let bounds =
            (Bound::Included(key_bytes(keys.start)), Bound::Included(key_bytes(keys.end - 1)));
        let (scan, event) = self.shared.timed(|| keyspace.range(bounds));
        let at = self.events.len();
        self.events.push(event);
        let open = OpenScan::new(at, keys, scan);
        if self.random.chance(1, 2) {
            self.scans.push(open);
            return Ok(());
        }
        self.events[at].what = What::Read(How::Scan, open.finish(&mut self.random)?);
        Ok(())
    }

    /// Takes a snapshot; half of them are read later.
    fn snapshot(&mut self) -> Result<(), Failure> {
        let (snapshot, event) = self.shared.timed(|| self.shared.db.snapshot());
        let at = self.events.len();
        self.events.push(event);
        if self.random.chance(1, 2) {
            self.unread.push((at, snapshot));
            return Ok(());
        }
        self.read_snapshot(at, snapshot)
    }

    fn read_snapshot(&mut self, at: usize, snapshot: Snapshot) -> Result<(), Failure> {
        let seen = read_snapshot(&snapshot, &self.shared.keyspaces, self.random.below(4))?;
        self.events[at].what = What::Read(How::Snapshot, seen.clone());
        if self.random.chance(1, 2) {
            self.kept.push(Kept { snapshot, seen });
        }
        if self.kept.len() > KEPT_SNAPSHOTS {
            self.kept.remove(0);
        }
        Ok(())
    }

    /// A snapshot answers the same for ever, however it is read.
    fn read_kept_again(&mut self) -> Result<(), Failure> {
        for Kept { snapshot, seen } in &self.kept {
            let again = read_snapshot(snapshot, &self.shared.keyspaces, self.random.below(4))?;
            if again != *seen {
                let what = format!("a snapshot has changed:\n  was {seen:?}\n  is  {again:?}");
                return Err(what.into());
            }
        }
        Ok(())
    }

    /// What changes the files and must not change any answer.
    fn disturb(&mut self) -> Result<(), Failure> {
        let shared = self.shared;
        let keyspace = &shared.keyspaces[self.random.below(2) as usize];
        match self.random.below(6) {
            0 | 1 => keyspace.flush()?,
            2 => keyspace.compact()?,
            3 => shared.db.persist(Persist::Sync)?,
            _ if shared.background == Background::Manual => drop(shared.db.step()?),
            _ => std::thread::yield_now(),
        }
        Ok(())
    }
}
