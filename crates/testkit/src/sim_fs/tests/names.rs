//! Names: folders, renames, links, removal and locks.

use super::*;

#[test]
fn calls_on_names_answer_as_a_real_disk_does() {
    let fs = SimFs::new(1);
    let kind = |result: io::Result<()>| result.expect_err("it must fail").kind();
    assert_eq!(kind(fs.create(path("/no/f")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.open(path("/f")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.list(path("/no")).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.sync_dir(path("/no"))), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.remove(path("/no"))), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.rename(path("/no"), path("/f"))), io::ErrorKind::NotFound);
    fs.create_dir_all(path("/a/b")).expect("no faults");
    fs.create_dir_all(path("/a/b")).expect("no matter that it is there");
    file(&fs, "/a/f");
    assert_eq!(kind(fs.create_dir_all(path("/a/f/x"))), io::ErrorKind::NotADirectory);
    assert_eq!(kind(fs.create(path("/a/f/x")).map(drop)), io::ErrorKind::NotADirectory);
    assert_eq!(kind(fs.open(path("/a/b")).map(drop)), io::ErrorKind::IsADirectory);
    assert_eq!(kind(fs.remove(path("/a/b"))), io::ErrorKind::IsADirectory);
    assert_eq!(kind(fs.hard_link(path("/a/f"), path("/a/b"))), io::ErrorKind::AlreadyExists);
    assert_eq!(fs.list(path("/a/./")).expect("it is there"), ["f"], "folders are left out");
    for there in ["/a", "/a/b", "/a/f", "/", "", "."] {
        assert!(fs.exists(path(there)).expect("no faults"), "{there}");
    }
    assert!(!fs.exists(path("/a/g")).expect("no faults"));
}

#[test]
fn relative_paths_work() {
    let fs = SimFs::new(1);
    fs.create_dir_all(path("data")).expect("no faults");
    fs.create(path("./data/f")).expect("no faults");
    assert_eq!(fs.list(path("data")).expect("it is there"), ["f"]);
    fs.sync_dir(path("data")).expect("no faults");
    fs.sync_dir(path(".")).expect("no faults");
    assert!(fs.crash(Survival::None).read(path("data/f")).is_some());
}

#[test]
fn a_synced_file_is_lost_with_its_unsynced_name() {
    let fs = SimFs::new(1);
    let file = fs.create(path("/f")).expect("no faults");
    file.write_all_at(b"x", 0).expect("no faults");
    file.sync().expect("no faults");
    assert_eq!(left(&fs, "/f", Survival::None), None);
    assert_eq!(left(&fs, "/f", Survival::All).as_deref(), Some(&b"x"[..]));
    let found = (0..200).filter(|&seed| left(&fs, "/f", Survival::Random(seed)).is_some());
    assert!((20..180).contains(&found.count()), "chance goes both ways");
    fs.sync_dir(path("/")).expect("no faults");
    assert!(survivals().all(|survival| left(&fs, "/f", survival).is_some()));
}

#[test]
fn a_folder_is_a_name_in_its_parent() {
    let fs = SimFs::new(1);
    fs.create_dir_all(path("/a/b")).expect("no faults");
    fs.create(path("/a/b/f")).expect("no faults");
    fs.sync_dir(path("/a/b")).expect("no faults");
    assert_eq!(left(&fs, "/a/b/f", Survival::None), None, "the folder is gone, and all in it");
    fs.sync_dir(path("/a")).expect("no faults");
    assert_eq!(left(&fs, "/a/b/f", Survival::None), None);
    fs.sync_dir(path("/")).expect("no faults");
    assert!(left(&fs, "/a/b/f", Survival::None).is_some());
}

#[test]
fn a_rename_happens_whole_or_not_at_all() {
    let fs = SimFs::new(1);
    fs.write(path("/CURRENT"), b"old");
    fs.write(path("/tmp"), b"new");
    fs.rename(path("/tmp"), path("/CURRENT")).expect("no faults");
    assert_eq!(fs.read(path("/CURRENT")).as_deref(), Some(&b"new"[..]));
    assert_eq!(fs.read(path("/tmp")), None);
    let (mut before, mut after) = (0, 0);
    for survival in survivals() {
        let disk = fs.crash(survival);
        let found = (disk.read(path("/CURRENT")), disk.read(path("/tmp")));
        match (found.0.as_deref(), found.1.as_deref()) {
            (Some(b"old"), Some(b"new")) => before += 1,
            (Some(b"new"), None) => after += 1,
            torn => panic!("{survival:?}: {torn:?}"),
        }
    }
    assert!(before > 10 && after > 10);
    fs.sync_dir(path("/")).expect("no faults");
    assert!(survivals().all(|s| left(&fs, "/CURRENT", s).as_deref() == Some(b"new")));
}

#[test]
fn a_rename_onto_itself_or_another_name_of_the_file_changes_nothing() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), b"x");
    fs.rename(path("/f"), path("/f")).expect("no faults");
    fs.hard_link(path("/f"), path("/g")).expect("no faults");
    fs.rename(path("/f"), path("/g")).expect("no faults");
    assert_eq!(fs.files().len(), 2);
}

#[test]
fn changes_of_different_names_persist_in_any_order() {
    let fs = SimFs::new(1);
    fs.write(path("/old"), b"");
    fs.create(path("/new")).expect("no faults");
    fs.remove(path("/old")).expect("no faults");
    let states: std::collections::BTreeSet<_> = survivals()
        .map(|s| fs.crash(s).files().into_iter().map(|(path, _)| path))
        .map(Vec::from_iter)
        .collect();
    assert_eq!(states.len(), 4, "also: the old one removed and the new one not there");
}

/// Otherwise a file could be lost that had a durable name all the time.
#[test]
fn changes_of_one_name_persist_in_order() {
    let fs = SimFs::new(1);
    fs.write(path("/a"), b"first");
    fs.rename(path("/a"), path("/b")).expect("no faults");
    fs.create(path("/a")).expect("no faults").write_all_at(b"second", 0).expect("no faults");
    for survival in survivals() {
        let files = fs.crash(survival).files();
        assert!(files.iter().any(|(_, bytes)| bytes == b"first"), "{survival:?}: {files:?}");
    }
}

#[test]
fn a_rename_between_folders_is_durable_once_either_is_synced() {
    for synced in ["/a", "/b"] {
        let fs = SimFs::new(1);
        fs.create_dir_durably(path("/a"));
        fs.create_dir_durably(path("/b"));
        fs.create(path("/a/f")).expect("no faults");
        fs.rename(path("/a/f"), path("/b/g")).expect("no faults");
        fs.sync_dir(path(synced)).expect("no faults");
        assert_eq!(fs.unsynced_count(), 0, "what it builds on is durable too");
        let files = fs.crash(Survival::None).files();
        assert_eq!(files, [(PathBuf::from("/b/g"), vec![])]);
    }
}

#[test]
fn linked_names_share_a_file_until_the_last_is_removed() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), b"x");
    fs.hard_link(path("/f"), path("/g")).expect("no faults");
    assert_eq!(left(&fs, "/g", Survival::None), None);
    fs.sync_dir(path("/")).expect("no faults");
    fs.remove(path("/f")).expect("no faults");
    fs.open_writable(path("/g")).expect("no faults").write_all_at(b"y", 0).expect("no faults");
    assert_eq!(fs.read(path("/g")).as_deref(), Some(&b"y"[..]));
    let after = fs.crash(Survival::None);
    assert_eq!(after.read(path("/f")), after.read(path("/g")), "the removal was not synced");
    after.open_writable(path("/f")).expect("it is there").write_all_at(b"z", 0).expect("no faults");
    assert_eq!(after.read(path("/g")).as_deref(), Some(&b"z"[..]), "still one file");
}

#[test]
fn a_removed_file_lives_as_long_as_its_handles() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.allocate(4_096).expect("supported");
    let mut mapping = file.map(4_096).expect("supported");
    fs.remove(path("/f")).expect("it is there");
    fs.sync_dir(path("/")).expect("no faults");
    drop(file);
    mapping.write(0, b"nobody will see this");
    let again = super::file(&fs, "/f");
    assert_eq!(again.len().expect("no faults"), 0, "a new file of the same name");
    assert_eq!(fs.shared.disk.lock().inodes.len(), 2);
    drop(mapping);
    assert_eq!(fs.shared.disk.lock().inodes.len(), 1, "memory is given back");
}

#[test]
fn a_removed_name_may_come_back_with_all_its_content() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), b"x");
    fs.remove(path("/f")).expect("it is there");
    assert_eq!(left(&fs, "/f", Survival::None).as_deref(), Some(&b"x"[..]));
    assert_eq!(left(&fs, "/f", Survival::All), None);
}

#[test]
fn a_lock_is_held_by_one_and_gone_after_a_crash_or_kill() {
    let fs = SimFs::new(1);
    let guard = fs.lock(path("/LOCK")).expect("it is free");
    let busy = |fs: &SimFs| fs.lock(path("/LOCK")).map(drop);
    assert_eq!(busy(&fs).expect_err("it is held").kind(), io::ErrorKind::WouldBlock);
    assert_eq!(busy(&fs).expect_err("failing frees nothing").kind(), io::ErrorKind::WouldBlock);
    busy(&fs.kill()).expect("the process is dead");
    busy(&fs.crash(Survival::All)).expect("the process is dead");
    drop(guard);
    busy(&fs).expect("it was let go");
}
