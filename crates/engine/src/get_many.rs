//! Many point lookups at once.
//!
//! A lookup is a chain of cache lines, each of which tells where the next one is, and the processor
//! waits for every one of them. Lookups of different keys wait for nothing of each other. So a group
//! of them is done step by step, each step for all keys before the next, and every step asks for what
//! the following one reads:
//!
//! ```text
//!             filter ─► index ─► block ─► entry ─► value
//!   key 1        1        4        7       10       13
//!   key 2        2        5        8       11       14
//!   key 3        3        6        9       12       15
//! ```

use alluvium_base::{Bytes, Seq};
use alluvium_table::{Located, Table, hash_key};

use crate::Result;
use crate::get::Found;
use crate::resolve::{ReadTime, resolve_value};
use crate::view::TreeView;

/// How many lookups go side by side: enough to hide a miss, few enough for what they asked for to stay.
const GROUP: usize = 32;

/// One lookup on its way.
struct Lookup<'a> {
    key: &'a [u8],
    hash: u64,
    state: State<'a>,
}

enum State<'a> {
    /// In a memtable, or nowhere.
    Decided(Option<Found>),
    /// Where it may be; in the tables before this one it is not.
    Located(Located<'a>),
}

impl TreeView {
    /// The values of `keys`, in their order, for a reader at `at` and `now`.
    pub(crate) fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        at: Seq,
        now: ReadTime<'_>,
    ) -> Result<Vec<Option<Bytes>>> {
        let mut values = Vec::with_capacity(keys.len());
        let mut group = Vec::with_capacity(keys.len().min(GROUP));
        for keys in keys.chunks(GROUP) {
            group.clear();
            group.extend(keys.iter().map(|key| self.begin(key.as_ref())));
            for lookup in &mut group {
                self.look_into_memory(lookup, at);
            }
            for lookup in &mut group {
                self.locate(lookup);
            }
            group.iter().filter_map(Lookup::located).for_each(Located::ask_for_block);
            group.iter().filter_map(Lookup::located).for_each(Located::ask_for_entry);
            for lookup in group.drain(..) {
                let found = self.finish(lookup, at)?;
                let value = found.map(|found| resolve_value(found.kind, &found.stored, now));
                values.push(value.transpose()?.flatten());
            }
        }
        Ok(values)
    }

    /// Asks for the filters of memtables.
    fn begin<'a>(&self, key: &'a [u8]) -> Lookup<'a> {
        let hash = hash_key(key);
        self.active.memtable.ask_for_filter(hash);
        self.immutable.iter().for_each(|waiting| waiting.memtable.ask_for_filter(hash));
        Lookup { key, hash, state: State::Decided(None) }
    }

    /// Looks into the memtables, and asks for the filters of tables.
    fn look_into_memory(&self, lookup: &mut Lookup<'_>, at: Seq) {
        let found = self.find_in_memory(lookup.key, lookup.hash, at);
        if found.is_none() {
            self.tables_of(lookup.key).for_each(|table| table.ask_for_filter(lookup.hash));
        }
        lookup.state = State::Decided(found);
    }

    /// Finds the newest table that may hold the key, and the block in it.
    fn locate<'a>(&'a self, lookup: &mut Lookup<'a>) {
        if matches!(lookup.state, State::Decided(Some(_))) {
            return;
        }
        let mut tables = self.tables_of(lookup.key);
        if let Some(located) = tables.find_map(|table| table.locate(lookup.key, lookup.hash)) {
            lookup.state = State::Located(located);
        }
    }

    fn finish(&self, lookup: Lookup<'_>, at: Seq) -> Result<Option<Found>> {
        let located = match lookup.state {
            State::Decided(found) => return Ok(found),
            State::Located(located) => located,
        };
        match located.get(lookup.key, at)? {
            Some(entry) => Ok(Some(entry.into())),
            // A filter erred, as one of a hundred does.
            None => self.find_in_tables(lookup.key, lookup.hash, at),
        }
    }

    /// The tables that may hold `key` by their place, newest first.
    pub(crate) fn tables_of<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Table> {
        let in_run = self.tables.runs.iter().filter_map(|run| run.find(key));
        self.tables.l0.iter().chain(in_run).map(|table| &**table)
    }
}

impl<'a> Lookup<'a> {
    const fn located(&self) -> Option<&Located<'a>> {
        match &self.state {
            State::Located(located) => Some(located),
            State::Decided(_) => None,
        }
    }
}
