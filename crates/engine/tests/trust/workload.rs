//! A small workload that goes through everything: what crashes and faults are tried on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alluvium::{
    Background, Builder, Compression, Db, Error, Filter, KeyspaceOptions, LogMode, Persist, Result,
};
use alluvium_testkit::{SimClock, SimFs};

use crate::history::{History, State};

/// Where the database lives: not at the top, so that the folder's own name must be made durable.
pub(crate) const DIR: &str = "data/db";

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Commit(Vec<Write>, Persist),
    Persist,
    Flush,
    Compact,
    /// Background work, until there is none.
    Work,
    Create(&'static str),
    Drop(&'static str),
    Advance(u64),
    Checkpoint(&'static str),
    Reopen,
}

/// One write of a batch: keyspace, key, and what.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) keyspace: &'static str,
    pub(crate) key: Vec<u8>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Put(Vec<u8>),
    Expiring(Vec<u8>, u64),
    Remove,
}

pub(crate) fn put(keyspace: &'static str, key: &str, value: impl Into<Vec<u8>>) -> Write {
    Write { keyspace, key: key.into(), what: What::Put(value.into()) }
}

pub(crate) fn expiring(keyspace: &'static str, key: &str, value: &str, ttl_ms: u64) -> Write {
    Write { keyspace, key: key.into(), what: What::Expiring(value.into(), ttl_ms) }
}

pub(crate) fn remove(keyspace: &'static str, key: &str) -> Write {
    Write { keyspace, key: key.into(), what: What::Remove }
}

/// Options so small that a few writes make levels.
pub(crate) fn tiny() -> KeyspaceOptions {
    KeyspaceOptions {
        write_buffer_size: 2 << 10,
        block_size: 256,
        compression: vec![Compression::None, Compression::Lz4],
        filter: Filter::Blocked { bits_per_key: 10 },
        l0_trigger: 2,
        level_base_bytes: 2 << 10,
        level_multiplier: 2,
        target_file_size: 1 << 10,
        ..KeyspaceOptions::default()
    }
}

pub(crate) fn builder(disk: &SimFs, clock: &SimClock, mode: LogMode) -> Builder {
    Db::builder(DIR)
        .fs(Arc::new(disk.clone()))
        .clock(Arc::new(clock.clone()))
        .default_keyspace(tiny())
        .cache_bytes(64 << 10)
        .log_segment_size(4096)
        .max_log_bytes(16 << 10)
        .log_mode(mode)
        .background(Background::Manual)
}

/// A value that tells which write it is of: what is stale is seen.
fn value(n: usize, len: usize) -> Vec<u8> {
    format!("v{n}.").bytes().cycle().take(len).collect()
}

/// Writes of all sizes, over and over the same keys, with everything else in between.
pub(crate) fn script(rounds: usize) -> Vec<Step> {
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
            steps.push(Step::Checkpoint("copies/one"));
        }
        some_writes(&mut steps, 3);
    }
    steps
}

/// A shorter one, for trying many faults on each operation.
pub(crate) fn short_script() -> Vec<Step> {
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
    steps.extend([Step::Compact, Step::Checkpoint("copies/one")]);
    steps.extend((17..20).map(|n| commit(n, Buffer)));
    steps.push(Step::Reopen);
    steps
}

/// A workload under way.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) disk: SimFs,
    pub(crate) clock: SimClock,
    pub(crate) mode: LogMode,
    pub(crate) db: Option<Db>,
    pub(crate) history: History,
    /// Checkpoints that were acknowledged: where, and of which state.
    pub(crate) checkpoints: Vec<(PathBuf, State)>,
}

impl Run {
    pub(crate) fn new(disk: SimFs, mode: LogMode) -> Self {
        let clock = SimClock::new(1_000_000);
        let history = History::new();
        Self { disk, clock, mode, db: None, history, checkpoints: Vec::new() }
    }

    pub(crate) fn open(&mut self) -> Result<()> {
        self.db = Some(builder(&self.disk, &self.clock, self.mode).open()?);
        Ok(())
    }

    /// Runs until something fails or the machine goes off. Nothing is acknowledged by a machine
    /// that is off, whatever the call returned.
    pub(crate) fn go(&mut self, script: &[Step]) -> Result<()> {
        self.open()?;
        for step in script {
            self.step(step)?;
        }
        Ok(())
    }

    /// Makes one step and notes what it promises.
    pub(crate) fn step(&mut self, step: &Step) -> Result<()> {
        let is_checkpoint = matches!(step, Step::Checkpoint(_));
        self.attempt(step);
        self.carry_out(step)?;
        if self.disk.is_frozen() {
            return Err(Error::invalid("the machine is off"));
        }
        self.history.acknowledge();
        let is_durable = match step {
            Step::Commit(_, persist) => *persist == Persist::Sync,
            Step::Persist | Step::Create(_) | Step::Drop(_) | Step::Reopen => true,
            Step::Flush | Step::Compact | Step::Work | Step::Advance(_) | Step::Checkpoint(_) => {
                false
            }
        };
        if is_durable {
            self.history.make_durable();
        }
        if let (true, Step::Checkpoint(to)) = (is_checkpoint, step) {
            self.checkpoints.push((Path::new(to).to_owned(), self.history.latest().clone()));
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
            | Step::Reopen => {}
        }
    }

    fn carry_out(&mut self, step: &Step) -> Result<()> {
        if let Step::Reopen = step {
            if let Some(db) = self.db.take() {
                db.close()?;
            }
            return self.open();
        }
        let db = self.db.as_ref().expect("it is open");
        match step {
            Step::Commit(writes, persist) => commit(db, writes, *persist),
            Step::Persist => db.persist(Persist::Sync),
            Step::Flush => db.flush(),
            Step::Compact => db.compact(),
            Step::Work => work(db),
            Step::Create(name) => db.keyspace(name, tiny()).map(drop),
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

pub(crate) fn commit(db: &Db, writes: &[Write], persist: Persist) -> Result<()> {
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
