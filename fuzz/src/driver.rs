//! Operations carried out on a database and on the oracle, with faults and crashes, every answer
//! compared.
//!
//! ```text
//!   input ─► Setup (options, faults) ─► Db on SimFs ──┐
//!         └► operations ──────────────► each on both ─┴► same answers, or an error that a fault
//!                                                        explains; after a crash a prefix
//! ```
//!
//! A write that failed is *in doubt*: it may or may not be found after the restart, and a restart is
//! what follows it.

mod restart;
mod setup;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use alluvium::{Db, Error, ErrorKind, Keyspace, Persist, Put, Read, Result, Snapshot};
use alluvium_testkit::{
    Direction, Durability, KeyspaceSlot, Op, Oracle, SimClock, SimFs, View, Write, keyspace_name,
};

use restart::Restart;
pub use setup::Setup;

/// What an operation came to.
#[derive(Debug)]
enum Outcome {
    Done,
    /// It failed and a fault explains it, or the machine is off: restart.
    Interrupted,
}

/// A snapshot, and what it must see.
#[derive(Debug)]
struct Held {
    snapshot: Snapshot,
    /// How many commits there were, and the time.
    at: (usize, u64),
}

/// A database and what it must be.
#[derive(Debug)]
pub struct Driver {
    setup: Setup,
    disk: SimFs,
    clock: SimClock,
    /// `None` only while it restarts.
    db: Option<Db>,
    oracle: Oracle,
    /// The last write, keyspace creation or drop failed: what was before it is allowed too.
    before_doubt: Option<Oracle>,
    snapshots: BTreeMap<u8, Held>,
    /// How many faults there were when it was opened.
    faults_before: u64,
    /// Which operation this is, for failures.
    step: usize,
}

/// Runs the operations that the bytes describe.
pub fn run(bytes: &[u8]) {
    let (setup, ops) = Setup::decode(bytes);
    let mut driver = Driver::new(setup);
    for (step, op) in ops.iter().enumerate() {
        driver.step = step;
        driver.carry_out(op);
    }
    driver.restart(Restart::Crash(ops.len() as u64));
}

impl Driver {
    fn new(setup: Setup) -> Self {
        let (disk, clock) = (SimFs::new(setup.seed()), SimClock::new(1_000_000));
        disk.set_mapping_supported(setup.is_mapping_supported());
        let db = setup.open(&disk, &clock).expect("nothing fails yet");
        disk.set_faults(setup.faults(disk.op_count()));
        if let Some(after) = setup.freezes_after() {
            disk.freeze_after(disk.op_count() + after);
        }
        Self {
            setup,
            disk,
            clock,
            db: Some(db),
            oracle: Oracle::new(),
            before_doubt: None,
            snapshots: BTreeMap::new(),
            faults_before: 0,
            step: 0,
        }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("it is open between restarts")
    }

    fn carry_out(&mut self, op: &Op) {
        let outcome = match op {
            Op::Crash { seed } => return self.restart(Restart::Crash(*seed)),
            Op::Kill => return self.restart(Restart::Kill),
            Op::Reopen => return self.reopen(),
            Op::Insert { .. } | Op::PutExpiring { .. } | Op::Remove { .. } | Op::Batch { .. } => {
                self.write(op)
            }
            Op::Get { keyspace, key, view } => self.get(*keyspace, key, *view),
            Op::Scan { keyspace, start, end, direction, view } => {
                self.scan(*keyspace, (start, end), *direction, *view)
            }
            Op::Snapshot { slot } => {
                let at = (self.oracle.len(), self.clock.now());
                let snapshot = self.db().snapshot();
                self.snapshots.insert(*slot, Held { snapshot, at });
                Outcome::Done
            }
            Op::DropSnapshot { slot } => {
                self.snapshots.remove(slot);
                Outcome::Done
            }
            Op::CreateKeyspace { keyspace } => self.create_keyspace(*keyspace),
            Op::DropKeyspace { keyspace } => self.drop_keyspace(*keyspace),
            Op::Flush { keyspace } => self.maintain(*keyspace, Keyspace::flush),
            Op::Compact { keyspace } => self.maintain(*keyspace, Keyspace::compact),
            Op::Persist => self.persist(),
            Op::AdvanceClock { ms } => {
                self.clock.advance_ms(*ms);
                self.explain(self.db().step().map(drop))
            }
        };
        if matches!(outcome, Outcome::Interrupted) || self.disk.is_frozen() {
            self.restart(self.setup.restart_after_fault(self.step, self.disk.is_frozen()));
        }
    }

    /// A failure must have a fault behind it that came since the last restart.
    fn explain(&self, result: Result<()>) -> Outcome {
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => {
                let faults = self.disk.stats().faults - self.faults_before;
                let is_explained = faults > 0 || self.disk.is_frozen();
                assert!(is_explained, "step {}: nothing was wrong, but: {error}", self.step);
                let expected =
                    [ErrorKind::Io, ErrorKind::Corrupt, ErrorKind::Poisoned, ErrorKind::WouldStall];
                let is_expected = expected.contains(&error.kind());
                assert!(is_expected, "step {}: a fault of the disk became: {error}", self.step);
                Outcome::Interrupted
            }
        }
    }

    /// The handle of a keyspace that is there.
    fn keyspace(&self, slot: KeyspaceSlot) -> Option<Keyspace> {
        if !self.oracle.has_keyspace(slot) {
            return None;
        }
        let found = self.db().find_keyspace(&keyspace_name(slot)).expect("it is open");
        Some(found.unwrap_or_else(|| panic!("step {}: keyspace {slot} is gone", self.step)))
    }

    fn write(&mut self, op: &Op) -> Outcome {
        let Some((mut writes, durability)) = op.writes() else { return Outcome::Done };
        writes.retain(|write| self.oracle.has_keyspace(write.keyspace()));
        let result = self.commit(op, &writes, durability);
        let outcome = self.explain(result);
        let is_certain = matches!(outcome, Outcome::Done)
            && (durability == Durability::Sync || !self.disk.is_frozen());
        if !is_certain {
            self.before_doubt = Some(self.oracle.clone());
        }
        if !writes.is_empty() {
            self.oracle.commit(&writes, self.clock.now());
        }
        if is_certain && durability == Durability::Sync {
            self.oracle.mark_durable();
        }
        outcome
    }

    fn commit(&self, op: &Op, writes: &[Write], durability: Durability) -> Result<()> {
        let keyspace = |write: &Write| {
            self.keyspace(write.keyspace()).expect("writes to others were left out")
        };
        if let (Op::Batch { .. }, _) | (_, []) = (op, writes) {
            let mut batch = self.db().batch();
            for write in writes {
                let keyspace = keyspace(write);
                match write {
                    Write::Put { key, value, .. } => batch.insert(&keyspace, key, value),
                    Write::PutExpiring { key, value, ttl_ms, .. } => {
                        batch.insert_expiring(&keyspace, key, value, Duration::from_millis(*ttl_ms))
                    }
                    Write::Remove { key, .. } => batch.remove(&keyspace, key),
                };
            }
            return batch.commit(match durability {
                Durability::Buffer => Persist::Buffer,
                Durability::Sync => Persist::Sync,
            });
        }
        let keyspace = keyspace(&writes[0]);
        match &writes[0] {
            Write::Put { key, value, .. } => keyspace.insert(key, value),
            Write::PutExpiring { key, value, ttl_ms, .. } => {
                let ttl = Some(Duration::from_millis(*ttl_ms));
                keyspace.put(key, value, Put { ttl, ..Put::default() })
            }
            Write::Remove { key, .. } => keyspace.remove(key),
        }
    }

    /// What a view is to see, and its snapshot if it has one.
    fn moment(&self, view: View) -> (usize, u64, Option<&Snapshot>) {
        let held = match view {
            View::Latest => None,
            View::Snapshot(slot) => self.snapshots.get(&slot),
        };
        match held {
            Some(Held { snapshot, at: (at, now_ms) }) => (*at, *now_ms, Some(snapshot)),
            None => (self.oracle.len(), self.clock.now(), None),
        }
    }

    fn get(&self, slot: KeyspaceSlot, key: &[u8], view: View) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        let (at, now_ms, snapshot) = self.moment(view);
        let found = match snapshot {
            Some(snapshot) => snapshot.of(&keyspace).get(key),
            None => keyspace.get(key),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.explain_read(error),
        };
        let expected = self.oracle.get(slot, key, at, now_ms);
        let key = key.escape_ascii();
        assert_eq!(found.as_deref(), expected, "step {}: get \"{key}\"", self.step);
        Outcome::Done
    }

    fn scan(
        &self,
        slot: KeyspaceSlot,
        bounds: (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        direction: Direction,
        view: View,
    ) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        let (at, now_ms, snapshot) = self.moment(view);
        let range = (bounds.0.clone(), bounds.1.clone());
        let mut scan = match snapshot {
            Some(snapshot) => snapshot.of(&keyspace).range(range),
            None => keyspace.range(range),
        };
        let mut found = Vec::new();
        for turn in 0.. {
            let is_forward = match direction {
                Direction::Forward => true,
                Direction::Backward => false,
                Direction::Alternating => turn % 2 == 0,
            };
            let entry = if is_forward { scan.next() } else { scan.next_back() };
            match entry {
                Some(Ok(entry)) => found.push(entry),
                Some(Err(error)) => return self.explain_read(error),
                None => break,
            }
        }
        let expected = self.oracle.scan(slot, bounds, direction, at, now_ms);
        let found: Vec<_> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(found, expected, "step {}: scan {bounds:?} {direction:?}", self.step);
        Outcome::Done
    }

    /// A read that fails harms nobody: no restart.
    fn explain_read(&self, error: Error) -> Outcome {
        let _outcome = self.explain(Err(error));
        Outcome::Done
    }

    fn create_keyspace(&mut self, slot: KeyspaceSlot) -> Outcome {
        let created = self.db().keyspace(&keyspace_name(slot), self.setup.keyspace());
        let outcome = self.explain(created.map(drop));
        self.doubt_unless(&outcome);
        self.oracle.create_keyspace(slot);
        outcome
    }

    fn drop_keyspace(&mut self, slot: KeyspaceSlot) -> Outcome {
        if !self.oracle.has_keyspace(slot) {
            return Outcome::Done;
        }
        let outcome = self.explain(self.db().drop_keyspace(&keyspace_name(slot)));
        self.doubt_unless(&outcome);
        self.oracle.drop_keyspace(slot);
        outcome
    }

    fn doubt_unless(&mut self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Interrupted) {
            self.before_doubt = Some(self.oracle.clone());
        }
    }

    fn maintain(&self, slot: KeyspaceSlot, work: fn(&Keyspace) -> Result<()>) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        self.explain(work(&keyspace))
    }

    fn persist(&mut self) -> Outcome {
        let outcome = self.explain(self.db().persist(Persist::Sync));
        if matches!(outcome, Outcome::Done) {
            self.oracle.mark_durable();
        }
        outcome
    }
}
