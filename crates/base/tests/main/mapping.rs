//! Many threads write through mappings of their own while others read the files.
//!
//! The one file with `unsafe` is as sound as what is done with it: a mapping has one owner, its
//! file is neither cut nor read through the mapping. This does what a log does, as hard as it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium_base::File;

use crate::disks::{Disk, every_disk};

const WRITERS: u64 = 3;
const READERS: u64 = 2;
const FILE_BYTES: u64 = 1 << 20;
/// Records end at every place in a page and in a word.
const LONGEST_RECORD: u64 = 331;
const ROUNDS: u64 = 4;

/// The byte at `offset` of the file of `writer` in `round`.
fn byte(writer: u64, round: u64, offset: u64) -> u8 {
    let mixed = (offset ^ (writer << 40) ^ (round << 50)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

fn bytes(writer: u64, round: u64, offset: u64, len: u64) -> Vec<u8> {
    (offset..offset + len).map(|at| byte(writer, round, at)).collect()
}

/// One file, and how much of it was written.
struct Log {
    writer: u64,
    round: u64,
    file: Arc<dyn File>,
    written: AtomicU64,
}

impl Log {
    fn new(disk: &Disk, writer: u64, round: u64) -> Self {
        let file = disk.create(&format!("{writer}-{round}"), b"");
        file.allocate(FILE_BYTES).unwrap();
        Self { writer, round, file, written: AtomicU64::new(0) }
    }

    fn write(&self) {
        let mut mapping = self.file.map(FILE_BYTES as usize).unwrap();
        let mut at = 0;
        while at < FILE_BYTES {
            let len = (1 + at % LONGEST_RECORD).min(FILE_BYTES - at);
            mapping.write(at as usize, &bytes(self.writer, self.round, at, len));
            at += len;
            self.written.store(at, Ordering::Release);
            if at % 1024 < len {
                self.file.start_writeback(0, at);
            }
        }
    }

    /// Everything announced is there, and nothing else is but zeroes. Returns whether all is.
    fn check(&self, step: u64) -> bool {
        let written = self.written.load(Ordering::Acquire);
        let start = (step * 4_099) % (written + 1);
        let mut found = vec![0; (written - start).min(8_192) as usize];
        self.file.read_exact_at(&mut found, start).unwrap();
        let expected = bytes(self.writer, self.round, start, found.len() as u64);
        assert!(found == expected, "writer {} round {} at {start}", self.writer, self.round);
        written == FILE_BYTES
    }
}

fn stress(disk: &Disk, round: u64) {
    let logs: Vec<Log> = (0..WRITERS).map(|writer| Log::new(disk, writer, round)).collect();
    std::thread::scope(|scope| {
        for log in &logs {
            scope.spawn(|| log.write());
        }
        for reader in 0..READERS {
            let logs = &logs;
            scope.spawn(move || {
                let mut step = reader;
                while !logs.iter().map(|log| log.check(step)).fold(true, |all, done| all & done) {
                    step += READERS;
                }
            });
        }
    });
    for log in logs {
        // The mapping is gone; what went through it is not.
        log.file.sync().unwrap();
        let path = disk.path(&format!("{}-{}", log.writer, log.round));
        let mut found = vec![0; FILE_BYTES as usize];
        disk.fs.open(&path).unwrap().read_exact_at(&mut found, 0).unwrap();
        assert!(found == bytes(log.writer, log.round, 0, FILE_BYTES), "after all");
    }
}

#[test]
#[cfg_attr(miri, ignore = "miri knows no shared mappings")]
fn readers_see_what_was_written_through_mappings() {
    for disk in every_disk().into_iter().filter(|disk| disk.can_map) {
        let rounds = if disk.name == "standard" { ROUNDS } else { 1 };
        (0..rounds).for_each(|round| stress(&disk, round));
    }
}
