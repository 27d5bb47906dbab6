//! One segment file being written: how it is created, and the two ways to put bytes into it.
//!
//! A **mapped** segment is a copy into shared memory: the process can die at any instant and the
//! bytes are the kernel's, for a tenth of the price of a system call. A **buffered** one is a
//! `write` per record, for file systems that cannot map or reserve. Both write the same bytes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use alluvium_base::fs::{Mapping, Populate};
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Error, File, FileName, FileNumber, FileNumbers, Fs, Result};

use crate::format::{FILE_HEADER_BYTES, FileHeader, RECORD_HEADER_BYTES, Role, record_bytes};
use crate::{WalMode, WalOptions};

/// Puts records into one file. The caller keeps track of where.
pub(crate) trait SegmentWriter: Send + std::fmt::Debug {
    /// Puts a record at `offset`; its padding reads as zeroes. On return the bytes are the kernel's.
    fn write(
        &mut self,
        offset: u64,
        header: &[u8; RECORD_HEADER_BYTES],
        payload: &[u8],
    ) -> io::Result<()>;

    /// What [`Wal::mode`](crate::Wal::mode) says.
    fn mode(&self) -> &'static str;

    /// With what the file's memory can be made ready before records are put there, if it helps.
    fn populator(&self) -> Option<Arc<dyn Populate>> {
        None
    }
}

#[derive(Debug)]
struct MappedWriter {
    mapping: Box<dyn Mapping>,
}

impl SegmentWriter for MappedWriter {
    #[inline]
    fn write(
        &mut self,
        offset: u64,
        header: &[u8; RECORD_HEADER_BYTES],
        payload: &[u8],
    ) -> io::Result<()> {
        // The file was allocated as zeroes and is written once: the padding is there already.
        self.mapping.write(offset as usize, header);
        self.mapping.write(offset as usize + RECORD_HEADER_BYTES, payload);
        Ok(())
    }

    fn mode(&self) -> &'static str {
        "mapped"
    }

    fn populator(&self) -> Option<Arc<dyn Populate>> {
        self.mapping.populator()
    }
}

/// Payloads up to this many bytes are copied behind their header, so that a record is one `write`.
const JOINED_PAYLOAD_BYTES: usize = 256 << 10;

/// Writes each record with `write_all_at`; the manifest's log uses it too.
#[derive(Debug)]
pub(crate) struct BufferedWriter {
    file: Arc<dyn File>,
    /// Reused from record to record.
    joined: Vec<u8>,
}

impl BufferedWriter {
    pub(crate) const fn new(file: Arc<dyn File>) -> Self {
        Self { file, joined: Vec::new() }
    }
}

impl SegmentWriter for BufferedWriter {
    fn write(
        &mut self,
        offset: u64,
        header: &[u8; RECORD_HEADER_BYTES],
        payload: &[u8],
    ) -> io::Result<()> {
        let padded_bytes = record_bytes(payload.len()) as usize;
        if payload.len() <= JOINED_PAYLOAD_BYTES {
            self.joined.clear();
            self.joined.extend_from_slice(header);
            self.joined.extend_from_slice(payload);
            self.joined.resize(padded_bytes, 0);
            return self.file.write_all_at(&self.joined, offset);
        }
        let padding = padded_bytes - RECORD_HEADER_BYTES - payload.len();
        let payload_offset = offset + RECORD_HEADER_BYTES as u64;
        self.file.write_all_at(header, offset)?;
        self.file.write_all_at(payload, payload_offset)?;
        let zeroes = [0; RECORD_HEADER_BYTES];
        self.file.write_all_at(&zeroes[..padding], payload_offset + payload.len() as u64)
    }

    fn mode(&self) -> &'static str {
        "buffered"
    }
}

/// A segment that is ready for its first record: its header and its name are durable.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: FileNumber,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) writer: Box<dyn SegmentWriter>,
    /// No record may reach beyond this offset.
    pub(crate) capacity: u64,
    /// As in its header.
    pub(crate) predecessor: Option<FileNumber>,
    /// How much of its beginning has its memory ready.
    pub(crate) populated: u64,
}

impl Segment {
    /// The same, with the memory of its first `bytes` ready, where that means anything.
    pub(crate) fn populated(mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.capacity);
        if bytes > 0
            && let Some(memory) = self.writer.populator()
        {
            memory.populate(0..bytes as usize);
            self.populated = bytes;
        }
        self
    }
}

/// Creates segments, wherever that happens: at the start, ahead of need or at a rotation.
#[derive(Clone, Debug)]
pub(crate) struct SegmentMaker {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) numbers: Arc<FileNumbers>,
    pub(crate) options: WalOptions,
}

impl SegmentMaker {
    /// Creates the segment that follows `predecessor`, with room for `capacity` bytes at least.
    /// When this returns, header and name are durable, before any record is in it.
    pub(crate) fn make(&self, predecessor: Option<FileNumber>, capacity: u64) -> Result<Segment> {
        self.make_numbered(self.numbers.take(), predecessor, capacity)
    }

    /// Creates a segment whose number is chosen already, over whatever an attempt that failed left.
    pub(crate) fn make_numbered(
        &self,
        number: FileNumber,
        predecessor: Option<FileNumber>,
        capacity: u64,
    ) -> Result<Segment> {
        let path = FileName::Wal(number).in_dir(&self.dir);
        let capacity = capacity.max(self.options.segment_size);
        if predecessor.is_some_and(|predecessor| predecessor >= number) {
            return Err(Error::invalid(format!(
                "log segment {number} would not come after the one before it: \
                 start the numbers above every file of the database"
            )));
        }
        let file = self.fs.create(&path).map_err(|error| Error::io("create", &path, error))?;
        let segment = self.fill(file.clone(), number, path, predecessor, capacity);
        if segment.is_err() {
            // Best effort: give the space back. The name stays, as an empty file at the log's end.
            file.set_len(0).unwrap_or_default();
        }
        segment
    }

    /// Makes room for `capacity` bytes in a segment without records.
    pub(crate) fn enlarge(&self, mut segment: Segment, capacity: u64) -> Result<Segment> {
        if capacity > segment.capacity {
            let Segment { number, path, file, predecessor, .. } = segment;
            segment = self.fill(file, number, path, predecessor, capacity)?;
        }
        Ok(segment)
    }

    fn fill(
        &self,
        file: Arc<dyn File>,
        number: FileNumber,
        path: PathBuf,
        predecessor: Option<FileNumber>,
        capacity: u64,
    ) -> Result<Segment> {
        let writer = match self.open_writer(&file, capacity) {
            // Too little room to reserve a whole segment may be enough to open the database and
            // read it, or to make room.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) && self.options.mode != WalMode::Mapped =>
            {
                let emptied = file.set_len(0);
                emptied.map(|()| Box::new(BufferedWriter::new(file.clone())) as Box<_>)
            }
            opened => opened,
        };
        let writer = writer.map_err(|error| Error::io("reserve space for", &path, error))?;
        let sync = || file.sync().map_err(|error| Error::io("sync", &path, error));
        let len = file.len().map_err(|error| Error::io("measure", &path, error))?;
        let reserved = if len >= capacity { len } else { 0 };
        // The length first: a header that is there says that the file was never shorter.
        sync()?;
        let header = FileHeader { role: Role::Segment, number, predecessor, reserved }.encode();
        file.write_all_at(&header, 0).map_err(|error| Error::io("write", &path, error))?;
        sync()?;
        if !is_planted(Bug::SegmentNameUnsynced) {
            self.fs.sync_dir(&self.dir).map_err(|error| Error::io("sync", &self.dir, error))?;
        }
        Ok(Segment { number, path, file, writer, capacity, predecessor, populated: 0 })
    }

    fn open_writer(
        &self,
        file: &Arc<dyn File>,
        capacity: u64,
    ) -> io::Result<Box<dyn SegmentWriter>> {
        let allocated = reserve(&**file, capacity);
        let mapped = match self.options.mode {
            WalMode::Auto | WalMode::Mapped => allocated.and_then(|()| file.map(capacity as usize)),
            WalMode::Buffered => allocated.and_then(|()| Err(io::ErrorKind::Unsupported.into())),
        };
        match mapped {
            Ok(mapping) => Ok(Box::new(MappedWriter { mapping })),
            Err(error)
                if error.kind() == io::ErrorKind::Unsupported
                    && self.options.mode != WalMode::Mapped =>
            {
                Ok(Box::new(BufferedWriter::new(file.clone())))
            }
            // Too little address space for the mapping; the room on disk is reserved all the same.
            Err(error)
                if error.kind() == io::ErrorKind::OutOfMemory
                    && self.options.mode == WalMode::Auto =>
            {
                Ok(Box::new(BufferedWriter::new(file.clone())))
            }
            Err(error) => Err(error),
        }
    }
}

/// Reserves blocks, or at least the length where the file system knows no such thing.
fn reserve(file: &dyn File, capacity: u64) -> io::Result<()> {
    match file.allocate(capacity) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported && file.len()? < capacity => {
            file.set_len(capacity)?;
            Err(error)
        }
        allocated => allocated,
    }
}

const _: () = assert!(FILE_HEADER_BYTES as usize > RECORD_HEADER_BYTES);
