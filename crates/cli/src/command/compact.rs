//! `compact`: everything down to the last level.

use alluvium::Db;
use anyhow::Result;
use serde_json::json;

use crate::database::Target;
use crate::output::Output;
use crate::output::size::Size;

/// Compacts the keyspace that was named, or all of them.
pub(crate) fn run(target: &Target, output: &mut Output) -> Result<()> {
    let database = target.open_existing()?;
    let before = table_bytes(&database.db)?;
    match target.named_keyspace() {
        Some(_) => database.keyspace.compact()?,
        None => database.db.compact()?,
    }
    let after = table_bytes(&database.db)?;
    database.close()?;
    let text = format!("compacted: {} of tables before, {} after", Size(before), Size(after));
    output.answer(&text, &json!({ "bytes_before": before, "bytes_after": after }))
}

/// Bytes of all tables. What the memtables hold counts once it is flushed.
fn table_bytes(db: &Db) -> Result<u64> {
    db.flush()?;
    Ok(db.stats()?.keyspaces.iter().map(|keyspace| keyspace.table_bytes).sum())
}
