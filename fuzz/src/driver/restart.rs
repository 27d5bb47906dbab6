//! Closing, dying and coming back: which of the allowed states was recovered?

use alluvium::{Db, Expiry, Read};
use alluvium_testkit::{Content, FaultPlan, Oracle, SimFs, Survival, keyspace_name};

use super::{Driver, Outcome};

/// How a database comes back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Restart {
    /// It was closed in order.
    Closed,
    /// The process died.
    Kill,
    /// The power was cut; the seed says what survived.
    Crash(u64),
}

impl Restart {
    /// The disk as it is found.
    fn image(self, disk: &SimFs) -> SimFs {
        match self {
            Self::Closed => disk.clone(),
            Self::Kill => disk.kill(),
            Self::Crash(seed) => disk.crash(Survival::Random(seed)),
        }
    }
}

impl Driver {
    /// Closes it in order and opens it again.
    pub(super) fn reopen(&mut self) {
        self.snapshots.clear();
        let db = self.db.take().expect("it is open between restarts");
        match self.explain(db.close()) {
            Outcome::Done if !self.disk.is_frozen() => {
                self.oracle.mark_durable();
                // Scans outlive the database.
                self.move_scans(u8::MAX);
                self.restart(Restart::Closed);
            }
            Outcome::Done | Outcome::Interrupted => {
                self.restart(self.setup.restart_after_fault(self.step, self.disk.is_frozen()));
            }
        }
    }

    /// Opens what is left of the disk, and compares all of it.
    pub(super) fn restart(&mut self, restart: Restart) {
        let disk = restart.image(&self.disk);
        // Only now, so that what the old one does at its end is not on the new disk.
        self.snapshots.clear();
        self.scans.clear();
        drop(self.db.take());
        self.disk = disk;
        let restart = self.open_with_faults(restart);
        self.disk.set_faults(FaultPlan::none());
        self.check_files(&self.disk);
        let db = match self.setup.open(&self.disk, &self.clock) {
            Ok(db) => db,
            // After an orderly end it is the same machine, and its power may fail just now.
            Err(_) if self.disk.is_frozen() => {
                return self.restart(Restart::Crash(self.step as u64));
            }
            Err(error) => {
                panic!("step {}: it does not open after {restart:?}: {error}", self.step)
            }
        };
        self.oracle = self.recognise(&db, restart);
        self.db = Some(db);
        self.faults_before = self.disk.stats().faults;
        self.disk.set_faults(self.setup.faults(self.disk.op_count()));
    }

    /// Lets recovery itself fail, and the process or the machine with it, where the setup says so.
    /// Returns the worst of what happened. A recovery that came to its end has made durable what it
    /// found, so that nothing after it is any worse.
    fn open_with_faults(&mut self, restart: Restart) -> Restart {
        self.faults_before = self.disk.stats().faults;
        self.disk.set_mapping_supported(self.setup.is_mapping_supported());
        if !self.setup.fails_while_opening() {
            return restart;
        }
        self.disk.set_faults(self.setup.faults(self.disk.op_count()));
        let opened = self.setup.open(&self.disk, &self.clock);
        let next = self.setup.restart_after_fault(self.step, false);
        let image = next.image(&self.disk);
        let outcome = self.explain(opened.map(drop));
        self.disk = image;
        self.disk.set_mapping_supported(self.setup.is_mapping_supported());
        match (outcome, restart) {
            (Outcome::Done, _) | (_, Restart::Crash(_)) => restart,
            (Outcome::Interrupted, Restart::Closed | Restart::Kill) => next,
        }
    }

    /// Finds out which of the allowed states was recovered.
    fn recognise(&mut self, db: &Db, restart: Restart) -> Oracle {
        let (content, now_ms) = (content(db), self.clock.now());
        let before = self.before_doubt.take();
        // A write in doubt is the last one.
        let certain = before.as_ref().map_or(self.oracle.len(), Oracle::len);
        let mut mismatch = None;
        for mut oracle in [self.oracle.clone()].into_iter().chain(before) {
            if !matches!(restart, Restart::Crash(_)) {
                oracle.mark_durable_up_to(certain);
            }
            match oracle.check_prefix(&content, now_ms) {
                Ok(prefixes) => {
                    let expires = |&at: &usize| expires_as(db, &oracle, at, &content, now_ms);
                    if let Some(at) = prefixes.into_iter().find(expires) {
                        oracle.recover_to(at);
                        return oracle;
                    }
                    mismatch = Some("values expire at the wrong time".to_owned());
                }
                Err(found) => mismatch = Some(found.to_string()),
            }
        }
        let mismatch = mismatch.unwrap_or_default();
        panic!("step {}, after {restart:?}: {mismatch}", self.step);
    }
}

/// Whether all that is visible expires when it does after the first `at` commits. Prefixes that
/// agree in this, too, are the same for ever.
fn expires_as(db: &Db, oracle: &Oracle, at: usize, content: &Content, now_ms: u64) -> bool {
    content.iter().all(|(&slot, entries)| {
        let keyspace = db.find_keyspace(&keyspace_name(slot)).expect("it is open");
        let keyspace = keyspace.expect("its content was just read");
        entries.keys().all(|key| {
            let is_there = |moment_ms| oracle.get(slot, key, at, moment_ms).is_some();
            match keyspace.expires_at(key).expect("nothing fails while it is compared") {
                None => false,
                Some(Expiry::Never) => is_there(u64::MAX),
                Some(Expiry::AtMs(ms)) => ms > now_ms && is_there(ms - 1) && !is_there(ms),
            }
        })
    })
}

/// Everything that is visible.
pub(super) fn content(db: &Db) -> Content {
    let slots = (0..16).filter_map(|slot| {
        let keyspace = db.find_keyspace(&keyspace_name(slot)).expect("it is open")?;
        let entries = keyspace.iter().map(|entry| {
            let (key, value) = entry.expect("nothing fails while it is compared");
            (key.to_vec(), value.to_vec())
        });
        Some((slot, entries.collect()))
    });
    let content: Content = slots.collect();
    assert_eq!(content.len(), db.keyspaces().expect("it is open").len());
    content
}
