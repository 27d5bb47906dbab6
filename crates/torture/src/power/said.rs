//! What a child said, as its parent understands it: see the table in [`load`](super::load).
//!
//! Invariant: what counts as durable had returned before the power began to go.

use std::collections::BTreeMap;

use alluvium::ErrorKind;

use super::load::{Counts, THREADS, parse_counts};

/// What a child said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The database is open.
    pub(super) is_open: bool,
    /// What survives the process.
    pub(super) acknowledged: Counts,
    /// What survives the power cut.
    pub(super) durable: Counts,
    /// How often a keyspace was created or dropped.
    pub(super) keyspace_calls: u32,
    /// How often of these it survives the power cut.
    pub(super) durable_keyspace_calls: u32,
    /// What each checkpoint holds at least.
    pub(super) checkpoints: BTreeMap<u32, Counts>,
    /// What failed: kind, and text.
    pub(super) errors: Vec<(String, String)>,
    /// Whether reads went on after that.
    pub(super) reads: Option<String>,
    /// Whether writes did, once the disk was well again.
    pub(super) after: Option<String>,
    /// When the power began to go.
    pub(super) power_went_ns: Option<i64>,
}

/// Errors that a disk can be blamed for; anything else is our own.
pub(super) fn is_of_the_disk(kind: &str) -> bool {
    [ErrorKind::Io, ErrorKind::Poisoned, ErrorKind::WouldStall]
        .iter()
        .any(|allowed| kind == format!("{allowed:?}"))
}

impl Said {
    /// A sync that succeeded after a failure covers everything acknowledged, or it lied.
    pub(super) fn after_a_sync(mut self) -> Self {
        if self.after.as_deref() == Some("ok") {
            self.durable = self.acknowledged;
        }
        self
    }

    /// Takes in one line.
    pub(super) fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.splitn(5, ' ').collect();
        let heard = match words[..] {
            ["open"] => return self.is_open = true,
            ["reads", ..] => return self.reads = Some(line["reads ".len()..].to_owned()),
            ["after", ..] => return self.after = Some(line["after ".len()..].to_owned()),
            ["write", thread, n] => self.hear_write(thread, n),
            ["sync", thread, n, before, at] => self.hear_write(thread, n).and_then(|()| {
                let (thread, n) = parse_write(thread, n)?;
                if self.hear_durable(before, at)? {
                    self.durable[thread] = self.durable[thread].max(n + 1);
                }
                Some(())
            }),
            ["persist", before, at] => self.hear_durable(before, at).map(drop),
            ["keyspace", n, before, at] => n.parse::<u32>().ok().and_then(|n| {
                self.keyspace_calls = n + 1;
                if self.hear_durable(before, at)? {
                    self.durable_keyspace_calls = n + 1;
                }
                Some(())
            }),
            ["checkpoint", n, before, at] => n.parse().ok().and_then(|n| {
                if self.is_before_the_cut(at)? {
                    self.checkpoints.insert(n, parse_counts(before)?);
                }
                Some(())
            }),
            ["error", kind, ..] => {
                let text = line.splitn(3, ' ').last().unwrap_or_default();
                self.errors.push((kind.to_owned(), text.to_owned()));
                Some(())
            }
            _ => None,
        };
        assert!(heard.is_some(), "the child said \"{line}\"");
    }

    fn hear_write(&mut self, thread: &str, n: &str) -> Option<()> {
        let (thread, n) = parse_write(thread, n)?;
        self.acknowledged[thread] = n + 1;
        Some(())
    }

    /// Answers whether it was said in time.
    fn hear_durable(&mut self, before: &str, at: &str) -> Option<bool> {
        let before = parse_counts(before)?;
        let is_in_time = self.is_before_the_cut(at)?;
        if is_in_time {
            self.durable = std::array::from_fn(|thread| self.durable[thread].max(before[thread]));
        }
        Some(is_in_time)
    }

    fn is_before_the_cut(&self, at: &str) -> Option<bool> {
        let at: i64 = at.parse().ok()?;
        Some(self.power_went_ns.is_none_or(|cut| at < cut))
    }
}

fn parse_write(thread: &str, n: &str) -> Option<(usize, u32)> {
    let thread = thread.parse().ok().filter(|thread| *thread < THREADS)?;
    Some((thread, n.parse().ok()?))
}
