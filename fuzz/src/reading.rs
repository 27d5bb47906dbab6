//! Everything one can ask of an open table, and what must hold of the answers.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::key::compare;
use alluvium_base::{
    Bytes, File, FileNumber, Fs, InternalIterator, InternalKey, KeyspaceId, Kind, MemFs, Result,
    Seq,
};
use alluvium_table::{BlockCache, ReadOptions, Table, hash_key};

use crate::table_bytes::{KEYSPACE, NUMBER};

/// Most entries that are looked up one by one.
const MOST_LOOKUPS: usize = 2_000;

/// One entry of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The user key.
    pub user_key: Bytes,
    /// Its place in the order of writes.
    pub seq: Seq,
    /// What it does.
    pub kind: Kind,
    /// The stored value.
    pub value: Bytes,
}

impl Entry {
    /// What the cursor stands on, if anything.
    pub fn at(cursor: &impl InternalIterator) -> Option<Self> {
        cursor.is_valid().then(|| {
            let InternalKey { user_key, seq, kind } = cursor.key();
            let entry =
                Self { user_key: cursor.key_bytes(), seq, kind, value: cursor.value_bytes() };
            assert_eq!((&*entry.user_key, &*entry.value), (user_key, cursor.value()));
            entry
        })
    }
}

/// Opens the table that `bytes` are.
pub fn open(bytes: &[u8]) -> Result<Arc<Table>> {
    const MEMORY: &str = "memory has no way to fail";
    let path = Path::new("db/000007.table");
    let file: Arc<dyn File> = MemFs::new().create(path).expect(MEMORY);
    file.write_all_at(bytes, 0).expect(MEMORY);
    let cache = BlockCache::new(64 << 10);
    Table::open(file, path, FileNumber(NUMBER), KeyspaceId(KEYSPACE), cache)
}

/// Walks all of the table, at most `most` entries.
fn walk(
    cursor: &mut impl InternalIterator,
    first: impl FnOnce(&mut dyn InternalIterator) -> Result<()>,
    next: impl Fn(&mut dyn InternalIterator) -> Result<()>,
    most: usize,
) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    first(cursor)?;
    while let Some(entry) = Entry::at(cursor) {
        found.push(entry);
        assert!(found.len() <= most, "the walk does not end");
        next(cursor)?;
    }
    Ok(found)
}

/// Reads a table that may hold anything in every way there is. If it says of itself that it is
/// good, all answers must agree.
pub fn ask_everything(table: &Arc<Table>) {
    let most = 255 * table.summary().file_size as usize;
    let is_good = table.verify().is_ok();
    for read in [
        ReadOptions { fill_cache: true, readahead: false },
        ReadOptions { fill_cache: false, readahead: true },
    ] {
        let cursor = &mut table.iter(read);
        let forward = walk(cursor, |c| c.seek_to_first(), |c| c.next(), most);
        let backward = walk(cursor, |c| c.seek_to_last(), |c| c.prev(), most);
        if is_good {
            let forward = forward.expect("a table that verifies can be read");
            let mut backward = backward.expect("a table that verifies can be read backwards");
            backward.reverse();
            assert_eq!(forward, backward);
            check_good(table, &forward);
        } else if let Ok(entries) = forward {
            look_up(table, &entries);
        }
    }
}

/// Looks keys up in a table whose answers may be wrong.
fn look_up(table: &Arc<Table>, entries: &[Entry]) {
    let cursor = &mut table.iter(ReadOptions::default());
    for entry in entries.iter().take(100) {
        let key = &entry.user_key;
        let _answer = table.get(key, hash_key(key), entry.seq);
        let _offset = table.approximate_offset(key);
        if cursor.seek(key, entry.seq).is_ok() && cursor.is_valid() {
            let _moved = cursor.prev();
        }
        if cursor.seek_before(key, entry.seq).is_ok() && cursor.is_valid() {
            let _moved = cursor.next();
        }
    }
}

/// What holds of a table without damage that has these entries.
pub fn check_good(table: &Arc<Table>, entries: &[Entry]) {
    let summary = table.summary();
    assert_eq!(summary.entry_count, entries.len() as u64);
    let (first, last) = (&entries[0], &entries[entries.len() - 1]);
    assert_eq!((&summary.smallest, &summary.largest), (&first.user_key, &last.user_key));
    for pair in entries.windows(2) {
        let order = compare(&pair[0].user_key, pair[0].seq, &pair[1].user_key, pair[1].seq);
        assert!(order.is_lt(), "{pair:?} are not in order");
    }
    let cursor = &mut table.iter(ReadOptions::default());
    let step = entries.len().div_ceil(MOST_LOOKUPS);
    for (index, entry) in entries.iter().enumerate().step_by(step) {
        let key = &entry.user_key;
        let found = table.get(key, hash_key(key), entry.seq).expect("it verifies");
        let found = found.unwrap_or_else(|| panic!("{entry:?} is not found"));
        assert_eq!((found.seq, found.kind, &found.value), (entry.seq, entry.kind, &entry.value));
        cursor.seek(key, entry.seq).expect("it verifies");
        assert_eq!(Entry::at(cursor).as_ref(), Some(entry));
        cursor.seek_before(key, entry.seq).expect("it verifies");
        let before = index.checked_sub(1).map(|index| &entries[index]);
        assert_eq!(Entry::at(cursor).as_ref(), before);
    }
}
