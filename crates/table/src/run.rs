//! Tables with disjoint, ascending ranges, seen as one cursor: a level, or any sorted run.
//!
//! One table is open for reading at a time; the one that holds a key is found by binary search over
//! the largest keys. No user key has versions in two tables.

use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Bytes, InternalIterator, InternalKey, Result, Seq, Taken};

use crate::iter::TableIterator;
use crate::options::ReadOptions;
use crate::table::Table;

/// A cursor over a sorted run of tables.
#[derive(Debug)]
pub struct RunIterator {
    tables: Arc<[Arc<Table>]>,
    read: ReadOptions,
    /// The table it stands in and a cursor there, which stands on an entry; `None` when it stands
    /// on none.
    current: Option<(usize, TableIterator)>,
}

impl RunIterator {
    /// A cursor over `tables`, each of which ends before the next begins; it stands on no entry
    /// until it is sought.
    ///
    /// # Panics
    /// When tables overlap or do not ascend, in debug builds: it is on the way of every scan.
    pub fn new(tables: Arc<[Arc<Table>]>, read: ReadOptions) -> Self {
        debug_assert!(
            tables.windows(2).all(|pair| pair[0].summary().largest < pair[1].summary().smallest),
            "the tables of a run are disjoint and ascend"
        );
        Self { tables, read, current: None }
    }

    /// The first table that ends at or after `user_key`.
    fn find(&self, user_key: &[u8]) -> usize {
        self.tables.partition_point(|table| *table.summary().largest < *user_key)
    }

    /// Makes table `index` the current one and positions there with `position`, reusing the cursor
    /// if it is in that table already.
    fn enter(
        &mut self,
        index: usize,
        position: impl FnOnce(&mut TableIterator) -> Result<()>,
    ) -> Result<()> {
        let mut cursor = match self.current.take() {
            Some((at, cursor)) if at == index => cursor,
            Some(_) | None => self.tables[index].iter(self.read),
        };
        position(&mut cursor)?;
        if cursor.is_valid() {
            self.current = Some((index, cursor));
        }
        Ok(())
    }

    /// Moves to the first entry of table `index`, if there is such a table.
    #[cold]
    fn enter_at_first(&mut self, index: usize) -> Result<()> {
        self.current = None;
        if index < self.tables.len() {
            self.enter(index, TableIterator::seek_to_first)?;
        }
        Ok(())
    }

    /// Moves to the last entry of the table before `index`, if there is such a table.
    #[cold]
    fn enter_at_last_before(&mut self, index: usize) -> Result<()> {
        self.current = None;
        match index.checked_sub(1) {
            Some(index) => self.enter(index, TableIterator::seek_to_last),
            None => Ok(()),
        }
    }

    #[inline]
    fn cursor(&self) -> &TableIterator {
        &self.current.as_ref().expect("the cursor stands on an entry").1
    }
}

impl InternalIterator for RunIterator {
    #[inline]
    fn is_valid(&self) -> bool {
        self.current.is_some()
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        self.cursor().key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.cursor().value()
    }

    fn key_bytes(&self) -> Bytes {
        self.cursor().key_bytes()
    }

    fn value_bytes(&self) -> Bytes {
        self.cursor().value_bytes()
    }

    #[inline]
    fn entry_bytes(&self) -> (Bytes, Bytes) {
        self.cursor().entry_bytes()
    }

    #[inline]
    fn is_cached(&self) -> bool {
        self.cursor().is_cached()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.enter_at_first(0)
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.enter_at_last_before(self.tables.len())
    }

    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        let index = self.find(user_key);
        if index == self.tables.len() {
            self.current = None;
            return Ok(());
        }
        self.enter(index, |cursor| cursor.seek(user_key, seq))?;
        if self.current.is_none() {
            return self.enter_at_first(index + 1);
        }
        Ok(())
    }

    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        let index = self.find(user_key);
        if index == self.tables.len() {
            return self.enter_at_last_before(index);
        }
        self.enter(index, |cursor| cursor.seek_before(user_key, seq))?;
        if self.current.is_none() && !is_planted(Bug::BackwardSeekStops) {
            return self.enter_at_last_before(index);
        }
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        let (index, cursor) = self.current.as_mut().expect("a cursor moves from an entry");
        let stepped = cursor.next();
        if cursor.is_valid() {
            return Ok(());
        }
        let next = *index + 1;
        self.current = None;
        stepped?;
        self.enter_at_first(next)
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        let (index, cursor) = self.current.as_mut().expect("a cursor moves from an entry");
        let stepped = cursor.prev();
        if cursor.is_valid() {
            return Ok(());
        }
        let index = *index;
        self.current = None;
        stepped?;
        self.enter_at_last_before(index)
    }

    /// Up to the end of a table.
    fn show_while(
        &mut self,
        end: Option<&[u8]>,
        take: impl FnMut(InternalKey<'_>, &[u8]) -> Taken,
    ) -> Result<()> {
        let Some((index, cursor)) = &mut self.current else { return Ok(()) };
        let shown = cursor.show_while(end, take);
        if cursor.is_valid() {
            return Ok(());
        }
        let next = *index + 1;
        self.current = None;
        shown?;
        self.enter_at_first(next)
    }
}
