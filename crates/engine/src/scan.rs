//! Scans: the visible entries of a range, from both ends.
//!
//! A scan has up to two halves, each with a cursor of its own, made when that end is first asked.
//! Each half remembers the last key it decided on; the halves stop where they meet.
//!
//! ```text
//!   front ─►  a  b  c  d │ e  f  g  ◄─ back
//!                        └ front has decided up to d: back ends here
//! ```
//!
//! Entries of one key come newest first. Forwards, the first one at or before the read point
//! decides, and the rest are passed over; backwards, the last one at or before it decides.
//!
//! A front that walked over many dead entries takes note of them, and a scan that meets what is known
//! to be dead seeks over it: see [`crate::dead_stretches`].

mod half;
mod visit;

use std::sync::Arc;

use alluvium_base::{Bytes, InternalIterator, MergingIterator, Seq};
use alluvium_table::ReadOptions;

use crate::dead_stretches::{WORTH_A_NOTE, Walk};
use crate::range::Span;
use crate::resolve::ReadTime;
use crate::source::Source;
use crate::view::TreeView;
use crate::{Error, Result};

pub use visit::Visit;

use half::{Dead, Half, Look};

/// A key and its value, as shared bytes that outlive the scan.
pub type KeyValue = (Bytes, Bytes);

/// An iterator over keys and values in order, from either end: see
/// [`Read::range`](crate::Read::range).
///
/// It sees the database as it was when the scan was made. An error is yielded once, where it was
/// met; the scan ends there.
#[derive(Debug)]
pub struct Scan {
    /// `None` once the scan has ended.
    open: Option<Box<OpenScan>>,
    /// Yielded once, then the scan has ended.
    failed: Option<Error>,
}

/// What both halves share.
#[derive(Debug)]
struct Place {
    tree: Arc<TreeView>,
    seq: Seq,
    /// The moment that decides what has expired, in milliseconds since the Unix epoch.
    now_ms: u64,
    span: Span,
}

#[derive(Debug)]
struct OpenScan {
    place: Place,
    front: Option<Half>,
    back: Option<Half>,
}

impl Scan {
    pub(crate) fn new(tree: Result<Arc<TreeView>>, seq: Seq, now_ms: u64, span: Span) -> Self {
        match tree {
            Err(error) => Self { open: None, failed: Some(error) },
            Ok(_) if span.is_empty() => Self { open: None, failed: None },
            Ok(tree) => {
                let place = Place { tree, seq, now_ms, span };
                Self {
                    open: Some(Box::new(OpenScan { place, front: None, back: None })),
                    failed: None,
                }
            }
        }
    }

    /// Runs one step; an error or the end closes the scan.
    #[inline]
    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut OpenScan) -> Result<Option<T>>,
    ) -> Option<Result<T>> {
        let Some(open) = &mut self.open else { return self.failed.take().map(Err) };
        let outcome = step(open).transpose();
        if !matches!(outcome, Some(Ok(_))) {
            self.open = None;
        }
        outcome
    }

    /// How many entries are left, without making their keys and values.
    pub(crate) fn count_entries(mut self) -> Result<u64> {
        let mut count = 0;
        while let Some(step) = self.step(|open| Ok(open.advance_front()?.map(drop))) {
            step?;
            count += 1;
        }
        Ok(count)
    }
}

impl Iterator for Scan {
    type Item = Result<KeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(OpenScan::next_front)
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(OpenScan::next_back)
    }
}

impl std::iter::FusedIterator for Scan {}

impl Place {
    fn now(&self) -> ReadTime<'_> {
        ReadTime::At(self.now_ms)
    }

    fn half(&self, seek: impl FnOnce(&mut MergingIterator<Source>) -> Result<()>) -> Result<Half> {
        let mut cursor = self.tree.cursor(ReadOptions::default());
        seek(&mut cursor)?;
        Ok(Half::new(cursor))
    }

    /// The end of the dead stretches that begin with the one `key` is in.
    fn behind_dead(&self, key: &[u8]) -> Option<Vec<u8>> {
        let end_of = |key: &[u8]| self.tree.dead_stretches.end_of(key, self.seq, self.now_ms);
        let mut end = end_of(key)?;
        while let Some(further) = end_of(&end) {
            end = further;
        }
        Some(end)
    }

    /// Comparing with nothing at all is slow: it loads from an address that is no memory, under an
    /// empty mask, which x86 processors take a long way round to ignore.
    #[inline]
    fn is_before_start(&self, user_key: &[u8]) -> bool {
        !self.span.start.is_empty() && *user_key < *self.span.start
    }

    fn front(&self) -> Result<Half> {
        let start = self.behind_dead(&self.span.start);
        let start = start.unwrap_or_else(|| self.span.start.clone());
        let mut front = self.half(|cursor| cursor.seek(&start, Seq::MAX))?;
        front.dead.start = Some(start);
        Ok(front)
    }

    /// The front stands on one more dead entry: seeks over those that are known to be dead. Answers
    /// whether it did.
    fn skip_dead(&self, front: &mut Half) -> Result<bool> {
        if front.dead.start.is_none() {
            front.dead.start = Some(front.key.clone());
        }
        front.dead.entries += 1;
        if !is_time_to_look(front.dead.entries) {
            return Ok(false);
        }
        let Some(end) = self.behind_dead(&front.key) else { return Ok(false) };
        front.cursor.seek(&end, Seq::MAX)?;
        front.dead = Dead { start: Some(end), entries: 0 };
        Ok(true)
    }

    /// Takes note of what the front walked over, if it was much.
    fn note_dead(&self, front: &mut Half, end: End) {
        let dead = std::mem::take(&mut front.dead);
        let Some(start) = dead.start.filter(|_| dead.entries >= WORTH_A_NOTE) else { return };
        let mut end_key = front.key.clone();
        if end == End::BehindKey {
            end_key.push(0);
        }
        let walk = Walk { start: &start, end: &end_key, seq: self.seq, now_ms: self.now_ms };
        self.tree.dead_stretches.note(&walk);
    }
}

/// Where a walk over dead entries ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// At the key that the front decided on last, which is visible.
    AtKey,
    /// That key was dead too, and there is no other.
    BehindKey,
}

/// Whether a half that walked over so many dead entries asks what is known to be dead: soon, and then
/// not too often.
const fn is_time_to_look(entries: u32) -> bool {
    entries == 4 || entries.is_multiple_of(WORTH_A_NOTE)
}

impl OpenScan {
    fn next_front(&mut self) -> Result<Option<KeyValue>> {
        Ok(self.advance_front()?.map(|skip| {
            let cursor = &self.front.as_ref().expect("it was just advanced").cursor;
            entry_of(cursor, skip)
        }))
    }

    /// Moves the front onto the next visible entry; answers how many bytes of its value come before
    /// the caller's, or `None` at the end.
    #[inline]
    fn advance_front(&mut self) -> Result<Option<usize>> {
        let Self { place, front, back } = self;
        match front {
            Some(front) => front.advance()?,
            None => *front = Some(place.front()?),
        }
        let front = front.as_mut().expect("it was just made");
        let met = back.as_ref().filter(|back| back.has_decided).map(|back| &*back.key);
        while front.cursor.is_valid() {
            match front.look(place, met)? {
                Look::Visible { skip } => {
                    if front.dead.start.is_some() {
                        place.note_dead(front, End::AtKey);
                    }
                    return Ok(Some(skip));
                }
                Look::Dead if place.skip_dead(front)? => {}
                Look::Dead => front.cursor.next()?,
                Look::PassedOver => front.pass_over(place.seq)?,
                Look::Outside => break,
            }
        }
        if met.is_none() {
            place.note_dead(front, End::BehindKey);
        }
        Ok(None)
    }

    fn next_back(&mut self) -> Result<Option<KeyValue>> {
        self.advance_back(entry_of)
    }

    /// Moves the back over the next visible entry, which `take` is shown with the number of bytes
    /// before the caller's in its value, and answers what it made of it.
    fn advance_back<T>(
        &mut self,
        mut take: impl FnMut(&MergingIterator<Source>, usize) -> T,
    ) -> Result<Option<T>> {
        let Self { place, front, back } = self;
        if back.is_none() {
            *back = Some(place.half(|cursor| match &place.span.end {
                Some(end) => cursor.seek_before(end, Seq::MAX),
                None => cursor.seek_to_last(),
            })?);
        }
        let back = back.as_mut().expect("it was just made");
        let met = front.as_ref().filter(|front| front.has_decided).map(|front| &*front.key);
        while back.cursor.is_valid() {
            let entry = back.cursor.key();
            if place.is_before_start(entry.user_key) || met.is_some_and(|met| entry.user_key <= met)
            {
                return Ok(None);
            }
            back.key.clear();
            back.key.extend_from_slice(entry.user_key);
            back.has_decided = true;
            if let Some(item) = back.decide(place, &mut take)? {
                back.dead.entries = 0;
                return Ok(Some(item));
            }
            back.dead.entries += 1;
            if is_time_to_look(back.dead.entries)
                && let Some(start) =
                    place.tree.dead_stretches.start_of(&back.key, place.seq, place.now_ms)
            {
                back.cursor.seek_before(&start, Seq::MAX)?;
            }
        }
        Ok(None)
    }
}

/// The entry that `cursor` stands on, without what comes before the caller's bytes in the stored value.
#[inline]
fn entry_of(cursor: &MergingIterator<Source>, skip: usize) -> KeyValue {
    let mut entry = cursor.entry_bytes();
    if skip > 0 {
        entry.1 = entry.1.slice(skip..);
    }
    entry
}
