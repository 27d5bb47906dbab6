//! The mapped writer on a real file system, from many threads, through many segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium_base::sync::Mutex;
use alluvium_base::{FileNumber, Fs, Seq, StdFs};
use alluvium_wal::{WalMode, WalOptions};

use crate::log::{Found, Log};

#[test]
fn threads_that_append_sync_and_release_lose_nothing() {
    const THREADS: u64 = 4;
    const RECORDS: u64 = 4_000;
    for mode in [WalMode::Auto, WalMode::Buffered] {
        let folder = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(StdFs);
        let options = WalOptions { segment_size: 256 << 10, mode, create_ahead: true };
        let (log, _) = Log::open_in(&fs, folder.path(), options, FileNumber(0)).unwrap();
        let wal = log.wal.clone();
        let log = Mutex::new(log);
        let released = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (log, wal, released) = (&log, &wal, &released);
                scope.spawn(move || {
                    for n in 0..RECORDS / THREADS {
                        let (end, last) = {
                            let mut log = log.lock();
                            let len = (n * 37 + thread) % 1000;
                            (log.append(len as usize).unwrap(), log.last)
                        };
                        if n % 50 == thread {
                            wal.sync_to(end).unwrap();
                            assert!(wal.synced() >= end);
                        }
                        if n % 300 == 299 {
                            let flushed = last / 2;
                            released.fetch_max(flushed, Ordering::Relaxed);
                            wal.release(wal.first_needed(Seq::new(flushed))).unwrap();
                        }
                    }
                });
            }
        });
        drop((log, wal));
        let first = released.into_inner() + 1;
        let found = Found::read(&*fs, folder.path(), FileNumber(0)).unwrap();
        assert_eq!(found.check(first, RECORDS), RECORDS);
        assert_eq!(found.replayed.torn, None);
        let (mut log, found) = Log::open_in(&fs, folder.path(), options, FileNumber(0)).unwrap();
        assert_eq!(found.check(first, RECORDS), RECORDS);
        log.append(100).unwrap();
        log.sync().unwrap();
        let found = Found::read(&*fs, folder.path(), FileNumber(0)).unwrap();
        assert_eq!(found.check(first, RECORDS + 1), RECORDS + 1);
    }
}
