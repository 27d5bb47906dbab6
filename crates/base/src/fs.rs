//! The only way to a disk, so that a simulated one can take its place.
//!
//! [`Fs`] opens, names and removes files; [`File`] reads, writes and syncs one; [`Mapping`] is a
//! file seen as memory. There are two of each here, the operating system's ([`StdFs`]) and one in
//! memory ([`MemFs`]), and a third in `testkit`, which crashes, tears and lies on demand.
//!
//! Calls return `std::io::Result`: whoever knows what was attempted adds it with
//! [`Error::io`](crate::Error::io).

mod mapped;
mod memory;
mod name;
mod standard;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::seeded::{Bug, is_planted};

pub use memory::MemFs;
pub use name::{FileName, FileNumber, FileNumbers};
pub use standard::StdFs;

/// Opens, names and removes files.
///
/// A created, renamed, linked or removed name is durable only after [`Fs::sync_dir`] on its folder.
pub trait Fs: Send + Sync + Debug + 'static {
    /// Creates an empty file for reading and writing, or empties the one there is. Only its owner
    /// may read it.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file that is there for reading and writing.
    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Whether a file or folder has this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The names of the files in a folder, without the folder, in no order. Names that are no
    /// UTF-8 and folders are left out: they are none of ours.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a folder, and those above it, unless it is there. Only its owner may enter it.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name, in place of the file that has it, if any.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name; open handles stay usable.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file a second name. The name must be free.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock on a file, creating it if need be, until the returned guard is
    /// dropped. Fails with [`io::ErrorKind::WouldBlock`] when another guard, here or in another
    /// process, holds it; failing leaves that guard's lock alone.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
}

/// Holds a lock until it is dropped. See [`Fs::lock`].
pub trait LockGuard: Send + Sync + Debug {}

/// One open file. Written bytes are durable only after [`File::sync`].
///
/// `read_at` and `write_at` may do less than asked, as system calls may; use
/// [`read_exact_at`](File::read_exact_at) and [`write_all_at`](File::write_all_at).
pub trait File: Send + Sync + Debug {
    /// Reads into the front of `buf` from `offset`; returns how many bytes, 0 only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes the front of `data` at `offset`, extending the file if need be; returns how many
    /// bytes.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all written bytes and the length durable. After a failure nothing may be assumed of
    /// any byte written since the last success, ever: do not try again and believe it.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends (with zeroes) the file to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves disk space for `len` bytes and makes that the length: later writes within it do
    /// not run out of space. Fails with [`io::ErrorKind::Unsupported`] where the file system
    /// cannot.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Maps the file's first `len` bytes, which must be allocated, for writing. Fails with
    /// [`io::ErrorKind::Unsupported`] where the file system cannot. Bytes written through the
    /// mapping survive the death of the process; [`File::sync`] makes them durable.
    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>>;

    /// Suggests that the operating system begin writing a range to disk. No promise of any kind.
    fn start_writeback(&self, _offset: u64, _len: u64) {}

    /// Suggests that a range will soon be read. No promise of any kind.
    fn will_read(&self, _offset: u64, _len: u64) {}

    /// Fills `buf` from `offset`, or fails with [`io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `data` at `offset`.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < data.len() {
            match self.write_at(&data[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A file's bytes as memory, for writing.
pub trait Mapping: Send + Debug {
    /// How many bytes are mapped.
    fn len(&self) -> usize;

    /// Whether nothing is mapped.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies `data` to `offset`.
    ///
    /// # Panics
    /// When it would reach beyond the mapping.
    fn write(&mut self, offset: usize, data: &[u8]);

    /// With what another thread can have memory ready before it is written to; `None` where that is
    /// of no use.
    fn populator(&self) -> Option<Arc<dyn Populate>> {
        None
    }
}

/// Has the memory of a [`Mapping`] ready before it is written to.
pub trait Populate: Send + Sync + Debug {
    /// Has the pages of `range` there and writable, as a write of what they hold would. A hint: where
    /// it fails, writing takes longer. What reaches beyond the mapping is left out.
    fn populate(&self, range: Range<usize>);
}

/// Reads a whole file, refusing one longer than `max_bytes` before allocating for it.
pub fn read_file(fs: &dyn Fs, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = fs.open(path)?;
    let len = file.len()?;
    if len > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the file has {len} bytes; at most {max_bytes} were expected"),
        ));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Replaces the file `name` in `dir` with `bytes` in one step: at any crash either the old file or
/// the new one is there, whole. `temporary` is the name it has until then.
pub fn replace_file(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
    temporary: &str,
    bytes: &[u8],
) -> io::Result<()> {
    let temporary = dir.join(temporary);
    let file = fs.create(&temporary)?;
    file.write_all_at(bytes, 0)?;
    if !is_planted(Bug::CurrentContentUnsynced) {
        file.sync()?;
    }
    fs.rename(&temporary, &dir.join(name))?;
    if is_planted(Bug::CurrentNameUnsynced) {
        return Ok(());
    }
    fs.sync_dir(dir)
}
