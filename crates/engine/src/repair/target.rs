//! Writing the new database: tables first, then the manifest, and `CURRENT` last of all.
//!
//! Until `CURRENT` is there and durable, the folder is no database: it holds tables that nothing
//! names, and opening it is refused. So a crash, a full disk or any error leaves something that is
//! to be removed, never half of the data that looks whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::fs::LockGuard;
use alluvium_base::{BatchEntry, Bytes, FileName, FileNumber, FileNumbers, Fs, KeyspaceId, Seq};
use alluvium_compaction::{Below, GcContext, Output, write_tables};
use alluvium_manifest::{Cause, KeyspaceChange, Level, Manifest, State, TableMeta, VersionEdit};
use alluvium_memtable::{Memtable, PackedMemtable, WritableMemtable};
use alluvium_table::BlockCache;

use super::merge::{Input, Outcome, Rank, SalvageMerge};
use crate::folder::{create_dir_durably, take_lock};
use crate::options::KeyspaceOptions;
use crate::recovery::encode_options;
use crate::{Error, Result};

/// Tables spilled from the log are read once and removed: one is as good as many.
const SPILL_TABLE_BYTES: u64 = 512 << 20;

/// The new database's folder while it is written.
#[derive(Debug)]
pub(super) struct Target {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    numbers: FileNumbers,
    now_ms: u64,
    /// Entries of the log that wait to be spilled.
    memtables: BTreeMap<KeyspaceId, Arc<PackedMemtable>>,
    spilled: BTreeMap<KeyspaceId, Vec<Input>>,
    /// How much memory they may take, in bytes.
    memory_bytes: u64,
    _lock: Box<dyn LockGuard>,
}

/// A keyspace as it goes into the new manifest.
#[derive(Debug)]
pub(super) struct NewKeyspace {
    pub(super) id: KeyspaceId,
    pub(super) name: String,
    pub(super) options: KeyspaceOptions,
    pub(super) tables: Vec<TableMeta>,
}

impl Target {
    /// Makes the folder `dir`, which must be new or empty, and locks it.
    pub(super) fn begin(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        memory_bytes: u64,
        now_ms: u64,
    ) -> Result<Self> {
        create_dir_durably(&**fs, dir)?;
        let names = fs.list(dir).map_err(|error| Error::io("list", dir, error))?;
        if !names.is_empty() {
            return Err(Error::invalid(format!(
                "{} is not empty: repair needs a new folder. If an earlier repair into it was cut \
                 short, remove it first; it holds nothing that the damaged database does not",
                dir.display()
            )));
        }
        Ok(Self {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            numbers: FileNumbers::starting_at(FileNumber(1)),
            now_ms,
            memtables: BTreeMap::new(),
            spilled: BTreeMap::new(),
            memory_bytes,
            _lock: take_lock(&**fs, dir)?,
        })
    }

    /// Takes one entry of the log.
    pub(super) fn insert(&mut self, batch: &Bytes, entry: &BatchEntry, seq: Seq) -> Result<()> {
        let memtable =
            self.memtables.entry(entry.keyspace).or_insert_with(|| Arc::new(PackedMemtable::new()));
        memtable.insert(batch, entry.key.clone(), entry.value.clone(), seq, entry.kind);
        let held: usize = self.memtables.values().map(|memtable| memtable.memory_bytes()).sum();
        if held as u64 >= self.memory_bytes { self.spill() } else { Ok(()) }
    }

    /// Writes what waits to tables that the merge reads later.
    pub(super) fn spill(&mut self) -> Result<()> {
        for (id, memtable) in std::mem::take(&mut self.memtables) {
            let options = KeyspaceOptions::default();
            let mut entries = Memtable::iter(memtable);
            let written = self.write(id, &options, SPILL_TABLE_BYTES, &mut *entries)?;
            let spilled = written.into_iter().map(|meta| Input {
                path: FileName::Table(meta.number).in_dir(&self.dir),
                number: meta.number,
                rank: Rank::Log(meta.number),
                range: Some((meta.smallest, meta.largest)),
            });
            self.spilled.entry(id).or_default().extend(spilled);
        }
        Ok(())
    }

    /// Merges `inputs` and what the log had for the keyspace into its new tables. Answers those,
    /// what became of each input, and how many keys are uncertain.
    pub(super) fn merge(
        &mut self,
        id: KeyspaceId,
        options: &KeyspaceOptions,
        mut inputs: Vec<Input>,
        log_has_gaps: bool,
    ) -> Result<(Vec<TableMeta>, Vec<Outcome>, u64)> {
        let spilled = self.spilled.remove(&id).unwrap_or_default();
        inputs.extend(spilled.iter().cloned());
        let fs = Arc::clone(&self.fs);
        let mut merge = SalvageMerge::new(&*fs, inputs, log_has_gaps);
        let tables = self.write(id, options, options.target_file_size, &mut merge)?;
        let uncertain = merge.uncertain_keys;
        let mut outcomes = merge.outcomes();
        for outcome in &outcomes {
            // Written a moment ago: this disk cannot be trusted with the result either.
            if let (Rank::Log(number), false) = (outcome.rank, outcome.is_whole()) {
                let path = FileName::Table(number).in_dir(&self.dir);
                return Err(Error::corrupt(path, 0, "what was just written does not verify"));
            }
        }
        outcomes.retain(|outcome| matches!(outcome.rank, Rank::Table(_)));
        for Input { path, .. } in spilled {
            self.fs.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
        Ok((tables, outcomes, uncertain))
    }

    /// Writes entries as they are: neither their sequences nor their expiries change, and
    /// tombstones stay. Only versions that no reader can reach are left out.
    fn write(
        &self,
        keyspace: KeyspaceId,
        options: &KeyspaceOptions,
        target_file_size: u64,
        entries: &mut dyn alluvium_base::InternalIterator,
    ) -> Result<Vec<TableMeta>> {
        let output = Output {
            fs: &*self.fs,
            dir: &self.dir,
            numbers: &self.numbers,
            cache: &BlockCache::new(0),
            blocks: None,
            keyspace,
            table_options: options.table(Level::BOTTOM),
            target_file_size,
            grandparents: &[],
            now_ms: self.now_ms,
            cancel: &false.into(),
            on_bytes: &|_| {},
        };
        // A clock at zero: nothing has expired.
        write_tables(entries, &GcContext::new(Vec::new(), 0), Below::everything(), &output)
    }

    /// Makes the folder a database: from here on it can be opened.
    pub(super) fn finish(
        self,
        keyspaces: &[NewKeyspace],
        next_keyspace: u32,
        highest_seq: Seq,
    ) -> Result<()> {
        let mut edit = VersionEdit::new(Cause::Recovery, self.now_ms);
        edit.last_seq = Some(highest_seq);
        for keyspace in keyspaces {
            let options = encode_options(&keyspace.options);
            edit.created.push((keyspace.id, keyspace.name.clone(), options));
            let tables = keyspace.tables.iter();
            edit.changes.push(KeyspaceChange {
                keyspace: keyspace.id,
                flushed: Some(highest_seq),
                removed: Vec::new(),
                added: tables.map(|meta| (Level::BOTTOM, Arc::new(meta.clone()))).collect(),
            });
        }
        let number = self.numbers.take();
        let mut record = State::new().record(edit, self.numbers.peek());
        record.next_keyspace.0 = record.next_keyspace.0.max(next_keyspace);
        let state = State::new()
            .apply(&record)
            .map_err(|what| Error::invalid(format!("the repaired database: {what}")))?;
        let sync =
            |dir: &Path| self.fs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error));
        sync(&self.dir)?;
        Manifest::write_snapshot(&*self.fs, &self.dir, number, &state, self.now_ms)
    }
}
