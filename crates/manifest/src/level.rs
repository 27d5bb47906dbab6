//! The levels of a keyspace's tree.

use std::fmt;

use serde::Serialize;

/// How many levels a keyspace has. With each ten times the one above, seven hold petabytes.
pub const LEVEL_COUNT: usize = 7;

/// A level: L0 holds overlapping tables, L1 and deeper one sorted run each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Level(pub u8);

impl Level {
    /// Where flushes put their tables, which may overlap.
    pub const ZERO: Self = Self(0);
    /// The deepest level: nothing lies below it.
    pub const BOTTOM: Self = Self(LEVEL_COUNT as u8 - 1);

    /// The level stored as `n`, or `None` when there is none so deep.
    pub const fn decode(n: u64) -> Option<Self> {
        if n < LEVEL_COUNT as u64 { Some(Self(n as u8)) } else { None }
    }

    /// Its place in an array of all levels.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The level below, if this one is not the bottom.
    pub const fn below(self) -> Option<Self> {
        if self.0 < Self::BOTTOM.0 { Some(Self(self.0 + 1)) } else { None }
    }

    /// Whether its tables are one sorted run: they do not overlap.
    pub const fn is_sorted_run(self) -> bool {
        self.0 > 0
    }

    /// All levels, from L0 down.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        (0..=Self::BOTTOM.0).map(Self)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}", self.0)
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_seven_levels_and_none_below_the_bottom() {
        let all: Vec<Level> = Level::all().collect();
        assert_eq!(all.len(), LEVEL_COUNT);
        assert_eq!(all.last(), Some(&Level::BOTTOM));
        assert_eq!(Level::BOTTOM.below(), None);
        assert_eq!(Level::ZERO.below(), Some(Level(1)));
        assert_eq!(Level::decode(6), Some(Level::BOTTOM));
        assert_eq!(Level::decode(7), None);
        assert_eq!(Level::decode(256), None);
    }
}
