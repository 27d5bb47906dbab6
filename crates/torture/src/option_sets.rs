//! Ways to set up a database that must all give the same answers.
//!
//! Everything is so small that a few writes make several levels, log segments and manifests. Each
//! set turns one screw of [`OptionSet::tiny`], some turn several; [`all`] is where a new option
//! gets its row.

use std::sync::Arc;

use alluvium::{Background, Builder, Compression, Db, Filter, KeyspaceOptions, LogMode};
use alluvium_testkit::{SimClock, SimFs};

use crate::workload::DIR;

/// One way to set up a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionSet {
    /// What is special about it.
    pub name: &'static str,
    /// Options of every keyspace.
    pub keyspace: KeyspaceOptions,
    /// How the log is written.
    pub log_mode: LogMode,
    /// Size of a log segment, in bytes.
    pub log_segment_size: u64,
    /// Size of the whole log at which it is cut short by flushing, in bytes.
    pub max_log_bytes: u64,
    /// How long an end of the log is copied by an open, in bytes; a longer one is flushed later.
    pub max_copied_log_bytes: u64,
    /// Memory for blocks, in bytes.
    pub cache_bytes: u64,
    /// Who flushes and compacts.
    pub background: Background,
    /// Whether flushes run at the lowest priority. With other threads as urgent, they come in between more often.
    pub flushes_give_way: bool,
    /// Size from which the manifest is rewritten, in bytes.
    pub max_manifest_bytes: u64,
}

impl OptionSet {
    /// The set that the others vary: options so small that a few writes make levels.
    pub fn tiny(log_mode: LogMode) -> Self {
        Self {
            name: if log_mode == LogMode::Buffered { "buffered log" } else { "mapped log" },
            keyspace: KeyspaceOptions {
                // An empty memtable takes four thousand bytes: this one is full after some writes.
                write_buffer_size: 5 << 10,
                block_size: 256,
                compression: vec![Compression::None, Compression::Lz4],
                filter: Filter::Blocked { bits_per_key: 10 },
                l0_trigger: 2,
                level_base_bytes: 2 << 10,
                level_multiplier: 2,
                target_file_size: 1 << 10,
                ..KeyspaceOptions::default()
            },
            log_mode,
            log_segment_size: 4096,
            max_log_bytes: 16 << 10,
            max_copied_log_bytes: if log_mode == LogMode::Buffered { 0 } else { 1 << 20 },
            cache_bytes: 64 << 10,
            background: Background::Manual,
            flushes_give_way: false,
            max_manifest_bytes: 4 << 10,
        }
    }

    /// A database on `disk`, set up like this.
    pub fn builder(&self, disk: &SimFs, clock: &SimClock) -> Builder {
        self.builder_in(DIR, disk, clock)
    }

    /// As [`builder`](Self::builder), in another folder.
    pub fn builder_in(&self, dir: &str, disk: &SimFs, clock: &SimClock) -> Builder {
        Db::builder(dir)
            .fs(Arc::new(disk.clone()))
            .clock(Arc::new(clock.clone()))
            .default_keyspace(self.keyspace.clone())
            .cache_bytes(self.cache_bytes)
            .log_segment_size(self.log_segment_size)
            .max_log_bytes(self.max_log_bytes)
            .max_copied_log_bytes(self.max_copied_log_bytes)
            .log_mode(self.log_mode)
            .background(self.background)
            .flushes_give_way(self.flushes_give_way)
            .max_manifest_bytes(self.max_manifest_bytes)
    }
}

/// Every set there is; the first two are the plainest.
pub fn all() -> Vec<OptionSet> {
    let mut sets = vec![OptionSet::tiny(LogMode::Mapped), OptionSet::tiny(LogMode::Buffered)];
    let mut with = |name, change: fn(&mut OptionSet)| {
        // Every other set writes its log the other way.
        let is_mapped = sets.len().is_multiple_of(2);
        let mut set = OptionSet::tiny(if is_mapped { LogMode::Mapped } else { LogMode::Buffered });
        // And two of four settle it later than within an open.
        set.max_copied_log_bytes = if sets.len() % 4 >= 2 { 0 } else { 1 << 20 };
        change(&mut set);
        sets.push(OptionSet { name, ..set });
    };
    keyspaces(&mut with);
    databases(&mut with);
    everything(&mut with);
    sets
}

/// Adds a set: its name, and what is different.
type With<'a> = &'a mut dyn FnMut(&'static str, fn(&mut OptionSet));

/// One screw of a keyspace each.
fn keyspaces(with: With<'_>) {
    with("one-entry memtables", |set| set.keyspace.write_buffer_size = 1);
    with("small memtables", |set| set.keyspace.write_buffer_size = 4500);
    with("memtables that are never full", |set| set.keyspace.write_buffer_size = 1 << 20);
    with("two write buffers", |set| set.keyspace.max_write_buffers = 2);
    with("many write buffers", |set| set.keyspace.max_write_buffers = 8);
    with("smallest blocks", |set| set.keyspace.block_size = 64);
    with("large blocks", |set| set.keyspace.block_size = 16 << 10);
    with("no compression", |set| set.keyspace.compression = vec![Compression::None]);
    with("LZ4 everywhere", |set| set.keyspace.compression = vec![Compression::Lz4]);
    with("no filter", |set| set.keyspace.filter = Filter::None);
    with("one bit a key", |set| set.keyspace.filter = Filter::Blocked { bits_per_key: 1 });
    with("a filter that hardly errs", |set| {
        set.keyspace.filter = Filter::Blocked { bits_per_key: 32 };
    });
    with("textbook filter", |set| set.keyspace.filter = Filter::Standard { bits_per_key: 10 });
    with("textbook filter of one bit", |set| {
        set.keyspace.filter = Filter::Standard { bits_per_key: 1 };
    });
    with("L0 compacted at once", |set| set.keyspace.l0_trigger = 1);
    with("deep L0", |set| set.keyspace.l0_trigger = 10);
    with("writes wait early", |set| {
        set.keyspace.l0_trigger = 1;
        set.keyspace.l0_slowdown = 1;
        set.keyspace.l0_stop = 2;
    });
    with("tiny levels", |set| set.keyspace.level_base_bytes = 1);
    with("one large level", |set| set.keyspace.level_base_bytes = 1 << 20);
    with("levels far apart", |set| set.keyspace.level_multiplier = 100);
    with("one-block tables", |set| set.keyspace.target_file_size = 1);
    with("large tables", |set| set.keyspace.target_file_size = 1 << 20);
}

/// One screw of the database each.
fn databases(with: With<'_>) {
    with("long log segments", |set| {
        set.log_segment_size = 64 << 10;
        set.max_log_bytes = 256 << 10;
    });
    with("a short log", |set| set.max_log_bytes = 8 << 10);
    with("no cache", |set| set.cache_bytes = 0);
    with("a large cache", |set| set.cache_bytes = 4 << 20);
    with("the manifest rewritten all the time", |set| set.max_manifest_bytes = 1);
    with("a manifest that grows", |set| set.max_manifest_bytes = 256 << 10);
}

/// Several screws, or all of them.
fn everything(with: With<'_>) {
    with("everything smallest", |set| {
        set.keyspace.write_buffer_size = 1;
        set.keyspace.max_write_buffers = 2;
        set.keyspace.block_size = 64;
        set.keyspace.l0_trigger = 1;
        set.keyspace.level_base_bytes = 1;
        set.keyspace.target_file_size = 1;
        set.max_log_bytes = 8 << 10;
        set.cache_bytes = 0;
        set.max_manifest_bytes = 1;
    });
    with("the defaults", |set| {
        set.keyspace = KeyspaceOptions::default();
        set.log_segment_size = 1 << 20;
        set.max_log_bytes = 4 << 20;
        set.max_manifest_bytes = 4 << 20;
    });
    with("a background thread", |set| {
        set.background = Background::Threads(1);
        set.flushes_give_way = true;
    });
    with("background threads", |set| set.background = Background::Threads(2));
    with("background threads, small memtables", |set| {
        set.background = Background::Threads(2);
        set.keyspace.write_buffer_size = 4500;
        set.keyspace.l0_trigger = 1;
    });
}

/// Those in which nothing depends on when threads run.
pub fn deterministic() -> Vec<OptionSet> {
    all().into_iter().filter(|set| set.background == Background::Manual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_thirty_sets_and_no_two_are_the_same() {
        let sets = all();
        assert!(sets.len() >= 30);
        for (n, set) in sets.iter().enumerate() {
            assert!(sets[..n].iter().all(|other| other.name != set.name), "{}", set.name);
            let is_like = |other: &OptionSet| OptionSet { name: set.name, ..other.clone() } == *set;
            assert!(!sets[..n].iter().any(is_like), "{} is like another", set.name);
        }
    }
}
