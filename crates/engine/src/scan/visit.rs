//! Scans that lend out what they see: no handle is made for an entry, and no count of users kept.

use std::ops::ControlFlow;

use alluvium_base::InternalIterator;

use super::{OpenScan, Scan};
use crate::Result;

/// What [`Scan::visit`] and [`Scan::visit_back`] call for each entry, with its key and its value.
pub trait Visit: FnMut(&[u8], &[u8]) -> ControlFlow<()> {}

impl<F: FnMut(&[u8], &[u8]) -> ControlFlow<()>> Visit for F {}

impl Scan {
    /// Shows each entry that is left to `visit`, in order, until it breaks. Keys and values are only
    /// borrowed: for a long scan this takes about half the time of the iterator, whose items outlive
    /// it.
    ///
    /// Errors as for the iterator, at the entry that could not be read.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use alluvium::{Db, Read};
    /// let db = Db::in_memory()?;
    /// db.insert("silt", "1")?;
    /// db.insert("sand", "22")?;
    /// let mut bytes = 0;
    /// db.iter().visit(|_key, value| {
    ///     bytes += value.len();
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(bytes, 3);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn visit(mut self, mut visit: impl Visit) -> Result<()> {
        while let Some(shown) = self.step(|open| open.visit_front(&mut visit)) {
            if shown?.is_break() {
                break;
            }
            let shown = self.step(|open| open.show_plain(&mut visit).map(Some));
            if shown.transpose()?.is_some_and(|flow| flow.is_break()) {
                break;
            }
        }
        Ok(())
    }

    /// [`Scan::visit`] from the other end, in descending order.
    pub fn visit_back(mut self, mut visit: impl Visit) -> Result<()> {
        let mut value = Vec::new();
        while let Some(shown) = self.step(|open| open.visit_back(&mut value, &mut visit)) {
            if shown?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl OpenScan {
    /// Shows entries that need no more than a glance, if any come next.
    fn show_plain(&mut self, visit: &mut impl Visit) -> Result<ControlFlow<()>> {
        match (&mut self.front, &self.back) {
            (Some(front), None) if front.dead.start.is_none() => {
                front.show_plain(&self.place, visit)
            }
            _ => Ok(ControlFlow::Continue(())),
        }
    }

    /// Shows the next visible entry at the front; `None` at the end.
    fn visit_front(&mut self, visit: &mut impl Visit) -> Result<Option<ControlFlow<()>>> {
        Ok(self.advance_front()?.map(|skip| {
            let cursor = &self.front.as_ref().expect("it was just advanced").cursor;
            visit(cursor.key().user_key, &cursor.value()[skip..])
        }))
    }

    /// Shows the next visible entry at the back; `None` at the end. `value` is reused: by the time
    /// at which the entry is known to be the visible one, the cursor is beyond it.
    fn visit_back(
        &mut self,
        value: &mut Vec<u8>,
        visit: &mut impl Visit,
    ) -> Result<Option<ControlFlow<()>>> {
        let advanced = self.advance_back(|cursor, skip| {
            value.clear();
            value.extend_from_slice(&cursor.value()[skip..]);
        })?;
        Ok(advanced.map(|()| {
            let back = self.back.as_ref().expect("it was just advanced");
            visit(&back.key, value)
        }))
    }
}
