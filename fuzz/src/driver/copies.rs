//! The database looked at from outside: checkpoints that are opened, files that are checked, and
//! reads after a failure.

use std::sync::Arc;

use alluvium::{Depth, check};
use alluvium_testkit::{FaultPlan, SimFs, Survival};

use super::restart::content;
use super::{Driver, Outcome};

impl Driver {
    /// Copies the database, cuts the power, and opens the copy: it holds what the original held.
    pub(super) fn checkpoint(&mut self) -> Outcome {
        let dir = format!("copy-{}", self.step);
        let outcome = self.explain(self.db().checkpoint(&dir));
        if matches!(outcome, Outcome::Interrupted) || self.disk.is_frozen() {
            return outcome;
        }
        let image = self.disk.crash(Survival::Random(self.step as u64));
        let opened = self.setup.open_at(&dir, &image, &self.clock);
        let copy = opened.unwrap_or_else(|error| {
            panic!("step {}: the checkpoint does not open: {error}", self.step)
        });
        let expected = self.oracle.content(self.oracle.len(), self.clock.now());
        assert_eq!(content(&copy), expected, "step {}: the checkpoint is another", self.step);
        Outcome::Done
    }

    /// Promise 4: after a failure reads go on, and show the failed write wholly or not at all.
    pub(super) fn read_after_failure(&mut self) {
        self.disk.set_faults(FaultPlan::none());
        let (found, now_ms) = (content(self.db()), self.clock.now());
        let allowed = [Some(&self.oracle), self.before_doubt.as_ref()];
        let is_allowed = allowed
            .into_iter()
            .flatten()
            .any(|oracle| oracle.content(oracle.len(), now_ms) == found);
        assert!(is_allowed, "step {}: after a failure reads found {found:?}", self.step);
    }

    /// Nothing that a crash leaves may be taken for damage.
    pub(super) fn check_files(&self, image: &SimFs) {
        if !self.step.is_multiple_of(4) {
            return;
        }
        let report = check(Arc::new(image.kill()), "db", Depth::Deep).unwrap_or_else(|error| {
            panic!("step {}: the files cannot be checked: {error}", self.step)
        });
        assert!(report.damage.is_empty(), "step {}: damage: {:?}", self.step, report.damage);
    }
}
