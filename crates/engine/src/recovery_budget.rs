//! How long the log may get, where an open must be quick.
//!
//! An open reads what is in the log and in no table, so its time is that log's length. How much a
//! machine reads, verifies and sorts in a second is found out by trying, on a small database in
//! memory; half of that is planned with, since a disk may be slower, and a log grows on while a
//! flush makes it shorter.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alluvium_base::{Clock, Fs, MemFs};

use crate::Result;
use crate::db::Db;
use crate::folder::list_files;
use crate::options::{Background, Builder, LogMode};
use crate::survey::survey;

/// Writes in the log that is tried, and bytes of a value.
const TRIED_WRITES: u64 = 8 << 10;
const TRIED_VALUE_BYTES: usize = 100;
/// No log is held shorter than this, however little time there is.
const SHORTEST_LOG_BYTES: u64 = 4 << 20;
/// The log is flushed by segments: it has a few of them at least.
const FEWEST_SEGMENTS: u64 = 4;

impl Builder {
    /// Shortens the log so that its replay stays within the budget, if one is set.
    pub(crate) fn within_recovery_budget(mut self) -> Result<Self> {
        let Some(budget) = self.recovery_budget else { return Ok(self) };
        if let Some(rate) = replay_rate(&*self.clock)? {
            self.max_log_bytes = self.max_log_bytes.min(log_limit(rate, budget));
            let segment = self.max_log_bytes / FEWEST_SEGMENTS;
            self.log_segment_size = self.log_segment_size.min(segment);
        }
        Ok(self)
    }
}

/// The length at which a log is flushed, given how many bytes of it are replayed in a second.
fn log_limit(rate: f64, budget: Duration) -> u64 {
    let limit = rate * budget.as_secs_f64() / 2.0;
    (limit as u64).max(SHORTEST_LOG_BYTES)
}

/// How many bytes of log are replayed in a second; `None` where the clock does not tell.
fn replay_rate(clock: &dyn Clock) -> Result<Option<f64>> {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let dir = PathBuf::from("tried");
    let builder = || {
        let builder = Builder::new(dir.clone()).fs(Arc::clone(&fs));
        builder.background(Background::Manual).log_mode(LogMode::Buffered)
    };
    let db = Db::open_with(builder())?;
    for n in 0..TRIED_WRITES {
        // Everywhere in the order of keys, as the worst loads are.
        let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        db.insert(key, [0; TRIED_VALUE_BYTES])?;
    }
    let bytes = db.stats()?.log.live_bytes;
    db.close()?;
    let names = list_files(&*fs, &dir)?;
    let start = clock.monotonic();
    survey(&builder(), &names)?;
    let took = clock.monotonic().saturating_sub(start);
    Ok((!took.is_zero()).then(|| bytes as f64 / took.as_secs_f64()))
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use alluvium_base::SystemClock;

    #[test]
    fn the_limit_is_half_of_what_is_replayed_in_time_and_has_a_floor() {
        assert_eq!(log_limit(400e6, Duration::from_secs(2)), 400_000_000);
        assert_eq!(log_limit(400e6, Duration::from_micros(1)), SHORTEST_LOG_BYTES);
        assert_eq!(log_limit(f64::MAX, Duration::MAX), u64::MAX);
    }

    #[test]
    fn a_budget_shortens_the_log_and_its_segments_and_lengthens_neither() {
        let builder = || Builder::new(PathBuf::from("nowhere")).clock(Arc::new(SystemClock::new()));
        let none = builder().within_recovery_budget().expect("nothing to try");
        let ample = builder().recovery_budget(Duration::MAX).within_recovery_budget();
        let ample = ample.expect("a database in memory");
        assert_eq!(ample.max_log_bytes, none.max_log_bytes);
        let short = builder().recovery_budget(Duration::from_nanos(1)).within_recovery_budget();
        let short = short.expect("a database in memory");
        assert_eq!(short.max_log_bytes, SHORTEST_LOG_BYTES);
        assert_eq!(short.log_segment_size, SHORTEST_LOG_BYTES / FEWEST_SEGMENTS);
        short.check().expect("it can be opened");
    }
}
