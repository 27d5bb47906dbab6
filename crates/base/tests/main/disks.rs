//! All disks behave alike: the operating system's, the one in memory and the simulated one.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use alluvium_base::fs::{read_file, replace_file};
use alluvium_base::{File, Fs, MemFs, StdFs};
use alluvium_testkit::{Fault, FaultPlan, SimFs};

/// A disk with an empty folder on it.
pub(crate) struct Disk {
    pub(crate) name: &'static str,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) can_map: bool,
    _temporary: Option<tempfile::TempDir>,
}

impl Disk {
    pub(crate) fn standard() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("db");
        Self::new("standard", Arc::new(StdFs), dir, true, Some(temporary))
    }

    fn new(
        name: &'static str,
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        can_map: bool,
        temporary: Option<tempfile::TempDir>,
    ) -> Self {
        fs.create_dir_all(&dir).unwrap();
        Self { name, fs, dir, can_map, _temporary: temporary }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn create(&self, name: &str, bytes: &[u8]) -> Arc<dyn File> {
        let file = self.fs.create(&self.path(name)).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        read_file(&*self.fs, &self.path(name), 1 << 20)
    }

    fn list(&self) -> Vec<String> {
        let mut names = self.fs.list(&self.dir).unwrap();
        names.sort();
        names
    }
}

/// Every disk that can be had here.
pub(crate) fn every_disk() -> Vec<Disk> {
    let memory = Disk::new("memory", Arc::new(MemFs::new()), "/db".into(), false, None);
    let simulated = Disk::new("simulated", Arc::new(SimFs::new(1)), "/db".into(), true, None);
    // Miri knows none of the system calls that the real one makes.
    if cfg!(miri) { vec![memory, simulated] } else { vec![Disk::standard(), memory, simulated] }
}

#[track_caller]
fn assert_kind<T>(disk: &Disk, result: io::Result<T>, kind: ErrorKind) {
    assert_eq!(result.map(drop).map_err(|error| error.kind()), Err(kind), "{}", disk.name);
}

fn whole(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn creating_empties_the_file_there_is_and_its_handles_see_it() {
    for disk in every_disk() {
        let old = disk.create("a", b"something");
        let new = disk.fs.create(&disk.path("a")).unwrap();
        assert!(new.is_empty().unwrap() && old.is_empty().unwrap(), "{}", disk.name);
        new.write_all_at(b"new", 0).unwrap();
        assert_eq!(whole(&*old), b"new", "{}", disk.name);
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    for disk in every_disk() {
        let (path, other) = (disk.path("a"), disk.path("b"));
        assert_kind(&disk, disk.fs.open(&path), ErrorKind::NotFound);
        assert_kind(&disk, disk.fs.open_writable(&path), ErrorKind::NotFound);
        assert_kind(&disk, disk.fs.remove(&path), ErrorKind::NotFound);
        assert_kind(&disk, disk.fs.rename(&path, &other), ErrorKind::NotFound);
        assert_kind(&disk, disk.fs.hard_link(&path, &other), ErrorKind::NotFound);
        assert!(!disk.fs.exists(&path).unwrap() && disk.list().is_empty(), "{}", disk.name);
    }
}

#[test]
fn only_files_are_listed_and_folders_exist() {
    for disk in every_disk() {
        disk.create("a", b"");
        disk.create("b", b"");
        disk.fs.create_dir_all(&disk.path("inner/most")).unwrap();
        disk.fs.create_dir_all(&disk.path("inner/most")).unwrap();
        disk.fs.create(&disk.path("inner/c")).unwrap();
        assert_eq!(disk.list(), ["a", "b"], "{}", disk.name);
        for name in ["a", "inner", "inner/most", "inner/c"] {
            assert!(disk.fs.exists(&disk.path(name)).unwrap(), "{} {name}", disk.name);
        }
        assert!(!disk.fs.exists(&disk.path("inn")).unwrap(), "{}", disk.name);
        disk.fs.sync_dir(&disk.dir).unwrap();
    }
}

#[test]
fn a_handle_follows_its_file_through_renaming_and_removal() {
    for disk in every_disk() {
        let (a, b) = (disk.create("a", b"first"), disk.create("b", b"second"));
        disk.fs.rename(&disk.path("a"), &disk.path("b")).unwrap();
        assert_eq!((disk.list(), disk.read("b").unwrap()), (vec!["b".into()], b"first".into()));
        b.write_all_at(b"S", 0).unwrap();
        assert_eq!((whole(&*a), whole(&*b)), (b"first".to_vec(), b"Second".to_vec()));
        disk.fs.remove(&disk.path("b")).unwrap();
        a.write_all_at(b"!", 5).unwrap();
        let again = disk.create("b", b"third");
        assert_eq!((whole(&*a), whole(&*again)), (b"first!".to_vec(), b"third".to_vec()));
        disk.fs.rename(&disk.path("b"), &disk.path("b")).unwrap();
        assert_eq!(disk.read("b").unwrap(), b"third", "{}", disk.name);
    }
}

#[test]
fn a_link_is_a_second_name_and_takes_no_name_that_is_in_use() {
    for disk in every_disk() {
        let file = disk.create("a", b"shared");
        disk.create("b", b"");
        let (a, b, c) = (disk.path("a"), disk.path("b"), disk.path("c"));
        assert_kind(&disk, disk.fs.hard_link(&a, &b), ErrorKind::AlreadyExists);
        disk.fs.hard_link(&a, &c).unwrap();
        disk.fs.remove(&a).unwrap();
        file.write_all_at(b"S", 0).unwrap();
        assert_eq!(disk.read("c").unwrap(), b"Shared", "{}", disk.name);
        assert_eq!(disk.list(), ["b", "c"], "{}", disk.name);
    }
}

#[test]
fn a_reading_handle_does_not_write() {
    for disk in every_disk() {
        disk.create("a", b"kept");
        let file = disk.fs.open(&disk.path("a")).unwrap();
        assert!(file.write_at(b"lost", 0).is_err(), "{}", disk.name);
        assert!(file.set_len(0).is_err(), "{}", disk.name);
        assert!(file.allocate(100).is_err() && file.map(4).is_err(), "{}", disk.name);
        assert_eq!(whole(&*file), b"kept", "{}", disk.name);
        let file = disk.fs.open_writable(&disk.path("a")).unwrap();
        file.write_all_at(b"K", 0).unwrap();
        assert_eq!(whole(&*file), b"Kept", "{}", disk.name);
    }
}

#[test]
fn reads_stop_at_the_end() {
    for disk in every_disk() {
        let file = disk.create("a", b"0123456789");
        let mut room = [b'.'; 8];
        assert_eq!(file.read_at(&mut room, 7).unwrap(), 3, "{}", disk.name);
        assert_eq!(&room, b"789.....", "{}", disk.name);
        for past in [10, 11, 1 << 40] {
            assert_eq!(file.read_at(&mut room, past).unwrap(), 0, "{}", disk.name);
        }
        assert_kind(&disk, file.read_exact_at(&mut room, 3), ErrorKind::UnexpectedEof);
        file.read_exact_at(&mut room, 2).unwrap();
        file.read_exact_at(&mut [], 99).unwrap();
        assert_eq!(&room, b"23456789", "{}", disk.name);
        assert_kind(&disk, read_file(&*disk.fs, &disk.path("a"), 9), ErrorKind::InvalidData);
    }
}

#[test]
fn gaps_and_new_length_read_as_zeroes() {
    for disk in every_disk() {
        let file = disk.create("a", b"abc");
        file.write_all_at(b"x", 5).unwrap();
        assert_eq!(whole(&*file), b"abc\0\0x", "{}", disk.name);
        file.set_len(2).unwrap();
        file.set_len(4).unwrap();
        assert_eq!(whole(&*file), b"ab\0\0", "{}: what was cut does not come back", disk.name);
        assert_eq!(file.write_at(b"", 100).unwrap(), 0);
        assert_eq!(file.len().unwrap(), 4, "{}: nothing was written there", disk.name);
        file.sync().unwrap();
    }
}

#[test]
fn a_lock_is_held_until_its_guard_is_dropped() {
    for disk in every_disk() {
        let path = disk.path("LOCK");
        let guard = disk.fs.lock(&path).unwrap();
        assert!(disk.fs.exists(&path).unwrap(), "{}", disk.name);
        // A failed attempt must not release what the first one holds, however often it is made.
        for _ in 0..3 {
            assert_kind(&disk, disk.fs.lock(&path), ErrorKind::WouldBlock);
        }
        let other = disk.fs.lock(&disk.path("OTHER")).unwrap();
        drop(guard);
        let again = disk.fs.lock(&path).unwrap();
        drop(other);
        assert_kind(&disk, disk.fs.lock(&path), ErrorKind::WouldBlock);
        drop(again);
        disk.create("LOCK", b"");
        drop(disk.fs.lock(&path).unwrap());
    }
}

#[test]
fn replacing_a_file_leaves_it_whole_and_no_other() {
    for disk in every_disk() {
        for bytes in [&b"old"[..], b"new and longer"] {
            replace_file(&*disk.fs, &disk.dir, "state", "state.tmp", bytes).unwrap();
            assert_eq!(disk.read("state").unwrap(), bytes, "{}", disk.name);
            assert_eq!(disk.list(), ["state"], "{}", disk.name);
        }
    }
}

#[test]
fn short_and_interrupted_calls_are_taken_up_again() {
    for fault in [Fault::ShortRead, Fault::ShortWrite, Fault::Interrupted] {
        let simulated = SimFs::new(3);
        let disk = Disk::new("simulated", Arc::new(simulated.clone()), "/db".into(), true, None);
        simulated.set_faults(FaultPlan::from_nth(0, fault));
        let bytes: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
        let file = disk.create("a", &bytes);
        assert_eq!(whole(&*file), bytes, "{fault:?}");
        assert!(simulated.stats().faults > 1, "{fault:?}");
    }
}

#[test]
fn a_mapping_and_the_file_are_the_same_bytes() {
    for disk in every_disk() {
        let file = disk.create("a", b"");
        if !disk.can_map {
            assert_kind(&disk, file.allocate(100), ErrorKind::Unsupported);
            assert_kind(&disk, file.map(100), ErrorKind::Unsupported);
            continue;
        }
        assert_kind(&disk, file.map(1), ErrorKind::InvalidInput);
        // No whole number of pages, on purpose.
        file.allocate(10_000).unwrap();
        assert_eq!(whole(&*file), [0; 10_000], "{}", disk.name);
        assert_kind(&disk, file.map(10_001), ErrorKind::InvalidInput);
        file.write_all_at(b"written", 9_000).unwrap();
        let mut mapping = file.map(9_500).unwrap();
        assert_eq!((mapping.len(), mapping.is_empty()), (9_500, false));
        mapping.write(9_004, b"mapped!");
        mapping.write(9_499, b"e");
        mapping.write(9_500, b"");
        disk.fs.remove(&disk.path("a")).unwrap();
        let mut room = [0; 12];
        file.read_exact_at(&mut room, 9_000).unwrap();
        assert_eq!(&room, b"writmapped!\0", "{}", disk.name);
        drop(mapping);
        file.sync().unwrap();
        assert_eq!(whole(&*file)[9_499], b'e', "{}", disk.name);
    }
}

#[test]
fn writing_beyond_a_mapping_panics_and_writes_nothing() {
    for disk in every_disk().into_iter().filter(|disk| disk.can_map) {
        let file = disk.create("a", b"");
        file.allocate(8_192).unwrap();
        for (offset, len) in [(4_090, 7), (4_097, 0), (usize::MAX, 1), (usize::MAX, 2)] {
            let mut mapping = file.map(4_096).unwrap();
            let write = move || mapping.write(offset, &[b'x'; 7][..len]);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(write));
            assert!(outcome.is_err(), "{}: {len} bytes at {offset}", disk.name);
        }
        assert_eq!(whole(&*file), [0; 8_192], "{}", disk.name);
    }
}
