//! What only the operating system's disk has: owners and modes.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use alluvium_base::{Fs, StdFs};

use crate::disks::Disk;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
#[cfg_attr(miri, ignore = "asks the system")]
fn files_and_folders_are_for_their_owner_alone() {
    let disk = Disk::standard();
    disk.create("a", b"");
    drop(disk.fs.lock(&disk.path("LOCK")).unwrap());
    disk.fs.create_dir_all(&disk.path("inner/most")).unwrap();
    for (name, expected) in
        [("a", 0o600), ("LOCK", 0o600), ("", 0o700), ("inner", 0o700), ("inner/most", 0o700)]
    {
        assert_eq!(mode(&disk.path(name)), expected, "{name:?}");
    }
}

/// Names that are no UTF-8 are left out; a link that leads nowhere is listed, though it does not exist.
#[test]
#[cfg_attr(miri, ignore = "asks the system")]
fn strange_names_are_not_listed() {
    use std::os::unix::ffi::OsStrExt;
    let disk = Disk::standard();
    disk.create("plain", b"");
    let strange = disk.dir.join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    drop(StdFs.create(&strange).unwrap());
    symlink(disk.path("nowhere"), disk.path("dangling")).unwrap();
    let mut names = StdFs.list(&disk.dir).unwrap();
    names.sort();
    assert_eq!(names, ["dangling", "plain"]);
    assert!(!StdFs.exists(&disk.path("dangling")).unwrap(), "it leads nowhere");
}

#[test]
#[cfg_attr(miri, ignore = "asks the system")]
fn hints_are_only_hints() {
    let disk = Disk::standard();
    let file = disk.create("a", b"bytes");
    file.will_read(0, 0);
    file.will_read(1 << 50, u64::MAX);
    file.start_writeback(0, 5);
    file.start_writeback(u64::MAX, u64::MAX);
    assert_eq!(file.len().unwrap(), 5);
}
