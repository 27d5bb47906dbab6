//! Builds tables in memory and walks them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::{
    FileNumber, Fs, InternalIterator, InternalKey, KeyspaceId, Kind, MemFs, Result, Seq,
};
use alluvium_table::{BlockCache, Table, TableBuilder, TableOptions, TableSummary};

pub(crate) const NUMBER: FileNumber = FileNumber(7);
pub(crate) const KEYSPACE: KeyspaceId = KeyspaceId(3);

/// One entry, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) user_key: Vec<u8>,
    pub(crate) seq: Seq,
    pub(crate) kind: Kind,
    pub(crate) value: Vec<u8>,
}

impl Owned {
    pub(crate) fn put(user_key: &str, seq: u64, value: &[u8]) -> Self {
        Self {
            user_key: user_key.as_bytes().to_vec(),
            seq: Seq::new(seq),
            kind: Kind::Put,
            value: value.to_vec(),
        }
    }

    /// What the cursor stands on, if anything.
    pub(crate) fn at(cursor: &impl InternalIterator) -> Option<Self> {
        cursor.is_valid().then(|| {
            let InternalKey { user_key, seq, kind } = cursor.key();
            assert_eq!(cursor.key_bytes(), user_key);
            assert_eq!(cursor.value_bytes(), cursor.value());
            Self { user_key: user_key.to_vec(), seq, kind, value: cursor.value().to_vec() }
        })
    }
}

/// A disk in memory and the path of a table on it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) fs: MemFs,
    pub(crate) path: PathBuf,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self { fs: MemFs::new(), path: Path::new("db").join(format!("{NUMBER}.table")) }
    }

    pub(crate) fn build(&self, entries: &[Owned], options: &TableOptions) -> TableSummary {
        let file = self.fs.create(&self.path).unwrap();
        let mut builder = TableBuilder::new(file, &self.path, NUMBER, KEYSPACE, options).unwrap();
        for Owned { user_key, seq, kind, value } in entries {
            builder.add(InternalKey::new(user_key, *seq, *kind), value).unwrap();
        }
        assert_eq!(builder.entry_count(), entries.len() as u64);
        let estimate = builder.estimated_bytes();
        let summary = builder.finish().unwrap();
        assert!(estimate > 0 && summary.file_size < 2 * estimate + 1024);
        summary
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        alluvium_base::fs::read_file(&self.fs, &self.path, u64::MAX).unwrap()
    }

    pub(crate) fn replace(&self, bytes: &[u8]) {
        self.fs.create(&self.path).unwrap().write_all_at(bytes, 0).unwrap();
    }

    pub(crate) fn open(&self, cache: Arc<BlockCache>) -> Result<Arc<Table>> {
        Table::open(self.fs.open(&self.path).unwrap(), &self.path, NUMBER, KEYSPACE, cache)
    }
}

/// Everything from front to back.
pub(crate) fn walk(cursor: &mut impl InternalIterator) -> Result<Vec<Owned>> {
    let mut found = Vec::new();
    cursor.seek_to_first()?;
    while let Some(entry) = Owned::at(cursor) {
        found.push(entry);
        cursor.next()?;
    }
    Ok(found)
}

/// Everything from back to front.
pub(crate) fn walk_back(cursor: &mut impl InternalIterator) -> Result<Vec<Owned>> {
    let mut found = Vec::new();
    cursor.seek_to_last()?;
    while let Some(entry) = Owned::at(cursor) {
        found.push(entry);
        cursor.prev()?;
    }
    Ok(found)
}
