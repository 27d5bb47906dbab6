//! Golden folders: a database of each released format, kept for ever, must open and read the same.
//!
//! `golden/v4/db` was written by [`write_golden`], which is run by hand when a format is released:
//! `cargo test -p alluvium-torture --test trust golden::write -- --ignored`. It never changes afterwards.
//! `golden/v4/content.txt` says what is in it, one entry a line. Version 1 had neither reserved
//! lengths in the headers of logs and manifests nor a log segment named in the manifest, version 2 no
//! first log segment, and up to version 3 all of a compressed block was compressed, its tail too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alluvium::fs::{Fs, StdFs};
use alluvium::{
    Background, Builder, Compression, Db, Depth, Expiry, Filter, KeyspaceOptions, LogMode, Persist,
    Put, Read, RepairOptions, check, repair,
};
use alluvium_base::fs::read_file;
use alluvium_testkit::SimClock;

/// When it was written, and when it is read: some values have expired in between.
const WRITTEN_MS: u64 = 1_700_000_000_000;
const READ_MS: u64 = WRITTEN_MS + 3_600_000;

/// Every released format; the last one is what is written today.
const FORMATS: [&str; 4] = ["v1", "v2", "v3", "v4"];

fn golden(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format)
}

fn clock_at(now_ms: u64) -> Arc<SimClock> {
    Arc::new(SimClock::new(now_ms))
}

fn builder(dir: &Path, now_ms: u64) -> Builder {
    Db::builder(dir)
        .clock(clock_at(now_ms))
        .background(Background::Manual)
        .log_mode(LogMode::Buffered)
        .log_segment_size(4096)
        .max_manifest_bytes(4096)
}

/// Everything readable, as text.
fn describe(db: &Db) -> String {
    let mut text = String::new();
    for name in db.keyspaces().unwrap() {
        writeln!(text, "keyspace {name}").unwrap();
        let keyspace = db.find_keyspace(&name).unwrap().unwrap();
        for entry in keyspace.iter() {
            let (key, value) = entry.unwrap();
            let expiry = match keyspace.expires_at(&key).unwrap() {
                Some(Expiry::AtMs(at)) => format!(" until {at}"),
                Some(Expiry::Never) => String::new(),
                None => panic!("a key that was scanned must be there"),
            };
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            writeln!(text, "\"{key}\" = \"{value}\"{expiry}").unwrap();
        }
    }
    text
}

fn copy_dir(from: &Path, to: &Path) {
    let fs = StdFs;
    fs.create_dir_all(to).unwrap();
    for name in fs.list(from).unwrap() {
        let bytes = read_file(&fs, &from.join(&name), 1 << 22).unwrap();
        fs.create(&to.join(&name)).unwrap().write_all_at(&bytes, 0).unwrap();
    }
}

#[test]
fn a_database_of_every_released_format_opens_and_reads_the_same() {
    for format in FORMATS {
        opens_and_reads_the_same(format);
    }
}

fn opens_and_reads_the_same(format: &str) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("db");
    copy_dir(&golden(format).join("db"), &copy);
    let report = check(Arc::new(StdFs), &copy, Depth::Deep).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert!(report.log_records > 0 && report.tables > 5, "{report:?}");

    let expected = read_file(&StdFs, &golden(format).join("content.txt"), 1 << 20).unwrap();
    let expected = String::from_utf8(expected).unwrap();
    for _ in 0..2 {
        let db = builder(&copy, READ_MS).open().unwrap();
        assert_eq!(describe(&db), expected);
    }
    // It is a database like any other: it takes writes and compacts.
    let db = builder(&copy, READ_MS).open().unwrap();
    db.insert("written by", "a later release").unwrap();
    db.compact().unwrap();
    db.remove("written by").unwrap();
    assert_eq!(describe(&db), expected);
}

#[test]
fn a_database_of_every_released_format_can_be_repaired() {
    for format in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("db"), dir.path().join("saved"));
        copy_dir(&golden(format).join("db"), &from);
        let options = RepairOptions { clock: clock_at(READ_MS), ..RepairOptions::default() };
        repair(Arc::new(StdFs), &from, &to, options).unwrap();
        let expected = read_file(&StdFs, &golden(format).join("content.txt"), 1 << 20).unwrap();
        let db = builder(&to, READ_MS).open().unwrap();
        assert_eq!(describe(&db), String::from_utf8(expected).unwrap());
    }
}

fn options(filter: Filter, compression: Compression) -> KeyspaceOptions {
    KeyspaceOptions {
        write_buffer_size: 16 << 10,
        block_size: 512,
        compression: vec![compression],
        filter,
        l0_trigger: 2,
        level_base_bytes: 6 << 10,
        level_multiplier: 2,
        target_file_size: 4 << 10,
        ..KeyspaceOptions::default()
    }
}

/// Writes the golden folder of the present format. By hand, once per format.
#[test]
#[ignore = "only to release a format"]
fn write_golden() {
    let golden = golden(FORMATS[FORMATS.len() - 1]);
    let target = golden.join("db");
    let dir = tempfile::tempdir().unwrap();
    let db = builder(dir.path(), WRITTEN_MS)
        .default_keyspace(options(Filter::Blocked { bits_per_key: 10 }, Compression::Lz4))
        .open()
        .unwrap();
    let plain = options(Filter::None, Compression::None);
    let standard = options(Filter::Standard { bits_per_key: 8 }, Compression::Lz4);
    let trees = [
        db.default_keyspace(),
        db.keyspace("plain", plain).unwrap(),
        db.keyspace("größer", standard).unwrap(),
    ];
    drop(db.keyspace("dropped", KeyspaceOptions::default()).unwrap());
    db.drop_keyspace("dropped").unwrap();
    let fill = |round: u32| {
        for n in 0..40u32 {
            let mut batch = db.batch();
            for tree in &trees {
                let key = format!("key {:03}", (n * 7 + round * 11) % 90);
                batch.insert(tree, &key, format!("value {round}.{n} ").repeat(1 + n as usize % 5));
                batch.remove(tree, format!("key {:03}", (n * 13 + round) % 90));
            }
            batch.commit(Persist::Sync).unwrap();
        }
        for (n, tree) in trees.iter().enumerate() {
            let for_ms = |ms| Put { ttl: Some(Duration::from_millis(ms)), ..Put::default() };
            tree.put(format!("expired {round}"), "gone when read", for_ms(1000)).unwrap();
            tree.put(format!("expiring {round}"), "there", for_ms(1 << 40)).unwrap();
            tree.insert("", format!("the empty key {n}")).unwrap();
            tree.insert("an empty value", "").unwrap();
            tree.insert([0xff, 0, b'\n', 0xff], [0, 1, 2, 0xfe, 0xff]).unwrap();
        }
    };
    fill(0);
    db.compact().unwrap();
    fill(1);
    db.compact().unwrap();
    fill(2);
    db.flush().unwrap();
    let _keeps_versions = db.snapshot();
    fill(3);
    db.flush().unwrap();
    trees[0].insert("only in the log", "unflushed").unwrap();
    trees[1].remove("key 001").unwrap();
    trees[2]
        .put(
            "expiring in the log",
            "there",
            Put { ttl: Some(Duration::from_hours(1 << 20)), ..Put::default() },
        )
        .unwrap();
    db.persist(Persist::Sync).unwrap();
    let levels = db.stats().unwrap().keyspaces;
    println!("{levels:#?}");
    db.close().unwrap();
    drop(trees);

    let fs = StdFs;
    fs.create_dir_all(&target).unwrap();
    for name in fs.list(&target).unwrap() {
        fs.remove(&target.join(name)).unwrap();
    }
    copy_dir(dir.path(), &target);
    fs.remove(&target.join("LOCK")).unwrap();
    let text = describe(&builder(dir.path(), READ_MS).open().unwrap());
    fs.create(&golden.join("content.txt")).unwrap().write_all_at(text.as_bytes(), 0).unwrap();
}
