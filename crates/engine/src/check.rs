//! Checking a database's files without opening it: nothing is written, everything is read.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::{Bytes, FileName, Fs, KeyspaceId, Seq};
use alluvium_manifest::{Manifest, TableMeta};
use alluvium_table::{BlockCache, Table};
use alluvium_wal::{KnownSegments, RecordAt, replay};

use crate::core::check_identity;
use crate::folder::{list_files, take_lock};
use crate::recovery::{missing_is_damage, parse_stored_options};
use crate::replay::RecordOrder;
use crate::survey::known_segments;
use crate::{Error, Result};

/// How much [`check`] reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The manifest, the log, and each table's footer, properties, index and filter.
    #[default]
    Quick,
    /// All of that, and every block of every table: checksums, order, filters, counts.
    Deep,
}

/// What [`check`] found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Keyspaces looked at.
    pub keyspaces: usize,
    /// Tables looked at.
    pub tables: usize,
    /// Bytes in them.
    pub table_bytes: u64,
    /// Entries in them, as the manifest says and, with [`Depth::Deep`], as was counted.
    pub table_entries: u64,
    /// Records in the log.
    pub log_records: u64,
    /// Bytes after the last sound record of the log that were never acknowledged as durable: the
    /// trace of a crash, no damage.
    pub torn_bytes: u64,
    /// Everything that is wrong, each with its file. Empty for a sound database.
    pub damage: Vec<Error>,
}

/// Checks the files of the database in `dir`, which must not be open, without changing any.
///
/// # Errors
/// [`Locked`](crate::ErrorKind::Locked) when it is open;
/// [`Invalid`](crate::ErrorKind::Invalid) when there is none; [`Io`](crate::ErrorKind::Io) when
/// the folder cannot be read. Damage is no error of the call: it is in the report.
#[expect(clippy::needless_pass_by_value, reason = "callers have no other use for the disk")]
pub fn check(fs: Arc<dyn Fs>, dir: impl AsRef<Path>, depth: Depth) -> Result<CheckReport> {
    let dir = dir.as_ref();
    let names = list_files(&*fs, dir)?;
    let is_ours =
        |name: &FileName| matches!(name, FileName::Current | FileName::Table(_) | FileName::Wal(_));
    if !names.iter().any(is_ours) {
        return Err(Error::invalid(format!("there is no database in {}", dir.display())));
    }
    let _lock = take_lock(&*fs, dir)?;
    let mut report = CheckReport::default();
    note(&mut report.damage, crate::options_file::check(&*fs, dir));
    match Manifest::recover(Arc::clone(&fs), dir) {
        Ok(recovered) => {
            let mut order = RecordOrder::new(dir, &recovered.state);
            let known = known_segments(&recovered.state);
            check_log(&*fs, dir, known, &mut report, &mut |first, payload, at| {
                order.check(first, &payload, at.segment, at.offset).map(drop)
            });
            if report.damage.is_empty() {
                note(&mut report.damage, order.finish().map(drop));
            }
            check_tables(&fs, dir, &recovered, depth, &mut report);
        }
        Err(error) => {
            report.damage.push(error);
            // What the records say cannot be judged without the manifest; that they are sound can.
            let known = KnownSegments::default();
            check_log(&*fs, dir, known, &mut report, &mut |_, _, _| Ok(()));
        }
    }
    Ok(report)
}

fn note(damage: &mut Vec<Error>, result: Result<()>) {
    damage.extend(result.err());
}

fn check_log(
    fs: &dyn Fs,
    dir: &Path,
    known: KnownSegments,
    report: &mut CheckReport,
    each: &mut dyn FnMut(Seq, Bytes, RecordAt) -> Result<()>,
) {
    match replay(fs, dir, known, each) {
        Ok(replayed) => {
            report.log_records = replayed.records;
            report.torn_bytes = replayed.torn.map_or(0, |torn| torn.dropped_bytes);
        }
        Err(error) => report.damage.push(error),
    }
}

fn check_tables(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    recovered: &alluvium_manifest::Recovered,
    depth: Depth,
    report: &mut CheckReport,
) {
    let cache = BlockCache::new(0);
    let manifest = FileName::Manifest(recovered.number).in_dir(dir);
    for keyspace in recovered.state.keyspaces.values() {
        report.keyspaces += 1;
        note(&mut report.damage, parse_stored_options(&manifest, &keyspace.options).map(drop));
        for (_, meta) in keyspace.version.tables() {
            report.tables += 1;
            report.table_bytes += meta.size_bytes;
            report.table_entries += meta.entry_count;
            let checked = check_table(&**fs, dir, keyspace.id, meta, &cache, depth);
            note(&mut report.damage, checked);
        }
    }
}

fn check_table(
    fs: &dyn Fs,
    dir: &Path,
    keyspace: KeyspaceId,
    meta: &TableMeta,
    cache: &Arc<BlockCache>,
    depth: Depth,
) -> Result<()> {
    let path = FileName::Table(meta.number).in_dir(dir);
    let file = fs.open(&path).map_err(|error| Error::io("open", &path, error));
    let file = file.map_err(missing_is_damage)?;
    let table = Table::open(file, &path, meta.number, keyspace, Arc::clone(cache))?;
    check_identity(&table, meta)?;
    match depth {
        Depth::Quick => Ok(()),
        Depth::Deep => table.verify(),
    }
}
