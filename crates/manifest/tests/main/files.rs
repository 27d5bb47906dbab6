//! The manifest on a disk that works.

use std::sync::Arc;

use alluvium_base::{Bytes, ErrorKind, FileName, FileNumber, Fs, KeyspaceId, MemFs};
use alluvium_manifest::current::encode_current;
use alluvium_manifest::manifest::{REWRITE_FACTOR, REWRITE_MIN_BYTES};
use alluvium_manifest::{Cause, Level, Manifest, ManifestOptions, State, VersionEdit};
use alluvium_wal::LogFileWriter;

use crate::database::{closed, compaction, dir, fill, flush, is_same_tree, numbers, reopen};

#[test]
fn a_new_database_recovers_without_keyspaces() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let created =
        Manifest::create(fs.clone(), dir(), numbers(1), 1_000, ManifestOptions::default()).unwrap();
    let recovered = Manifest::recover(fs, dir()).unwrap();
    assert_eq!(&recovered.state, created.state());
    assert_eq!(recovered.state, State { next_file: FileNumber(2), ..State::new() });
    assert_eq!((recovered.number, recovered.records), (FileNumber(1), 1));
    assert_eq!((recovered.valid_len, recovered.is_torn), (created.file_bytes(), false));
}

#[test]
fn everything_applied_is_recovered() {
    let (fs, state) = closed();
    let recovered = Manifest::recover(fs.clone(), dir()).unwrap();
    assert_eq!(recovered.state, state);
    let (mut manifest, numbers) = reopen(&(fs.clone() as Arc<dyn Fs>)).unwrap();
    assert!(is_same_tree(manifest.state(), &state));
    assert_eq!(manifest.number(), FileNumber(5), "reopening begins a fresh manifest");
    assert!(manifest.is_obsolete(FileNumber(1)) && !manifest.is_obsolete(FileNumber(5)));
    fs.remove(&FileName::Manifest(FileNumber(1)).in_dir(dir())).unwrap();
    manifest.apply(compaction(manifest.state(), &numbers)).unwrap();
    let recovered = Manifest::recover(fs, dir()).unwrap();
    assert_eq!(&recovered.state, manifest.state());
    let version = &recovered.state.keyspaces[&KeyspaceId::DEFAULT].version;
    assert_eq!((version.table_count(), version.level(Level::BOTTOM).len()), (1, 1));
}

#[test]
fn history_tells_what_was_done_and_why() {
    let (fs, _) = closed();
    let causes: Vec<String> = Manifest::history(&*fs, dir())
        .unwrap()
        .iter()
        .map(|edit| format!("{} {}", edit.at_ms, edit.cause))
        .collect();
    let expected =
        ["1000 create", "1000 create keyspace", "1010 flush", "1020 flush", "1030 flush"];
    assert_eq!(causes, expected);
    let (mut manifest, numbers) = reopen(&(fs.clone() as Arc<dyn Fs>)).unwrap();
    manifest.apply(compaction(manifest.state(), &numbers)).unwrap();
    let history = Manifest::history(&*fs, dir()).unwrap();
    assert_eq!(history[0].cause, Cause::Open);
    assert_eq!(history[1].cause.to_string(), "compaction L0 to L6, score 125 %");
    let json = serde_json::to_value(&history[1]).unwrap();
    assert_eq!(json["cause"]["Compaction"]["score_percent"], 125);
    assert_eq!(json["changes"][0]["added"][0][1]["smallest"], "a");
}

#[test]
fn an_edit_that_makes_no_sense_is_refused_and_nothing_is_written() {
    let (fs, _) = closed();
    let (mut manifest, numbers) = reopen(&(fs.clone() as Arc<dyn Fs>)).unwrap();
    let (before, bytes) = (manifest.state().clone(), manifest.file_bytes());
    let mut unknown = flush(manifest.state(), &numbers);
    unknown.changes[0].keyspace = KeyspaceId(9);
    let mut absent = flush(manifest.state(), &numbers);
    absent.changes[0].removed.push((Level(3), FileNumber(2)));
    let mut never_taken = flush(manifest.state(), &numbers);
    let mut table = (*never_taken.changes[0].added[0].1).clone();
    table.number = numbers.peek();
    never_taken.changes[0].added[0].1 = Arc::new(table);
    for edit in [unknown, absent, never_taken] {
        let error = manifest.apply(edit).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!((manifest.state(), manifest.file_bytes()), (&before, bytes));
    manifest.apply(flush(manifest.state(), &numbers)).unwrap();
}

#[test]
fn a_manifest_that_has_grown_is_rewritten_and_holds_the_same() {
    let (fs, _) = closed();
    let (mut manifest, _) = reopen(&(fs.clone() as Arc<dyn Fs>)).unwrap();
    let first = manifest.number();
    let mut longest = 0;
    while manifest.number() == first {
        longest = manifest.file_bytes();
        let mut edit = VersionEdit::new(Cause::Manual, 4_000);
        edit.options.push((KeyspaceId::DEFAULT, Bytes::from(vec![7; 60 << 10])));
        manifest.apply(edit).unwrap();
    }
    assert!(longest < REWRITE_MIN_BYTES && longest + (61 << 10) > REWRITE_MIN_BYTES);
    assert!(manifest.file_bytes() < REWRITE_MIN_BYTES / REWRITE_FACTOR);
    let recovered = Manifest::recover(fs.clone(), dir()).unwrap();
    assert_eq!((recovered.number, recovered.records), (manifest.number(), 1));
    assert_eq!(&recovered.state, manifest.state());
    assert_eq!(Manifest::history(&*fs, dir()).unwrap()[0].cause, Cause::Snapshot);
}

#[test]
fn a_snapshot_for_a_checkpoint_stands_alone() {
    let (fs, state) = closed();
    let target = std::path::Path::new("/copy");
    Manifest::write_snapshot(&*fs, target, FileNumber(50), &state, 9_000).unwrap();
    let recovered = Manifest::recover(fs.clone(), target).unwrap();
    assert_eq!(recovered.state, State { next_file: FileNumber(51), ..state.clone() });
    let again = Manifest::write_snapshot(&*fs, target, FileNumber(51), &state, 9_000);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_database_is_not_created_over_another() {
    let (fs, _) = closed();
    let create = || {
        Manifest::create(fs.clone(), dir(), numbers(9), 1_000, ManifestOptions::default())
            .unwrap_err()
    };
    assert_eq!(create().kind(), ErrorKind::Invalid);
    // Without CURRENT, its tables still say that there was one.
    fs.remove(&FileName::Current.in_dir(dir())).unwrap();
    fs.create(&FileName::Table(FileNumber(2)).in_dir(dir())).unwrap();
    let error = create();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("CURRENT"), "{error}");
}

#[test]
fn numbers_that_were_used_are_refused() {
    let (fs, state) = closed();
    let recovered = Manifest::recover(fs.clone(), dir()).unwrap();
    let low = numbers(state.next_file.0 - 1);
    let error = Manifest::start(
        fs.clone(),
        dir(),
        recovered.clone(),
        low,
        2_000,
        ManifestOptions::default(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    // A manifest that was begun, but never became the one in use, is not overwritten either.
    fs.create(&FileName::Manifest(state.next_file).in_dir(dir())).unwrap();
    let taken = numbers(state.next_file.0);
    let error = Manifest::start(fs, dir(), recovered, taken, 2_000, ManifestOptions::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_current_that_names_what_is_not_there_is_damage() {
    let (fs, _) = closed();
    let current = fs.create(&FileName::Current.in_dir(dir())).unwrap();
    current.write_all_at(encode_current(FileNumber(77)).as_bytes(), 0).unwrap();
    let error = Manifest::recover(fs.clone(), dir()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(text.contains("CURRENT") && text.contains("MANIFEST-000077"), "{text}");
    // Another manifest under that name is noticed too.
    let (first, foreign) = (FileName::Manifest(FileNumber(1)), FileName::Manifest(FileNumber(77)));
    fs.rename(&first.in_dir(dir()), &foreign.in_dir(dir())).unwrap();
    let error = Manifest::recover(fs, dir()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("MANIFEST-000077"), "{error}");
}

/// A manifest of `payloads` that CURRENT names.
fn with_records(payloads: &[Vec<u8>]) -> Arc<MemFs> {
    let fs = Arc::new(MemFs::new());
    let path = FileName::Manifest(FileNumber(1)).in_dir(dir());
    let mut log = LogFileWriter::create(&*fs, &path, FileNumber(1), 0).unwrap();
    for payload in payloads {
        log.append(payload).unwrap();
        log.sync().unwrap();
    }
    let current = fs.create(&FileName::Current.in_dir(dir())).unwrap();
    current.write_all_at(encode_current(FileNumber(1)).as_bytes(), 0).unwrap();
    fs
}

#[test]
fn a_later_format_version_is_refused_by_its_number() {
    let mut record = State::new().snapshot(Cause::Create, 1, FileNumber(2));
    record.format_version = Some(4);
    let mut payload = record.encode();
    // However strange the rest of it.
    payload.extend_from_slice(&[101, 3, 1, 2, 3, 101]);
    let error = Manifest::recover(with_records(&[payload]), dir()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    assert!(error.to_string().contains("format version 4"), "{error}");
}

#[test]
fn records_that_verify_but_make_no_sense_are_damage() {
    let first = State::new().snapshot(Cause::Create, 1, FileNumber(5));
    let edit = || VersionEdit::new(Cause::Manual, 1);
    let plain = State::new().record(edit(), FileNumber(5));
    let back = State::new().record(edit(), FileNumber(4));
    let mut drops = edit();
    drops.dropped.push(KeyspaceId(3));
    let drops = State::new().record(drops, FileNumber(5));
    let cases = [
        ("no first record", vec![]),
        ("no format version", vec![plain.encode()]),
        ("two format versions", vec![first.encode(), first.encode()]),
        ("number goes back", vec![first.encode(), back.encode()]),
        ("drops what is not there", vec![first.encode(), drops.encode()]),
        ("no record", vec![first.encode(), vec![1, 2, 3]]),
        ("empty record", vec![first.encode(), vec![]]),
    ];
    for (case, payloads) in cases {
        let error = Manifest::recover(with_records(&payloads), dir()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{case}: {error}");
        assert!(error.to_string().contains("MANIFEST-000001"), "{case}: {error}");
    }
    assert!(Manifest::recover(with_records(&[first.encode(), plain.encode()]), dir()).is_ok());
}

#[test]
fn keyspaces_come_and_go_and_their_ids_do_not_come_back() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let numbers = numbers(1);
    let mut manifest =
        Manifest::create(fs.clone(), dir(), numbers.clone(), 1_000, ManifestOptions::default())
            .unwrap();
    fill(&mut manifest, &numbers, 1);
    let mut replace = VersionEdit::new(Cause::DropKeyspace, 1_500);
    replace.dropped.push(KeyspaceId(0));
    replace.created.push((KeyspaceId(1), "default".to_owned(), Bytes::new()));
    manifest.apply(replace).unwrap();
    drop(manifest);
    let (mut manifest, _) = reopen(&fs).unwrap();
    let keyspace = manifest.state().keyspace_named("default").unwrap();
    assert_eq!(keyspace.id, KeyspaceId(1));
    assert!(keyspace.version.is_empty());
    assert_eq!(keyspace.created_at, manifest.state().last_seq);
    let mut ghost = VersionEdit::new(Cause::CreateKeyspace, 1_500);
    ghost.created.push((KeyspaceId(0), "ghost".to_owned(), Bytes::new()));
    assert_eq!(manifest.apply(ghost).unwrap_err().kind(), ErrorKind::Invalid);
}
