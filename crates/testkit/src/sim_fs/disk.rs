//! All that a simulated disk is, behind one lock, and what each call does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::SimStats;
use super::content::{Content, Inode, MAX_FILE_BYTES};
use super::fault::{Fault, FaultPlan, OpClass};
use super::names::{Change, Entry, InodeId, Names, is_top};
use crate::random::{Choices, SeededRandom};

/// One in this many writes finds that the system has just written back what was there before.
const EARLY_WRITEBACK: u64 = 8;

/// One operation, as [`SimFs::trace`](super::SimFs::trace) reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpRecord {
    /// Its number.
    pub op: u64,
    /// What was called.
    pub class: OpClass,
    /// On which path.
    pub path: PathBuf,
    /// The fault that hit it.
    pub fault: Option<Fault>,
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) seed: u64,
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) names: Names,
    pub(super) locked: BTreeSet<InodeId>,
    pub(super) next_inode: InodeId,
    pub(super) stats: SimStats,
    pub(super) faults: FaultPlan,
    /// The operation at which the machine goes off.
    pub(super) freeze_at: Option<u64>,
    pub(super) is_frozen: bool,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) is_mapping_supported: bool,
    pub(super) trace: Option<Vec<OpRecord>>,
    pub(super) random: SeededRandom,
}

fn error(kind: io::ErrorKind, path: &Path, what: &str) -> io::Error {
    io::Error::new(kind, format!("{}: {what}", path.display()))
}

fn not_found(path: &Path) -> io::Error {
    error(io::ErrorKind::NotFound, path, "no such file or folder")
}

fn disk_full(path: &Path) -> io::Error {
    error(io::ErrorKind::StorageFull, path, "the simulated disk is full")
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            inodes: BTreeMap::new(),
            names: Names::default(),
            locked: BTreeSet::new(),
            next_inode: 1,
            stats: SimStats::default(),
            faults: FaultPlan::none(),
            freeze_at: None,
            is_frozen: false,
            capacity_bytes: None,
            is_mapping_supported: true,
            trace: None,
            random: SeededRandom::new(seed),
        }
    }

    /// Counts an operation. Fails it if a fault says so; a fault that changes what it does rather
    /// than preventing it is returned.
    pub(super) fn begin(&mut self, class: OpClass, path: &Path) -> io::Result<Option<Fault>> {
        let op = self.stats.operations;
        self.stats.operations += 1;
        self.is_frozen |= self.freeze_at.is_some_and(|at| op >= at);
        if self.is_frozen {
            let what = format!("the simulated machine is off (operation {op}: {class:?})");
            return Err(error(io::ErrorKind::Other, path, &what));
        }
        let fault = self.faults.choose(op, class, path);
        if let Some(trace) = &mut self.trace {
            trace.push(OpRecord { op, class, path: path.to_owned(), fault });
        }
        let Some(fault) = fault else { return Ok(None) };
        self.stats.faults += 1;
        match fault {
            Fault::Eio | Fault::Enospc | Fault::Interrupted => Err(fault.error(op, class, path)),
            Fault::EioButDone
            | Fault::TornWrite
            | Fault::ShortRead
            | Fault::ShortWrite
            | Fault::SyncFailsOnce
            | Fault::FlippedRead => Ok(Some(fault)),
        }
    }

    /// The error of `fault`, for the operation that began last.
    pub(super) fn failed(&self, fault: Fault, class: OpClass, path: &Path) -> io::Error {
        fault.error(self.stats.operations - 1, class, path)
    }

    pub(super) fn inode(&mut self, id: InodeId) -> &mut Inode {
        self.inodes.get_mut(&id).expect("an inode lives as long as its handles and names")
    }

    pub(super) fn file_at(&self, path: &Path) -> io::Result<InodeId> {
        match self.names.get(path) {
            Some(Entry::File(inode)) => Ok(inode),
            Some(Entry::Dir) => Err(error(io::ErrorKind::IsADirectory, path, "is a folder")),
            None => Err(not_found(path)),
        }
    }

    fn check_dir(&self, dir: &Path) -> io::Result<()> {
        match self.names.get(dir) {
            Some(Entry::Dir) => Ok(()),
            Some(Entry::File(_)) => Err(error(io::ErrorKind::NotADirectory, dir, "is a file")),
            None => Err(not_found(dir)),
        }
    }

    /// Checks that a file could be named `path`.
    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) => self.check_dir(dir),
            None => Err(error(io::ErrorKind::IsADirectory, path, "is the top folder")),
        }
    }

    pub(super) fn add_inode(&mut self, inode: Inode) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    /// Forgets the file if nobody can reach it any more.
    pub(super) fn collect(&mut self, id: InodeId) {
        let is_open = self.inodes.get(&id).is_some_and(|inode| inode.handle_count > 0);
        if !is_open && self.names.may_have_orphans && !self.names.refer_to(id) {
            self.inodes.remove(&id);
        }
    }

    pub(super) fn collect_all(&mut self) {
        if !self.names.may_have_orphans {
            return;
        }
        let named = self.names.all_inodes();
        self.inodes.retain(|id, inode| inode.handle_count > 0 || named.contains(id));
        self.names.may_have_orphans =
            self.names.unsynced_count() > 0 || self.inodes.len() > named.len();
    }

    pub(super) fn find_or_create(&mut self, path: &Path) -> io::Result<InodeId> {
        self.check_parent(path)?;
        if self.names.get(path).is_some() {
            return self.file_at(path);
        }
        let id = self.add_inode(Inode::default());
        self.names.change(Change::Set { path: path.to_owned(), entry: Entry::File(id) });
        Ok(id)
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.check_dir(dir)?;
        let below = self.names.live.range(dir.to_owned()..);
        let below = below.take_while(|(path, _)| path.starts_with(dir));
        let inside = below
            .filter(|(path, entry)| path.parent() == Some(dir) && matches!(entry, Entry::File(_)));
        Ok(inside.filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// The folders on the way to `dir` that are not there yet, topmost first.
    pub(super) fn missing_dirs(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut missing = Vec::new();
        for ancestor in dir.ancestors().filter(|ancestor| !is_top(ancestor)) {
            match self.check_dir(ancestor) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing.push(ancestor.to_owned());
                }
                Err(error) => return Err(error),
            }
        }
        missing.reverse();
        Ok(missing)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file_at(from)?;
        self.check_parent(to)?;
        let replaced = match self.names.get(to) {
            Some(_) => Some(self.file_at(to)?),
            None => None,
        };
        // Two names of one file: POSIX leaves both.
        if replaced == Some(inode) {
            return Ok(());
        }
        let entry = Entry::File(inode);
        self.names.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), entry });
        if let Some(replaced) = replaced {
            self.collect(replaced);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.file_at(path)?;
        self.names.change(Change::Unset { path: path.to_owned() });
        self.collect(inode);
        Ok(())
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file_at(from)?;
        self.check_parent(to)?;
        if self.names.get(to).is_some() {
            return Err(error(io::ErrorKind::AlreadyExists, to, "is there already"));
        }
        self.names.change(Change::Set { path: to.to_owned(), entry: Entry::File(inode) });
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path, fault: Option<Fault>) -> io::Result<()> {
        self.check_dir(dir)?;
        self.stats.dir_syncs += 1;
        if fault == Some(Fault::SyncFailsOnce) {
            self.names.fail_sync_dir(dir);
            self.collect_all();
            return Err(self.failed(Fault::SyncFailsOnce, OpClass::SyncDir, dir));
        }
        // Only a change that became durable can have freed a file.
        if self.names.sync_dir(dir) > 0 {
            self.collect_all();
        }
        Ok(())
    }

    /// How long the file may become for want of room.
    fn longest(&mut self, id: InodeId) -> u64 {
        let Some(capacity) = self.capacity_bytes else { return MAX_FILE_BYTES };
        // A file with two names is counted once.
        let named: BTreeSet<InodeId> =
            self.names.live.values().filter_map(|entry| entry.inode()).collect();
        let used_bytes: u64 = named.iter().map(|id| self.inodes[id].live.len()).sum();
        let room_bytes = capacity.saturating_sub(used_bytes);
        self.inode(id).live.len().saturating_add(room_bytes)
    }

    /// Writes what there is room for; returns how many bytes.
    pub(super) fn write(
        &mut self,
        id: InodeId,
        data: &[u8],
        offset: u64,
        path: &Path,
    ) -> io::Result<usize> {
        let end = offset.saturating_add(data.len() as u64);
        if end > MAX_FILE_BYTES {
            return Err(error(io::ErrorKind::FileTooLarge, path, "written far past any sane end"));
        }
        let mut count = data.len();
        if end > self.inode(id).live.len() {
            let room_bytes = self.longest(id).saturating_sub(offset);
            if room_bytes == 0 && !data.is_empty() {
                return Err(disk_full(path));
            }
            count = count.min(usize::try_from(room_bytes).unwrap_or(usize::MAX));
        }
        self.stats.writes += 1;
        self.stats.written_bytes += count as u64;
        self.write_cache(id, &data[..count], offset);
        Ok(count)
    }

    fn write_cache(&mut self, id: InodeId, data: &[u8], offset: u64) {
        let keep_earlier = self.random.chance(1, EARLY_WRITEBACK);
        self.inode(id).write(data, offset, keep_earlier);
    }

    /// Writes through a mapping, which cannot fail but by signal.
    pub(super) fn write_mapped(&mut self, id: InodeId, data: &[u8], offset: u64, path: &Path) {
        if self.is_frozen {
            return;
        }
        let end = offset + data.len() as u64;
        assert!(
            end <= self.inode(id).live.len(),
            "{} was cut under its mapping: a real process would die of SIGBUS here",
            path.display()
        );
        self.stats.mapped_writes += 1;
        self.stats.mapped_bytes += data.len() as u64;
        self.write_cache(id, data, offset);
    }

    pub(super) fn sync(
        &mut self,
        id: InodeId,
        fault: Option<Fault>,
        path: &Path,
    ) -> io::Result<()> {
        self.stats.syncs += 1;
        if fault == Some(Fault::SyncFailsOnce) {
            self.inode(id).fail_sync();
            return Err(self.failed(Fault::SyncFailsOnce, OpClass::Sync, path));
        }
        let synced_bytes = self.inode(id).sync();
        self.stats.synced_bytes += synced_bytes;
        Ok(())
    }

    pub(super) fn set_len(&mut self, id: InodeId, len: u64, path: &Path) -> io::Result<()> {
        if len > self.inode(id).live.len() && len > self.longest(id) {
            return Err(disk_full(path));
        }
        self.inode(id).set_len(len);
        Ok(())
    }

    pub(super) fn allocate(&mut self, id: InodeId, len: u64, path: &Path) -> io::Result<()> {
        self.check_mapping(path)?;
        if len == 0 {
            return Err(error(io::ErrorKind::InvalidInput, path, "cannot allocate nothing"));
        }
        if len > self.inode(id).live.len() { self.set_len(id, len, path) } else { Ok(()) }
    }

    pub(super) fn check_mapping(&self, path: &Path) -> io::Result<()> {
        if self.is_mapping_supported {
            return Ok(());
        }
        Err(error(io::ErrorKind::Unsupported, path, "mapping is switched off"))
    }

    /// Puts a file in place as if it had always been there.
    pub(super) fn put_durably(&mut self, path: &Path, bytes: &[u8]) {
        let dirs: Vec<_> = path.ancestors().skip(1).filter(|dir| !is_top(dir)).collect();
        for dir in dirs.into_iter().rev() {
            self.names.change_durably(Change::Set { path: dir.to_owned(), entry: Entry::Dir });
        }
        let mut content = Content::default();
        content.write(bytes, 0);
        if let Ok(id) = self.file_at(path) {
            let handle_count = self.inode(id).handle_count;
            let mut inode = Inode::of(content);
            inode.handle_count = handle_count;
            self.inodes.insert(id, inode);
            let entry = Entry::File(id);
            self.names.change_durably(Change::Set { path: path.to_owned(), entry });
        } else {
            let entry = Entry::File(self.add_inode(Inode::of(content)));
            self.names.change_durably(Change::Set { path: path.to_owned(), entry });
        }
    }
}
