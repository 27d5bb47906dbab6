//! A small database's worth of manifest, for the tests that need a disk.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::{Bytes, FileName, FileNumber, FileNumbers, Fs, KeyspaceId, MemFs, Seq};
use alluvium_manifest::{
    Cause, KeyspaceChange, Level, Manifest, ManifestOptions, State, VersionEdit,
};

use crate::script::parse_table;

/// Where it lives.
pub(crate) const DIR: &str = "/db";

pub(crate) fn dir() -> &'static Path {
    Path::new(DIR)
}

pub(crate) fn numbers(next: u64) -> Arc<FileNumbers> {
    Arc::new(FileNumbers::starting_at(FileNumber(next)))
}

/// Reopens as the engine does: numbers go on above everything that was ever seen.
pub(crate) fn reopen(fs: &Arc<dyn Fs>) -> alluvium_base::Result<(Manifest, Arc<FileNumbers>)> {
    let recovered = Manifest::recover(fs.clone(), dir())?;
    let names = fs.list(dir()).unwrap();
    let used = names.iter().filter_map(|name| FileName::parse(name)?.number());
    let above = used.max().map_or(0, |number| number.0 + 1);
    let numbers = numbers(above.max(recovered.state.next_file.0));
    let manifest = Manifest::start(
        fs.clone(),
        dir(),
        recovered,
        numbers.clone(),
        2_000,
        ManifestOptions::default(),
    )?;
    Ok((manifest, numbers))
}

/// A keyspace and a few flushes into it.
pub(crate) fn fill(manifest: &mut Manifest, numbers: &FileNumbers, flushes: u64) {
    let mut create = VersionEdit::new(Cause::CreateKeyspace, 1_000);
    create.created.push((KeyspaceId::DEFAULT, "default".to_owned(), Bytes::from("options")));
    manifest.apply(create).unwrap();
    for _ in 0..flushes {
        manifest.apply(flush(manifest.state(), numbers)).unwrap();
    }
}

/// The next flush of the default keyspace: one more table in L0.
pub(crate) fn flush(state: &State, numbers: &FileNumbers) -> VersionEdit {
    let number = numbers.take();
    let (low, high) = (state.last_seq.get() + 1, state.last_seq.get() + 10);
    let seqs = format!("#{low}-{high}");
    let mut change = KeyspaceChange::new(KeyspaceId::DEFAULT);
    change.flushed = Some(Seq::new(high));
    change.added.push(parse_table(&["L0", &number.0.to_string(), "a..z", &seqs]));
    let mut edit = VersionEdit::new(Cause::Flush, 1_000 + high);
    edit.changes.push(change);
    edit
}

/// Merges all of L0 into one table of L6.
pub(crate) fn compaction(state: &State, numbers: &FileNumbers) -> VersionEdit {
    let number = numbers.take();
    let version = &state.keyspaces[&KeyspaceId::DEFAULT].version;
    let mut change = KeyspaceChange::new(KeyspaceId::DEFAULT);
    change.removed = version.tables().map(|(level, table)| (level, table.number)).collect();
    let seqs = format!("#0-{}", state.last_seq);
    change.added.push(parse_table(&["L6", &number.0.to_string(), "a..z", &seqs]));
    let cause = Cause::Compaction { from: Level::ZERO, to: Level::BOTTOM, score_percent: 125 };
    let mut edit = VersionEdit::new(cause, 3_000);
    edit.changes.push(change);
    edit
}

/// A database with three flushes in it, closed.
pub(crate) fn closed() -> (Arc<MemFs>, State) {
    let fs = Arc::new(MemFs::new());
    let numbers = numbers(1);
    let mut manifest =
        Manifest::create(fs.clone(), dir(), numbers.clone(), 1_000, ManifestOptions::default())
            .unwrap();
    fill(&mut manifest, &numbers, 3);
    let state = manifest.state().clone();
    (fs, state)
}

/// The same keyspaces and tables: only the numbers to come may differ.
pub(crate) fn is_same_tree(a: &State, b: &State) -> bool {
    (&a.keyspaces, a.next_keyspace, a.last_seq) == (&b.keyspaces, b.next_keyspace, b.last_seq)
}
