//! A point lookup: newest source first, and the first entry found decides.

use alluvium_base::{Bytes, Kind, Seq};
use alluvium_table::{TableEntry, hash_key};

use crate::Result;
use crate::read::Expiry;
use crate::resolve::{Meaning, ReadTime, resolve, resolve_value};
use crate::view::TreeView;

/// The newest entry of a key at a sequence.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) seq: Seq,
    pub(crate) kind: Kind,
    pub(crate) stored: Bytes,
}

impl From<TableEntry> for Found {
    fn from(entry: TableEntry) -> Self {
        Self { seq: entry.seq, kind: entry.kind, stored: entry.value }
    }
}

impl TreeView {
    /// The newest entry of `user_key` at or before `at`, of whatever kind.
    pub(crate) fn find(&self, user_key: &[u8], at: Seq) -> Result<Option<Found>> {
        let hash = hash_key(user_key);
        if let Some(found) = self.find_in_memory(user_key, hash, at) {
            return Ok(Some(found));
        }
        self.find_in_tables(user_key, hash, at)
    }

    /// [`find`](Self::find) among the tables alone; `hash` is the key's.
    pub(crate) fn find_in_tables(
        &self,
        user_key: &[u8],
        hash: u64,
        at: Seq,
    ) -> Result<Option<Found>> {
        for table in self.tables_of(user_key) {
            if let Some(entry) = table.get(user_key, hash, at)? {
                return Ok(Some(entry.into()));
            }
        }
        Ok(None)
    }

    /// [`find`](Self::find) among the memtables alone; `hash` is the key's.
    pub(crate) fn find_in_memory(&self, user_key: &[u8], hash: u64, at: Seq) -> Option<Found> {
        let active = &self.active.memtable;
        let is_asked = !active.is_empty() && active.may_contain(hash);
        let in_active = if is_asked { active.get(user_key, at) } else { None };
        let waiting = self.immutable.iter().map(|waiting| &waiting.memtable);
        in_active
            .or_else(|| waiting.filter(|m| m.may_contain(hash)).find_map(|m| m.get(user_key, at)))
            .map(|entry| Found { seq: entry.seq, kind: entry.kind, stored: entry.value })
    }

    /// The value of `user_key` for a reader at `at` and `now`.
    pub(crate) fn get(&self, user_key: &[u8], at: Seq, now: ReadTime<'_>) -> Result<Option<Bytes>> {
        match self.find(user_key, at)? {
            Some(found) => resolve_value(found.kind, &found.stored, now),
            None => Ok(None),
        }
    }

    /// When the value of `user_key` expires, if it has one.
    pub(crate) fn expires_at(
        &self,
        user_key: &[u8],
        at: Seq,
        now: ReadTime<'_>,
    ) -> Result<Option<Expiry>> {
        let Some(found) = self.find(user_key, at)? else { return Ok(None) };
        Ok(match resolve(found.kind, &found.stored, now)? {
            Meaning::Value { expiry_ms, .. } => Some(expiry_ms.map_or(Expiry::Never, Expiry::AtMs)),
            Meaning::Absent => None,
        })
    }
}
