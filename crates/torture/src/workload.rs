//! A small workload that goes through everything: what crashes and faults are tried on.
//!
//! [`script`] is the same each time, [`random_script`] another for each seed; a [`Run`] carries
//! either out on a database and notes in a [`History`] what each step promises.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alluvium::{Db, Error, Persist, Result};
use alluvium_testkit::{Choices, SeededRandom, SimClock, SimFs};
use parking_lot::Mutex;

use crate::option_sets::OptionSet;
use crate::states::{History, State};

/// Where the database lives: not at the top, so that the folder's own name must be made durable.
pub const DIR: &str = "data/db";

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// A write batch.
    Commit(Vec<Write>, Persist),
    /// Makes everything durable.
    Persist,
    /// Flushes every keyspace.
    Flush,
    /// Compacts every keyspace.
    Compact,
    /// Background work, until there is none.
    Work,
    /// Creates a keyspace.
    Create(&'static str),
    /// Drops one.
    Drop(&'static str),
    /// Sets the clock forward by so many milliseconds.
    Advance(u64),
    /// Makes a checkpoint in this folder.
    Checkpoint(String),
    /// Takes the snapshot that is held, instead of the one before.
    Snapshot,
    /// Closes and opens.
    Reopen,
}

/// One write of a batch: keyspace, key, and what.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its name.
    pub keyspace: &'static str,
    /// The user key.
    pub key: Vec<u8>,
    /// What happens to it.
    pub what: What,
}

/// What a write does.
#[derive(Clone, Debug)]
pub enum What {
    /// Stores a value.
    Put(Vec<u8>),
    /// Stores a value for so many milliseconds.
    Expiring(Vec<u8>, u64),
    /// Removes the key.
    Remove,
}

/// A put.
pub fn put(keyspace: &'static str, key: &str, value: impl Into<Vec<u8>>) -> Write {
    Write { keyspace, key: key.into(), what: What::Put(value.into()) }
}

/// A put of a value that expires.
pub fn expiring(keyspace: &'static str, key: &str, value: &str, ttl_ms: u64) -> Write {
    Write { keyspace, key: key.into(), what: What::Expiring(value.into(), ttl_ms) }
}

/// A removal.
pub fn remove(keyspace: &'static str, key: &str) -> Write {
    Write { keyspace, key: key.into(), what: What::Remove }
}

/// A value that tells which write it is of: what is stale is seen.
fn value(n: usize, len: usize) -> Vec<u8> {
    format!("v{n}.").bytes().cycle().take(len).collect()
}

/// Writes of all sizes, over and over the same keys, with everything else in between.
pub fn script(rounds: usize) -> Vec<Step> {
    use Persist::{Buffer, Sync};
    let mut steps = Vec::new();
    let mut n = 0;
    let mut some_writes = |steps: &mut Vec<Step>, count: usize| {
        for _ in 0..count {
            n += 1;
            let key = format!("k{:02}", n * 7 % 23);
            let persist = if n % 5 == 0 { Sync } else { Buffer };
            let mut writes = vec![put("default", &key, value(n, 10 + n * 37 % 220))];
            if n % 3 == 0 {
                writes.push(put("other", &key, value(n, 30)));
                writes.push(remove("default", &format!("k{:02}", (n * 7 + 5) % 23)));
            }
            if n % 7 == 0 {
                writes.push(expiring("default", &format!("e{}", n % 4), "short-lived", 40));
            }
            steps.push(Step::Commit(writes, persist));
        }
    };
    steps.push(Step::Create("other"));
    for round in 0..rounds {
        // So many without a sync that the log goes on in the next segment, with small records at
        // the end of one and the beginning of the other.
        steps.extend((0..28).map(|n| {
            let writes = vec![put("other", &format!("n{:02}", n % 9), value(round * 100 + n, 120))];
            Step::Commit(writes, Buffer)
        }));
        some_writes(&mut steps, 9);
        steps.push(Step::Flush);
        some_writes(&mut steps, 6);
        // Larger than a whole log segment.
        steps.push(Step::Commit(vec![put("default", "large", value(round, 5000))], Buffer));
        steps.push(Step::Create("fleeting"));
        steps.push(Step::Commit(
            vec![put("fleeting", "k", "v"), put("default", "k00", "with fleeting")],
            if round % 2 == 0 { Buffer } else { Sync },
        ));
        steps.push(Step::Work);
        some_writes(&mut steps, 4);
        steps.push(Step::Drop("fleeting"));
        steps.push(Step::Advance(25));
        some_writes(&mut steps, 3);
        steps.push(Step::Persist);
        if round % 2 == 0 {
            steps.push(Step::Compact);
            some_writes(&mut steps, 2);
            steps.push(Step::Reopen);
        }
        steps.push(Step::Commit(vec![put("other", "round", value(round, 20))], Buffer));
        if round == 0 {
            steps.push(Step::Checkpoint("copies/one".to_owned()));
        }
        some_writes(&mut steps, 3);
    }
    steps
}

/// A shorter one, for trying many faults on each operation.
pub fn short_script() -> Vec<Step> {
    use Persist::{Buffer, Sync};
    let commit = |n: usize, persist| {
        let key = format!("k{}", n % 5);
        let writes = vec![put("default", &key, value(n, 300)), put("other", &key, value(n, 40))];
        Step::Commit(writes, persist)
    };
    let mut steps = vec![Step::Create("other")];
    steps.extend((0..5).map(|n| commit(n, if n == 2 { Sync } else { Buffer })));
    steps.push(Step::Flush);
    steps.extend((5..14).map(|n| commit(n, Buffer)));
    steps.extend([Step::Work, Step::Persist, Step::Create("fleeting")]);
    steps.push(Step::Commit(vec![put("fleeting", "k", "v"), remove("default", "k1")], Buffer));
    steps.extend([Step::Flush, Step::Drop("fleeting"), Step::Reopen]);
    steps.extend((14..17).map(|n| commit(n, if n == 15 { Sync } else { Buffer })));
    steps.extend([Step::Compact, Step::Checkpoint("copies/one".to_owned())]);
    steps.extend((17..20).map(|n| commit(n, Buffer)));
    steps.push(Step::Reopen);
    steps
}

/// A script that the seed chooses: the same steps in another order, with other writes.
pub fn random_script(seed: u64, len: usize) -> Vec<Step> {
    const KEYSPACES: [&str; 3] = ["default", "other", "fleeting"];
    let mut random = SeededRandom::with_stream(seed, 3);
    let mut is_there = [true, false, false];
    let mut steps = Vec::new();
    for n in 0..len {
        let step = match random.below(100) {
            0..4 => Step::Flush,
            4..6 => Step::Compact,
            6..12 => Step::Work,
            12..16 => {
                let which = 1 + random.below(2) as usize;
                is_there[which] = !is_there[which];
                let name = KEYSPACES[which];
                if is_there[which] { Step::Create(name) } else { Step::Drop(name) }
            }
            16..19 => Step::Persist,
            19..24 => Step::Advance(random.below(60)),
            24..26 => Step::Checkpoint(format!("copies/{n}")),
            26..29 => Step::Reopen,
            29..32 => Step::Snapshot,
            _ => {
                let persist = if random.chance(1, 4) { Persist::Sync } else { Persist::Buffer };
                let writes = (0..=random.below(4)).map(|_| {
                    let there: Vec<_> = (0..3).filter(|&which| is_there[which]).collect();
                    let keyspace = KEYSPACES[there[random.below(there.len() as u64) as usize]];
                    random_write(keyspace, n, &mut random)
                });
                Step::Commit(writes.collect(), persist)
            }
        };
        steps.push(step);
    }
    steps
}

fn random_write(keyspace: &'static str, n: usize, random: &mut SeededRandom) -> Write {
    let key = format!("k{:02}", random.below(20));
    match random.below(20) {
        0..4 => remove(keyspace, &key),
        4..6 => expiring(keyspace, &key, "short-lived", random.below(80)),
        // Larger than a log segment of 4 KiB, now and then.
        6 if random.chance(1, 8) => put(keyspace, &key, value(n, 5000)),
        _ => put(keyspace, &key, value(n, random.below(250) as usize)),
    }
}

/// A workload under way. Clones share what they note.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where the database lives.
    pub disk: SimFs,
    /// Its time.
    pub clock: SimClock,
    /// How it is set up.
    pub set: OptionSet,
    /// The database, while it is open.
    pub db: Option<Db>,
    /// What each step promised.
    pub history: History,
    /// Checkpoints that were acknowledged: where, and of which state.
    pub checkpoints: Arc<Mutex<Vec<(PathBuf, State)>>>,
    snapshot: Option<alluvium::Snapshot>,
}

impl Run {
    /// One that has yet to begin.
    pub fn new(disk: SimFs, set: OptionSet) -> Self {
        disk.set_mapping_supported(set.log_mode != alluvium::LogMode::Buffered);
        let clock = SimClock::new(1_000_000);
        let history = History::new();
        let (checkpoints, snapshot) = (Arc::default(), None);
        Self { disk, clock, set, db: None, history, checkpoints, snapshot }
    }

    /// Lets go of the database and of what keeps it open.
    pub fn let_go(&mut self) {
        self.snapshot = None;
        self.db = None;
    }

    /// Opens the database.
    pub fn open(&mut self) -> Result<()> {
        self.db = Some(self.set.builder(&self.disk, &self.clock).open()?);
        Ok(())
    }

    /// Runs until something fails or the machine goes off. Nothing is acknowledged by a machine
    /// that is off, whatever the call returned.
    pub fn go(&mut self, script: &[Step]) -> Result<()> {
        self.open()?;
        for step in script {
            self.step(step)?;
        }
        Ok(())
    }

    /// Makes one step and notes what it promises.
    pub fn step(&mut self, step: &Step) -> Result<()> {
        self.attempt(step);
        self.carry_out(step)?;
        if self.disk.is_frozen() {
            return Err(Error::invalid("the machine is off"));
        }
        self.history.acknowledge();
        let is_durable = match step {
            Step::Commit(_, persist) => *persist == Persist::Sync,
            Step::Persist | Step::Create(_) | Step::Drop(_) | Step::Reopen => true,
            Step::Flush
            | Step::Compact
            | Step::Work
            | Step::Advance(_)
            | Step::Checkpoint(_)
            | Step::Snapshot => false,
        };
        if is_durable {
            self.history.make_durable();
        }
        if let Step::Checkpoint(to) = step {
            self.checkpoints.lock().push((Path::new(to).to_owned(), self.history.latest()));
        }
        Ok(())
    }

    fn attempt(&mut self, step: &Step) {
        let now_ms = self.clock.now();
        match step {
            Step::Commit(writes, _) => self.history.attempt(|state| apply(state, writes, now_ms)),
            Step::Create(name) => self.history.attempt(|state| {
                state.keyspaces.entry((*name).to_owned()).or_default();
            }),
            Step::Drop(name) => self.history.attempt(|state| {
                state.keyspaces.remove(*name);
            }),
            Step::Persist
            | Step::Flush
            | Step::Compact
            | Step::Work
            | Step::Advance(_)
            | Step::Checkpoint(_)
            | Step::Snapshot
            | Step::Reopen => {}
        }
    }

    fn carry_out(&mut self, step: &Step) -> Result<()> {
        if let Step::Reopen = step {
            self.snapshot = None;
            if let Some(db) = self.db.take() {
                db.close()?;
            }
            return self.open();
        }
        let db = self.db.as_ref().expect("it is open");
        match step {
            Step::Snapshot => {
                self.snapshot = Some(db.snapshot());
                Ok(())
            }
            Step::Commit(writes, persist) => commit(db, writes, *persist),
            Step::Persist => db.persist(Persist::Sync),
            Step::Flush => db.flush(),
            Step::Compact => db.compact(),
            Step::Work => work(db),
            Step::Create(name) => db.keyspace(name, self.set.keyspace.clone()).map(drop),
            Step::Drop(name) => db.drop_keyspace(name),
            Step::Advance(ms) => {
                self.clock.advance_ms(*ms);
                Ok(())
            }
            Step::Checkpoint(to) => db.checkpoint(to),
            Step::Reopen => Ok(()),
        }
    }
}

/// Background work until there is none: that must come to an end.
fn work(db: &Db) -> Result<()> {
    for _ in 0..1000 {
        if !db.step()? {
            return Ok(());
        }
    }
    panic!("compaction does not end: {:#?}", db.stats()?.keyspaces)
}

fn apply(state: &mut State, writes: &[Write], now_ms: u64) {
    for write in writes {
        let tree = state.keyspaces.get_mut(write.keyspace).expect("scripts know their keyspaces");
        match &write.what {
            What::Put(value) => drop(tree.insert(write.key.clone(), (value.clone(), None))),
            What::Expiring(value, ttl_ms) => {
                drop(tree.insert(write.key.clone(), (value.clone(), Some(now_ms + ttl_ms))));
            }
            What::Remove => drop(tree.remove(&write.key)),
        }
    }
}

/// Commits writes to keyspaces that are there.
pub fn commit(db: &Db, writes: &[Write], persist: Persist) -> Result<()> {
    let mut batch = db.batch();
    for write in writes {
        let missing = || Error::invalid(format!("there is no keyspace {}", write.keyspace));
        let keyspace = db.find_keyspace(write.keyspace)?.ok_or_else(missing)?;
        match &write.what {
            What::Put(value) => batch.insert(&keyspace, &write.key, value),
            What::Expiring(value, ttl_ms) => {
                batch.insert_expiring(&keyspace, &write.key, value, Duration::from_millis(*ttl_ms))
            }
            What::Remove => batch.remove(&keyspace, &write.key),
        };
    }
    batch.commit(persist)
}
