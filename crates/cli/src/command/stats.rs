//! `stats`: what the database holds and has done.

use anyhow::Result;

use crate::database::Target;
use crate::output::{Output, stats};

/// Prints the figures.
pub(crate) fn run(target: &Target, output: &mut Output) -> Result<()> {
    let db = target.open_existing_db()?;
    stats::write(&db.stats()?, output)?;
    Ok(db.close()?)
}
