//! An index that can never disagree with its data: both change in one batch.
//!
//! `cargo run -p alluvium --example keyspaces_and_batches -- /tmp/people`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use alluvium::{Db, KeyspaceOptions, Persist, Read, Result};

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "people-data".to_owned());
    let db = Db::open(dir)?;
    let people = db.keyspace("people", KeyspaceOptions::default())?;
    let by_city = db.keyspace("by-city", KeyspaceOptions::default())?;

    for (id, name, city) in [("1", "Ada", "London"), ("2", "Grace", "New York")] {
        let mut batch = db.batch();
        batch.insert(&people, id, format!("{name}, {city}"));
        batch.insert(&by_city, format!("{city}/{id}"), "");
        batch.commit(Persist::Sync)?; // both or neither, on the disk when it returns
    }

    for entry in by_city.prefix("London/") {
        let (key, _) = entry?;
        let id = &key["London/".len()..];
        println!("in London: {:?}", people.get(id)?);
    }
    println!("keyspaces: {:?}", db.keyspaces()?);
    Ok(())
}
