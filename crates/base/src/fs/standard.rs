//! The operating system's disk.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags};

use super::mapped::Mapped;
use super::{File, Fs, LockGuard, Mapping};

/// Files and folders are for their owner alone.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdFs;

#[derive(Debug)]
struct StdFile(fs::File);

/// The lock is given back when this is dropped, explicitly: closing the file is not enough. A child
/// process that another thread is just starting has inherited the handle, and a lock of this sort
/// (`flock`) would stay until the child's copy is closed too.
#[derive(Debug)]
struct StdLock {
    file: fs::File,
}

impl LockGuard for StdLock {}

impl Drop for StdLock {
    fn drop(&mut self) {
        // What fails here leaves the lock to the closing of the file.
        self.file.unlock().unwrap_or_default();
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
impl Fs for StdFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        Ok(Arc::new(StdFile(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(StdFile(fs::File::open(path)?)))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(StdFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(path)?;
        // flock: owned by this handle, so a failed attempt elsewhere cannot release it.
        match file.try_lock() {
            Ok(()) => Ok(Box::new(StdLock { file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl File for StdFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            Ok(rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len)?)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _len = len;
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>> {
        #[cfg(target_os = "linux")]
        if is_copy_on_write(rustix::fs::fstatfs(&self.0)?.f_type as u64) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Box::new(Mapped::new(&self.0, len)?))
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        // On Linux this begins to write what is dirty, and waits for nothing; what has reached the disk
        // already is let go of.
        let len = std::num::NonZeroU64::new(len);
        rustix::fs::fadvise(&self.0, offset, len, Advice::DontNeed).unwrap_or_default();
    }

    fn will_read(&self, offset: u64, len: u64) {
        let len = std::num::NonZeroU64::new(len);
        // A hint: refusing it changes nothing.
        rustix::fs::fadvise(&self.0, offset, len, Advice::WillNeed).unwrap_or_default();
    }
}

/// Whether a file system, by the magic number of `statfs`, writes a block anew each time: the room
/// that is reserved for a file serves the first write of a block, and a later one may meet a full
/// disk, which ends a process that writes through a mapping with SIGBUS.
#[cfg(target_os = "linux")]
const fn is_copy_on_write(magic: u64) -> bool {
    const BTRFS: u64 = 0x9123_683e;
    const BCACHEFS: u64 = 0xca45_1a4e;
    const ZFS: u64 = 0x2fc1_2fc1;
    const F2FS: u64 = 0xf2f5_2010;
    const NILFS: u64 = 0x3434;
    // The kernel's number is signed in places: its low half tells.
    matches!(magic & 0xffff_ffff, BTRFS | BCACHEFS | ZFS | F2FS | NILFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// btrfs was mapped: once its disk was full, the next write into a page that had been synced
    /// before ended the process.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_system_that_copies_on_write_is_not_mapped() {
        // As `statfs` answers them: `long` on 64-bit machines, sign-extended from 32 bits on some.
        assert!(is_copy_on_write(0x9123_683e));
        assert!(is_copy_on_write(0xffff_ffff_9123_683e));
        let (ext4, xfs, tmpfs) = (0xef53, 0x5846_5342, 0x0102_1994);
        assert!(![ext4, xfs, tmpfs].into_iter().any(is_copy_on_write));
    }

    /// A database was closed and could not be opened again: another thread was starting a process
    /// at that moment, and the child had inherited the lock's handle. A copy of the handle is what
    /// a child inherits.
    #[test]
    fn a_lock_that_was_given_back_is_not_kept_by_an_inherited_handle() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = file.path();
        let lock = StdLock { file: file.reopen().expect("it was just created") };
        lock.file.try_lock().expect("nobody holds it");
        let inherited = lock.file.try_clone().expect("a copy of the handle");
        assert!(StdFs.lock(path).is_err(), "it is held");
        drop(lock);
        let again = StdFs.lock(path).expect("it was given back");
        drop(inherited);
        assert!(StdFs.lock(path).is_err(), "closing the copy took it away");
        drop(again);
    }
}
