//! One record appended to the log, as both kinds of writer do it; and one made durable.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::checksum::crc32;
use alluvium_base::{Bytes, FileNumber, FileNumbers, Seq, StdFs};
use alluvium_benches::{criterion, record};
use alluvium_testkit::SeededRandom;
use alluvium_wal::{EarlierSegments, Wal, WalConfig, WalMode, WalOptions, WalWriter, start};
use criterion::{Criterion, Throughput};

/// A log that lets go of what is behind it, so that a run takes no more than a few segments.
struct Log {
    writer: WalWriter,
    wal: Arc<Wal>,
    seq: Seq,
    released_at_bytes: u64,
}

const SEGMENT_BYTES: u64 = 16 << 20;
const DISK: &str = "the disk works and has room";

impl Log {
    fn new(dir: &Path, mode: WalMode) -> Self {
        let options = WalOptions { segment_size: SEGMENT_BYTES, mode, ..WalOptions::default() };
        let config = WalConfig {
            fs: Arc::new(StdFs),
            dir: dir.to_owned(),
            numbers: Arc::new(FileNumbers::starting_at(FileNumber(1))),
            options,
            earlier: EarlierSegments::default(),
        };
        let (writer, wal) = start(config).expect(DISK);
        Self { writer, wal, seq: Seq::ZERO, released_at_bytes: 0 }
    }

    fn append(&mut self, payload: &Bytes) {
        self.seq = self.seq.next();
        self.writer.append(self.seq, self.seq, payload, crc32(payload)).expect(DISK);
        if self.writer.end().0 > self.released_at_bytes + 2 * SEGMENT_BYTES {
            self.released_at_bytes = self.writer.end().0;
            self.wal.release(self.wal.first_needed(self.seq)).expect(DISK);
        }
    }
}

fn measure(criterion: &mut Criterion, name: &str, mode: WalMode) {
    let dir = tempfile::tempdir().expect(DISK);
    let mut log = Log::new(dir.path(), mode);
    let payload = record(&mut SeededRandom::new(1));
    let mut group = criterion.benchmark_group(format!("wal/{name}"));
    group.throughput(Throughput::Elements(1));
    group.bench_function("append", |bencher| bencher.iter(|| log.append(&payload)));
    group.bench_function("append and sync", |bencher| {
        bencher.iter(|| {
            log.append(&payload);
            log.wal.sync_to(log.wal.written()).expect(DISK);
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = criterion();
    measure(&mut criterion, "mapped", WalMode::Mapped);
    measure(&mut criterion, "buffered", WalMode::Buffered);
    criterion.final_summary();
}
