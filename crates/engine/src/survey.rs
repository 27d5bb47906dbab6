//! A look at the folder before anything in it is changed.
//!
//! ```text
//!   OPTIONS ─► CURRENT ─► manifest ─► tables ─► log       all read, nothing written
//!                                                │
//!                        damage, another version ┴─► the error; the folder is as it was
//! ```
//!
//! A database that this release cannot open must stay openable for the one that can. So every file
//! that opening depends on is read, and verified as far as opening verifies it, before the first
//! write. Recovery takes over what was found here, what the log holds beyond the tables included,
//! unless that is too much to hold in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{FileName, FileNumber, KeyspaceId, Seq};
use alluvium_manifest::{Manifest, Recovered, State};
use alluvium_table::{BlockCache, Table};
use alluvium_wal::{KnownSegments, Replayed, replay};

use crate::core::check_identity;
use crate::gather::{Gathering, SortedMemtables};
use crate::options::Builder;
use crate::recovery::{missing_is_damage, parse_stored_options};
use crate::view::MemtableMaker;
use crate::{Error, Result};

/// What is there.
#[derive(Debug)]
pub(crate) struct Surveyed {
    /// The manifest; `None` where there is no `CURRENT`.
    pub(crate) manifest: Option<Recovered>,
    /// The log.
    pub(crate) log: FoundLog,
    /// Every table that the manifest names, open.
    pub(crate) tables: HashMap<FileNumber, Arc<Table>>,
    /// Where their blocks go.
    pub(crate) cache: Arc<BlockCache>,
    /// Where memtables have their memory from.
    pub(crate) maker: MemtableMaker,
}

/// What the log holds.
#[derive(Debug)]
pub(crate) struct FoundLog {
    pub(crate) replayed: Replayed,
    /// The last sequence ever given.
    pub(crate) last_seq: Seq,
    /// What is in no table; `None` where that is too much.
    pub(crate) sorted: Option<SortedMemtables>,
}

/// Reads what opening depends on, of the files called `names`, and writes nothing.
pub(crate) fn survey(builder: &Builder, names: &[FileName]) -> Result<Surveyed> {
    let (fs, dir) = (&builder.fs, &builder.dir);
    let cache = builder.new_cache();
    let maker = MemtableMaker { cache: Arc::clone(&cache), pool: builder.new_pool() };
    let mut tables = HashMap::new();
    crate::options_file::refuse_other_versions(&**fs, dir)?;
    if !names.contains(&FileName::Current) {
        let (replayed, sorted) = (Replayed::default(), Some(SortedMemtables::new()));
        let log = FoundLog { replayed, last_seq: Seq::ZERO, sorted };
        return Ok(Surveyed { manifest: None, log, tables, cache, maker });
    }
    let manifest = Manifest::recover(Arc::clone(fs), dir)?;
    let path = FileName::Manifest(manifest.number).in_dir(dir);
    let mut options = BTreeMap::new();
    for keyspace in manifest.state.keyspaces.values() {
        options.insert(keyspace.id, parse_stored_options(&path, &keyspace.options)?);
        for (_, meta) in keyspace.version.tables() {
            let path = FileName::Table(meta.number).in_dir(dir);
            let file = fs.open(&path).map_err(|error| Error::io("open", &path, error));
            let file = file.map_err(missing_is_damage)?;
            let table = Table::open(file, &path, meta.number, keyspace.id, Arc::clone(&cache))?;
            check_identity(&table, meta)?;
            tables.insert(meta.number, table);
        }
    }
    // What is given now may leave less memory than what was stored.
    options.extend(builder.default_keyspace.clone().map(|given| (KeyspaceId::DEFAULT, given)));
    for options in options.values_mut() {
        *options = options.clone().within(builder.memory);
    }
    let mut gathering = Gathering::new(dir, &manifest.state, &options);
    let replayed =
        replay(&**fs, dir, known_segments(&manifest.state), &mut |first, payload, at| {
            gathering.record(first, &payload, at.segment, at.offset)
        })?;
    let (last_seq, sorted) = gathering.finish()?;
    let log = FoundLog { replayed, last_seq, sorted };
    Ok(Surveyed { manifest: Some(manifest), log, tables, cache, maker })
}

/// What a manifest says of the log.
pub(crate) fn known_segments(state: &State) -> KnownSegments {
    let first = state.log_first;
    let first = if is_planted(Bug::GarbageSegmentsRead) { FileNumber(0) } else { first };
    KnownSegments { first, active: state.log }
}
