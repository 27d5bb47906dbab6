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

mod copies;
mod long_scans;
mod reads;
mod restart;
mod setup;
mod step;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use alluvium::{Batch, Bytes, Condition, Db, ErrorKind, Keyspace, Persist, Put, Result, Snapshot};
use alluvium_testkit::{
    Durability, KeyspaceSlot, Op, Oracle, SimClock, SimFs, Write, keyspace_name,
};

use long_scans::LongScan;
use restart::Restart;
pub use setup::Setup;
use step::{Step, Wanted};

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
    /// Scans that stay open while the database changes below them.
    scans: Vec<LongScan>,
    /// How many faults there were when it was opened.
    faults_before: u64,
    /// Which operation this is, for failures.
    step: usize,
}

/// Runs the operations that the bytes describe.
pub fn run(bytes: &[u8]) {
    let (setup, steps) = Setup::decode(bytes);
    let mut driver = Driver::new(setup);
    for (number, step) in steps.iter().enumerate() {
        driver.step = number;
        driver.take_step(step);
    }
    driver.restart(Restart::Crash(steps.len() as u64));
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
            scans: Vec::new(),
            faults_before: 0,
            step: 0,
        }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("it is open between restarts")
    }

    fn take_step(&mut self, step: &Step) {
        let outcome = match step {
            Step::Op(Op::Crash { seed }) => return self.restart(Restart::Crash(*seed)),
            Step::Op(Op::Kill) => return self.restart(Restart::Kill),
            Step::Op(Op::Reopen) => return self.reopen(),
            Step::Op(op) => self.carry_out(op),
            Step::PutIf { keyspace, key, value, ttl_ms, only_if } => {
                self.put_if(*keyspace, key, value, *ttl_ms, *only_if)
            }
            Step::GetMany { keyspace, keys } => self.get_many(*keyspace, keys),
            Step::Ends { keyspace, prefix } => self.ends(*keyspace, prefix),
            Step::BeginScan { keyspace, start, end, view } => {
                self.begin_scan(*keyspace, (start, end), *view)
            }
            Step::MoveScans { count } => self.move_scans(*count),
            Step::Checkpoint => self.checkpoint(),
        };
        let is_frozen = self.disk.is_frozen();
        if matches!(outcome, Outcome::Interrupted) || is_frozen {
            if !is_frozen {
                self.read_after_failure();
            }
            self.restart(self.setup.restart_after_fault(self.step, is_frozen));
        }
    }

    fn carry_out(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Crash { .. } | Op::Kill | Op::Reopen => Outcome::Done,
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
        self.note_write(&writes, durability, result)
    }

    /// Tells the oracle of a commit that came to `result`.
    fn note_write(
        &mut self,
        writes: &[Write],
        durability: Durability,
        result: Result<()>,
    ) -> Outcome {
        let outcome = self.explain(result);
        let is_certain = matches!(outcome, Outcome::Done)
            && (durability == Durability::Sync || !self.disk.is_frozen());
        if !is_certain {
            self.before_doubt = Some(self.oracle.clone());
        }
        if !writes.is_empty() {
            self.oracle.commit(writes, self.clock.now());
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
            return self.commit_batch(batch, durability);
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

    /// Commits it and waits, or has the outcome told to a callback, by turns. Without threads of the
    /// database's own the callback has been called when the call returns.
    fn commit_batch(&self, batch: Batch, durability: Durability) -> Result<()> {
        let persist = match durability {
            Durability::Buffer => Persist::Buffer,
            Durability::Sync => Persist::Sync,
        };
        if self.step.is_multiple_of(2) {
            return batch.commit(persist);
        }
        let (tell, told) = mpsc::channel();
        batch.commit_then(persist, move |outcome| tell.send(outcome).expect("it is waited for"))?;
        told.try_recv().expect("the callback was called")
    }

    /// A write that is made only if what it asks for holds.
    fn put_if(
        &mut self,
        slot: KeyspaceSlot,
        key: &[u8],
        value: &[u8],
        ttl_ms: Option<u64>,
        wanted: Wanted,
    ) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        let old = self.oracle.get(slot, key, self.oracle.len(), self.clock.now());
        let (only_if, holds) = match wanted {
            Wanted::Absent => (Condition::Absent, old.is_none()),
            Wanted::Present => (Condition::Present, old.is_some()),
            Wanted::Old => match old {
                Some(old) => (Condition::Equals(Bytes::copy_from_slice(old)), true),
                None => (Condition::Equals(Bytes::new()), false),
            },
            Wanted::Another => {
                let other = [old.unwrap_or_default(), b"!"].concat();
                (Condition::Equals(other.into()), false)
            }
        };
        let put = Put { ttl: ttl_ms.map(Duration::from_millis), only_if };
        let result = keyspace.put(key, value, put);
        if matches!(&result, Err(error) if error.kind() == ErrorKind::Conflict) {
            assert!(!holds, "step {}: refused, though {wanted:?} holds", self.step);
            return Outcome::Done;
        }
        assert!(holds || result.is_err(), "step {}: written, though not {wanted:?}", self.step);
        if !holds {
            // Whatever failed, it was not the write.
            return self.explain(result);
        }
        let (keyspace, key, value) = (slot, key.to_vec(), value.to_vec());
        let write = match ttl_ms {
            Some(ttl_ms) => Write::PutExpiring { keyspace, key, value, ttl_ms },
            None => Write::Put { keyspace, key, value },
        };
        self.note_write(&[write], Durability::Buffer, result)
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
