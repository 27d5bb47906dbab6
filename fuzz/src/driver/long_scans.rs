//! Scans that stay open while writes, flushes, compactions and drops change everything below them.
//!
//! Invariant: what a scan yields was settled when it began, at either end and however late.

use std::collections::VecDeque;
use std::ops::Bound;

use alluvium::{ErrorKind, Read, Scan};
use alluvium_testkit::{Direction, KeyspaceSlot, View};

use super::{Driver, Outcome};

/// Most scans that are open at once.
const MOST: usize = 4;

/// A scan, and what it has yet to yield.
#[derive(Debug)]
pub(super) struct LongScan {
    scan: Scan,
    keyspace: KeyspaceSlot,
    expected: VecDeque<(Vec<u8>, Vec<u8>)>,
}

impl Driver {
    /// Begins one, in place of the oldest where there are many.
    pub(super) fn begin_scan(
        &mut self,
        slot: KeyspaceSlot,
        bounds: (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        view: View,
    ) -> Outcome {
        let Some(keyspace) = self.keyspace(slot) else { return Outcome::Done };
        let (at, now_ms, snapshot) = self.moment(view);
        let range = (bounds.0.clone(), bounds.1.clone());
        let scan = match snapshot {
            Some(snapshot) => snapshot.of(&keyspace).range(range),
            None => keyspace.range(range),
        };
        let expected = self.oracle.scan(slot, bounds, Direction::Forward, at, now_ms);
        let expected = expected.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        self.scans.truncate(MOST - 1);
        self.scans.insert(0, LongScan { scan, keyspace: slot, expected });
        Outcome::Done
    }

    /// Moves all of them on, by turns at the front and at the back.
    pub(super) fn move_scans(&mut self, count: u8) -> Outcome {
        let scans = std::mem::take(&mut self.scans);
        self.scans = scans.into_iter().filter_map(|scan| self.move_scan(scan, count)).collect();
        Outcome::Done
    }

    /// Gives the scan back unless it came to its end.
    fn move_scan(&self, mut long: LongScan, count: u8) -> Option<LongScan> {
        for turn in 0..count {
            let (found, expected) = if turn % 3 == 2 {
                (long.scan.next_back(), long.expected.pop_back())
            } else {
                (long.scan.next(), long.expected.pop_front())
            };
            match found {
                Some(Ok((key, value))) => {
                    let is_same = expected.as_ref().is_some_and(|e| *e.0 == *key && *e.1 == *value);
                    assert!(is_same, "step {}: a scan found {key:?}, not {expected:?}", self.step);
                }
                Some(Err(error)) => {
                    // It may have been dropped below the scan.
                    let is_gone = error.kind() == ErrorKind::Closed;
                    if !is_gone || self.oracle.has_keyspace(long.keyspace) {
                        self.explain_read(error);
                    }
                    return None;
                }
                None => {
                    assert_eq!(expected, None, "step {}: a scan ends early", self.step);
                    return None;
                }
            }
        }
        Some(long)
    }
}
