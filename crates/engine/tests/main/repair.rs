//! Repair: what verifies is saved, what is lost is named, the originals stay as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alluvium::fs::Fs;
use alluvium::{
    Background, Builder, Db, Depth, ErrorKind, FileFate, KeyspaceOptions, Knowledge, LogMode,
    OptionsSource, Persist, Read, RepairOptions, RepairReport, check, repair,
};
use alluvium_testkit::{Choices, SeededRandom, SimClock, SimFs, Survival};

use crate::support::tiny;

const FROM: &str = "data/db";
const TO: &str = "rescue/db";
const START_MS: u64 = 1_000_000;
/// Values with a short life are alive until then, those with a long one beyond.
const MIDDLE_MS: u64 = START_MS + 50_000;

/// What a reader finds: value by keyspace and key.
type Content = BTreeMap<(String, Vec<u8>), Vec<u8>>;

fn options() -> KeyspaceOptions {
    KeyspaceOptions {
        write_buffer_size: 16 << 10,
        level_base_bytes: 6 << 10,
        target_file_size: 3 << 10,
        ..tiny()
    }
}

fn builder(disk: &SimFs, clock: &SimClock, dir: &str) -> Builder {
    Db::builder(dir)
        .fs(Arc::new(disk.clone()))
        .clock(Arc::new(clock.clone()))
        .log_segment_size(4096)
        .max_log_bytes(64 << 10)
        .log_mode(LogMode::Buffered)
        .background(Background::Manual)
}

/// A database with everything in it, as a dead process leaves it.
struct Sample {
    disk: SimFs,
    /// What a reader finds at the start, and when what expires early is gone.
    content: [Content; 2],
    /// Everything that was ever written.
    ever: BTreeSet<(String, Vec<u8>, Vec<u8>)>,
}

const KEYSPACES: [&str; 3] = ["default", "users", "events"];

impl Sample {
    fn new(seed: u64) -> Self {
        let (disk, clock) = (SimFs::new(seed), SimClock::new(START_MS));
        let mut random = SeededRandom::new(seed);
        let mut ever = BTreeSet::new();
        let db = builder(&disk, &clock, FROM).default_keyspace(options()).open().unwrap();
        // Its id is given and gone.
        db.keyspace("gone", options()).unwrap().insert("k", "v").unwrap();
        for name in ["users", "events"] {
            db.keyspace(name, KeyspaceOptions { block_size: 512, ..options() }).unwrap();
        }
        let mut write = |db: &Db, count: u64| {
            for _ in 0..count {
                let mut batch = db.batch();
                for _ in 0..=random.below(3) {
                    let name = KEYSPACES[random.below(3) as usize];
                    let keyspace = db.find_keyspace(name).unwrap().unwrap();
                    let key = format!("{name}:{:03}", random.below(150)).into_bytes();
                    let value =
                        format!("{}-", random.next_u64()).repeat(1 + random.below(4) as usize);
                    ever.insert((name.to_owned(), key.clone(), value.clone().into_bytes()));
                    match random.below(10) {
                        0 | 1 => batch.remove(&keyspace, key),
                        2 => batch.insert_expiring(&keyspace, key, value, Duration::from_secs(20)),
                        3 => batch.insert_expiring(&keyspace, key, value, Duration::from_hours(9)),
                        _ => batch.insert(&keyspace, key, value),
                    };
                }
                batch.commit(Persist::Buffer).unwrap();
            }
        };
        write(&db, 150);
        db.compact().unwrap();
        write(&db, 150);
        db.drop_keyspace("gone").unwrap();
        while db.step().unwrap() {}
        write(&db, 60);
        db.flush().unwrap();
        write(&db, 45);
        db.persist(Persist::Sync).unwrap();
        let content = [START_MS, MIDDLE_MS].map(|at| read_at(&db, &clock, at));
        // The process dies, and all it wrote reaches the disk.
        let disk = disk.crash(Survival::All);
        Self { disk, content, ever }
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files_in(&self.disk, FROM)
    }

    fn path(&self, part: &str) -> PathBuf {
        let mut found = self.files().into_iter().map(|(path, _)| path);
        found.find(|path| path.to_string_lossy().contains(part)).unwrap()
    }

    fn tables(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let is_table = |(path, _): &(PathBuf, _)| path.to_string_lossy().ends_with(".table");
        self.files().into_iter().filter(is_table).collect()
    }

    fn segments(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let is_segment = |(path, _): &(PathBuf, _)| path.to_string_lossy().ends_with(".wal");
        self.files().into_iter().filter(is_segment).collect()
    }

    /// Repairs `disk`, a damaged copy, and holds the result against the report.
    fn repair(&self, disk: &SimFs, what: &str) -> RepairReport {
        let before = files_in(disk, FROM);
        let report = repair_on(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(files_in(disk, FROM), before, "{what}: the original was changed");
        self.judge(disk, &report, what);
        report
    }

    fn judge(&self, disk: &SimFs, report: &RepairReport, what: &str) {
        let fs = Arc::new(disk.clone());
        let checked = check(fs, TO, Depth::Deep).unwrap();
        assert!(checked.damage.is_empty(), "{what}: {:?}", checked.damage);
        let clock = SimClock::new(START_MS);
        let db = builder(disk, &clock, TO).create_if_missing(false).open().unwrap();
        for (at, expected) in [START_MS, MIDDLE_MS].into_iter().zip(&self.content) {
            let found = original_names(read_at(&db, &clock, at), report);
            let keys: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
            for key in keys {
                let (is, was) = (found.get(key), expected.get(key));
                if is == was {
                    continue;
                }
                let shown = format!("{what}: {} {}", key.0, key.1.escape_ascii());
                assert!(
                    may_differ(report, &key.0, &key.1),
                    "{shown}: {is:?} not {was:?}: {report:#?}"
                );
                if let Some(value) = is {
                    let is_it = |(name, k, v): &(String, Vec<u8>, Vec<u8>)| {
                        (k, v) == (&key.1, value)
                            && (*name == key.0 || key.0.starts_with("recovered-table"))
                    };
                    assert!(self.ever.iter().any(is_it), "{shown}: never written");
                }
            }
        }
        // It goes on: a new write is the newest.
        db.insert("default:000", "after").unwrap();
        assert_eq!(db.get("default:000").unwrap().as_deref(), Some(&b"after"[..]));
    }
}

fn repair_on(disk: &SimFs) -> alluvium::Result<RepairReport> {
    let clock = Arc::new(SimClock::new(START_MS));
    // So little that the log is spilled many times.
    let options = RepairOptions { memory_bytes: 4 << 10, clock };
    repair(Arc::new(disk.clone()), FROM, TO, options)
}

fn read_at(db: &Db, clock: &SimClock, at_ms: u64) -> Content {
    clock.set_now_ms(at_ms);
    let mut content = Content::new();
    for name in db.keyspaces().unwrap() {
        let keyspace = db.find_keyspace(&name).unwrap().unwrap();
        for entry in keyspace.iter() {
            let (key, value) = entry.unwrap();
            content.insert((name.clone(), key.to_vec()), value.to_vec());
        }
    }
    content
}

/// Names that were lost, by their ids: the order in which they were created.
fn original_names(content: Content, report: &RepairReport) -> Content {
    let original = |name: &String| {
        let found = report.keyspaces.iter().find(|keyspace| keyspace.name == *name).unwrap();
        match found.id {
            0 => "default",
            1 => "gone",
            2 => "users",
            3 => "events",
            _ => name,
        }
        .to_owned()
    };
    content.into_iter().map(|((name, key), value)| ((original(&name), key), value)).collect()
}

/// Whether the report says that this key may not be what it was.
fn may_differ(report: &RepairReport, keyspace: &str, key: &[u8]) -> bool {
    let is_lost = |file: &alluvium::RepairedFile| {
        file.keyspace.as_ref().is_none_or(|name| name == keyspace || name.starts_with("recovered"))
            && file
                .losses
                .iter()
                .any(|loss| loss.keys.as_ref().is_none_or(|keys| keys.contains(key)))
    };
    !report.is_complete()
        && (report.knowledge != Knowledge::Whole
            || !report.missing_seqs.is_empty()
            || report.doubts.iter().any(|doubt| doubt.contains("log"))
            || report.files.iter().any(is_lost))
}

fn files_in(disk: &SimFs, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    disk.files().into_iter().filter(|(path, _)| path.starts_with(dir)).collect()
}

fn file<'a>(report: &'a RepairReport, path: &Path) -> &'a alluvium::RepairedFile {
    let name = path.file_name().unwrap().to_str().unwrap();
    report.files.iter().find(|file| file.name == name).unwrap()
}

#[test]
fn an_intact_database_comes_back_as_it_was() {
    for seed in 0..8 {
        let sample = Sample::new(seed);
        let (tables, segments) = (sample.tables().len(), sample.segments().len());
        assert!(tables > 5 && segments > 1, "{tables} tables, {segments} segments: no fair sample");
        let report = sample.repair(&sample.disk.kill(), &format!("intact, seed {seed}"));
        assert!(report.is_complete(), "seed {seed}: {report:#?}");
        assert_eq!(report.knowledge, Knowledge::Whole);
        let names: Vec<_> = report.keyspaces.iter().map(|keyspace| &*keyspace.name).collect();
        assert_eq!(names, KEYSPACES);
        assert!(report.keyspaces.iter().all(|keyspace| keyspace.entries > 0));
    }
}

#[test]
fn options_and_names_are_kept_and_new_keyspaces_get_new_ids() {
    let sample = Sample::new(1);
    let disk = sample.disk.kill();
    sample.repair(&disk, "intact");
    let db = builder(&disk, &SimClock::new(START_MS), TO).open().unwrap();
    let users = db.find_keyspace("users").unwrap().unwrap();
    assert_eq!(users.options().unwrap(), KeyspaceOptions { block_size: 512, ..options() });
    db.keyspace("more", options()).unwrap().insert("a", "b").unwrap();
    assert_eq!(db.keyspaces().unwrap().len(), 4);
}

#[test]
fn without_current_the_manifest_in_use_is_found() {
    let sample = Sample::new(2);
    for is_removed in [true, false] {
        let disk = sample.disk.kill();
        let current = sample.path("CURRENT");
        if is_removed {
            disk.remove_file_durably(&current);
        } else {
            disk.flip_bit(&current, 99);
        }
        let report = sample.repair(&disk, "CURRENT");
        assert!(report.is_complete(), "{report:#?}");
        let fate = if is_removed { FileFate::Missing } else { FileFate::Unusable };
        assert_eq!(file(&report, &current).fate, fate);
    }
}

#[test]
fn without_a_manifest_everything_but_names_comes_back() {
    for seed in 0..8 {
        let sample = Sample::new(seed);
        let disk = sample.disk.kill();
        disk.remove_file_durably(&sample.path("MANIFEST"));
        let report = sample.repair(&disk, "no manifest");
        assert!(!report.is_complete());
        assert_eq!(report.knowledge, Knowledge::Nothing);
        let keyspaces: Vec<_> =
            report.keyspaces.iter().map(|k| (&*k.name, k.name_is_known, k.options)).collect();
        let expected = [
            ("default", true, OptionsSource::Table),
            ("recovered-2", false, OptionsSource::Table),
            ("recovered-3", false, OptionsSource::Table),
        ];
        assert_eq!(keyspaces[..1], expected[..1]);
        assert_eq!(keyspaces[keyspaces.len() - 2..], expected[1..]);
        // No table was obsolete, so the data is all there.
        let clock = SimClock::new(START_MS);
        let db = builder(&disk, &clock, TO).open().unwrap();
        let mut found = original_names(read_at(&db, &clock, START_MS), &report);
        found.retain(|(name, key), _| name != "gone" && key != b"default:000");
        let mut expected = sample.content[0].clone();
        expected.retain(|(_, key), _| key != b"default:000");
        assert_eq!(found, expected);
    }
}

#[test]
fn a_manifest_damaged_in_the_middle_is_used_around_the_damage() {
    let sample = Sample::new(3);
    let path = sample.path("MANIFEST");
    let len = used(&sample.disk.read(&path).unwrap());
    let disk = sample.disk.kill();
    disk.flip_bit(&path, len * 4);
    let report = sample.repair(&disk, "manifest flipped");
    assert_eq!(report.knowledge, Knowledge::Partial);
    assert!(report.keyspaces.iter().all(|keyspace| keyspace.id == 1 || keyspace.name_is_known));
    assert_eq!(file(&report, &path).losses.len(), 1);
    for cut in [len / 3, len / 2, len - 60] {
        let disk = sample.disk.kill();
        disk.truncate(&path, cut);
        let report = sample.repair(&disk, "manifest cut");
        assert!(!report.is_complete(), "cut at {cut} of {len}: {report:#?}");
    }
}

#[test]
fn an_old_manifest_is_not_believed() {
    let sample = Sample::new(4);
    let (disk, clock) = (sample.disk.kill(), SimClock::new(START_MS));
    let old: Vec<_> = sample.files().into_iter().filter(|(path, _)| is_root(path)).collect();
    let db = builder(&disk, &clock, FROM).open().unwrap();
    let mut content = sample.content.clone();
    for n in 0..200 {
        let (key, value) = (format!("default:{n:03}"), format!("later {n}"));
        db.insert(&key, &value).unwrap();
        for content in &mut content {
            content.insert(("default".into(), key.clone().into()), value.clone().into());
        }
    }
    db.compact().unwrap();
    db.close().unwrap();
    let disk = disk.kill();
    let newer = files_in(&disk, FROM).into_iter().filter(|(path, _)| is_root(path));
    newer.for_each(|(path, _)| disk.remove_file_durably(&path));
    for (path, bytes) in &old {
        disk.write(path, bytes);
    }
    let later = Sample { disk: disk.clone(), content, ever: BTreeSet::new() };
    let report = repair_on(&disk).unwrap();
    assert_eq!(report.knowledge, Knowledge::Partial, "{report:#?}");
    let clock = SimClock::new(START_MS);
    let db = builder(&disk, &clock, TO).open().unwrap();
    assert_eq!(original_names(read_at(&db, &clock, START_MS), &report), later.content[0]);
}

/// A database of one key, written, flushed and, after `change`, compacted; the tables that it had
/// before `change` are put back, as if nobody had deleted them yet.
fn with_obsolete_tables(change: impl Fn(&Db), should_compact_first: bool) -> SimFs {
    let (disk, clock) = (SimFs::new(1), SimClock::new(START_MS));
    let db = builder(&disk, &clock, FROM).default_keyspace(options()).open().unwrap();
    db.insert("k", "old").unwrap();
    db.flush().unwrap();
    if should_compact_first {
        db.compact().unwrap();
    }
    let is_table = |(path, _): &(PathBuf, _)| path.to_string_lossy().ends_with(".table");
    let old: Vec<_> = files_in(&disk, FROM).into_iter().filter(is_table).collect();
    assert_eq!(old.len(), 1);
    change(&db);
    db.flush().unwrap();
    db.compact().unwrap();
    // Two opens, and the log has let go of all this.
    db.close().unwrap();
    builder(&disk, &clock, FROM).open().unwrap().close().unwrap();
    builder(&disk, &clock, FROM).open().unwrap().close().unwrap();
    let disk = disk.crash(Survival::All);
    for (path, bytes) in &old {
        disk.write(path, bytes);
    }
    disk
}

fn found_after_repair(disk: &SimFs) -> (RepairReport, Option<Vec<u8>>) {
    clear(disk, TO);
    let report = repair_on(disk).unwrap();
    let db = builder(disk, &SimClock::new(START_MS), TO).open().unwrap();
    let value = db.get("k").unwrap().map(|value| value.to_vec());
    (report, value)
}

fn remove_manifest(disk: &SimFs) {
    let manifests = files_in(disk, FROM).into_iter().filter(|(path, _)| is_root(path));
    manifests.for_each(|(path, _)| disk.remove_file_durably(&path));
}

/// What compaction left out of its output, a tombstone that hid nothing more, is still needed as
/// long as an obsolete table is read. So it is not read where the manifest tells; where nothing
/// does, the report says what may happen.
#[test]
fn an_obsolete_table_brings_back_removed_keys_only_if_no_manifest_tells() {
    let disk = with_obsolete_tables(|db| db.remove("k").unwrap(), true);
    let (report, value) = found_after_repair(&disk);
    assert_eq!(value, None);
    assert!(report.is_complete(), "{report:#?}");
    assert!(report.files.iter().any(|file| file.fate == FileFate::Unneeded), "{report:#?}");

    remove_manifest(&disk);
    let (report, _) = found_after_repair(&disk);
    assert_eq!(report.knowledge, Knowledge::Nothing);
    assert!(report.doubts.iter().any(|doubt| doubt.contains("Removed keys may be back")));
}

/// Compaction forgets how old the last version of a key is once nothing older is left. An obsolete
/// table's older version then looks newer.
#[test]
fn an_obsolete_table_shows_an_older_value_only_if_no_manifest_tells_and_is_counted() {
    let disk = with_obsolete_tables(|db| db.insert("k", "new").unwrap(), false);
    let (report, value) = found_after_repair(&disk);
    assert_eq!(value.as_deref(), Some(&b"new"[..]));
    assert!(report.is_complete() && report.uncertain_keys == 0, "{report:#?}");

    remove_manifest(&disk);
    let (report, value) = found_after_repair(&disk);
    // This is the limit: nothing in the folder says which of the two is newer.
    assert_eq!(value.as_deref(), Some(&b"old"[..]));
    assert_eq!(report.uncertain_keys, 1, "{report:#?}");
}

/// How much of a file there is before nothing but zeroes.
fn used(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1)
}

fn is_root(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name == "CURRENT" || name.starts_with("MANIFEST")
}

#[test]
fn a_damaged_block_costs_its_keys_and_no_others() {
    let sample = Sample::new(5);
    let (path, bytes) = sample.tables().into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let disk = sample.disk.kill();
    disk.flip_bit(&path, bytes.len() as u64 * 2);
    let report = sample.repair(&disk, "block");
    assert_eq!(report.knowledge, Knowledge::Whole);
    let damaged = file(&report, &path);
    assert_eq!(damaged.losses.len(), 1, "{damaged:#?}");
    assert!(
        damaged.lost_entries.unwrap() > 0 && damaged.saved_entries > damaged.lost_entries.unwrap()
    );
    let keys = damaged.losses[0].keys.clone().unwrap();
    assert!(keys.first.is_some() && keys.last.is_some());
    assert!(report.missing_seqs.is_empty() && report.doubts.is_empty());
}

#[test]
fn footer_index_and_properties_cost_nothing_and_a_cut_its_end() {
    let sample = Sample::new(6);
    for (path, bytes) in sample.tables() {
        let len = bytes.len() as u64;
        if len < 2000 {
            continue;
        }
        for from_end in [1, 20, 90, 97, 130] {
            let disk = sample.disk.kill();
            disk.flip_bit(&path, (len - from_end) * 8);
            let report = sample.repair(&disk, "footer or properties");
            let damaged = file(&report, &path);
            assert_eq!((damaged.lost_entries, damaged.losses.len()), (Some(0), 0), "{damaged:#?}");
            assert!(!damaged.notes.is_empty());
            assert!(report.is_complete());
        }
        let disk = sample.disk.kill();
        disk.truncate(&path, len / 2);
        let report = sample.repair(&disk, "cut");
        let damaged = file(&report, &path);
        assert_eq!(damaged.fate, FileFate::Read);
        assert!(damaged.lost_entries.unwrap() > 0, "{damaged:#?}");
        // With its properties the table has lost its keyspace, which only the manifest still tells.
        disk.remove_file_durably(&sample.path("MANIFEST"));
        clear(&disk, TO);
        let report = sample.repair(&disk, "cut, and no manifest");
        let name = path.file_stem().unwrap().to_str().unwrap();
        let name = format!("recovered-table-{name}");
        let apart = report.keyspaces.iter().find(|keyspace| keyspace.name == name);
        assert!(apart.is_some_and(|keyspace| !keyspace.name_is_known));
    }
}

fn clear(disk: &SimFs, dir: &str) {
    for (path, _) in files_in(disk, dir) {
        disk.remove_file_durably(&path);
    }
}

#[test]
fn a_missing_table_is_named_with_its_keys() {
    let sample = Sample::new(7);
    for (path, _) in sample.tables() {
        let disk = sample.disk.kill();
        disk.remove_file_durably(&path);
        let report = sample.repair(&disk, "missing table");
        let missing = file(&report, &path);
        assert_eq!(missing.fate, FileFate::Missing);
        assert!(missing.lost_entries.unwrap() > 0 && missing.keyspace.is_some());
        assert!(missing.losses[0].keys.as_ref().unwrap().first.is_some());
        assert_eq!(report.knowledge, Knowledge::Partial);
    }
}

#[test]
fn records_behind_a_damaged_one_are_saved_and_the_missing_sequences_named() {
    let sample = Sample::new(8);
    let mut seen = BTreeSet::new();
    let places = sample.segments().into_iter().flat_map(|(path, bytes)| {
        let end = used(&bytes).saturating_sub(200);
        (200..end).step_by(61).map(move |byte| (path.clone(), byte))
    });
    for (path, byte) in places {
        let disk = sample.disk.kill();
        disk.flip_bit(&path, byte * 8 + 3);
        let report = sample.repair(&disk, &format!("{}, byte {byte}", path.display()));
        assert!(report.missing_seqs.len() <= 1, "{:?}", report.missing_seqs);
        for (first, last) in &report.missing_seqs {
            assert!(last.get() - first.get() < 4, "more than one batch is missing");
            assert!(report.highest_seq >= *last);
        }
        seen.extend(report.missing_seqs);
    }
    assert!(seen.len() > 5, "{seen:?}");
}

#[test]
fn a_missing_segment_is_noticed_wherever_it_stood() {
    let sample = Sample::new(9);
    for (path, bytes) in sample.segments() {
        let disk = sample.disk.kill();
        disk.remove_file_durably(&path);
        let report = sample.repair(&disk, "missing segment");
        let is_empty = bytes.len() <= 64;
        assert!(is_empty || !report.is_complete(), "{}: {report:#?}", path.display());
    }
    let disk = sample.disk.kill();
    sample.segments().iter().for_each(|(path, _)| disk.remove_file_durably(path));
    let report = sample.repair(&disk, "no log");
    assert!(!report.is_complete());
}

#[test]
fn options_hold_no_data() {
    let sample = Sample::new(10);
    let path = sample.path("OPTIONS");
    let disk = sample.disk.kill();
    disk.flip_bit(&path, 80);
    let report = sample.repair(&disk, "OPTIONS");
    assert!(report.is_complete() && !file(&report, &path).notes.is_empty());
    let disk = sample.disk.kill();
    disk.remove_file_durably(&path);
    assert_eq!(file(&sample.repair(&disk, "OPTIONS"), &path).fate, FileFate::Missing);
}

#[test]
fn bits_flipped_anywhere_are_mended_or_named() {
    let seed = 11;
    let sample = Sample::new(seed);
    let mut random = SeededRandom::new(seed);
    let (mut flips, mut complete) = (0, 0);
    for (path, bytes) in sample.files() {
        let mut byte = random.below(40);
        // What is reserved and not used yet is long, and one flip there is like another.
        let end = (used(&bytes) + 200).min(bytes.len() as u64);
        while byte < end {
            let bit = byte * 8 + random.below(8);
            let disk = sample.disk.kill();
            disk.flip_bit(&path, bit);
            let report =
                sample.repair(&disk, &format!("seed {seed}, {}, bit {bit}", path.display()));
            flips += 1;
            complete += usize::from(report.is_complete());
            byte += 1 + random.below(160);
        }
    }
    println!("{flips} flips, {complete} mended, all others named");
    assert!(flips > 300 && complete > 0);
}

#[test]
fn cuts_anywhere_are_mended_or_named() {
    let seed = 12;
    let sample = Sample::new(seed);
    let mut random = SeededRandom::new(seed);
    for (path, bytes) in sample.files() {
        for n in 0..40 {
            let end = if n % 4 == 0 { bytes.len() as u64 } else { used(&bytes) };
            let cut = random.below(end);
            let disk = sample.disk.kill();
            disk.truncate(&path, cut);
            let what = format!("seed {seed}, {} cut at {cut}", path.display());
            sample.repair(&disk, &what);
        }
    }
}

#[test]
fn a_crash_in_the_middle_leaves_no_database() {
    let sample = Sample::new(13);
    let whole = sample.disk.kill();
    let started = whole.op_count();
    repair_on(&whole).unwrap();
    let ops = whole.op_count() - started;
    println!("{ops} operations");
    let (mut unfinished, mut finished) = (0, 0);
    // Every so often while tables are written, and each one at the end, where CURRENT comes.
    for op in (0..ops - 40).step_by(9).chain(ops - 40..=ops) {
        for survival in [Survival::All, Survival::None, Survival::Random(op)] {
            let disk = sample.disk.kill();
            disk.freeze_after(disk.op_count() + op);
            drop(repair_on(&disk));
            let disk = disk.crash(survival);
            let has_current = disk.read(&Path::new(TO).join("CURRENT")).is_some();
            if has_current {
                finished += 1;
                let clock = SimClock::new(START_MS);
                let db = builder(&disk, &clock, TO).create_if_missing(false).open().unwrap();
                assert_eq!(read_at(&db, &clock, START_MS), sample.content[0], "op {op}");
            } else {
                unfinished += 1;
                let opened =
                    builder(&disk, &SimClock::new(START_MS), TO).create_if_missing(false).open();
                assert!(opened.is_err(), "op {op}: half a database can be opened");
            }
            assert_eq!(files_in(&disk, FROM), sample.files(), "op {op}");
        }
    }
    println!("{unfinished} unfinished, {finished} finished");
    assert!(unfinished > 50 && finished > 0);
}

#[test]
fn a_target_in_use_is_refused_with_what_to_do() {
    let sample = Sample::new(14);
    let disk = sample.disk.kill();
    sample.repair(&disk, "first");
    let error = repair_on(&disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("remove it first"), "{error}");
    let fs = Arc::new(disk.clone());
    let inside = repair(fs.clone(), FROM, "data/db/new", RepairOptions::default()).unwrap_err();
    assert!(inside.to_string().contains("outside"), "{inside}");
    let none = repair(fs.clone(), "data", "new", RepairOptions::default()).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
    let db = builder(&disk, &SimClock::new(START_MS), FROM).open().unwrap();
    let locked = repair(fs, FROM, "new", RepairOptions::default()).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked);
    assert!(files_in(&disk, "new").is_empty());
    drop(db);
}

#[test]
fn a_full_disk_leaves_no_database() {
    let sample = Sample::new(15);
    let used: usize = sample.disk.files().iter().map(|(_, bytes)| bytes.len()).sum();
    for room in [0, 600, 5000, 20_000] {
        let disk = sample.disk.kill();
        disk.set_capacity(Some(used as u64 + room));
        let error = repair_on(&disk).unwrap_err();
        assert!(error.is_disk_full(), "{error}");
        disk.set_capacity(None);
        assert!(
            builder(&disk, &SimClock::new(START_MS), TO).create_if_missing(false).open().is_err()
        );
        assert_eq!(files_in(&disk, FROM), sample.files());
    }
}

/// Opened where no database may be made, as the command line does, a folder that had lost its
/// CURRENT was said to hold none, as if there were nothing to save.
#[test]
fn a_lost_current_is_damage_whether_or_not_a_database_may_be_made() {
    let sample = Sample::new(16);
    let disk = sample.disk.kill();
    disk.remove_file_durably(&sample.path("CURRENT"));
    for may_create in [true, false] {
        let clock = SimClock::new(START_MS);
        let opened = builder(&disk, &clock, FROM).create_if_missing(may_create).open();
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("CURRENT") && error.to_string().contains("repair"));
    }
}

/// A flush does not wait for the log: after a power cut the log may hold a write and lack the removal
/// that came after it, both of them flushed and compacted away. Neither an open nor a repair brings
/// it back.
#[test]
fn a_removed_key_stays_removed_where_the_log_lost_the_removal() {
    let clock = SimClock::new(START_MS);
    let disk = SimFs::new(5);
    let db = builder(&disk, &clock, FROM).default_keyspace(KeyspaceOptions::default());
    let db = db.log_segment_size(1 << 20).max_log_bytes(4 << 20).open().unwrap();
    db.insert("removed", [1; 3000]).unwrap();
    for n in 0..20 {
        db.insert(format!("kept {n}"), [2; 3000]).unwrap();
    }
    db.remove("removed").unwrap();
    db.insert("last", "one").unwrap();
    db.flush().unwrap();
    db.compact().unwrap();
    db.insert("later", "one").unwrap();
    // Of the log, the disk has what comes before some place; or this and that.
    let cuts = (1..16).map(|n| without_end_of_log(&disk, n * 4096));
    let chances = (0..30).map(|seed| disk.crash(Survival::Random(seed)));
    for (n, image) in cuts.chain(chances).enumerate() {
        let report = check(Arc::new(image.clone()), FROM, Depth::Quick).unwrap();
        assert!(report.damage.is_empty(), "image {n}: {:?}", report.damage);
        let report = repair(Arc::new(image.clone()), FROM, TO, RepairOptions::default()).unwrap();
        assert!(report.missing_seqs.is_empty(), "image {n}: {:?}", report.missing_seqs);
        for dir in [TO, FROM] {
            let db = builder(&image, &clock, dir).open().unwrap();
            assert!(db.get("removed").unwrap().is_none(), "image {n}, {dir}");
            let has_later = db.contains_key("later").unwrap();
            assert_eq!(db.count().unwrap(), 21 + u64::from(has_later), "image {n}, {dir}");
        }
    }
    drop(db);
}

/// What a power cut leaves that takes all of the log from `at` on.
fn without_end_of_log(disk: &SimFs, at: u64) -> SimFs {
    let image = disk.kill();
    let names = image.list(FROM.as_ref()).unwrap();
    let log = names.iter().find(|name| name.contains(".wal")).expect("there is a log");
    let file = image.open_writable(&Path::new(FROM).join(log)).unwrap();
    file.write_all_at(&vec![0; (file.len().unwrap() - at) as usize], at).unwrap();
    image
}
