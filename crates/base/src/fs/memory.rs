//! A disk in memory, for databases that need not outlive the process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{File, Fs, LockGuard, Mapping};

/// A disk in memory. Clones share it.
///
/// Every folder is there as soon as a file is put into it; apart from that, it behaves like the
/// operating system's, and [`StdFs`](super::StdFs) is held against it by the same tests. It can
/// neither allocate nor map.
#[derive(Clone, Debug, Default)]
pub struct MemFs {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<Names>,
    /// Never taken together with `names`.
    locked: Mutex<BTreeSet<PathBuf>>,
}

#[derive(Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Content>,
    /// Those that were asked for; a file's own need not be among them.
    folders: BTreeSet<PathBuf>,
}

/// The bytes of a file, shared by its names and handles.
type Content = Arc<RwLock<Vec<u8>>>;

#[derive(Debug)]
struct MemFile {
    content: Content,
    access: Access,
}

/// What a handle may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    ReadOnly,
    ReadWrite,
}

#[derive(Debug)]
struct MemLock {
    path: PathBuf,
    shared: Arc<Shared>,
}

impl LockGuard for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.shared.locked.lock().remove(&self.path);
    }
}

impl MemFs {
    /// A disk without files.
    pub fn new() -> Self {
        Self::default()
    }

    fn open_as(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let names = self.shared.names.lock();
        let content = names.files.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemFile { content, access }))
    }
}

impl Fs for MemFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let content = self.shared.names.lock().files.entry(path.to_owned()).or_default().clone();
        content.write().clear();
        Ok(Arc::new(MemFile { content, access: Access::ReadWrite }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, Access::ReadOnly)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, Access::ReadWrite)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let names = self.shared.names.lock();
        Ok(names.files.keys().chain(&names.folders).any(|name| name.starts_with(path)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.shared.names.lock();
        let inside = names.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.shared.names.lock().folders.insert(dir.to_owned());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let files = &mut self.shared.names.lock().files;
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.shared.names.lock().files.remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let files = &mut self.shared.names.lock().files;
        if files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = files.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        if !self.shared.locked.lock().insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.shared.names.lock().files.entry(path.to_owned()).or_default();
        Ok(Box::new(MemLock { path: path.to_owned(), shared: self.shared.clone() }))
    }
}

impl MemFile {
    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.content.read();
        let start = bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let count = buf.len().min(bytes.len() - start);
        buf[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        self.check_writable()?;
        if data.is_empty() {
            return Ok(0);
        }
        let mut bytes = self.content.write();
        let start = offset as usize;
        if start == bytes.len() {
            bytes.extend_from_slice(data);
            return Ok(data.len());
        }
        let end = start + data.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        Ok(data.len())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.read().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.content.write().resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn map(&self, _len: usize) -> io::Result<Box<dyn Mapping>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
