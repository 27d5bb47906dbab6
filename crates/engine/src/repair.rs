//! Repair: a new database from what can still be read of a damaged one.
//!
//! ```text
//!   FROM  (locked, read, never written)                   TO  (new)
//!
//!   CURRENT, MANIFEST ─► history: names, options,          ┌─────────────────────────────┐
//!                        which tables are live             │ tables of one sorted run    │
//!   *.wal ─► every record that verifies ─► spilled ──┐     │ a keyspace                  │
//!                                                    ├─►───┤                             │
//!   *.table ─► every block that verifies ────────────┘merge│ MANIFEST, then CURRENT      │
//!                                                          └─────────────────────────────┘
//! ```
//!
//! Recovery gives a prefix of what was written, or refuses. Repair gives all that verifies, with
//! holes, and a [`RepairReport`] that names the holes. Entries keep their sequences, expiries and
//! tombstones, so what is newest stays newest.
//!
//! Invariants:
//!
//! - Nothing in FROM is written, renamed or removed; only its lock is taken.
//! - Nothing whose checksum does not verify gets into TO.
//! - TO is no database until all of it is durable: `CURRENT` comes last.
//! - Memory is bounded: [`RepairOptions::memory_bytes`] for the log's entries, and one block a run.

mod history;
mod log;
mod merge;
mod report;
mod tables;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::{Clock, FileName, FileNumber, Fs, KeyspaceId, SystemClock};
use alluvium_table::{FilterKind, TableOptions};

use crate::db::DEFAULT_KEYSPACE;
use crate::folder::{list_files, take_lock};
use crate::options::{Compression, Filter, KeyspaceOptions};
use crate::recovery::parse_stored_options;
use crate::{Error, Result};

use history::{History, read_history};
use log::{LogExtent, read_log, survey_log};
use merge::{Input, Rank};
use tables::{FoundTable, Role, choose, describe, report_unread, survey_tables};
use target::{NewKeyspace, Target};

pub use report::{
    FileFate, Knowledge, Loss, LostKeys, OptionsSource, RepairReport, RepairedFile,
    RepairedKeyspace,
};

/// How [`repair`] works.
#[derive(Clone, Debug)]
pub struct RepairOptions {
    /// Memory for entries of the log before they are spilled to the new folder, in bytes. Default
    /// 64 MiB.
    pub memory_bytes: u64,
    /// The clock that the new tables' ages are noted with. Default the machine's.
    pub clock: Arc<dyn Clock>,
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, clock: Arc::new(SystemClock::new()) }
    }
}

/// Builds a new database in `to`, a folder that must not exist or be empty, from what can still be
/// read of the one in `from`, which must not be open. `from` is never changed: if its lock file is
/// missing it gets one, all else is only read.
///
/// Every table block and every record of the log that verifies is used, behind damage too. The
/// report names what could not be: ranges of keys, sequences, bytes. **A key in a lost range, and any
/// key where sequences are missing, may be absent, show an older value, or show a value although it
/// was removed.** Nothing else can be wrong, unless [`RepairReport::knowledge`] is less than
/// [`Knowledge::Whole`]: then the manifest does not tell for all tables whether they are live. An
/// obsolete table, one that a compaction has replaced and nobody has deleted yet, is then read like
/// a live one, and **keys removed before that compaction may come back, and older values show**.
/// Such tables are there after a crash, or when the database died while readers held them; after a
/// clean close there are none.
///
/// Keyspaces whose names are lost are called `recovered-N`, after their id; tables that do not tell
/// their keyspace become one each, `recovered-table-N`.
///
/// # Errors
/// [`Locked`](crate::ErrorKind::Locked) when `from` is open;
/// [`Invalid`](crate::ErrorKind::Invalid) when there is no database in it, or `to` is not empty or
/// lies within it; [`Version`](crate::ErrorKind::Version) when a later release wrote it;
/// [`Io`](crate::ErrorKind::Io) when `to` cannot be written. Then `to` is no database: remove it.
/// Damage in `from` is no error: it is in the report.
#[expect(clippy::needless_pass_by_value, reason = "callers have no other use for disk and options")]
pub fn repair(
    fs: Arc<dyn Fs>,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    options: RepairOptions,
) -> Result<RepairReport> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let names = list_files(&*fs, from)?;
    if !names.iter().any(|name| name.number().is_some() || *name == FileName::Current) {
        return Err(Error::invalid(format!("there is no database in {}", from.display())));
    }
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if whole(to).starts_with(whole(from)) {
        return Err(Error::invalid(format!(
            "{} lies in the damaged database, which is not to be changed: name a folder outside it",
            to.display()
        )));
    }
    let _lock = take_lock(&*fs, from)?;
    // Again, now that nobody changes them.
    let names = list_files(&*fs, from)?;
    let target = Target::begin(&fs, to, options.memory_bytes, options.clock.now_ms())?;
    Repair::survey(fs, from, &names)?.run(target)
}

/// A repair under way: what was found.
#[derive(Debug)]
struct Repair {
    fs: Arc<dyn Fs>,
    from: PathBuf,
    history: History,
    log: LogExtent,
    tables: BTreeMap<FileNumber, FoundTable>,
    report: RepairReport,
}

impl Repair {
    /// Looks at everything, without the tables' data.
    fn survey(fs: Arc<dyn Fs>, from: &Path, names: &[FileName]) -> Result<Self> {
        let mut report = RepairReport::default();
        let history = read_history(&*fs, from, names, &mut report.files)?;
        let log = survey_log(&*fs, from, names, history.log, &mut report.files)?;
        let mut tables = survey_tables(&*fs, from, names, &history)?;
        report.knowledge = choose(&history, &log, &mut tables, &mut report.doubts);
        report.doubts.extend(log.doubts.iter().cloned());
        note_options(&*fs, from, &mut report);
        let mut repair = Self { fs, from: from.to_owned(), history, log, tables, report };
        repair.note_what_is_missing();
        Ok(repair)
    }

    fn note_what_is_missing(&mut self) {
        let report = &mut self.report;
        if report.knowledge == Knowledge::Nothing {
            report.doubts.push(
                "no manifest can be read: whether tables are missing, and which of those found are \
                 obsolete, cannot be known. Removed keys may be back, and older values may show"
                    .to_owned(),
            );
        } else if report.knowledge == Knowledge::Partial {
            report.doubts.push(
                "tables that became obsolete after what is known of the manifest may have been \
                 read: removed keys may be back, and older values may show"
                    .to_owned(),
            );
        }
        if self.log.is_without_segments() {
            report.doubts.push(
                "there is no log: writes since the last flush are lost, if there were any"
                    .to_owned(),
            );
        }
        let first = match report.knowledge {
            Knowledge::Nothing => self.log.first().unwrap_or_default(),
            Knowledge::Whole | Knowledge::Partial => self.history.flushed().next(),
        };
        let last = self.log.last().unwrap_or_default().max(self.history.last_seq);
        report.missing_seqs = self.log.missing(first, last);
    }

    /// Writes everything to `target`.
    fn run(mut self, mut target: Target) -> Result<RepairReport> {
        self.take_log(&mut target)?;
        let mut next_keyspace = self.next_keyspace();
        let apart = self.set_apart(&mut next_keyspace);
        let mut keyspaces = Vec::new();
        let mut ids: BTreeSet<KeyspaceId> = self.history.keyspaces.keys().copied().collect();
        ids.insert(KeyspaceId::DEFAULT);
        ids.extend(self.log.keyspaces.iter().filter(|id| self.is_wanted(**id)));
        ids.extend(self.read_tables().filter_map(|(_, table)| table.keyspace));
        for id in ids {
            keyspaces.push(self.rebuild(id, apart.get(&id).copied(), &keyspaces, &mut target)?);
        }
        let name_of = |id: KeyspaceId| {
            let found = keyspaces.iter().find(|keyspace| keyspace.id == id);
            found.map(|keyspace| keyspace.name.clone())
        };
        report_unread(&self.history, &self.tables, &name_of, &mut self.report.files);
        self.report.files.sort_by(|a, b| a.name.cmp(&b.name));
        let written = keyspaces.iter().flat_map(|keyspace| &keyspace.tables);
        let highest = written.map(|meta| meta.largest_seq).max().unwrap_or_default();
        // Numbers of writes that are lost are not given again.
        let known = self.history.last_seq.max(self.log.last().unwrap_or_default());
        self.report.highest_seq = highest.max(known);
        target.finish(&keyspaces, next_keyspace, self.report.highest_seq)?;
        tracing::info!(complete = self.report.is_complete(), "repaired into a new database");
        Ok(self.report)
    }

    /// Spills the entries of the log that count.
    fn take_log(&mut self, target: &mut Target) -> Result<()> {
        let has_gaps = !self.report.missing_seqs.is_empty() || self.lacks_flushed();
        read_log(&*self.fs, &self.from, &self.log, &mut |batch, entry, seq| {
            let known = self.history.keyspaces.get(&entry.keyspace);
            let is_flushed = known.is_some_and(|known| seq <= known.flushed);
            if !self.is_wanted(entry.keyspace) || (has_gaps && is_flushed) {
                return Ok(());
            }
            target.insert(batch, entry, seq)
        })?;
        target.spill()
    }

    /// Whether the log misses writes that come after some it has, and that were flushed: a flush does
    /// not wait for the log, so that a power cut may have taken them.
    fn lacks_flushed(&self) -> bool {
        self.log.has_gaps() || self.log.last() < Some(self.history.flushed())
    }

    /// Whether entries of this keyspace count: those of a dropped one do not.
    fn is_wanted(&self, id: KeyspaceId) -> bool {
        self.history.keyspaces.contains_key(&id) || !self.history.is_dropped(id)
    }

    fn read_tables(&self) -> impl Iterator<Item = (&FileNumber, &FoundTable)> {
        let is_read = |table: &FoundTable| table.role == Role::Read && table.unusable.is_none();
        self.tables.iter().filter(move |(_, table)| is_read(table))
    }

    fn next_keyspace(&self) -> u32 {
        let found = self.tables.values().filter_map(|table| table.keyspace);
        let found = found.chain(self.log.keyspaces.iter().copied());
        let next = found.map(|id| id.0.saturating_add(1)).max().unwrap_or(1);
        next.max(self.history.next_keyspace)
    }

    /// Gives tables that do not tell their keyspace one of their own each.
    fn set_apart(&mut self, next_keyspace: &mut u32) -> BTreeMap<KeyspaceId, FileNumber> {
        let mut apart = BTreeMap::new();
        for (number, table) in &mut self.tables {
            let is_homeless = table.keyspace.is_none() && table.role == Role::Read;
            if is_homeless && table.unusable.is_none() && *next_keyspace < u32::MAX {
                let id = KeyspaceId(*next_keyspace);
                *next_keyspace += 1;
                table.keyspace = Some(id);
                apart.insert(id, *number);
            }
        }
        apart
    }

    /// Writes one keyspace; `before` are those that have their names already.
    fn rebuild(
        &mut self,
        id: KeyspaceId,
        apart: Option<FileNumber>,
        before: &[NewKeyspace],
        target: &mut Target,
    ) -> Result<NewKeyspace> {
        let (name, name_is_known) = self.name(id, apart, before);
        let (options, source) = self.options(id);
        let inputs = self.read_tables().filter(|(_, table)| table.keyspace == Some(id));
        let inputs = inputs.map(|(&number, table)| Input {
            path: FileName::Table(number).in_dir(&self.from),
            number,
            rank: Rank::Table(number),
            range: table.range(),
        });
        let inputs = inputs.collect();
        let has_gaps = self.lacks_flushed();
        let (tables, outcomes, uncertain) = target.merge(id, &options, inputs, has_gaps)?;
        for outcome in outcomes {
            let keyspace = apart.is_none().then(|| name.clone());
            let file = describe(&self.tables, &outcome, keyspace);
            self.report.files.push(file);
        }
        if self.report.knowledge != Knowledge::Whole {
            self.report.uncertain_keys += uncertain;
        }
        self.report.keyspaces.push(RepairedKeyspace {
            id: id.0,
            name: name.clone(),
            name_is_known,
            options: source,
            entries: tables.iter().map(|meta| meta.entry_count).sum(),
            tables: tables.len(),
            table_bytes: tables.iter().map(|meta| meta.size_bytes).sum(),
        });
        Ok(NewKeyspace { id, name, options, tables })
    }

    /// What the keyspace is called, and whether that is its name.
    fn name(
        &self,
        id: KeyspaceId,
        apart: Option<FileNumber>,
        before: &[NewKeyspace],
    ) -> (String, bool) {
        if id == KeyspaceId::DEFAULT {
            return (DEFAULT_KEYSPACE.to_owned(), true);
        }
        let known = self.history.keyspaces.get(&id).and_then(|known| known.name.clone());
        let is_known = known.is_some();
        let made_up = match apart {
            Some(number) => format!("recovered-table-{number}"),
            None => format!("recovered-{}", id.0),
        };
        let mut name = known.unwrap_or(made_up);
        let is_taken = |name: &str| {
            let mut others = self.history.keyspaces.iter().filter(|(other, _)| **other != id);
            before.iter().any(|keyspace| keyspace.name == name)
                || !is_known && others.any(|(_, known)| known.name.as_deref() == Some(name))
        };
        let mut is_name = is_known;
        while is_taken(&name) {
            name.push('+');
            is_name = false;
        }
        (name, is_name)
    }

    fn options(&self, id: KeyspaceId) -> (KeyspaceOptions, OptionsSource) {
        let stored = self.history.keyspaces.get(&id).and_then(|known| known.options.as_ref());
        let manifest = FileName::Manifest(self.history.number).in_dir(&self.from);
        if let Some(Ok(options)) = stored.map(|stored| parse_stored_options(&manifest, stored)) {
            return (options, OptionsSource::Manifest);
        }
        let of_keyspace = self.read_tables().filter(|(_, table)| table.keyspace == Some(id));
        match of_keyspace.filter_map(|(_, table)| table.options.as_ref()).last() {
            Some(table) => (like_table(table), OptionsSource::Table),
            None => (KeyspaceOptions::default(), OptionsSource::Defaults),
        }
    }
}

/// `OPTIONS` holds no data: that it is damaged is told, and nothing is lost.
fn note_options(fs: &dyn Fs, from: &Path, report: &mut RepairReport) {
    let name = FileName::Options.to_string();
    let is_there = fs.exists(&FileName::Options.in_dir(from)).unwrap_or(true);
    let file = match crate::options_file::check(fs, from) {
        Ok(()) if is_there => return,
        Ok(()) => RepairedFile::new(name, FileFate::Missing),
        Err(error) => RepairedFile::new(name, FileFate::Unneeded).note(error.to_string()),
    };
    report.files.push(file.note("it holds no data: opening the database writes it anew"));
}

/// The defaults, with what a table tells of how it was built.
fn like_table(table: &TableOptions) -> KeyspaceOptions {
    KeyspaceOptions {
        block_size: table.block_size,
        compression: vec![match table.compression {
            alluvium_table::Compression::None => Compression::None,
            alluvium_table::Compression::Lz4 => Compression::Lz4,
        }],
        filter: match table.filter {
            FilterKind::None => Filter::None,
            FilterKind::Blocked { bits_per_key } => Filter::Blocked { bits_per_key },
            FilterKind::Standard { bits_per_key } => Filter::Standard { bits_per_key },
        },
        ..KeyspaceOptions::default()
    }
}
