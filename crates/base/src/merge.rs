//! Many cursors seen as one, in internal key order.
//!
//! A binary heap holds the cursors that stand on an entry; its top is the merge's own place. Each
//! heap slot keeps the first eight bytes of its cursor's key as a number, so most comparisons touch
//! neither the cursor nor its memory. While one source owns a stretch of keys, a step costs that
//! source's step and two comparisons of numbers.
//!
//! ```text
//!              ┌ 61.. memtable ┐            next(): step the top, let it sink
//!       ┌ 62.. L0 ┐       ┌ 7a.. L1 ┐       prev(): the same heap, upside down
//! ```
//!
//! Turning round is rare and simple: every other cursor is sought to the far side of the current
//! key, and the heap is built anew.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::error::Result;
use crate::iterator::{InternalIterator, Taken};
use crate::key::{InternalKey, Seq, key_prefix};
use crate::seeded::{Bug, is_planted};

/// The k-way merge of cursors that share no (user key, sequence).
#[derive(Debug)]
pub struct MergingIterator<I> {
    sources: Vec<I>,
    heap: Vec<Head>,
    direction: Direction,
}

/// A source that stands on an entry.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// [`key_prefix`] of the key it stands on.
    prefix: u64,
    source: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

impl<I: InternalIterator> MergingIterator<I> {
    /// Merges `sources`; stands on no entry until it is sought.
    pub fn new(sources: Vec<I>) -> Self {
        let heap = Vec::with_capacity(sources.len());
        Self { sources, heap, direction: Direction::Forward }
    }

    /// Whether the source of `a` comes before that of `b` in the current direction.
    #[inline]
    fn precedes(&self, a: Head, b: Head) -> bool {
        let order = a.prefix.cmp(&b.prefix).then_with(|| {
            let (a, b) = (self.sources[a.source].key(), self.sources[b.source].key());
            if is_planted(Bug::MergePrefersOlder) {
                return a.user_key.cmp(b.user_key).then(a.seq.cmp(&b.seq));
            }
            a.cmp_position(b.user_key, b.seq)
        });
        match self.direction {
            Direction::Forward => order == Ordering::Less,
            Direction::Backward => order == Ordering::Greater,
        }
    }

    fn rebuild(&mut self, direction: Direction) {
        self.direction = direction;
        self.heap.clear();
        for (source, iterator) in self.sources.iter().enumerate() {
            if iterator.is_valid() {
                self.heap.push(Head { prefix: key_prefix(iterator.key().user_key), source });
            }
        }
        for at in (0..self.heap.len() / 2).rev() {
            self.sink(at);
        }
    }

    /// Lets the slot `at` sink to where neither slot below it precedes it.
    #[inline]
    fn sink(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let first =
                if right < self.heap.len() && self.precedes(self.heap[right], self.heap[left]) {
                    right
                } else {
                    left
                };
            if !self.precedes(self.heap[first], self.heap[at]) {
                return;
            }
            self.heap.swap(first, at);
            at = first;
        }
    }

    /// Puts the top where it belongs after its source moved.
    #[inline]
    fn settle_top(&mut self) {
        let source = self.heap[0].source;
        if self.heap.len() == 1 && self.sources[source].is_valid() {
            // Nothing to compare it with, not before the heap is rebuilt.
            return;
        }
        if self.sources[source].is_valid() {
            self.heap[0].prefix = key_prefix(self.sources[source].key().user_key);
        } else {
            self.heap.swap_remove(0);
        }
        self.sink(0);
    }

    /// The source that comes behind the top, if there is one.
    #[inline]
    fn second(&self) -> Option<usize> {
        let (&left, right) = (self.heap.get(1)?, self.heap.get(2));
        let right = right.filter(|&&right| self.precedes(right, left));
        Some(right.unwrap_or(&left).source)
    }

    /// Runs `step` on every source and builds the heap from where they stand. After an error the
    /// merge stands on no entry.
    fn seek_all(
        &mut self,
        direction: Direction,
        mut step: impl FnMut(&mut I) -> Result<()>,
    ) -> Result<()> {
        self.heap.clear();
        for source in &mut self.sources {
            step(source)?;
        }
        self.rebuild(direction);
        Ok(())
    }

    /// Brings every source but the current one to the far side of the current key.
    fn turn(&mut self, direction: Direction) -> Result<()> {
        let current = self.heap[0].source;
        let (user_key, seq) = (self.key().user_key.to_vec(), self.key().seq);
        self.heap.clear();
        for (source, iterator) in self.sources.iter_mut().enumerate() {
            if source != current {
                match direction {
                    Direction::Forward => iterator.seek(&user_key, seq)?,
                    Direction::Backward => iterator.seek_before(&user_key, seq)?,
                }
            }
        }
        self.rebuild(direction);
        debug_assert_eq!(self.heap[0].source, current, "sources share no internal key");
        Ok(())
    }

    fn step(&mut self, direction: Direction) -> Result<()> {
        assert!(self.is_valid(), "a cursor moves from an entry");
        if self.direction != direction {
            self.turn(direction)?;
        }
        let top = &mut self.sources[self.heap[0].source];
        let stepped = match direction {
            Direction::Forward => top.next(),
            Direction::Backward => top.prev(),
        };
        if stepped.is_err() {
            self.heap.clear();
            return stepped;
        }
        self.settle_top();
        Ok(())
    }
}

impl<I: InternalIterator> InternalIterator for MergingIterator<I> {
    #[inline]
    fn is_valid(&self) -> bool {
        !self.heap.is_empty()
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        self.sources[self.heap[0].source].key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.sources[self.heap[0].source].value()
    }

    fn key_bytes(&self) -> Bytes {
        self.sources[self.heap[0].source].key_bytes()
    }

    fn value_bytes(&self) -> Bytes {
        self.sources[self.heap[0].source].value_bytes()
    }

    #[inline]
    fn entry_bytes(&self) -> (Bytes, Bytes) {
        self.sources[self.heap[0].source].entry_bytes()
    }

    #[inline]
    fn is_cached(&self) -> bool {
        self.sources[self.heap[0].source].is_cached()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.seek_all(Direction::Forward, InternalIterator::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.seek_all(Direction::Backward, InternalIterator::seek_to_last)
    }

    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        self.seek_all(Direction::Forward, |source| source.seek(user_key, seq))
    }

    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        self.seek_all(Direction::Backward, |source| source.seek_before(user_key, seq))
    }

    fn next(&mut self) -> Result<()> {
        self.step(Direction::Forward)
    }

    fn prev(&mut self) -> Result<()> {
        self.step(Direction::Backward)
    }

    /// For as long as one source owns the stretch.
    fn show_while(
        &mut self,
        end: Option<&[u8]>,
        take: impl FnMut(InternalKey<'_>, &[u8]) -> Taken,
    ) -> Result<()> {
        if self.heap.is_empty() || self.direction != Direction::Forward {
            return Ok(());
        }
        let top = self.heap[0].source;
        let shown = match self.second() {
            None => self.sources[top].show_while(end, take),
            Some(second) => {
                let pair = self.sources.get_disjoint_mut([top, second]);
                let [top, second] = pair.expect("each source is in the heap once");
                // Versions of one key in both are left to steps.
                let others = second.key().user_key;
                top.show_while(Some(end.map_or(others, |end| end.min(others))), take)
            }
        };
        if shown.is_err() {
            self.heap.clear();
        } else {
            self.settle_top();
        }
        shown
    }
}

#[cfg(test)]
mod tests;
