use std::collections::BTreeMap;
use std::sync::Mutex;

use alluvium_base::{Clock, SystemClock};
use alluvium_base::{KeyspaceId, Kind, MemFs, MergingIterator, Seq, key};
use alluvium_table::{BlockCache, Compression, ReadOptions, RunIterator, Table};
use alluvium_testkit::{Fault, FaultPlan, SimFs, Survival};

use super::*;
use crate::testing::table;

/// Entries in internal key order; fails when it steps onto `fails_at`.
#[derive(Debug)]
struct ListCursor {
    entries: Vec<(Vec<u8>, Seq, Kind, Vec<u8>)>,
    at: Option<usize>,
    fails_at: usize,
}

impl ListCursor {
    fn new(mut entries: Vec<(Vec<u8>, Seq, Kind, Vec<u8>)>) -> Self {
        entries.sort_by(|a, b| key::compare(&a.0, a.1, &b.0, b.1));
        Self { entries, at: None, fails_at: usize::MAX }
    }

    fn go(&mut self, at: Option<usize>) -> Result<()> {
        self.at = at.filter(|&at| at < self.entries.len() && at != self.fails_at);
        if at == Some(self.fails_at) {
            return Err(Error::corrupt("000001.table", 4096, "checksum mismatch"));
        }
        Ok(())
    }
}

impl InternalIterator for ListCursor {
    fn is_valid(&self) -> bool {
        self.at.is_some()
    }
    fn key(&self) -> InternalKey<'_> {
        let (user_key, seq, kind, _) = &self.entries[self.at.expect("valid")];
        InternalKey::new(user_key, *seq, *kind)
    }
    fn value(&self) -> &[u8] {
        &self.entries[self.at.expect("valid")].3
    }
    fn seek_to_first(&mut self) -> Result<()> {
        self.go(Some(0))
    }
    fn seek_to_last(&mut self) -> Result<()> {
        self.go(self.entries.len().checked_sub(1))
    }
    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        let before = |e: &(Vec<u8>, Seq, _, _)| key::compare(&e.0, e.1, user_key, seq).is_lt();
        self.go(Some(self.entries.partition_point(before)))
    }
    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        let before = |e: &(Vec<u8>, Seq, _, _)| key::compare(&e.0, e.1, user_key, seq).is_lt();
        self.go(self.entries.partition_point(before).checked_sub(1))
    }
    fn next(&mut self) -> Result<()> {
        self.go(self.at.map(|at| at + 1))
    }
    fn prev(&mut self) -> Result<()> {
        self.go(self.at.and_then(|at| at.checked_sub(1)))
    }
}

/// The parts of an [`Output`] that it borrows.
#[derive(Debug)]
struct Setup {
    fs: MemFs,
    numbers: FileNumbers,
    cancel: AtomicBool,
    grandparents: Vec<Arc<TableMeta>>,
    target_file_size: u64,
    reported: Mutex<Vec<u64>>,
}

impl Setup {
    fn new(target_file_size: u64) -> Self {
        Self {
            fs: MemFs::new(),
            numbers: FileNumbers::starting_at(FileNumber(10)),
            cancel: AtomicBool::new(false),
            grandparents: Vec::new(),
            target_file_size,
            reported: Mutex::default(),
        }
    }

    fn write(
        &self,
        input: &mut dyn InternalIterator,
        gc: &GcContext,
        below: Below,
    ) -> Result<Vec<TableMeta>> {
        let on_bytes = |bytes| self.reported.lock().expect("not poisoned").push(bytes);
        let table_options =
            TableOptions { compression: Compression::None, ..TableOptions::default() };
        let output = Output {
            fs: &self.fs,
            dir: Path::new("db"),
            numbers: &self.numbers,
            cache: &BlockCache::new(0),
            blocks: None,
            keyspace: KeyspaceId::DEFAULT,
            table_options,
            target_file_size: self.target_file_size,
            grandparents: &self.grandparents,
            now_ms: 77,
            cancel: &self.cancel,
            on_bytes: &on_bytes,
        };
        write_tables(input, gc, below, &output)
    }

    fn files(&self) -> Vec<String> {
        self.fs.list(Path::new("db")).expect("a disk in memory")
    }

    fn open(&self, meta: &TableMeta) -> Arc<Table> {
        let path = FileName::Table(meta.number).in_dir(Path::new("db"));
        let file = self.fs.open(&path).expect("it was written");
        let cache = BlockCache::new(1 << 20);
        Table::open(file, &path, meta.number, KeyspaceId::DEFAULT, cache).expect("a sound table")
    }

    /// Everything in the tables, after checking that they are sound and as their metadata say.
    fn read(&self, metas: &[TableMeta]) -> Vec<(Vec<u8>, Seq, Kind, Vec<u8>)> {
        let mut entries = Vec::new();
        for meta in metas {
            let table = self.open(meta);
            table.verify().expect("a sound table");
            assert_eq!(table_meta(meta.number, table.summary().clone(), 77), *meta);
            let mut cursor = table.iter(ReadOptions::default());
            cursor.seek_to_first().expect("readable");
            while cursor.is_valid() {
                let key = cursor.key();
                entries.push((key.user_key.to_vec(), key.seq, key.kind, cursor.value().to_vec()));
                cursor.next().expect("readable");
            }
        }
        entries
    }
}

fn no_snapshots() -> GcContext {
    GcContext::new(Vec::new(), 0)
}

fn put(key: &str, seq: u64, value: &[u8]) -> (Vec<u8>, Seq, Kind, Vec<u8>) {
    (key.as_bytes().to_vec(), Seq::new(seq), Kind::Put, value.to_vec())
}

fn many(count: u64) -> Vec<(Vec<u8>, Seq, Kind, Vec<u8>)> {
    (0..count).map(|n| put(&format!("key{n:06}"), n + 1, &[n as u8; 100])).collect()
}

#[test]
fn survivors_lie_in_tables_of_the_target_size() {
    let setup = Setup::new(20_000);
    let mut input = ListCursor::new(many(1_000));
    let metas = setup.write(&mut input, &no_snapshots(), Below::everything()).expect("written");
    assert_eq!(setup.read(&metas), many(1_000));
    assert_eq!(setup.files().len(), metas.len());
    assert!(metas.len() >= 5);
    for meta in &metas[..metas.len() - 1] {
        assert!((18_000..24_000).contains(&meta.size_bytes), "{}", meta.size_bytes);
        assert_eq!(meta.created_ms, 77);
    }
    let reported: u64 = setup.reported.lock().expect("not poisoned").iter().sum();
    assert_eq!(reported, metas.iter().map(|meta| meta.size_bytes).sum::<u64>());
}

/// `LevelDB` 320: with a key's versions in two tables, compacting one of them brought old values
/// back.
#[test]
fn versions_of_one_user_key_are_never_split_over_tables() {
    let setup = Setup::new(2_000);
    let mut entries = many(50);
    entries.extend((100..200).map(|seq| put("key000020", seq, &[b'v'; 100])));
    let gc = GcContext::new((100..200).map(Seq::new).collect(), 0);
    let metas =
        setup.write(&mut ListCursor::new(entries), &gc, Below::everything()).expect("written");
    // Each version has a snapshot of its own but the first, which one at sequence 21 came before.
    assert_eq!(setup.read(&metas).len(), 149);
    assert!(metas.len() > 2);
    for pair in metas.windows(2) {
        assert!(pair[0].largest < pair[1].smallest, "{} and {}", pair[0], pair[1]);
    }
}

#[test]
fn at_the_bottom_the_dead_vanish_and_the_living_lose_their_age() {
    let setup = Setup::new(u64::MAX);
    let expiring = |expiry: u64| [&expiry.to_le_bytes()[..], b"v"].concat();
    let entries = vec![
        put("a", 9, b"new"),
        put("a", 3, b"old"),
        (b"b".to_vec(), Seq::new(8), Kind::Delete, Vec::new()),
        put("b", 2, b"gone"),
        (b"c".to_vec(), Seq::new(5), Kind::PutExpiring, expiring(50)),
        (b"d".to_vec(), Seq::new(6), Kind::PutExpiring, expiring(51)),
    ];
    let gc = GcContext::new(Vec::new(), 50);
    let mut input = ListCursor::new(entries.clone());
    let metas = setup.write(&mut input, &gc, Below::nothing()).expect("written");
    let living =
        vec![put("a", 0, b"new"), (b"d".to_vec(), Seq::ZERO, Kind::PutExpiring, expiring(51))];
    assert_eq!(setup.read(&metas), living);

    // With something below, the dead stay as tombstones and everybody keeps their age.
    let mut input = ListCursor::new(entries);
    let metas = setup.write(&mut input, &gc, Below::everything()).expect("written");
    let buried = vec![
        put("a", 9, b"new"),
        (b"b".to_vec(), Seq::new(8), Kind::Delete, Vec::new()),
        (b"c".to_vec(), Seq::new(5), Kind::Delete, Vec::new()),
        (b"d".to_vec(), Seq::new(6), Kind::PutExpiring, expiring(51)),
    ];
    assert_eq!(setup.read(&metas), buried);
}

#[test]
fn when_nothing_survives_there_is_no_table() {
    let setup = Setup::new(1_000);
    let dead = vec![(b"k".to_vec(), Seq::new(1), Kind::Delete, Vec::new())];
    for entries in [dead, Vec::new()] {
        let mut input = ListCursor::new(entries);
        let metas = setup.write(&mut input, &no_snapshots(), Below::nothing()).expect("written");
        assert_eq!((metas, setup.files()), (Vec::new(), Vec::new()));
    }
}

#[test]
fn a_table_ends_where_it_would_overlap_too_many_grandparents() {
    let mut setup = Setup::new(50_000);
    // Forty tables below, each a fifth of a target large: a table passes ten targets at the 51st.
    let grandparent = |n: u64| {
        let (first, last) = (format!("key{:06}", n * 10), format!("key{:06}", n * 10 + 9));
        let table = table(n, first.as_bytes(), last.as_bytes());
        Arc::new(TableMeta { size_bytes: 40_000, ..table })
    };
    setup.grandparents = (0..40).map(grandparent).collect();
    let sparse: Vec<_> = many(400).into_iter().step_by(10).collect();
    let mut input = ListCursor::new(sparse.clone());
    let metas = setup.write(&mut input, &no_snapshots(), Below::everything()).expect("written");
    assert_eq!(setup.read(&metas), sparse);
    let overlaps: Vec<u64> = metas.iter().map(|meta| meta.entry_count).collect();
    assert_eq!(overlaps, [13, 13, 13, 1], "thirteen of them are just over ten targets");
}

#[test]
fn a_nearly_full_table_ends_with_a_grandparent() {
    let mut cutter = Cutter::new(&[], 1_000);
    assert!(!cutter.is_cut_before(b"a", 999) && cutter.is_cut_before(b"b", 1_000));
    let grandparents = [Arc::new(table(1, b"a", b"c")), Arc::new(table(2, b"d", b"f"))];
    let mut cutter = Cutter::new(&grandparents, 1_000);
    assert!(!cutter.is_cut_before(b"b", 800), "no boundary here");
    assert!(cutter.is_cut_before(b"d", 800));
    assert!(!cutter.is_cut_before(b"e", 0), "there is no table to end");
    assert!(!cutter.is_cut_before(b"g", 700), "not nearly full");
}

/// `RocksDB` 11782: an input that failed looked like one that had ended, and the rest was lost.
#[test]
fn an_error_of_the_input_is_returned_and_leaves_no_file() {
    for fails_at in [0, 1, 500, 999] {
        let setup = Setup::new(20_000);
        let mut input = ListCursor { fails_at, ..ListCursor::new(many(1_000)) };
        let error = setup
            .write(&mut input, &no_snapshots(), Below::everything())
            .expect_err("the input is damaged");
        assert!(matches!(error, Error::Corrupt(_)), "{error}");
        assert_eq!(setup.files(), Vec::<String>::new());
    }
}

#[test]
fn a_cancelled_compaction_leaves_no_file() {
    let setup = Setup::new(20_000);
    setup.cancel.store(true, Ordering::Relaxed);
    let mut input = ListCursor::new(many(10));
    let error =
        setup.write(&mut input, &no_snapshots(), Below::everything()).expect_err("cancelled");
    assert!(matches!(error, Error::Closed(_)), "{error}");

    // From within, while tables are being written.
    let setup = Setup::new(20_000);
    let on_bytes = |_| setup.cancel.store(true, Ordering::Relaxed);
    let output = Output {
        fs: &setup.fs,
        dir: Path::new("db"),
        numbers: &setup.numbers,
        cache: &BlockCache::new(0),
        blocks: None,
        keyspace: KeyspaceId::DEFAULT,
        table_options: TableOptions::default(),
        target_file_size: 20_000,
        grandparents: &[],
        now_ms: 0,
        cancel: &setup.cancel,
        on_bytes: &on_bytes,
    };
    let mut input = ListCursor::new(many(5_000));
    let error = write_tables(&mut input, &no_snapshots(), Below::everything(), &output)
        .expect_err("cancelled");
    assert!(matches!(error, Error::Closed(_)), "{error}");
    assert!(setup.numbers.peek() > FileNumber(11), "it had begun");
    assert_eq!(setup.files(), Vec::<String>::new());
}

/// Real tables in, real tables out: what a compaction of three overlapping tables leaves is what a
/// map would hold.
#[test]
fn merged_tables_hold_what_a_map_holds() {
    let setup = Setup::new(30_000);
    let mut map = BTreeMap::new();
    let mut sources = Vec::new();
    for round in 1..=3_u64 {
        let writes = (0..600_u64).step_by(round as usize).map(|n| {
            let (user_key, seq) = (format!("key{n:06}"), round * 1_000 + n);
            if (n + round).is_multiple_of(5) {
                map.remove(user_key.as_bytes());
                return (user_key.into_bytes(), Seq::new(seq), Kind::Delete, Vec::new());
            }
            let entry = put(&user_key, seq, format!("{round} {n}").as_bytes());
            map.insert(entry.0.clone(), entry.3.clone());
            entry
        });
        let mut memtable = ListCursor::new(writes.collect());
        let flushed =
            setup.write(&mut memtable, &no_snapshots(), Below::everything()).expect("written");
        let tables: Vec<_> = flushed.iter().map(|meta| setup.open(meta)).collect();
        sources.push(RunIterator::new(tables.into(), ReadOptions::default()));
    }
    let mut merged = MergingIterator::new(sources);
    let metas = setup.write(&mut merged, &no_snapshots(), Below::nothing()).expect("written");
    let found: Vec<_> = setup.read(&metas).into_iter().map(|e| (e.0, e.3)).collect();
    assert_eq!(found, map.into_iter().collect::<Vec<_>>());
}

/// Writes `entries` to a simulated disk as the engine would.
fn write_to(fs: &SimFs, entries: u64) -> Result<Vec<TableMeta>> {
    let numbers = FileNumbers::starting_at(FileNumber(10));
    let output = Output {
        fs,
        dir: Path::new("/db"),
        numbers: &numbers,
        cache: &BlockCache::new(0),
        blocks: None,
        keyspace: KeyspaceId::DEFAULT,
        table_options: TableOptions::default(),
        target_file_size: 2_000,
        grandparents: &[],
        now_ms: 0,
        cancel: &AtomicBool::new(false),
        on_bytes: &|_| {},
    };
    let mut input = ListCursor::new(many(entries));
    write_tables(&mut input, &no_snapshots(), Below::everything(), &output)
}

/// Whatever goes wrong, and wherever: either the tables are durable with their names, or there is
/// an error and no file.
#[test]
fn every_fault_at_every_operation_ends_in_durable_tables_or_none() {
    let mut failures = 0;
    for fault in Fault::ALL {
        for n in 1.. {
            let fs = SimFs::new(n);
            fs.create_dir_durably(Path::new("/db"));
            let before = fs.op_count();
            fs.set_faults(FaultPlan::nth(n, fault));
            match write_to(&fs, 200) {
                Ok(metas) => {
                    assert!(metas.len() > 2);
                    let after = fs.crash(Survival::None);
                    for meta in &metas {
                        let path = FileName::Table(meta.number).in_dir(Path::new("/db"));
                        let bytes = after.read(&path).expect("its name is durable");
                        assert_eq!(bytes.len() as u64, meta.size_bytes, "{fault:?} at {n}");
                    }
                }
                Err(error) => {
                    failures += 1;
                    assert!(matches!(error, Error::Io { .. }), "{fault:?} at {n}: {error}");
                    assert_eq!(fs.list(Path::new("/db")).expect("a disk"), Vec::<String>::new());
                }
            }
            if n > fs.op_count() - before {
                break;
            }
        }
    }
    println!("{failures} failures");
    assert!(failures > 20);
}

/// `cargo test --release -p alluvium-compaction speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
fn speed_of_write_tables_per_entry() {
    let clock = SystemClock::new();
    let (entries, count) = (many(1_000_000), 1_000_000_u32);
    for _ in 0..3 {
        let setup = Setup::new(64 << 20);
        let mut input = ListCursor::new(entries.clone());
        let start = clock.monotonic();
        input.seek_to_first().expect("a list");
        let mut bytes = 0;
        while input.is_valid() {
            bytes += input.key().user_key.len() + input.value().len();
            input.next().expect("a list");
        }
        let read = clock.monotonic();
        let path = Path::new("db/alone");
        let file = setup.fs.create(path).expect("a disk in memory");
        let options = TableOptions { compression: Compression::None, ..TableOptions::default() };
        let number = FileNumber(1);
        let mut builder =
            TableBuilder::new(file, path, number, KeyspaceId::DEFAULT, &options).expect("sound");
        for (user_key, seq, kind, value) in &entries {
            builder.add(InternalKey::new(user_key, *seq, *kind), value).expect("written");
        }
        builder.finish().expect("written");
        let built = clock.monotonic();
        setup.write(&mut input, &no_snapshots(), Below::nothing()).expect("written");
        let written = clock.monotonic();
        println!(
            "{bytes} bytes; per entry: cursor {:?}, builder alone {:?}, write_tables {:?}",
            read.saturating_sub(start) / count,
            built.saturating_sub(read) / count,
            written.saturating_sub(built) / count
        );
    }
}
