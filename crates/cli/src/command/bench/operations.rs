//! The operations of each workload, one thread's share of them.

use std::ops::Range;

use alluvium::{Db, Keyspace, Persist, Read, Scan};
use anyhow::{Result, ensure};
use fastrand::Rng;

use super::measure::Share;
use super::values::{Shuffle, Values, key};
use super::workload::Workload;

/// Entries read after each seek.
const ENTRIES_PER_SEEK: usize = 10;

/// What all workloads of a run have in common.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) db: Db,
    pub(super) keyspace: Keyspace,
    /// How many keys there are.
    pub(super) keys: u64,
    pub(super) threads: u16,
    pub(super) seed: u64,
    pub(super) persist: Persist,
    pub(super) values: Values,
}

impl Setup {
    /// Makes the operations `places` of `workload` as thread `thread`, and notes each in `share`.
    pub(super) fn run(
        &self,
        workload: Workload,
        places: Range<u64>,
        thread: u16,
        share: &mut Share,
    ) -> Result<()> {
        // Each thread draws other numbers, and each workload too: a read must not repeat the order
        // of the writes before it.
        let stream = u64::from(thread) << 8 | workload as u64;
        let mut random = Rng::with_seed(self.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let shuffle = Shuffle::new(workload.operations(self.keys), self.seed);
        match workload {
            Workload::FillSeq => self.fill(places, |at| at, self.persist, share),
            Workload::FillRandom => self.fill(places, |at| shuffle.get(at), self.persist, share),
            Workload::FillSync => self.fill(places, |at| shuffle.get(at), Persist::Sync, share),
            Workload::Overwrite => {
                self.fill(places, |_| random.u64(..self.keys), self.persist, share)
            }
            Workload::ReadRandom => self.get(places, || key(random.u64(..self.keys)), share),
            Workload::ReadMissing => self.get(places, || missing(random.u64(..self.keys)), share),
            Workload::SeekRandom => self.seek(places, &mut random, share),
            Workload::ReadSeq => walk(self.span(places), share),
            Workload::ReadReverse => walk(self.span(places).rev(), share),
        }
    }

    fn fill(
        &self,
        places: Range<u64>,
        mut number: impl FnMut(u64) -> u64,
        persist: Persist,
        share: &mut Share,
    ) -> Result<()> {
        for at in places {
            let (key, value) = (key(number(at)), self.values.get(at));
            if persist == self.persist {
                self.keyspace.insert(key, value)?;
            } else {
                let mut batch = self.db.batch();
                batch.insert(&self.keyspace, key, value);
                batch.commit(persist)?;
            }
            share.note(key.len() + value.len());
        }
        Ok(())
    }

    fn get<K: AsRef<[u8]>>(
        &self,
        places: Range<u64>,
        mut key: impl FnMut() -> K,
        share: &mut Share,
    ) -> Result<()> {
        for _ in places {
            let key = key();
            let value = self.keyspace.get(&key)?;
            share.found += u64::from(value.is_some());
            share.note(value.map_or(0, |value| key.as_ref().len() + value.len()));
        }
        Ok(())
    }

    fn seek(&self, places: Range<u64>, random: &mut Rng, share: &mut Share) -> Result<()> {
        for _ in places {
            let from = key(random.u64(..self.keys));
            let mut bytes = 0;
            for entry in self.keyspace.range(from..).take(ENTRIES_PER_SEEK) {
                let (key, value) = entry?;
                bytes += key.len() + value.len();
            }
            share.found += u64::from(bytes > 0);
            share.note(bytes);
        }
        Ok(())
    }

    /// The entries of a thread's share of the keys; the last share goes on to the end.
    fn span(&self, places: Range<u64>) -> Scan {
        if places.end >= self.keys {
            return self.keyspace.range(key(places.start)..);
        }
        self.keyspace.range(key(places.start)..key(places.end))
    }
}

fn walk(
    entries: impl Iterator<Item = alluvium::Result<alluvium::KeyValue>>,
    share: &mut Share,
) -> Result<()> {
    for entry in entries {
        let (key, value) = entry?;
        share.found += 1;
        share.note(key.len() + value.len());
    }
    ensure!(share.found > 0, "there is nothing to read");
    Ok(())
}

/// A key between two that may be there, so that no table's range rules it out.
fn missing(at: u64) -> [u8; 17] {
    let mut missing = [b'.'; 17];
    missing[..16].copy_from_slice(&key(at));
    missing
}
