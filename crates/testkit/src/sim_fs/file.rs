//! One open file of the simulated disk, and its mapping.

use std::io;
use std::path::Path;
use std::sync::Arc;

use alluvium_base::File;
use alluvium_base::fs::Mapping;

use super::disk::Disk;
use super::fault::{Fault, OpClass};
use super::names::InodeId;
use super::{Shared, SimFs};
use crate::random::Choices;
use crate::random::SeededRandom;

/// What a handle may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// Keeps an inode alive: one per open file and mapping.
///
/// Dropping it takes the disk's lock, so it must not be dropped while that is held.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    inode: InodeId,
    /// The name it was opened with: what faults are filtered by and errors name.
    path: Arc<Path>,
}

impl Handle {
    fn new(shared: &Arc<Shared>, disk: &mut Disk, inode: InodeId, path: Arc<Path>) -> Self {
        disk.inode(inode).handle_count += 1;
        Self { shared: shared.clone(), inode, path }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut disk = self.shared.disk.lock();
        let inode = disk.inode(self.inode);
        inode.handle_count -= 1;
        if inode.handle_count == 0 {
            disk.collect(self.inode);
        }
    }
}

#[derive(Debug)]
pub(super) struct SimFile {
    handle: Handle,
    access: Access,
}

#[derive(Debug)]
struct SimMapping {
    handle: Handle,
    len: usize,
}

impl SimFile {
    pub(super) fn new(
        fs: &SimFs,
        disk: &mut Disk,
        inode: InodeId,
        path: &Path,
        access: Access,
    ) -> Arc<Self> {
        let handle = Handle::new(&fs.shared, disk, inode, path.into());
        Arc::new(Self { handle, access })
    }

    fn operate<T>(
        &self,
        class: OpClass,
        effect: impl FnOnce(&mut Disk, InodeId, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let (handle, path) = (&self.handle, &self.handle.path);
        handle.shared.operate(class, path, |disk, fault| effect(disk, handle.inode, fault))
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} was opened for reading only", self.handle.path.display()),
            )),
        }
    }
}

/// Half of `count`, but something of anything.
fn half(count: usize) -> usize {
    count.div_ceil(2)
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.operate(OpClass::Read, |disk, inode, fault| {
            let mut count = disk.inode(inode).live.read(buf, offset);
            disk.stats.reads += 1;
            if fault == Some(Fault::ShortRead) {
                count = half(count);
            }
            if fault == Some(Fault::FlippedRead) && count > 0 {
                let mut random = SeededRandom::with_stream(disk.seed, disk.stats.operations);
                let bit = random.below(count as u64 * 8) as usize;
                buf[bit / 8] ^= 1 << (bit % 8);
            }
            disk.stats.read_bytes += count as u64;
            Ok(count)
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        self.operate(OpClass::Write, |disk, inode, fault| {
            self.check_writable()?;
            let path = &self.handle.path;
            let is_torn = fault == Some(Fault::TornWrite);
            let is_short = fault == Some(Fault::ShortWrite) || is_torn;
            let data = if is_short { &data[..half(data.len())] } else { data };
            let count = disk.write(inode, data, offset, path)?;
            if is_torn {
                return Err(disk.failed(Fault::TornWrite, OpClass::Write, path));
            }
            Ok(count)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.operate(OpClass::Sync, |disk, inode, fault| disk.sync(inode, fault, &self.handle.path))
    }

    fn len(&self) -> io::Result<u64> {
        self.operate(OpClass::Len, |disk, inode, _fault| Ok(disk.inode(inode).live.len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate(OpClass::SetLen, |disk, inode, _fault| {
            self.check_writable()?;
            disk.set_len(inode, len, &self.handle.path)
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.operate(OpClass::Allocate, |disk, inode, _fault| {
            self.check_writable()?;
            disk.allocate(inode, len, &self.handle.path)
        })
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>> {
        let path = &self.handle.path;
        let mapping = self.operate(OpClass::Map, |disk, inode, _fault| {
            self.check_writable()?;
            disk.check_mapping(path)?;
            if len == 0 || disk.inode(inode).live.len() < len as u64 {
                let what = format!("{} is too short to map {len} bytes", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            let handle = Handle::new(&self.handle.shared, disk, inode, path.clone());
            Ok(SimMapping { handle, len })
        })?;
        Ok(Box::new(mapping))
    }
}

impl Mapping for SimMapping {
    fn len(&self) -> usize {
        self.len
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        let fits = offset.checked_add(data.len()).is_some_and(|end| end <= self.len);
        assert!(fits, "{} bytes at {offset} reach beyond a mapping of {}", data.len(), self.len);
        let handle = &self.handle;
        let mut disk = handle.shared.disk.lock();
        disk.write_mapped(handle.inode, data, offset as u64, &handle.path);
    }
}
