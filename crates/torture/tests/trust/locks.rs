//! One process at a time: the lock holds while its owner lives, and no longer.

use std::path::Path;

use alluvium::{ErrorKind, Read};
use alluvium_torture::kill::{Task, builder, lines, spawn};

fn child() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_torture"))
}

#[test]
fn a_second_process_is_refused_and_a_killed_one_gives_back_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path()).open().unwrap();
    db.insert("k", "v").unwrap();
    assert_eq!(builder(dir.path()).open().unwrap_err().kind(), ErrorKind::Locked);
    let refused = |dir: &Path| {
        let mut child = spawn(child(), Task::Open, dir, 0).unwrap();
        let outcome = lines(&mut child).next();
        child.wait().unwrap();
        outcome
    };
    // The refusal must not give the lock away either.
    for _ in 0..2 {
        assert_eq!(refused(dir.path()).as_deref(), Some("Locked"));
    }
    assert!(db.contains_key("k").unwrap());
    db.close().unwrap();

    let mut holder = spawn(child(), Task::Open, dir.path(), 0).unwrap();
    assert_eq!(lines(&mut holder).next().as_deref(), Some("open"));
    assert_eq!(builder(dir.path()).open().unwrap_err().kind(), ErrorKind::Locked);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(builder(dir.path()).open().unwrap().contains_key("k").unwrap());
}
