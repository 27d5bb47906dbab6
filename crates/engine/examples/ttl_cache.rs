//! A cache whose entries expire by themselves, and a lock that nobody holds for ever.
//!
//! `cargo run -p alluvium --example ttl_cache`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use alluvium::{Condition, Db, ErrorKind, Put, Read, Result};

fn main() -> Result<()> {
    let db = Db::in_memory()?;
    let cache = db.default_keyspace();

    let brief = Put { ttl: Some(Duration::from_mins(1)), ..Put::default() };
    cache.put("page:/", "<html>…</html>", brief)?;
    println!("expires at {:?} ms since 1970", cache.expires_at("page:/")?);

    // The condition and the write are one step: of two workers, one gets the lease.
    let lease = Put { ttl: Some(Duration::from_secs(10)), only_if: Condition::Absent };
    for worker in ["ada", "grace"] {
        match cache.put("lease:report", worker, lease.clone()) {
            Ok(()) => println!("{worker} has the lease"),
            Err(error) if error.kind() == ErrorKind::Conflict => println!("{worker}: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
