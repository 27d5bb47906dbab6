//! Real files: what seeds are made from, and what the resealing is held against.

use std::path::Path;
use std::sync::Arc;

use alluvium::{
    Background, Compression as DbCompression, Db, Filter, KeyspaceOptions, LogMode, Persist, Put,
};
use alluvium_base::checksum::crc32;
use alluvium_base::fs::read_file;
use alluvium_base::{
    FileName, FileNumber, FileNumbers, Fs, InternalKey, KeyspaceId, Kind, MemFs, Seq,
};
use alluvium_table::{Compression, FilterKind, TableBuilder, TableOptions};
use alluvium_testkit::{SimClock, SimFs, Survival};
use alluvium_wal::{EarlierSegments, WalConfig, WalMode, WalOptions, start};

use crate::folder::{self, Files};
use crate::table_bytes::{KEYSPACE, NUMBER};
use crate::{log_bytes, table_bytes};

const GOOD: &str = "nothing is wrong with memory";
const DIR: &str = "/db";

/// All filters, for tables and for seeds.
pub const FILTERS: [FilterKind; 3] = [
    FilterKind::None,
    FilterKind::Blocked { bits_per_key: 10 },
    FilterKind::Standard { bits_per_key: 10 },
];

fn read(fs: &dyn Fs, path: &Path) -> Vec<u8> {
    read_file(fs, path, 1 << 30).expect(GOOD)
}

/// A table of a few blocks, with every kind that writers make and versions that straddle.
pub fn table(filter: FilterKind, compression: Compression) -> Vec<u8> {
    let fs = MemFs::new();
    let path = Path::new("000007.table");
    let file = fs.create(path).expect(GOOD);
    let options = TableOptions { block_size: 128, compression, filter };
    let (number, keyspace) = (FileNumber(NUMBER), KeyspaceId(KEYSPACE));
    let mut builder = TableBuilder::new(file, path, number, keyspace, &options).expect(GOOD);
    let mut add = |key: &[u8], seq, kind, value: &[u8]| {
        builder.add(InternalKey::new(key, Seq::new(seq), kind), value).expect(GOOD);
    };
    for seq in [90, 50, 7] {
        add(b"apple", seq, Kind::Put, &[b'a'; 60]);
    }
    add(b"birch", 300, Kind::Delete, b"");
    add(b"cedar", 12, Kind::PutExpiring, b"\x10\0\0\0\0\0\0\0soon");
    for n in 0..6 {
        add(format!("key-{n}").as_bytes(), 1000 + n, Kind::Put, &[n as u8; 30]);
    }
    builder.finish().expect(GOOD);
    read(&fs, path)
}

/// The segments of a log, numbers 1, 2 and so on, each a kilobyte.
pub fn log_segments() -> Vec<Vec<u8>> {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let dir = Path::new(DIR);
    let numbers = Arc::new(FileNumbers::starting_at(FileNumber(1)));
    let options =
        WalOptions { segment_size: 1 << 10, mode: WalMode::Buffered, create_ahead: false };
    let config = WalConfig {
        fs: Arc::clone(&fs),
        dir: dir.to_owned(),
        numbers: Arc::clone(&numbers),
        options,
        earlier: EarlierSegments::default(),
    };
    let (mut writer, wal) = start(config).expect(GOOD);
    for n in 1..=14 {
        let payload = vec![n as u8; 40 + 11 * n as usize];
        writer.append(Seq::new(n), Seq::new(n), &payload, crc32(&payload)).expect(GOOD);
        if n % 4 == 0 {
            wal.sync_to(wal.written()).expect(GOOD);
        }
    }
    let segments = wal.segments();
    let path = |number| FileName::Wal(number).in_dir(dir);
    segments.iter().map(|segment| read(&*fs, &path(segment.number))).collect()
}

/// The manifest of a small database with some history, as number 1.
pub fn manifest() -> Vec<u8> {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let options = KeyspaceOptions {
        write_buffer_size: 1 << 10,
        block_size: 256,
        l0_trigger: 2,
        level_base_bytes: 2 << 10,
        target_file_size: 1 << 10,
        ..KeyspaceOptions::default()
    };
    let db = Db::builder(DIR)
        .fs(Arc::clone(&fs))
        .background(Background::Manual)
        .log_segment_size(64 << 10)
        .max_manifest_bytes(12 << 10)
        .default_keyspace(options.clone())
        .open()
        .expect(GOOD);
    let other = db.keyspace("other", options).expect(GOOD);
    for n in 0..16 {
        db.insert(format!("{n:03}"), [n; 60]).expect(GOOD);
    }
    let soon = Put { ttl: Some(std::time::Duration::from_mins(1)), ..Put::default() };
    other.put("k", "v", soon).expect(GOOD);
    db.flush().expect(GOOD);
    db.compact().expect(GOOD);
    db.drop_keyspace("other").expect(GOOD);
    let names = fs.list(Path::new(DIR)).expect(GOOD);
    let manifests = names.iter().filter_map(|name| match FileName::parse(name) {
        Some(FileName::Manifest(number)) => Some(number),
        _ => None,
    });
    let number = manifests.max().expect("a database has a manifest");
    assert_eq!(number, FileNumber(1), "a new database's manifest comes first");
    read(&*fs, &FileName::Manifest(number).in_dir(Path::new(DIR)))
}

/// A database of each kind, as files: buffered and with several levels; mapped, compressed and cut
/// off by a crash; nothing but a log; closed in order with a keyspace dropped.
pub fn databases() -> Vec<Files> {
    (0..4).map(database).collect()
}

fn database(kind: usize) -> Files {
    let disk = SimFs::new(kind as u64);
    let options = KeyspaceOptions {
        write_buffer_size: if kind == 2 { 1 << 20 } else { 1 << 10 },
        block_size: 128,
        compression: vec![[DbCompression::None, DbCompression::Lz4][kind % 2]],
        filter: match kind {
            0 => Filter::Standard { bits_per_key: 10 },
            3 => Filter::None,
            _ => Filter::Blocked { bits_per_key: 10 },
        },
        l0_trigger: 2,
        level_base_bytes: 1 << 10,
        target_file_size: 1 << 10,
        ..KeyspaceOptions::default()
    };
    let db = Db::builder(DIR)
        .fs(Arc::new(disk.clone()))
        .clock(Arc::new(SimClock::new(1_000)))
        .background(Background::Manual)
        .log_mode([LogMode::Buffered, LogMode::Mapped][kind % 2])
        .log_segment_size(4 << 10)
        .max_log_bytes(16 << 10)
        .max_manifest_bytes(8 << 10)
        .default_keyspace(options.clone())
        .open()
        .expect(GOOD);
    let other = db.keyspace("other", options).expect(GOOD);
    for n in 0..24u8 {
        db.insert(format!("{:03}", n % 17), [n; 40]).expect(GOOD);
        let far = Put { ttl: Some(std::time::Duration::from_hours(1 << 20)), ..Put::default() };
        other.put([n / 2], [n], if n % 3 == 0 { far } else { Put::default() }).expect(GOOD);
        if n % 5 == 4 && kind != 2 {
            db.remove(format!("{:03}", n / 2)).expect(GOOD);
            db.flush().expect(GOOD);
            while db.step().expect(GOOD) {}
        }
        if n == 15 {
            db.persist(Persist::Sync).expect(GOOD);
        }
    }
    let left = match kind {
        1 => disk.crash(Survival::Random(5)),
        3 => {
            db.drop_keyspace("other").expect(GOOD);
            db.close().expect(GOOD);
            disk
        }
        _ => disk.kill(),
    };
    folder::files_of(&left, Path::new(DIR))
}

/// Fails when what the targets know of the formats is no longer so.
pub fn check_formats() {
    for filter in FILTERS {
        for compression in [Compression::None, Compression::Lz4] {
            let good = table(filter, compression);
            let mut sealed = good.clone();
            table_bytes::reseal(&mut sealed, NUMBER);
            assert!(sealed == good, "resealing changed a good table");
            let parts = table_bytes::take_apart(&good);
            let built = table_bytes::assemble(&mut crate::input::Input::new(&parts));
            assert!(built == good, "a table assembled from its parts is another");
        }
    }
    for (number, good) in (1..).zip(log_segments()).chain([(1, manifest())]) {
        let mut sealed = good.clone();
        log_bytes::reseal(&mut sealed, number);
        assert!(sealed == good, "resealing changed a good log file");
    }
    for files in folder::originals() {
        // What a crash tore off is not sealed yet, and resealing it would bring it back.
        let is_log = |name: &str| matches!(FileName::parse(name), Some(FileName::Wal(_)));
        for (name, good) in files.iter().filter(|(name, _)| !is_log(name)) {
            let mut sealed = good.clone();
            folder::reseal(name, &mut sealed);
            assert!(sealed == *good, "resealing changed {name}");
        }
        folder::use_everything(files);
    }
}
