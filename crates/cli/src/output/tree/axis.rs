//! Where a key stands on the drawing.

use std::collections::BTreeSet;

use alluvium::{KeyspaceStats, TableStats};

use crate::notation::Shown;

/// All first and last keys of a keyspace's tables, in order, spread over the columns.
#[derive(Debug)]
pub(super) struct Axis<'a> {
    keys: Vec<&'a [u8]>,
    columns: usize,
}

impl<'a> Axis<'a> {
    /// The axis of `keyspace`, `columns` wide.
    pub(super) fn of(keyspace: &'a KeyspaceStats, columns: usize) -> Self {
        let tables = keyspace.levels.iter().flat_map(|level| &level.tables);
        let keys: BTreeSet<&[u8]> =
            tables.flat_map(|table| [&*table.smallest, &*table.largest]).collect();
        Self { keys: keys.into_iter().collect(), columns }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// The first column of `table` and the one after its last. A table of one key has a column of
    /// its own: two slots stand for each key, the place where it begins and the one where it ends.
    pub(super) fn span(&self, table: &TableStats) -> (usize, usize) {
        let slots = 2 * self.keys.len();
        let rank = |key: &[u8]| self.keys.partition_point(|other| *other < key);
        let column = |slot: usize| slot * self.columns / slots.max(1);
        let (start, end) =
            (column(2 * rank(&table.smallest)), column(2 * rank(&table.largest) + 2));
        (start, end.max(start + 1).min(self.columns))
    }

    /// The first and the last key, at the ends of a line as long as the axis.
    pub(super) fn labels(&self) -> String {
        let most = self.columns / 2 - 1;
        let show = |key: Option<&&[u8]>| {
            let shown = key.map_or_else(String::new, |key| Shown::key(key).to_string());
            shorten(&shown, most)
        };
        let (first, last) = (show(self.keys.first()), show(self.keys.last()));
        let gap = self.columns - first.chars().count() - last.chars().count();
        format!("{first}{:gap$}{last}", "")
    }
}

/// The first `most` characters, the last one `…` if there were more.
fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
