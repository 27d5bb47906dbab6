//! Looking at files and tampering with them, behind the back of whoever uses the disk.

use std::path::{Path, PathBuf};

use super::content::Content;
use super::names::{Change, Entry, is_top};
use super::{SimFs, plain};

/// Looking at files and tampering with them, behind the back of whoever uses the disk. None of this
/// counts as an operation or can fail by a fault.
impl SimFs {
    /// All files as readers see them now, by path.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let disk = self.shared.disk.lock();
        let files = disk.names.live.iter().filter_map(|(path, entry)| match entry {
            Entry::Dir => None,
            Entry::File(inode) => Some((path.clone(), disk.inodes[inode].live.to_vec())),
        });
        files.collect()
    }

    /// A file as readers see it now.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.shared.disk.lock();
        let inode = disk.file_at(&plain(path)).ok()?;
        Some(disk.inodes[&inode].live.to_vec())
    }

    /// Puts a file in place of the one there is, if any, as if it had always been there: content,
    /// name and folders are durable.
    pub fn write(&self, path: &Path, bytes: &[u8]) {
        self.shared.disk.lock().put_durably(&plain(path), bytes);
    }

    /// Creates a folder and those above it, durably.
    pub fn create_dir_durably(&self, dir: &Path) {
        let mut disk = self.shared.disk.lock();
        let dir = plain(dir);
        let dirs: Vec<_> = dir.ancestors().filter(|dir| !is_top(dir)).collect();
        for dir in dirs.into_iter().rev() {
            disk.names.change_durably(Change::Set { path: dir.to_owned(), entry: Entry::Dir });
        }
    }

    /// Flips bit number `bit` of a file (bit 0 is the lowest of the first byte), durably.
    ///
    /// # Panics
    /// When there is no such file, or it is shorter.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let len = self.read_len(path);
        assert!(bit / 8 < len, "{} has {len} bytes: no bit {bit} to flip", path.display());
        self.tamper(path, |content| {
            let mut byte = [0];
            // What was never synced is not there twice.
            if content.read(&mut byte, bit / 8) == 1 {
                content.write(&[byte[0] ^ 1 << (bit % 8)], bit / 8);
            }
        });
    }

    /// Cuts a file, or extends it with zeroes, to `len` bytes, durably.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn truncate(&self, path: &Path, len: u64) {
        self.tamper(path, |content| content.set_len(len));
    }

    /// Removes a file's name, durably. No matter if there is none.
    pub fn remove_file_durably(&self, path: &Path) {
        let mut disk = self.shared.disk.lock();
        disk.names.change_durably(Change::Unset { path: plain(path) });
        disk.collect_all();
    }

    fn read_len(&self, path: &Path) -> u64 {
        let disk = self.shared.disk.lock();
        disk.file_at(&plain(path)).map_or(0, |inode| disk.inodes[&inode].live.len())
    }

    fn tamper(&self, path: &Path, change: impl Fn(&mut Content)) {
        let mut disk = self.shared.disk.lock();
        let inode = disk.file_at(&plain(path)).expect("there must be a file to tamper with");
        disk.inode(inode).tamper(change);
    }
}
