//! What the parent knows: of each round, which writes must be there and which may.
//!
//! ```text
//!   writes of a thread   0 ─────────── low ─────────── high
//!                        └ must be there ┘└ may be there ┘└ were never begun
//! ```
//!
//! Once a round was seen after a recovery, low and high are what was found, for good. Older rounds
//! are removed, and must not come back.

use std::collections::BTreeSet;
use std::path::Path;

use alluvium::{Db, Keyspace, LogMode, Persist, Read};

use super::load::{
    Counts, THREADS, WINDOW, builder, checkpoint_dir, key, keyspace_name, last_key, last_value,
    parse_counts, shown, value,
};
use super::said::Said;

/// How many rounds are kept besides those that were not looked at yet.
const KEPT: usize = 2;

/// What ended a round, and so what must be left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The death of the process: everything acknowledged is there.
    Process,
    /// The loss of power: everything synced is there.
    Power,
}

/// What is known of all rounds of one folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    rounds: Vec<Round>,
    /// By thread, what stands under [`last_key`] before the first of `rounds`.
    last: [Option<String>; THREADS],
    /// A database with its two keyspaces was there.
    is_open: bool,
}

/// What is known of one round.
#[derive(Clone, Debug)]
struct Round {
    number: u32,
    low: Counts,
    high: Counts,
    keyspace_calls: std::ops::RangeInclusive<u32>,
    /// Checkpoints, and what each holds at least.
    checkpoints: Vec<(u32, Counts)>,
}

impl Book {
    /// Notes what a child said, and how it ended.
    pub(super) fn add(&mut self, number: u32, said: &Said, end: End) {
        self.is_open |= said.is_open;
        let (acknowledged, durable) = (said.acknowledged, said.durable);
        let low = if end == End::Power { durable } else { acknowledged };
        // What a sync covered may have been acknowledged without the child coming to say so, and
        // one write of each thread may have been under way.
        let high = std::array::from_fn(|thread| acknowledged[thread].max(durable[thread]) + 1);
        let keyspace_calls = said.durable_keyspace_calls..=said.keyspace_calls + 1;
        let checkpoints = said.checkpoints.iter().map(|(n, holds)| (*n, *holds)).collect();
        self.rounds.push(Round { number, low, high, keyspace_calls, checkpoints });
    }

    /// A round that did not only end with its process: the page cache is gone too.
    pub(super) fn only_durable(&mut self, number: u32, said: &Said) {
        let round = self.rounds.iter_mut().find(|round| round.number == number);
        round.expect("it was added").low = said.durable;
    }

    /// Everything that must be in the database is there, and nothing else. Answers how many writes
    /// that are.
    pub(super) fn verify(&mut self, db: &Db) -> Result<u64, String> {
        let Some(other) = db.find_keyspace("other").map_err(|error| error.to_string())? else {
            let nothing = if self.is_open { Err("a keyspace is gone".to_owned()) } else { Ok(0) };
            return nothing;
        };
        let mut names: BTreeSet<String> =
            db.keyspaces().map_err(|error| error.to_string())?.into_iter().collect();
        names.retain(|name| name.starts_with("fleeting"));
        let (mut last, mut found) = (self.last.clone(), 0);
        for round in &mut self.rounds {
            let counts = count(db, &other, round.number, round.high)?;
            for thread in 0..THREADS {
                if counts[thread] < round.low[thread] {
                    return Err(format!(
                        "round {}: writes are lost: {} must be there, and {} are",
                        round.number,
                        shown(round.low),
                        shown(counts)
                    ));
                }
                if let Some(n) = counts[thread].checked_sub(1) {
                    last[thread] = Some(last_value(round.number, n));
                }
                found += u64::from(counts[thread]);
            }
            (round.low, round.high) = (counts, counts);
            round.settle_keyspaces(&mut names)?;
        }
        if let Some(name) = names.first() {
            return Err(format!("the keyspace {name} is there again"));
        }
        for (thread, expected) in last.iter().enumerate() {
            let stands = db.get(last_key(thread)).map_err(|error| error.to_string())?;
            let stands = stands.map(|value| String::from_utf8_lossy(&value).into_owned());
            if stands != *expected {
                return Err(format!("thread {thread} wrote {expected:?} last, found {stands:?}"));
            }
        }
        let all = db.count().map_err(|error| error.to_string())?;
        // What a child and its parent try once the disk is well again.
        let after = db.contains_key("after").map_err(|error| error.to_string())?;
        let expected = found + last.iter().flatten().count() as u64 + u64::from(after);
        if all != expected {
            return Err(format!("{expected} keys must be there, found {all}: some came back"));
        }
        Ok(found)
    }

    /// The newest checkpoint that was acknowledged, if there is one, opens and holds its writes.
    pub(super) fn verify_checkpoints(&mut self, dir: &Path, mode: LogMode) -> Result<u64, String> {
        let mut verified = 0;
        for round in &mut self.rounds {
            if let Some((n, holds)) = std::mem::take(&mut round.checkpoints).pop() {
                verify_checkpoint(&checkpoint_dir(dir, round.number, n), mode, round, holds)
                    .map_err(|what| format!("checkpoint {n} of round {}: {what}", round.number))?;
                verified += 1;
            }
        }
        Ok(verified)
    }

    /// Removes all but the newest rounds, for good.
    pub(super) fn forget(&mut self, db: &Db) -> alluvium::Result<()> {
        let mut last = self.last.clone();
        let old = self.rounds.len().saturating_sub(KEPT);
        let Some(other) = db.find_keyspace("other")? else { return Ok(()) };
        for name in db.keyspaces()?.iter().filter(|name| name.starts_with("fleeting")) {
            db.drop_keyspace(name)?;
        }
        for round in &mut self.rounds {
            round.keyspace_calls = 0..=0;
        }
        for round in self.rounds.drain(..old) {
            let mut batch = db.batch();
            for (thread, (&high, last)) in round.high.iter().zip(&mut last).enumerate() {
                for n in 0..high {
                    batch.remove(&db.default_keyspace(), key(round.number, thread, n));
                    batch.remove(&other, key(round.number, thread, n));
                }
                if let Some(n) = high.checked_sub(1) {
                    *last = Some(last_value(round.number, n));
                }
            }
            batch.commit(Persist::Sync)?;
        }
        self.last = last;
        Ok(())
    }
}

impl Round {
    /// Which call was the last is decided by what is there; takes that out of `names`.
    fn settle_keyspaces(&mut self, names: &mut BTreeSet<String>) -> Result<(), String> {
        let stands_after = |calls: u32| {
            // An odd number of calls ended with one that creates.
            (calls % 2 == 1).then(|| keyspace_name(self.number, calls - 1))
        };
        let prefix = format!("fleeting-{}-", self.number);
        let found: Vec<_> = names.extract_if(.., |name| name.starts_with(&prefix)).collect();
        let calls = self
            .keyspace_calls
            .clone()
            .find(|calls| stands_after(*calls).as_slice() == found.as_slice());
        let Some(calls) = calls else {
            let calls = &self.keyspace_calls;
            return Err(format!("after {calls:?} calls there are the keyspaces {found:?}"));
        };
        self.keyspace_calls = calls..=calls;
        Ok(())
    }
}

/// Counts a round's writes by thread: without a gap, each with its own value, batches whole, and
/// none without those that were acknowledged before it.
fn count(db: &Db, other: &Keyspace, round: u32, high: Counts) -> Result<Counts, String> {
    let (mut counts, mut before) = ([0; THREADS], [0; THREADS]);
    for (thread, count) in counts.iter_mut().enumerate() {
        for entry in db.prefix(format!("{round:06}/{thread}/")) {
            let (found_key, found) = entry.map_err(|error| error.to_string())?;
            let n = *count;
            let wrong = || format!("round {round}, thread {thread}: a gap or a wrong value at {n}");
            let text = std::str::from_utf8(&found).map_err(|_| wrong())?;
            let known = text.split_once(' ').and_then(|(known, _)| parse_counts(known));
            let known = known.ok_or_else(wrong)?;
            if *found_key != *key(round, thread, n).as_bytes() || text != value(thread, n, known) {
                return Err(wrong());
            }
            before = std::array::from_fn(|thread| before[thread].max(known[thread]));
            *count += 1;
        }
        let first = count.saturating_sub(WINDOW);
        let expected = (first..*count).map(|n| key(round, thread, n).into_bytes());
        let mut there = Vec::new();
        for entry in other.prefix(format!("{round:06}/{thread}/")) {
            there.push(entry.map_err(|error| error.to_string())?.0.to_vec());
        }
        if !expected.eq(there) {
            return Err(format!("round {round}, thread {thread}: a batch was torn"));
        }
    }
    if let Some(thread) = (0..THREADS).find(|thread| counts[*thread] < before[*thread]) {
        return Err(format!(
            "round {round}: no prefix: {} of thread {thread} were acknowledged before a write that \
             is there, found {}",
            before[thread],
            shown(counts)
        ));
    }
    if (0..THREADS).any(|thread| counts[thread] > high[thread]) {
        let (high, counts) = (shown(high), shown(counts));
        return Err(format!("round {round}: {counts} are there, and at most {high} were begun"));
    }
    Ok(counts)
}

fn verify_checkpoint(
    dir: &Path,
    mode: LogMode,
    round: &Round,
    holds: Counts,
) -> Result<(), String> {
    let db = builder(dir, mode).create_if_missing(false).open();
    let db = db.map_err(|error| format!("it does not open: {error}"))?;
    let other = db.find_keyspace("other").map_err(|error| error.to_string())?;
    let other = other.ok_or("a keyspace is gone")?;
    // The copy may hold writes that the original lost with the power, but none never begun.
    let counts = count(&db, &other, round.number, [u32::MAX; THREADS])?;
    if (0..THREADS).any(|thread| counts[thread] < holds[thread]) {
        return Err(format!("it holds {}, not {}", shown(counts), shown(holds)));
    }
    Ok(())
}
