//! The player: carries actions out on a database and tells what it answered.
//!
//! How it does so is a matter of [`Habits`], which must make no difference to any answer:
//!
//! | habits | what is different |
//! |---|---|
//! | plain | nothing |
//! | restless | flushes, compactions, background steps and reopens that nobody asked for |
//! | roundabout | each read and write is made another way: see `roundabout.rs` |

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alluvium::{
    Background, Db, Depth, ErrorKind, Expiry, Keyspace, Persist, Read, Result as DbResult, Scan,
    Snapshot, check,
};
use alluvium_base::fs::Fs;
use alluvium_testkit::{
    Choices, Content, Durability, Op, SeededRandom, SimClock, SimFs, Survival, View, Write,
    keyspace_name,
};

use super::action::{Action, Answer, OPEN_SCANS, Pairs, end_of};
use super::point::{
    Point, StillClock, owned, put_if, read_content, read_expiries, sound, to_pairs,
};
use super::roundabout;
use crate::option_sets::OptionSet;

/// How a player goes about it: see the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habits {
    /// Does what it is told.
    Plain,
    /// Does more than it is told.
    Restless,
    /// Does it in other ways.
    Roundabout,
}

/// A scan that stays open while the database changes below it.
#[derive(Debug)]
struct OpenScan {
    slot: u8,
    scan: Scan,
}

/// A database, and what a caller keeps of it.
#[derive(Debug)]
pub struct Player {
    set: OptionSet,
    habits: Habits,
    /// For habits alone.
    random: SeededRandom,
    disk: SimFs,
    clock: SimClock,
    db: Option<Db>,
    snapshots: BTreeMap<u8, Snapshot>,
    scans: Vec<OpenScan>,
    checkpoints: u64,
}

impl Player {
    /// A new database with these options, at the time that [`clock`](Self::clock) shows.
    pub fn new(seed: u64, set: OptionSet, habits: Habits) -> Self {
        let (disk, clock) = (SimFs::new(seed), SimClock::new(1_000_000));
        let random = SeededRandom::with_stream(seed, 2);
        let (snapshots, scans, checkpoints) = (BTreeMap::new(), Vec::new(), 0);
        let mut player =
            Self { set, habits, random, disk, clock, db: None, snapshots, scans, checkpoints };
        player.open();
        player
    }

    /// The time it lives in.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    fn try_open(&self) -> DbResult<Db> {
        let clock = Arc::new(StillClock(self.clock.clone()));
        self.set.builder(&self.disk, &self.clock).clock(clock).open()
    }

    fn open(&mut self) {
        self.db = Some(sound(self.try_open()));
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("it is open")
    }

    fn keyspace(&self, slot: u8) -> Option<Keyspace> {
        sound(self.db().find_keyspace(&keyspace_name(slot)))
    }

    /// What `keyspace` is read at: a snapshot that is kept in this slot, or now.
    fn point(&self, keyspace: Keyspace, view: View) -> Point {
        match view {
            View::Snapshot(slot) if self.snapshots.contains_key(&slot) => {
                Point::Then(self.snapshots[&slot].of(&keyspace))
            }
            // Nothing is written until the read is done: a snapshot sees the same.
            View::Snapshot(_) | View::Latest if self.habits == Habits::Roundabout => {
                Point::Then(self.db().snapshot().of(&keyspace))
            }
            View::Snapshot(_) | View::Latest => Point::Now(keyspace),
        }
    }

    /// Carries out one action.
    pub fn play(&mut self, action: &Action) -> Answer {
        if self.habits == Habits::Restless && self.random.chance(1, 12) {
            self.fidget();
        }
        match action {
            Action::Op(op) => self.play_op(op),
            Action::OpenAgain => {
                // Refused, it must not give the lock away either.
                for attempt in 0..2 {
                    let kind = self.try_open().map(drop).map_err(|error| error.kind());
                    assert_eq!(kind, Err(ErrorKind::Locked), "attempt {attempt}");
                }
                Answer::Refused
            }
            Action::Step => {
                if self.set.background == Background::Manual {
                    sound(self.db().step());
                }
                Answer::Done
            }
            Action::StepScans { ends } => Answer::Scans(self.step_scans(*ends)),
            Action::Checkpoint => Answer::Content(self.checkpoint()),
            Action::PutIf { slot, .. }
            | Action::GetMany { slot, .. }
            | Action::Ends { slot, .. }
            | Action::OpenScan { slot, .. } => match self.keyspace(*slot) {
                Some(keyspace) => self.play_on(keyspace, action),
                None => Answer::Refused,
            },
        }
    }

    /// What is about one keyspace, which is there.
    fn play_on(&mut self, keyspace: Keyspace, action: &Action) -> Answer {
        let is_plain = self.habits != Habits::Roundabout;
        match action {
            Action::PutIf { key, only_if, value, ttl_ms, .. } => {
                put_if(&keyspace, key, *only_if, value, *ttl_ms)
            }
            Action::GetMany { keys, .. } => {
                let point = self.point(keyspace, View::Latest);
                if !is_plain {
                    return roundabout::get_many(&point, keys);
                }
                let found = sound(point.get_many(keys));
                let found = found.into_iter().map(|value| value.map(|value| value.to_vec()));
                Answer::Values(found.collect())
            }
            Action::Ends { prefix, .. } => {
                let point = self.point(keyspace, View::Latest);
                if !is_plain {
                    return roundabout::ends(&point, prefix);
                }
                let (first, last) = (sound(point.first()), sound(point.last()));
                let mut with_prefix = to_pairs(point.prefix(prefix).rev());
                with_prefix.reverse();
                let count = sound(point.count());
                Answer::Ends(first.map(owned), last.map(owned), count, with_prefix)
            }
            Action::OpenScan { slot, start, end, view } => {
                let point = self.point(keyspace, *view);
                let scan = point.range((start.clone(), end.clone()));
                self.scans.push(OpenScan { slot: *slot, scan });
                if self.scans.len() > OPEN_SCANS {
                    self.scans.remove(0);
                }
                Answer::Done
            }
            Action::Op(_)
            | Action::StepScans { .. }
            | Action::OpenAgain
            | Action::Step
            | Action::Checkpoint => unreachable!("it is about no keyspace"),
        }
    }

    fn play_op(&mut self, op: &Op) -> Answer {
        if let Some((writes, durability)) = op.writes() {
            self.write(&writes, durability);
            return Answer::Done;
        }
        match op {
            Op::Get { keyspace, key, view } => {
                let Some(keyspace) = self.keyspace(*keyspace) else { return Answer::Refused };
                let point = self.point(keyspace, *view);
                let found = match self.habits {
                    Habits::Roundabout => roundabout::get(&point, key),
                    Habits::Plain | Habits::Restless => sound(point.get(key)).map(|v| v.to_vec()),
                };
                let expiry = sound(point.expires_at(key));
                assert_eq!(expiry.is_some(), found.is_some(), "one has a value, one has none");
                let expiry_ms = match expiry {
                    Some(Expiry::AtMs(expiry_ms)) => Some(expiry_ms),
                    Some(Expiry::Never) | None => None,
                };
                return Answer::Value(found, expiry_ms);
            }
            Op::Scan { keyspace, start, end, direction, view } => {
                let Some(keyspace) = self.keyspace(*keyspace) else { return Answer::Refused };
                let point = self.point(keyspace, *view);
                let range = (start.clone(), end.clone());
                return Answer::Pairs(match self.habits {
                    Habits::Roundabout => {
                        roundabout::scan(&point, range, *direction, &mut self.random)
                    }
                    Habits::Plain | Habits::Restless => {
                        roundabout::straight(&point, range, *direction)
                    }
                });
            }
            Op::Snapshot { slot } => drop(self.snapshots.insert(*slot, self.db().snapshot())),
            Op::DropSnapshot { slot } => drop(self.snapshots.remove(slot)),
            Op::CreateKeyspace { keyspace } => {
                let options = self.set.keyspace.clone();
                sound(self.db().keyspace(&keyspace_name(*keyspace), options));
            }
            Op::DropKeyspace { keyspace } => {
                let dropped = self.db().drop_keyspace(&keyspace_name(*keyspace));
                self.scans.retain(|scan| scan.slot != *keyspace);
                return if dropped.is_ok() { Answer::Done } else { Answer::Refused };
            }
            Op::Flush { keyspace } => {
                self.keyspace(*keyspace).into_iter().for_each(|keyspace| sound(keyspace.flush()));
            }
            Op::Compact { keyspace } => {
                self.keyspace(*keyspace).into_iter().for_each(|keyspace| sound(keyspace.compact()));
            }
            Op::Persist => sound(self.db().persist(Persist::Sync)),
            Op::AdvanceClock { ms } => self.clock.advance_ms(*ms),
            Op::Reopen => return Answer::Scans(self.reopen()),
            Op::Kill => return Answer::Content(self.restart(self.disk.kill())),
            Op::Crash { seed } => {
                let content = self.restart(self.disk.crash(Survival::Random(*seed)));
                let expiries = read_expiries(self.db(), &content);
                return Answer::Recovered(content, expiries);
            }
            Op::Insert { .. } | Op::PutExpiring { .. } | Op::Remove { .. } | Op::Batch { .. } => {
                unreachable!("it writes")
            }
        }
        Answer::Done
    }

    /// The old machine goes off, and the database opens on what it left.
    fn restart(&mut self, next: SimFs) -> Content {
        self.disk.freeze();
        self.snapshots.clear();
        self.scans.clear();
        self.db = None;
        self.disk = next;
        self.open();
        read_content(self.db())
    }

    /// Scans outlive the database, and are walked to their ends; snapshots would keep it open.
    fn reopen(&mut self) -> Vec<Pairs> {
        self.snapshots.clear();
        sound(self.db.take().expect("it is open").close());
        let left = self.scans.drain(..).map(|open| to_pairs(open.scan)).collect();
        self.open();
        left
    }

    fn write(&mut self, writes: &[Write], durability: Durability) {
        let persist = match durability {
            Durability::Buffer => Persist::Buffer,
            Durability::Sync => Persist::Sync,
        };
        // Without power cuts or readers in between, a batch is as good as its writes one by one.
        let batch_len = if self.habits == Habits::Roundabout { 1 } else { writes.len().max(1) };
        for writes in writes.chunks(batch_len) {
            let mut batch = self.db().batch();
            for write in writes {
                let Some(keyspace) = self.keyspace(write.keyspace()) else { continue };
                match write {
                    Write::Put { key, value, .. } => batch.insert(&keyspace, key, value),
                    Write::PutExpiring { key, value, ttl_ms, .. } => {
                        let ttl = Duration::from_millis(*ttl_ms);
                        batch.insert_expiring(&keyspace, key, value, ttl)
                    }
                    Write::Remove { key, .. } => batch.remove(&keyspace, key),
                };
            }
            sound(batch.commit(persist));
        }
    }

    fn step_scans(&mut self, ends: u64) -> Vec<Pairs> {
        let (mut number, mut answers) = (0, Vec::new());
        self.scans.retain_mut(|open| {
            let mut met = Pairs::new();
            let is_open = (0..2).all(|step| {
                let is_front = end_of(ends, number, step);
                let step = if is_front { open.scan.next() } else { open.scan.next_back() };
                let pair = step.map(|entry| owned(sound(entry)));
                met.extend(pair.clone());
                pair.is_some()
            });
            number += 1;
            answers.push(met);
            is_open
        });
        answers
    }

    /// What a checkpoint holds, which must also be sound.
    fn checkpoint(&mut self) -> Content {
        let to = format!("copies/{}", self.checkpoints);
        self.checkpoints += 1;
        sound(self.db().checkpoint(&to));
        let fs: Arc<dyn Fs> = Arc::new(self.disk.clone());
        let report = sound(check(Arc::clone(&fs), &to, Depth::Deep));
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        let copy = Db::builder(&to).fs(Arc::clone(&fs)).clock(Arc::new(self.clock.clone()));
        let copy = sound(copy.background(Background::Manual).log_segment_size(4096).open());
        let content = read_content(&copy);
        drop(copy);
        for name in fs.list(to.as_ref()).expect("a sound disk") {
            fs.remove(&Path::new(&to).join(name)).expect("a sound disk");
        }
        content
    }

    /// Does something that nobody asked for and nobody may notice.
    fn fidget(&mut self) {
        let slot = self.random.below(3) as u8;
        let keyspace = self.keyspace(slot);
        match (self.random.below(5), keyspace) {
            (0 | 1, Some(keyspace)) => sound(keyspace.flush()),
            (2, Some(keyspace)) => sound(keyspace.compact()),
            // Snapshots and scans would be missed.
            (3, _) if self.snapshots.is_empty() && self.scans.is_empty() => drop(self.reopen()),
            (3, _) => sound(self.db().persist(Persist::Sync)),
            _ if self.set.background == Background::Manual => drop(sound(self.db().step())),
            _ => {}
        }
    }
}
