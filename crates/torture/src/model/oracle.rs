//! The reference: what each action must be answered, from testkit's oracle.

use std::collections::BTreeMap;
use std::ops::Bound;

use alluvium_testkit::{Direction, Durability, Op, Oracle, SimClock, View, Write};

use super::action::{Action, Answer, OPEN_SCANS, OnlyIf, Pairs, end_of};

/// A scan that stays open: of which position and moment, and what is left of it.
#[derive(Debug)]
struct OpenScan {
    slot: u8,
    at: usize,
    /// The moment that judges expiry: a snapshot's, or that of the scan's beginning.
    at_ms: u64,
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

/// A database as it should be.
#[derive(Debug)]
pub struct Reference {
    oracle: Oracle,
    clock: SimClock,
    /// By slot: how many commits each sees, at which moment.
    snapshots: BTreeMap<u8, (usize, u64)>,
    scans: Vec<OpenScan>,
}

fn owned(pairs: &[(&[u8], &[u8])]) -> Pairs {
    pairs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

impl Reference {
    /// An empty database with this time.
    pub fn new(clock: SimClock) -> Self {
        let (snapshots, scans) = (BTreeMap::new(), Vec::new());
        Self { oracle: Oracle::new(), clock, snapshots, scans }
    }

    /// What `action` must be answered. What was found after a power cut decides how much of the
    /// history is left; an error tells why it is none of the answers allowed.
    pub fn expect(&mut self, action: &Action, found: &Answer) -> Result<Answer, String> {
        let slot = match action {
            Action::Op(op) => return self.expect_op(op, found),
            Action::PutIf { slot, .. }
            | Action::GetMany { slot, .. }
            | Action::Ends { slot, .. }
            | Action::OpenScan { slot, .. } => *slot,
            Action::StepScans { ends } => return Ok(Answer::Scans(self.step_scans(*ends))),
            Action::OpenAgain => return Ok(Answer::Refused),
            Action::Step => return Ok(Answer::Done),
            Action::Checkpoint => return Ok(self.content()),
        };
        if !self.oracle.has_keyspace(slot) {
            return Ok(Answer::Refused);
        }
        let (at, now_ms) = (self.oracle.len(), self.clock.now());
        Ok(match action {
            Action::PutIf { key, only_if, value, ttl_ms, .. } => {
                self.put_if(slot, key, *only_if, value, *ttl_ms)
            }
            Action::GetMany { keys, .. } => {
                let get = |key: &Vec<u8>| self.oracle.get(slot, key, at, now_ms);
                Answer::Values(keys.iter().map(|key| get(key).map(<[u8]>::to_vec)).collect())
            }
            Action::Ends { prefix, .. } => self.ends(slot, prefix),
            Action::OpenScan { start, end, view, .. } => {
                let (at, at_ms) = self.point(*view);
                let (start, end) = (start.clone(), end.clone());
                self.scans.push(OpenScan { slot, at, at_ms, start, end });
                if self.scans.len() > OPEN_SCANS {
                    self.scans.remove(0);
                }
                Answer::Done
            }
            Action::Op(_)
            | Action::StepScans { .. }
            | Action::OpenAgain
            | Action::Step
            | Action::Checkpoint => unreachable!("answered above"),
        })
    }

    fn expect_op(&mut self, op: &Op, found: &Answer) -> Result<Answer, String> {
        if let Some((writes, durability)) = op.writes() {
            self.oracle.commit(&writes, self.clock.now());
            if durability == Durability::Sync {
                self.oracle.mark_durable();
            }
            return Ok(Answer::Done);
        }
        Ok(match op {
            Op::Get { keyspace, key, view } => self.get(*keyspace, key, *view, found)?,
            Op::Scan { keyspace, start, end, direction, view } => {
                if !self.oracle.has_keyspace(*keyspace) {
                    return Ok(Answer::Refused);
                }
                let (at, at_ms) = self.point(*view);
                let bounds = (start, end);
                Answer::Pairs(owned(&self.oracle.scan(*keyspace, bounds, *direction, at, at_ms)))
            }
            Op::Snapshot { slot } => {
                self.snapshots.insert(*slot, (self.oracle.len(), self.clock.now()));
                Answer::Done
            }
            Op::DropSnapshot { slot } => {
                self.snapshots.remove(slot);
                Answer::Done
            }
            Op::CreateKeyspace { keyspace } => {
                self.oracle.create_keyspace(*keyspace);
                Answer::Done
            }
            Op::DropKeyspace { keyspace } => {
                let is_there = self.oracle.has_keyspace(*keyspace);
                self.oracle.drop_keyspace(*keyspace);
                self.scans.retain(|scan| scan.slot != *keyspace);
                if is_there { Answer::Done } else { Answer::Refused }
            }
            Op::Persist => {
                self.oracle.mark_durable();
                Answer::Done
            }
            Op::Reopen => {
                self.snapshots.clear();
                let scans = std::mem::take(&mut self.scans);
                self.oracle.mark_durable();
                Answer::Scans(scans.iter().map(|scan| owned(&self.left_of(scan))).collect())
            }
            Op::Kill => {
                // All is there, but no more of it is durable than before.
                self.forget_readers();
                self.content()
            }
            Op::Crash { .. } => {
                self.forget_readers();
                self.settle(found)?
            }
            Op::Insert { .. }
            | Op::PutExpiring { .. }
            | Op::Remove { .. }
            | Op::Batch { .. }
            | Op::Flush { .. }
            | Op::Compact { .. }
            | Op::AdvanceClock { .. } => Answer::Done,
        })
    }

    fn forget_readers(&mut self) {
        self.snapshots.clear();
        self.scans.clear();
    }

    /// After a power cut: what was found must be a prefix with everything durable in it.
    fn settle(&mut self, found: &Answer) -> Result<Answer, String> {
        let Answer::Recovered(content, expiries) = found else {
            return Err(format!("after a power cut: {found:?}"));
        };
        let now_ms = self.clock.now();
        let prefixes = self.oracle.check_prefix(content, now_ms);
        let prefixes = prefixes.map_err(|mismatch| mismatch.to_string())?;
        // The same value may have been written twice, to expire at different moments. Prefixes that
        // agree in this, too, are the same for ever.
        let explains = |&at: &usize| {
            let keys = content
                .iter()
                .flat_map(|(&slot, entries)| entries.keys().map(move |key| (slot, key)));
            keys.into_iter().all(|(slot, key)| {
                self.expires(slot, key, at, expiries.get(&(slot, key.clone())).copied())
            })
        };
        let at = prefixes.into_iter().rfind(explains).ok_or("values expire at the wrong time")?;
        self.oracle.recover_to(at);
        Ok(Answer::Recovered(self.oracle.content(at, now_ms), expiries.clone()))
    }

    /// Whether the key expires at this moment, or never, after the first `at` commits.
    fn expires(&self, slot: u8, key: &[u8], at: usize, expiry_ms: Option<u64>) -> bool {
        let is_there = |moment_ms| self.oracle.get(slot, key, at, moment_ms).is_some();
        match expiry_ms {
            None => is_there(u64::MAX),
            Some(ms) => ms > 0 && is_there(ms - 1) && !is_there(ms),
        }
    }

    fn content(&self) -> Answer {
        Answer::Content(self.oracle.content(self.oracle.len(), self.clock.now()))
    }

    /// The position and moment that a view reads at.
    fn point(&self, view: View) -> (usize, u64) {
        let of_snapshot = match view {
            View::Snapshot(slot) => self.snapshots.get(&slot).copied(),
            View::Latest => None,
        };
        of_snapshot.unwrap_or_else(|| (self.oracle.len(), self.clock.now()))
    }

    /// When a value expires, the oracle is not asked, but what it finds before and after.
    fn get(&self, slot: u8, key: &[u8], view: View, found: &Answer) -> Result<Answer, String> {
        if !self.oracle.has_keyspace(slot) {
            return Ok(Answer::Refused);
        }
        let (at, at_ms) = self.point(view);
        let expected = self.oracle.get(slot, key, at, at_ms).map(<[u8]>::to_vec);
        let expiry_ms = if let Answer::Value(_, expiry_ms) = found { *expiry_ms } else { None };
        let is_there = expected.is_some();
        if is_there && !self.expires(slot, key, at, expiry_ms) || !is_there && expiry_ms.is_some() {
            return Err(format!("at {at_ms}, it expires at another moment: {found:?}"));
        }
        Ok(Answer::Value(expected, expiry_ms))
    }

    fn put_if(
        &mut self,
        slot: u8,
        key: &[u8],
        only_if: OnlyIf,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Answer {
        let now_ms = self.clock.now();
        let is_there = self.oracle.get(slot, key, self.oracle.len(), now_ms).is_some();
        let holds = match only_if {
            OnlyIf::Absent => !is_there,
            OnlyIf::Present | OnlyIf::EqualsCurrent => is_there,
            OnlyIf::EqualsOther => false,
        };
        if !holds {
            return Answer::Refused;
        }
        let (keyspace, key, value) = (slot, key.to_vec(), value.to_vec());
        let write = match ttl_ms {
            Some(ttl_ms) => Write::PutExpiring { keyspace, key, value, ttl_ms },
            None => Write::Put { keyspace, key, value },
        };
        self.oracle.commit(&[write], now_ms);
        Answer::Done
    }

    fn ends(&self, slot: u8, prefix: &[u8]) -> Answer {
        let all = (&Bound::Unbounded, &Bound::Unbounded);
        let (at, now_ms) = (self.oracle.len(), self.clock.now());
        let all = owned(&self.oracle.scan(slot, all, Direction::Forward, at, now_ms));
        let with_prefix = all.iter().filter(|(key, _)| key.starts_with(prefix)).cloned().collect();
        let count = all.len() as u64;
        Answer::Ends(all.first().cloned(), all.last().cloned(), count, with_prefix)
    }

    fn left_of(&self, scan: &OpenScan) -> Vec<(&[u8], &[u8])> {
        let bounds = (&scan.start, &scan.end);
        self.oracle.scan(scan.slot, bounds, Direction::Forward, scan.at, scan.at_ms)
    }

    fn step_scans(&mut self, ends: u64) -> Vec<Pairs> {
        let mut scans = std::mem::take(&mut self.scans);
        let mut number = 0;
        let mut answers = Vec::new();
        scans.retain_mut(|scan| {
            let mut met = Pairs::new();
            let is_open = (0..2).all(|step| {
                let is_front = end_of(ends, number, step);
                let left = self.left_of(scan);
                let pair = if is_front { left.first() } else { left.last() };
                let Some((key, value)) = pair else { return false };
                met.push((key.to_vec(), value.to_vec()));
                let bound = Bound::Excluded(key.to_vec());
                *(if is_front { &mut scan.start } else { &mut scan.end }) = bound;
                true
            });
            number += 1;
            answers.push(met);
            is_open
        });
        self.scans = scans;
        answers
    }
}
