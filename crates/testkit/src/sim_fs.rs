//! A simulated disk that crashes, tears and lies on demand.
//!
//! ```text
//!                 writes, mappings            sync, sync_dir
//!   your code ───────────────────► page cache ──────────────► disk
//!                                  │  kill():  lives on         │
//!                                  │  crash(): item by item,    │ survives
//!                                  ▼  as a Survival decides     ▼ always
//!                                 ────────── a new SimFs ──────────
//! ```
//!
//! # The model
//!
//! - File contents, lengths and names are three things, and each becomes durable apart:
//!   contents and length by [`File::sync`], names by [`Fs::sync_dir`] on *their* folder. Syncing a
//!   new file does not make its name durable; the folder that `create_dir_all` made is itself a
//!   name in its parent. The top folders `/` and the empty path are always there.
//! - A crash decides about each unsynced 512-byte sector, length and name: see [`Survival`].
//! - Bytes that were synced and not changed since are never lost.
//! - Renames are atomic. The unsynced changes of one name persist in their order, those of
//!   different names in any. A rename between folders is durable once either is synced.
//! - A mapped file behaves like page cache: what is written through the mapping is visible at once,
//!   survives the death of the process, and is durable after [`File::sync`].
//!
//! Everything depends on the seed and the order of calls alone. One mutex guards the disk;
//! contents are shared copy-on-write, so an image of a small database costs microseconds.

mod content;
mod crash;
mod disk;
mod fault;
mod file;
mod names;
mod tamper;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use alluvium_base::fs::LockGuard;
use alluvium_base::{File, Fs};
use parking_lot::Mutex;

pub use crash::Survival;
pub use disk::OpRecord;
pub use fault::{Fault, FaultPlan, OpClass};

use disk::Disk;
use file::{Access, SimFile};
use names::{Change, Entry, InodeId};

/// A simulated disk: an [`Fs`] whose power can be cut. Clones share it. See the
/// [module documentation](self) for what it promises and what it does not.
///
/// ```
/// use std::path::Path;
/// use alluvium_base::{File, Fs};
/// use alluvium_testkit::{SimFs, Survival};
/// # fn main() -> std::io::Result<()> {
/// let disk = SimFs::new(42);
/// let file = disk.create(Path::new("/log"))?;
/// file.write_all_at(b"kept", 0)?;
/// file.sync()?;
/// disk.sync_dir(Path::new("/"))?;
/// file.write_all_at(b"maybe", 4)?;
///
/// let after = disk.crash(Survival::None).read(Path::new("/log"));
/// assert_eq!(after.as_deref(), Some(&b"kept"[..]));
/// let after = disk.crash(Survival::Random(7)).read(Path::new("/log"));
/// assert!(after.is_some_and(|bytes| bytes.starts_with(b"kept")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SimFs {
    shared: Arc<Shared>,
}

/// What is called before each operation, with the disk and the operation's number.
pub type Observer = Arc<dyn Fn(&SimFs, u64) + Send + Sync>;

struct Shared {
    /// Guards everything. Innermost: nothing else is locked while it is held.
    disk: Mutex<Disk>,
    /// Never held while it is called.
    observer: Mutex<Option<Observer>>,
}

/// What a disk was asked to do so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimStats {
    /// Calls that can fail, whether they did or not: see [`SimFs::op_count`].
    pub operations: u64,
    /// Operations that a [`FaultPlan`] hit.
    pub faults: u64,
    /// Reads that were carried out.
    pub reads: u64,
    /// Bytes they returned.
    pub read_bytes: u64,
    /// Writes that were carried out, whole or in part.
    pub writes: u64,
    /// Bytes they wrote.
    pub written_bytes: u64,
    /// Writes through mappings, which are no operations.
    pub mapped_writes: u64,
    /// Bytes they wrote.
    pub mapped_bytes: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Bytes they put on the disk, in whole sectors.
    pub synced_bytes: u64,
    /// Syncs of folders.
    pub dir_syncs: u64,
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shared, f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SimFs");
        if let Some(disk) = self.disk.try_lock() {
            out.field("seed", &disk.seed).field("op_count", &disk.stats.operations);
            out.field("files", &disk.inodes.len());
        }
        out.finish_non_exhaustive()
    }
}

impl Shared {
    /// Counts an operation, carries it out, and fails it if a fault says so.
    fn operate<T>(
        self: &Arc<Self>,
        class: OpClass,
        path: &Path,
        effect: impl FnOnce(&mut Disk, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let observer = self.observer.lock().clone();
        if let Some(observer) = observer {
            let fs = SimFs { shared: Arc::clone(self) };
            observer(&fs, fs.op_count());
        }
        let mut disk = self.disk.lock();
        let fault = disk.begin(class, path)?;
        let result = effect(&mut disk, fault);
        if fault == Some(Fault::EioButDone) && result.is_ok() {
            let error = disk.failed(Fault::EioButDone, class, path);
            // The result may hold a handle, and dropping a handle takes the lock.
            drop(disk);
            drop(result);
            return Err(error);
        }
        result
    }
}

/// The path without `.` in it; comparing paths sees through everything else.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}

impl SimFs {
    /// An empty disk. The same seed and the same calls in the same order give the same results.
    pub fn new(seed: u64) -> Self {
        Self::of(Disk::new(seed))
    }

    fn of(disk: Disk) -> Self {
        Self { shared: Arc::new(Shared { disk: Mutex::new(disk), observer: Mutex::new(None) }) }
    }

    /// How many operations there were so far: calls of [`Fs`] and [`File`] that return a result,
    /// failed ones too. Operations are numbered from 0, so this is the number of the next one.
    /// Writes through mappings and hints cannot fail and are none.
    pub fn op_count(&self) -> u64 {
        self.shared.disk.lock().stats.operations
    }

    /// Replaces the plan of what is to fail.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.shared.disk.lock().faults = plan;
    }

    /// The disk as found after a power cut *now*: a new, independent disk without faults, locks or
    /// a limit to its capacity. This one goes on as if nothing had happened, so many images can be
    /// taken at one moment.
    #[must_use]
    pub fn crash(&self, survival: Survival) -> Self {
        Self::of(self.shared.disk.lock().after_crash(survival))
    }

    /// The disk as found after the *process* died now: everything written is there, also through
    /// mappings, and locks are gone. What was unsynced still is: a [`crash`](Self::crash) of the
    /// new disk may lose it.
    #[must_use]
    pub fn kill(&self) -> Self {
        Self::of(self.shared.disk.lock().after_kill())
    }

    /// The machine goes off when operation number `op` is attempted: it and every later one fail
    /// and have no effect, and neither have writes through mappings from then on. To crash at each
    /// operation of a workload: `freeze_after(n)`, run until it fails, [`crash`](Self::crash). An
    /// operation that has been takes effect at once.
    pub fn freeze_after(&self, op: u64) {
        let mut disk = self.shared.disk.lock();
        disk.freeze_at = Some(op);
        disk.is_frozen = op < disk.stats.operations;
    }

    /// The machine is off from now on.
    pub fn freeze(&self) {
        self.shared.disk.lock().is_frozen = true;
    }

    /// Whether the machine is off.
    pub fn is_frozen(&self) -> bool {
        self.shared.disk.lock().is_frozen
    }

    /// Has `observer` called before each operation from now on, on the thread that makes it, so that
    /// it can take an image of every moment of a workload in one run. It must not use this disk in
    /// any other way; images are disks of their own. `None` ends it.
    pub fn observe(&self, observer: Option<Observer>) {
        *self.shared.observer.lock() = observer;
    }

    /// How many unsynced items a [`crash`](Self::crash) would decide about now: up to 64 of them,
    /// [`Survival::Mask`] reaches every combination.
    pub fn unsynced_count(&self) -> usize {
        self.shared.disk.lock().unsynced_count()
    }

    /// Lets files grow until the sum of the lengths of all named files is `capacity_bytes`: then
    /// [`StorageFull`](io::ErrorKind::StorageFull). A write that fits in part is made in part.
    pub fn set_capacity(&self, capacity_bytes: Option<u64>) {
        self.shared.disk.lock().capacity_bytes = capacity_bytes;
    }

    /// Whether files can be allocated and mapped; otherwise both are
    /// [`Unsupported`](io::ErrorKind::Unsupported). They can, unless told otherwise.
    pub fn set_mapping_supported(&self, is_supported: bool) {
        self.shared.disk.lock().is_mapping_supported = is_supported;
    }

    /// Starts to note every operation, for [`trace`](Self::trace).
    pub fn start_trace(&self) {
        self.shared.disk.lock().trace = Some(Vec::new());
    }

    /// The operations since [`start_trace`](Self::start_trace), in order: what number 1234 was.
    pub fn trace(&self) -> Vec<OpRecord> {
        self.shared.disk.lock().trace.clone().unwrap_or_default()
    }

    /// What the disk was asked to do so far.
    pub fn stats(&self) -> SimStats {
        self.shared.disk.lock().stats
    }
}

impl SimFs {
    fn open_as(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let path = plain(path);
        let file = self.shared.operate(OpClass::Open, &path, |disk, _fault| {
            let inode = disk.file_at(&path)?;
            Ok(SimFile::new(self, disk, inode, &path, access))
        })?;
        Ok(file)
    }
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let path = plain(path);
        let file = self.shared.operate(OpClass::Create, &path, |disk, _fault| {
            let inode = disk.find_or_create(&path)?;
            disk.inode(inode).set_len(0);
            Ok(SimFile::new(self, disk, inode, &path, Access::ReadWrite))
        })?;
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, Access::ReadOnly)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, Access::ReadWrite)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = plain(path);
        self.shared
            .operate(OpClass::Exists, &path, |disk, _fault| Ok(disk.names.get(&path).is_some()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = plain(dir);
        self.shared.operate(OpClass::List, &dir, |disk, _fault| disk.list(&dir))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir = plain(dir);
        self.shared.operate(OpClass::CreateDir, &dir, |disk, _fault| {
            for path in disk.missing_dirs(&dir)? {
                disk.names.change(Change::Set { path, entry: Entry::Dir });
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (plain(from), plain(to));
        self.shared.operate(OpClass::Rename, &to, |disk, _fault| disk.rename(&from, &to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = plain(path);
        self.shared.operate(OpClass::Remove, &path, |disk, _fault| disk.remove(&path))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (plain(from), plain(to));
        self.shared.operate(OpClass::HardLink, &to, |disk, _fault| disk.hard_link(&from, &to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = plain(dir);
        self.shared.operate(OpClass::SyncDir, &dir, |disk, fault| disk.sync_dir(&dir, fault))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let path = plain(path);
        let guard = self.shared.operate(OpClass::Lock, &path, |disk, _fault| {
            let inode = disk.find_or_create(&path)?;
            if !disk.locked.insert(inode) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            disk.inode(inode).handle_count += 1;
            Ok(SimLock { shared: self.shared.clone(), inode })
        })?;
        Ok(Box::new(guard))
    }
}

#[derive(Debug)]
struct SimLock {
    shared: Arc<Shared>,
    inode: InodeId,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.shared.disk.lock();
        disk.locked.remove(&self.inode);
        disk.inode(self.inode).handle_count -= 1;
        disk.collect(self.inode);
    }
}
