//! Many threads write with durability; the log syncs once for all that wait.
//!
//! `cargo run --release -p alluvium --example many_threads -- /tmp/events`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use alluvium::{Db, Persist, Read, Result};

const THREADS: usize = 8;
const WRITES: usize = 50;

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "events-data".to_owned());
    let db = Db::builder(dir).default_persist(Persist::Sync).open()?;

    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let db = db.clone(); // a handle: all are the same database
                scope.spawn(move || -> Result<()> {
                    for at in 0..WRITES {
                        db.insert(format!("event:{thread}:{at:04}"), "happened")?;
                    }
                    Ok(())
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("no panic"))
    })?;

    let stats = db.stats()?;
    println!("{} durable writes with {} syncs", stats.writes.entries, stats.log.syncs);
    println!("{} events", db.prefix("event:").count());
    db.close()
}
