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
//! write. Recovery takes over what was found here; only the log is read again, for its records.

use std::collections::HashMap;
use std::sync::Arc;

use alluvium_base::{FileName, FileNumber};
use alluvium_manifest::{Manifest, Recovered};
use alluvium_table::{BlockCache, Table};
use alluvium_wal::{Replayed, replay};

use crate::core::check_identity;
use crate::options::Builder;
use crate::recovery::{missing_is_damage, parse_stored_options};
use crate::replay::RecordOrder;
use crate::{Error, Result};

/// What is there.
#[derive(Debug)]
pub(crate) struct Surveyed {
    /// The manifest; `None` where there is no `CURRENT`.
    pub(crate) manifest: Option<Recovered>,
    /// The log.
    pub(crate) log: Replayed,
    /// Every table that the manifest names, open.
    pub(crate) tables: HashMap<FileNumber, Arc<Table>>,
    /// Where their blocks go.
    pub(crate) cache: Arc<BlockCache>,
}

/// Reads what opening depends on, of the files called `names`, and writes nothing.
pub(crate) fn survey(builder: &Builder, names: &[FileName]) -> Result<Surveyed> {
    let (fs, dir) = (&builder.fs, &builder.dir);
    let cache = BlockCache::new(builder.cache_bytes as usize);
    let (mut tables, mut log) = (HashMap::new(), Replayed::default());
    crate::options_file::refuse_other_versions(&**fs, dir)?;
    if !names.contains(&FileName::Current) {
        return Ok(Surveyed { manifest: None, log, tables, cache });
    }
    let manifest = Manifest::recover(Arc::clone(fs), dir)?;
    let path = FileName::Manifest(manifest.number).in_dir(dir);
    for keyspace in manifest.state.keyspaces.values() {
        parse_stored_options(&path, &keyspace.options)?;
        for (_, meta) in keyspace.version.tables() {
            let path = FileName::Table(meta.number).in_dir(dir);
            let file = fs.open(&path).map_err(|error| Error::io("open", &path, error));
            let file = file.map_err(missing_is_damage)?;
            let table = Table::open(file, &path, meta.number, keyspace.id, Arc::clone(&cache))?;
            check_identity(&table, meta)?;
            tables.insert(meta.number, table);
        }
    }
    let mut order = RecordOrder::new(dir, &manifest.state);
    log = replay(&**fs, dir, manifest.state.log, &mut |first, payload, at| {
        order.check(first, &payload, at.segment, at.offset).map(drop)
    })?;
    order.finish()?;
    Ok(Surveyed { manifest: Some(manifest), log, tables, cache })
}
