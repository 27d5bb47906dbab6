//! A snapshot is a consistent past: a report that ignores what is written while it runs.
//!
//! `cargo run -p alluvium --example snapshots`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use alluvium::{Db, Read, Result};

fn main() -> Result<()> {
    let db = Db::in_memory()?;
    for account in 0..4 {
        db.insert(format!("account:{account}"), "100")?;
    }
    let before = db.snapshot();
    db.insert("account:0", "0")?;
    db.insert("account:1", "200")?;

    println!("then: {}   now: {}", sum(&before)?, sum(&db)?);
    println!("account 0 then: {:?}", before.get("account:0")?);
    println!("account 0 now:  {:?}", db.get("account:0")?);
    Ok(())
}

/// Works on anything that can be read: a database, a keyspace, a snapshot.
fn sum(accounts: &impl Read) -> Result<u64> {
    let mut sum = 0;
    for entry in accounts.prefix("account:") {
        let (_, value) = entry?;
        sum += String::from_utf8_lossy(&value).parse::<u64>().unwrap_or(0);
    }
    Ok(sum)
}
