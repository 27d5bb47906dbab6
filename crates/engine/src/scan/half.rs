//! One end of a scan: a cursor, and which version of each key counts.

use std::ops::ControlFlow;

use alluvium_base::{InternalIterator, Kind, MergingIterator, Seq, Taken};

use super::Place;
use crate::Result;
use crate::resolve::{Meaning, resolve};
use crate::source::Source;

/// One end of the scan.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) cursor: MergingIterator<Source>,
    /// The last key this end decided on; meaningful once `has_decided`.
    pub(super) key: Vec<u8>,
    pub(super) has_decided: bool,
    /// Whether the cursor stands on an entry that nothing was decided about yet.
    pub(super) is_ahead: bool,
    /// How many versions it passed over since it decided on a key.
    passed: u32,
    pub(super) dead: Dead,
}

/// A key with more versions than this is left by a seek: it is written again and again.
const MANY_VERSIONS: u32 = 8;

/// What a half walked over since it stood on something visible.
#[derive(Debug, Default)]
pub(super) struct Dead {
    /// Nothing from here on was visible; `None` before the first such entry.
    pub(super) start: Option<Vec<u8>>,
    pub(super) entries: u32,
}

/// What a front stands on.
pub(super) enum Look {
    /// The caller's bytes of the value begin after so many others.
    Visible { skip: usize },
    /// The newest version that the reader sees of this key says that it is not there.
    Dead,
    /// Another version of a key that was decided on, or one from after the read point.
    PassedOver,
    /// The end of the range, or what the back has decided on.
    Outside,
}

impl Half {
    pub(super) fn new(cursor: MergingIterator<Source>) -> Self {
        Self {
            cursor,
            key: Vec::new(),
            has_decided: false,
            is_ahead: false,
            passed: 0,
            dead: Dead::default(),
        }
    }

    /// Moves on from the entry that was decided on last.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<()> {
        if self.is_ahead || !self.cursor.is_valid() {
            self.is_ahead = false;
            return Ok(());
        }
        self.cursor.next()
    }

    /// Shows entries from the next one on for as long as there is nothing to decide but that they are visible:
    /// plain values from before the read point, of one table, that end before `place` does. The keys that
    /// were shown are not noted as decided on: what the cursor stands on then is of a greater one.
    pub(super) fn show_plain(
        &mut self,
        place: &Place,
        mut show: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        self.advance()?;
        self.is_ahead = true;
        if !self.cursor.is_valid() || is_same(self.cursor.key().user_key, &self.key) {
            return Ok(ControlFlow::Continue(()));
        }
        let mut flow = ControlFlow::Continue(());
        self.cursor.show_while(place.span.end.as_deref(), |key, value| {
            if key.kind != Kind::Put || key.seq > place.seq {
                return Taken::Left;
            }
            flow = show(key.user_key, value);
            if flow.is_break() { Taken::Last } else { Taken::More }
        })?;
        Ok(flow)
    }

    #[inline]
    pub(super) fn look(&mut self, place: &Place, met: Option<&[u8]>) -> Result<Look> {
        let entry = self.cursor.key();
        if place.span.end.as_deref().is_some_and(|end| entry.user_key >= end)
            || met.is_some_and(|met| entry.user_key >= met)
        {
            return Ok(Look::Outside);
        }
        let is_decided = self.has_decided && is_same(entry.user_key, &self.key);
        if entry.seq > place.seq || is_decided {
            return Ok(Look::PassedOver);
        }
        self.key.clear();
        self.key.extend_from_slice(entry.user_key);
        (self.has_decided, self.passed) = (true, 0);
        Ok(match resolve(entry.kind, self.cursor.value(), place.now())? {
            Meaning::Value { skip, .. } => Look::Visible { skip },
            Meaning::Absent => Look::Dead,
        })
    }

    /// Moves on from a version that does not count for a reader at `seq`: to the next entry, or, of a
    /// key with many versions, to the first that may count.
    #[inline]
    pub(super) fn pass_over(&mut self, seq: Seq) -> Result<()> {
        self.passed += 1;
        if self.passed.is_multiple_of(MANY_VERSIONS) {
            self.leave_key(seq)
        } else {
            self.cursor.next()
        }
    }

    #[cold]
    fn leave_key(&mut self, seq: Seq) -> Result<()> {
        let entry = self.cursor.key();
        let next = if entry.seq > seq { seq } else { Seq::ZERO };
        if entry.seq <= next {
            // The last one.
            return self.cursor.next();
        }
        let user_key = entry.user_key.to_vec();
        self.cursor.seek(&user_key, next)
    }

    /// Walks backwards over all versions of the key it stands on, oldest first, and answers what
    /// `take` made of the last one that is visible, if that is a value. Where there are many, it seeks
    /// that one instead.
    #[inline]
    pub(super) fn decide<T>(
        &mut self,
        place: &Place,
        take: &mut impl FnMut(&MergingIterator<Source>, usize) -> T,
    ) -> Result<Option<T>> {
        let mut visible = None;
        for _ in 0..MANY_VERSIONS {
            let entry = self.cursor.key();
            if entry.seq <= place.seq {
                visible = match resolve(entry.kind, self.cursor.value(), place.now())? {
                    Meaning::Value { skip, .. } => Some(take(&self.cursor, skip)),
                    Meaning::Absent => None,
                };
            }
            self.cursor.prev()?;
            if !self.cursor.is_valid() || !is_same(self.cursor.key().user_key, &self.key) {
                return Ok(visible);
            }
        }
        self.decide_at_once(place, take)
    }

    #[cold]
    fn decide_at_once<T>(
        &mut self,
        place: &Place,
        take: &mut impl FnMut(&MergingIterator<Source>, usize) -> T,
    ) -> Result<Option<T>> {
        self.cursor.seek(&self.key, place.seq)?;
        let mut visible = None;
        if self.cursor.is_valid() && *self.cursor.key().user_key == *self.key {
            let resolved = resolve(self.cursor.key().kind, self.cursor.value(), place.now())?;
            if let Meaning::Value { skip, .. } = resolved {
                visible = Some(take(&self.cursor, skip));
            }
        }
        self.cursor.seek_before(&self.key, Seq::MAX)?;
        Ok(visible)
    }
}

/// Whether two neighbours in a scan are one key. Those that are not differ in their last byte nearly
/// always, and a look at it is cheaper than a call to compare them.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.last() == b.last() && a == b
}
