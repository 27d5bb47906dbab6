//! Open a database, write a little, scan it both ways.
//!
//! `cargo run -p alluvium --example open_and_scan -- /tmp/rivers`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use alluvium::{Db, Read, Result};

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "rivers-data".to_owned());
    let db = Db::open(&dir)?;

    for (river, kilometres) in [("rhine", "1230"), ("elbe", "1094"), ("danube", "2850")] {
        db.insert(format!("river:{river}"), kilometres)?;
    }
    db.insert("lake:constance", "536 km²")?;

    println_pairs("rivers, ascending", db.prefix("river:"))?;
    println_pairs("everything, descending", db.iter().rev())?;
    println_pairs("from e on", db.range("river:e"..))?;
    if let Some((key, _)) = db.first()? {
        println!("first: {}", key.escape_ascii());
    }
    println!("{} keys in {dir}", db.count()?);
    db.close()
}

fn println_pairs(
    title: &str,
    pairs: impl Iterator<Item = Result<(alluvium::Bytes, alluvium::Bytes)>>,
) -> Result<()> {
    println!("{title}:");
    for pair in pairs {
        let (key, value) = pair?;
        println!("  {} = {}", key.escape_ascii(), String::from_utf8_lossy(&value));
    }
    Ok(())
}
