//! Replay: log records back into memtables, in bounded memory, for a log that holds more than
//! [`Gathering`](crate::gather::Gathering) may.
//!
//! Records must follow each other without a gap in their sequences: a missing segment is noticed
//! whether or not its neighbours verify. Entries that their keyspace has already flushed, and
//! entries of keyspaces that were dropped, are passed over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{
    BatchEntry, BatchReader, Bytes, Clock, FileName, FileNumber, FileNumbers, Fs, KeyspaceId, Seq,
};
use alluvium_compaction::{Below, GcContext, Output, write_tables};
use alluvium_manifest::{Cause, KeyspaceChange, Level, Manifest, State, VersionEdit};
use alluvium_memtable::Memtable;

use crate::flush::FLUSH_TABLE_BYTES;
use crate::options::{Builder, KeyspaceOptions};
use crate::recovery::{flushed_seqs, keyspace_options};
use crate::view::{ActiveMemtable, MemtableMaker};
use crate::{Error, Result};

/// Takes records in order and fills memtables; full ones are flushed.
#[derive(Debug)]
pub(crate) struct LogReplay<'a> {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    numbers: Arc<FileNumbers>,
    manifest: &'a mut Manifest,
    maker: MemtableMaker,
    flushed: BTreeMap<KeyspaceId, Seq>,
    options: BTreeMap<KeyspaceId, KeyspaceOptions>,
    memtables: Memtables,
    order: RecordOrder,
}

/// Checks that the records of a log hold batches that follow each other and what the manifest says.
#[derive(Debug)]
pub(crate) struct RecordOrder {
    dir: PathBuf,
    /// Nothing up to here has to be in the log.
    flushed: Seq,
    /// What the manifest says of sequences was durable in the log before.
    known: Seq,
    next_keyspace: KeyspaceId,
    /// The last sequence of the last record.
    last: Option<Seq>,
    /// The entries of the last record.
    entries: Vec<BatchEntry>,
}

/// What is in memtables only, by keyspace.
pub(crate) type Memtables = BTreeMap<KeyspaceId, ActiveMemtable>;

impl RecordOrder {
    pub(crate) fn new(dir: &Path, state: &State) -> Self {
        let flushed = state.keyspaces.values().map(|keyspace| keyspace.flushed).min();
        Self {
            dir: dir.to_owned(),
            // Without any keyspace nothing was ever written.
            flushed: flushed.unwrap_or_default(),
            known: state.last_seq,
            next_keyspace: state.next_keyspace,
            last: None,
            entries: Vec::new(),
        }
    }

    /// Takes the next record and answers its entries. Fails with [`Error::Corrupt`] when it does
    /// not follow the one before it or holds no batch.
    pub(crate) fn check(
        &mut self,
        first: Seq,
        payload: &Bytes,
        segment: FileNumber,
        offset: u64,
    ) -> Result<&[BatchEntry]> {
        let damage =
            |what: String| Error::corrupt(FileName::Wal(segment).in_dir(&self.dir), offset, what);
        // What is missing up to there is in tables: a flush need not wait for the log.
        let needed = self.reached().next();
        let follows = first <= needed && self.last.is_none_or(|last| last < first);
        if !follows {
            return Err(damage(format!(
                "writes {needed} to {first} are missing before this record: \
                 a log segment was lost or removed"
            )));
        }
        self.entries.clear();
        let entries = &mut self.entries;
        BatchReader::new(payload)
            .and_then(|mut batch| {
                batch.try_for_each(|entry| entry.map(|entry| entries.push(entry)))
            })
            .map_err(|error| damage(error.to_string()))?;
        if let Some(stranger) = entries.iter().find(|entry| entry.keyspace >= self.next_keyspace) {
            return Err(damage(format!("keyspace {} never existed", stranger.keyspace.0)));
        }
        if entries.iter().any(|entry| entry.kind.is_reserved()) {
            return Err(damage("an entry of a kind that only a later release can read".to_owned()));
        }
        if !entries.is_empty() {
            self.last = Some(first.plus(entries.len() as u64 - 1));
        }
        Ok(&self.entries)
    }

    /// Every write up to here is in tables or in the records so far.
    fn reached(&self) -> Seq {
        self.last.map_or(self.flushed, |last| last.max(self.flushed))
    }

    /// The last sequence ever given, after the last record. Fails with [`Error::Corrupt`] when the
    /// log ends before what the manifest knows of: a torn tail never does.
    pub(crate) fn finish(&self) -> Result<Seq> {
        let (reached, known) = (self.reached(), self.known);
        if reached < known {
            let what = format!(
                "the log ends at write {reached}, yet the manifest knows of write {known}: \
                 its end is damaged or was removed"
            );
            return Err(Error::corrupt(&self.dir, 0, what));
        }
        Ok(reached)
    }
}

impl<'a> LogReplay<'a> {
    pub(crate) fn new(
        builder: &Builder,
        numbers: &Arc<FileNumbers>,
        manifest: &'a mut Manifest,
        maker: &MemtableMaker,
    ) -> Result<Self> {
        Ok(Self {
            dir: builder.dir.clone(),
            fs: Arc::clone(&builder.fs),
            clock: Arc::clone(&builder.clock),
            numbers: Arc::clone(numbers),
            maker: maker.clone(),
            flushed: flushed_seqs(manifest),
            order: RecordOrder::new(&builder.dir, manifest.state()),
            options: keyspace_options(builder, manifest)?,
            manifest,
            memtables: BTreeMap::new(),
        })
    }

    /// Takes the next record. Fails with [`Error::Corrupt`] when it does not follow the one before
    /// it or holds no batch.
    pub(crate) fn record(
        &mut self,
        first: Seq,
        payload: &Bytes,
        segment: FileNumber,
        offset: u64,
    ) -> Result<()> {
        let entries = self.order.check(first, payload, segment, offset)?;
        for (at, entry) in (0..).zip(entries) {
            let seq = first.plus(at);
            // No flushed sequence is known of a dropped keyspace.
            if self.flushed.get(&entry.keyspace).is_some_and(|&flushed| seq > flushed) {
                let active =
                    self.memtables.entry(entry.keyspace).or_insert_with(|| self.maker.make(seq));
                let (key, value) = (entry.key.clone(), entry.value.clone());
                active.memtable.insert(payload, key, value, seq, entry.kind);
            }
        }
        self.flush_full()
    }

    /// Flushes memtables over their size, between two batches.
    fn flush_full(&mut self) -> Result<()> {
        let ids: Vec<KeyspaceId> = self.memtables.keys().copied().collect();
        for id in ids {
            let limit = self.options[&id].write_buffer_size;
            if self.memtables[&id].memtable.memory_bytes() as u64 >= limit {
                self.flush(id)?;
            }
        }
        Ok(())
    }

    /// Writes a memtable to L0. The log was made durable before replay began, so what the edit
    /// declares flushed cannot outlive what came before it.
    fn flush(&mut self, id: KeyspaceId) -> Result<()> {
        let Some(full) = self.memtables.remove(&id) else { return Ok(()) };
        let Some(last) = self.order.last else { return Ok(()) };
        let options = &self.options[&id];
        let now_ms = self.clock.now_ms();
        let output = Output {
            fs: &*self.fs,
            dir: &self.dir,
            numbers: &self.numbers,
            cache: &self.maker.cache,
            blocks: None,
            keyspace: id,
            table_options: options.table(Level(0)),
            target_file_size: FLUSH_TABLE_BYTES,
            grandparents: &[],
            now_ms,
            cancel: &false.into(),
            on_bytes: &|_| {},
        };
        let gc = GcContext::new(Vec::new(), now_ms);
        let mut entries = Memtable::iter(full.memtable);
        let written = write_tables(&mut *entries, &gc, Below::everything(), &output)?;
        let mut edit = VersionEdit::new(Cause::Recovery, now_ms);
        edit.last_seq = Some(last);
        edit.changes.push(KeyspaceChange {
            keyspace: id,
            flushed: Some(last),
            removed: Vec::new(),
            added: written.into_iter().map(|meta| (Level(0), Arc::new(meta))).collect(),
        });
        if is_planted(Bug::ReplayFlushesForAll) {
            let others = self.flushed.keys().filter(|other| **other != id);
            edit.changes.extend(others.map(|other| KeyspaceChange {
                keyspace: *other,
                flushed: Some(last),
                removed: Vec::new(),
                added: Vec::new(),
            }));
        }
        self.manifest.apply(edit)?;
        self.flushed.insert(id, last);
        Ok(())
    }

    /// The last sequence ever given, and the memtables that are left. Fails as
    /// [`RecordOrder::finish`] does.
    pub(crate) fn finish(self) -> Result<(Seq, Memtables)> {
        Ok((self.order.finish()?, self.memtables))
    }
}
