//! A log segment seen as memory: the one place with `unsafe`.
//!
//! A copy into a shared mapping costs a tenth of a `write` call, and the bytes are the kernel's the
//! moment they are copied: the process may die at any instant after. Only whole, allocated files
//! are mapped, so no access runs past the end or into a hole that the disk has no room for.
#![allow(unsafe_code, reason = "creating a shared mapping is unsafe; nothing else here is")]

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions};

use super::Mapping;

/// The operating system's mapping of a file.
#[derive(Debug)]
pub(super) struct Mapped {
    memory: MmapMut,
}

impl Mapped {
    /// Maps the first `len` bytes of `file`, shared and writable. The file must be at least that
    /// long, or this fails with [`io::ErrorKind::InvalidInput`].
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the file is too short to map",
            ));
        }
        // SAFETY: a mapping is sound while nobody truncates the file under it and nobody else
        // changes its bytes while we hold a reference to them. Segments belong to the process that
        // holds the database's LOCK, are created or emptied by it before they are mapped, are never
        // truncated while the mapping is used, and this memory is only ever written
        // (`copy_from_slice`) through `&mut self`, never read.
        let memory = unsafe { MmapOptions::new().len(len).map_mut(file)? };
        Ok(Self { memory })
    }
}

impl Mapping for Mapped {
    fn len(&self) -> usize {
        self.memory.len()
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        self.memory[offset..offset + data.len()].copy_from_slice(data);
    }
}
