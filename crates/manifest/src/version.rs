//! Versions: which tables are live, level by level.
//!
//! ```text
//!   L0   000012 [a..z]   000011 [c..x]   000009 [a..m]     overlapping, newest first
//!   L1   000007 [a..f]   000008 [g..p]                     one sorted run
//!   L2   000003 [a..c]   000004 [d..k]   000005 [l..z]     one sorted run
//! ```
//!
//! Invariants, kept by [`Version::apply`], the only way to a version that is not empty:
//!
//! - L0 stands newest first: by highest sequence number, then by file number, descending.
//! - A deeper level ascends by smallest key, and no two of its tables share a user key, not even
//!   at their ends: one key's versions are never split over two tables of a level.
//! - No file number stands twice.
//!
//! A version is immutable and shares with its successor every level that did not change.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use alluvium_base::FileNumber;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::level::{LEVEL_COUNT, Level};
use crate::table_meta::TableMeta;

/// The live tables of one keyspace by level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    levels: [Arc<LevelTables>; LEVEL_COUNT],
}

/// One level. The numbers of its tables stand once more side by side, so that finding one among
/// ten thousand walks over contiguous memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LevelTables {
    tables: Vec<Arc<TableMeta>>,
    numbers: Vec<FileNumber>,
    bytes: u64,
}

impl Version {
    /// The tables of `level`: L0 newest first, deeper levels ascending and disjoint.
    pub fn level(&self, level: Level) -> &[Arc<TableMeta>] {
        self.levels.get(level.index()).map_or(&[], |found| &found.tables)
    }

    /// All levels from L0 down, empty ones too.
    pub fn levels(&self) -> impl Iterator<Item = (Level, &[Arc<TableMeta>])> {
        Level::all().zip(self.levels.iter().map(|level| &level.tables[..]))
    }

    /// All tables: L0 newest first, then level by level.
    pub fn tables(&self) -> impl Iterator<Item = (Level, &Arc<TableMeta>)> {
        self.levels().flat_map(|(level, tables)| tables.iter().map(move |table| (level, table)))
    }

    /// Sum of the sizes of a level's files.
    pub fn level_bytes(&self, level: Level) -> u64 {
        self.levels.get(level.index()).map_or(0, |found| found.bytes)
    }

    /// Sum of the sizes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.levels.iter().fold(0, |sum, level| sum.saturating_add(level.bytes))
    }

    /// How many tables there are.
    pub fn table_count(&self) -> usize {
        self.levels.iter().map(|level| level.tables.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table_count() == 0
    }

    /// The deepest level that holds a table.
    pub fn deepest(&self) -> Option<Level> {
        Level::all().rev().find(|level| !self.level(*level).is_empty())
    }

    /// The tables of `level` that may hold a user key of `smallest..=largest`, in the level's
    /// order.
    pub fn overlapping(
        &self,
        level: Level,
        smallest: &[u8],
        largest: &[u8],
    ) -> Vec<Arc<TableMeta>> {
        let tables = self.level(level);
        if !level.is_sorted_run() {
            let hits = tables.iter().filter(|table| table.overlaps(smallest, largest));
            return hits.cloned().collect();
        }
        let start = tables.partition_point(|table| table.largest[..] < *smallest);
        let hits = tables[start..].iter().take_while(|table| table.smallest[..] <= *largest);
        hits.cloned().collect()
    }

    /// The one table of a sorted run that may hold `user_key`.
    ///
    /// # Panics
    /// For L0, where there may be several: use [`Version::overlapping`].
    pub fn find(&self, level: Level, user_key: &[u8]) -> Option<&Arc<TableMeta>> {
        assert!(level.is_sorted_run(), "only a sorted run has one table for a key");
        let tables = self.level(level);
        let at = tables.partition_point(|table| table.largest[..] < *user_key);
        tables.get(at).filter(|table| table.contains(user_key))
    }

    /// Where the table `number` is, if it is live.
    pub fn level_of(&self, number: FileNumber) -> Option<Level> {
        Level::all().find(|level| self.levels[level.index()].numbers.contains(&number))
    }

    /// The version after `removed` are gone and `added` are there. Removal comes first, so a table
    /// can move from one level to another.
    ///
    /// Fails, saying what is inconsistent, when a table to remove is not there, a number would
    /// stand twice, a table contradicts itself, or tables of a sorted run would overlap.
    pub fn apply(
        &self,
        removed: &[(Level, FileNumber)],
        added: &[(Level, Arc<TableMeta>)],
    ) -> Result<Self, String> {
        let mut next = self.clone();
        next.apply_in_place(removed, added)?;
        Ok(next)
    }

    /// [`Version::apply`] without a copy of what only this version holds: replay makes many
    /// versions and shows none but the last. After a failure the version is half changed.
    pub(crate) fn apply_in_place(
        &mut self,
        removed: &[(Level, FileNumber)],
        added: &[(Level, Arc<TableMeta>)],
    ) -> Result<(), String> {
        for (level, number) in removed {
            self.level_mut(*level)?.remove(*level, *number)?;
        }
        let mut numbers = added.iter().map(|(_, table)| table.number).collect();
        self.check_absent(&numbers)?;
        for (level, table) in added {
            // Two added tables may still share a number with each other.
            if !numbers.remove(&table.number) {
                return Err(format!("table {} is added twice", table.number));
            }
            table.check()?;
            self.level_mut(*level)?.insert(*level, table.clone())?;
        }
        Ok(())
    }

    /// Fails when one of `numbers` is a live table of this version.
    pub(crate) fn check_absent(&self, numbers: &HashSet<FileNumber>) -> Result<(), String> {
        // Looking for a few numbers, walking over integers is several times faster than hashing.
        const FEW: usize = 16;
        let found = if numbers.len() <= FEW {
            numbers.iter().copied().find(|number| self.level_of(*number).is_some())
        } else {
            let mut live = self.levels.iter().flat_map(|level| level.numbers.iter().copied());
            live.find(|number| numbers.contains(number))
        };
        match found {
            Some(number) => Err(format!("table {number} is already there")),
            None => Ok(()),
        }
    }

    fn level_mut(&mut self, level: Level) -> Result<&mut LevelTables, String> {
        let found = self.levels.get_mut(level.index());
        found.map(Arc::make_mut).ok_or_else(|| format!("there is no level {level}"))
    }
}

impl LevelTables {
    fn remove(&mut self, level: Level, number: FileNumber) -> Result<(), String> {
        let at = self.numbers.iter().position(|live| *live == number);
        let at = at.ok_or_else(|| format!("table {number} is not in {level}"))?;
        self.numbers.remove(at);
        self.bytes -= self.tables.remove(at).size_bytes;
        Ok(())
    }

    fn insert(&mut self, level: Level, table: Arc<TableMeta>) -> Result<(), String> {
        let at = if level.is_sorted_run() {
            self.place_in_run(level, &table)?
        } else {
            let age = |table: &TableMeta| Reverse((table.largest_seq, table.number));
            self.tables.partition_point(|other| age(other) < age(&table))
        };
        let bytes = self.bytes.checked_add(table.size_bytes);
        self.bytes = bytes.ok_or_else(|| format!("the sizes of the tables in {level} overflow"))?;
        self.numbers.insert(at, table.number);
        self.tables.insert(at, table);
        Ok(())
    }

    /// Where `table` belongs in a sorted run. Its neighbours alone can overlap it: the rest of the
    /// run is disjoint already.
    fn place_in_run(&self, level: Level, table: &TableMeta) -> Result<usize, String> {
        let at = self.tables.partition_point(|other| other.smallest < table.smallest);
        let before = at.checked_sub(1).and_then(|at| self.tables.get(at));
        for other in before.into_iter().chain(self.tables.get(at)) {
            if other.overlaps(&table.smallest, &table.largest) {
                return Err(format!("tables {other} and {table} of {level} overlap"));
            }
        }
        Ok(at)
    }
}

/// One line for each level that holds tables.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, tables) in self.levels().filter(|(_, tables)| !tables.is_empty()) {
            write!(f, "{level}:")?;
            for table in tables {
                write!(f, " {table}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A map from "L0", "L1", … to the tables there; empty levels are left out.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (level, tables) in self.levels().filter(|(_, tables)| !tables.is_empty()) {
            map.serialize_key(&format_args!("{level}"))?;
            let tables: Vec<&TableMeta> = tables.iter().map(AsRef::as_ref).collect();
            map.serialize_value(&tables)?;
        }
        map.end()
    }
}
