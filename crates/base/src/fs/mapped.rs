//! A log segment seen as memory: the one place with `unsafe`.
//!
//! A copy into a shared mapping costs a tenth of a `write` call, and the bytes are the kernel's the
//! moment they are copied: the process may die at any instant after. Only whole, allocated files
//! are mapped, so no access runs past the end or into a hole that the disk has no room for.
#![allow(unsafe_code, reason = "copying into a shared mapping is unsafe; nothing else here is")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use super::{Mapping, Populate};
use crate::prefetch::prefetch_behind;

/// The operating system's mapping of a file.
#[derive(Debug)]
pub(super) struct Mapped {
    memory: Arc<Memory>,
}

/// What the mapping and its populator share.
#[derive(Debug)]
struct Memory(MmapRaw);

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
        let memory = MmapOptions::new().len(len).map_raw(file)?;
        Ok(Self { memory: Arc::new(Memory(memory)) })
    }
}

impl Mapping for Mapped {
    fn len(&self) -> usize {
        self.memory.0.len()
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset.checked_add(data.len());
        assert!(end.is_some_and(|end| end <= self.len()), "a write reaches beyond its mapping");
        // SAFETY: both ranges are valid for `data.len()` bytes, ours by the assertion, and do not
        // overlap: no reference to a byte of the mapping exists, here or elsewhere, so `data` lies
        // outside. Nobody else writes to the mapping, for it takes `&mut self`, and populating it
        // changes no byte. The file is not truncated under it: segments belong to the process that
        // holds the database's LOCK, are created or emptied by it before they are mapped, and are
        // never truncated while the mapping is used.
        unsafe {
            let to = self.memory.0.as_mut_ptr().add(offset);
            to.copy_from_nonoverlapping(data.as_ptr(), data.len());
            prefetch_behind(to.addr() + data.len());
        }
    }

    fn populator(&self) -> Option<Arc<dyn Populate>> {
        Some(Arc::clone(&self.memory) as Arc<dyn Populate>)
    }
}

impl Populate for Memory {
    #[cfg(target_os = "linux")]
    fn populate(&self, range: Range<usize>) {
        let end = range.end.min(self.0.len());
        if range.start < end {
            let advice = memmap2::Advice::PopulateWrite;
            // Kernels before 5.14 know no such advice.
            self.0.advise_range(advice, range.start, end - range.start).unwrap_or_default();
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn populate(&self, _range: Range<usize>) {}
}
