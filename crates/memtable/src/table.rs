//! A growing list whose items never move: read by many while one adds to it.
//!
//! ```text
//!   parts   │ 0 │ 1 │ 2 │ … │        each twice as long as the one before
//!             │   │   └─► ░░░░░░░░░░░░░░░░░░░░░░
//!             │   └─────► ░░░░░░░░░░░
//!             └─────────► ░░░░░
//! ```

use std::sync::OnceLock;

/// Items in the first part.
const FIRST_PART: usize = 16;
/// Enough for any number that 31 bits can hold.
const PARTS: usize = 28;

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Table<T> {
    parts: [OnceLock<Box<[OnceLock<T>]>>; PARTS],
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { parts: [const { OnceLock::new() }; PARTS] }
    }
}

impl<T> Table<T> {
    /// The item numbered `index`, once it was [`set`](Self::set).
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (part, at) = place(index);
        self.parts.get(part)?.get()?[at].get()
    }

    /// Sets an item, which nobody else may do. Answers what memory that took for the list itself.
    pub(crate) fn set(&self, index: usize, item: T) -> usize {
        let (part, at) = place(index);
        let mut taken_bytes = 0;
        let items = self.parts[part].get_or_init(|| {
            let items: Box<[_]> = (0..FIRST_PART << part).map(|_| OnceLock::new()).collect();
            taken_bytes = size_of_val(&*items);
            items
        });
        let is_new = items[at].set(item).is_ok();
        assert!(is_new, "item {index} was set twice");
        taken_bytes
    }

    /// All items.
    pub(crate) fn into_items(self) -> impl Iterator<Item = T> {
        let parts = self.parts.into_iter().filter_map(OnceLock::into_inner);
        parts.flat_map(Vec::from).filter_map(OnceLock::into_inner)
    }
}

/// Which part an item is in, and where there.
#[inline]
const fn place(index: usize) -> (usize, usize) {
    let part = (index / FIRST_PART + 1).ilog2() as usize;
    (part, index - FIRST_PART * ((1 << part) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_has_a_place_of_its_own() {
        let ends = [0, 15, 16, 47, 48, 111, 112].map(place);
        assert_eq!(ends, [(0, 0), (0, 15), (1, 0), (1, 31), (2, 0), (2, 63), (3, 0)]);
        assert!(place((1 << 31) - 1).0 < PARTS);
    }

    #[test]
    fn items_are_there_once_set() {
        let table = Table::default();
        let mut taken_bytes = 0;
        for n in 0..1000 {
            assert_eq!(table.get(n), None);
            taken_bytes += table.set(n, n);
        }
        assert!((0..1000).all(|n| table.get(n) == Some(&n)));
        assert_eq!(taken_bytes, 1008 * size_of::<OnceLock<usize>>());
        assert!(table.into_items().eq(0..1000));
    }
}
