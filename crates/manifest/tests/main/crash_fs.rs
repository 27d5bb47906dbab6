//! A disk that stops at a chosen operation, and what may be found on it afterwards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use alluvium_base::fs::{LockGuard, Mapping};
use alluvium_base::{File, Fs, MemFs};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done, and neither is any later one: the power is gone.
    Crash,
    /// It is done, but reported as failed; later ones work.
    FailAfter,
    /// It is not done, and reported as failed; later ones work.
    FailBefore,
    /// The disk is full at this one operation.
    Full,
}

/// What of the unsynced survives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survives {
    Nothing,
    /// A name whose folder was not synced may outlive an older one: here that of `CURRENT`.
    NameOfCurrent,
    Names,
    Content,
    NamesAndHalfTheContent,
    Everything,
}

pub(crate) const ALL_SURVIVALS: [Survives; 6] = [
    Survives::Nothing,
    Survives::NameOfCurrent,
    Survives::Names,
    Survives::Content,
    Survives::NamesAndHalfTheContent,
    Survives::Everything,
];

#[derive(Debug, Default)]
pub(crate) struct CrashFs {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    files: Vec<Content>,
    operations: usize,
    fault: Option<(usize, Fault)>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug)]
struct CrashFile {
    disk: Arc<Mutex<Disk>>,
    id: usize,
}

impl CrashFs {
    /// The same files, all of them durable.
    pub(crate) fn holding(files: &MemFs, dir: &Path) -> Self {
        let mut disk = Disk::default();
        for name in files.list(dir).unwrap() {
            let path = dir.join(name);
            let bytes = alluvium_base::fs::read_file(files, &path, u64::MAX).unwrap();
            disk.durable.insert(path, disk.files.len());
            disk.files.push(Content { live: bytes.clone(), durable: bytes });
        }
        disk.live = disk.durable.clone();
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Counts operations from zero again and strikes at the `at`-th.
    pub(crate) fn strike(&self, at: usize, fault: Fault) {
        let mut disk = self.disk();
        disk.operations = 0;
        disk.fault = Some((at, fault));
    }

    pub(crate) fn operations(&self) -> usize {
        self.disk().operations
    }

    /// What is found after a loss of power in which this much survived.
    pub(crate) fn image(&self, survives: Survives) -> Arc<MemFs> {
        let disk = self.disk();
        let mut names = match survives {
            Survives::Nothing | Survives::NameOfCurrent | Survives::Content => disk.durable.clone(),
            Survives::Names | Survives::NamesAndHalfTheContent | Survives::Everything => {
                disk.live.clone()
            }
        };
        if let Survives::NameOfCurrent = survives {
            let current = disk.live.iter().filter(|(path, _)| path.ends_with("CURRENT"));
            names.extend(current.map(|(path, id)| (path.clone(), *id)));
        }
        let found = MemFs::new();
        for (path, id) in names {
            let Content { live, durable } = &disk.files[id];
            let half = durable.len() + live.len().saturating_sub(durable.len()) / 2;
            let bytes = match survives {
                Survives::Nothing | Survives::NameOfCurrent | Survives::Names => durable,
                Survives::Content | Survives::Everything => live,
                Survives::NamesAndHalfTheContent => &live[..half.min(live.len())],
            };
            found.create(&path).unwrap().write_all_at(bytes, 0).unwrap();
        }
        Arc::new(found)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }
}

/// Counts one operation that changes the disk and does it, or not.
fn change<T>(disk: &Mutex<Disk>, work: impl FnOnce(&mut Disk) -> T) -> io::Result<T> {
    let mut disk = disk.lock().unwrap();
    let at = disk.operations;
    disk.operations += 1;
    let fault = disk
        .fault
        .filter(|(struck, fault)| *struck == at || (*fault == Fault::Crash && *struck < at));
    match fault.map(|(_, fault)| fault) {
        None => Ok(work(&mut disk)),
        Some(Fault::Crash | Fault::FailBefore) => Err(io::Error::other("struck")),
        Some(Fault::FailAfter) => {
            work(&mut disk);
            Err(io::Error::other("struck"))
        }
        Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
    }
}

impl Fs for CrashFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let id = change(&self.disk, |disk| {
            let id = disk.files.len();
            disk.files.push(Content::default());
            disk.live.insert(path.to_owned(), id);
            id
        })?;
        Ok(Arc::new(CrashFile { disk: self.disk.clone(), id }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let id = *self.disk().live.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(CrashFile { disk: self.disk.clone(), id }))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.disk().live.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.disk();
        let names = disk.live.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        change(&self.disk, |disk| {
            let id = disk.live.remove(from).unwrap();
            disk.live.insert(to.to_owned(), id);
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = change(&self.disk, |disk| disk.live.remove(path))?;
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        change(&self.disk, |disk| disk.durable = disk.live.clone())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn LockGuard>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl File for CrashFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.disk.lock().unwrap();
        let from = disk.files[self.id].live.get(offset as usize..).unwrap_or(&[]);
        let count = buf.len().min(from.len());
        buf[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        change(&self.disk, |disk| {
            let live = &mut disk.files[self.id].live;
            let end = offset as usize + data.len();
            live.resize(live.len().max(end), 0);
            live[offset as usize..end].copy_from_slice(data);
            data.len()
        })
    }

    fn sync(&self) -> io::Result<()> {
        change(&self.disk, |disk| {
            let content = &mut disk.files[self.id];
            content.durable = content.live.clone();
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().unwrap().files[self.id].live.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        change(&self.disk, |disk| disk.files[self.id].live.resize(len as usize, 0))
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn map(&self, _len: usize) -> io::Result<Box<dyn Mapping>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
