//! Many threads share syncs, and what a sync says is true.

use std::io;
use std::path::Path;
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use alluvium_base::fs::{LockGuard, Mapping};
use alluvium_base::sync::{Condvar, Mutex};
use alluvium_base::{File, FileName, Fs, MemFs};
use alluvium_wal::LogEnd;

use crate::log::{DIR, Found, Log, SMALL};

/// Holds syncs of files back until they are let through, and closing them if it is told to.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    is_closed: bool,
    holds_closing_files: bool,
    waiting: u64,
    syncs: u64,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while state.is_closed {
            self.changed.wait(&mut state);
        }
        state.waiting -= 1;
        state.syncs += 1;
    }

    /// The last who has a file open lets go of it.
    fn pass_closing(&self) {
        let mut state = self.state.lock();
        if state.holds_closing_files {
            state.waiting += 1;
            self.changed.notify_all();
            while state.holds_closing_files {
                self.changed.wait(&mut state);
            }
            state.waiting -= 1;
        }
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
    }

    fn hold_closing_files(&self) {
        self.state.lock().holds_closing_files = true;
    }

    fn open(&self) {
        let mut state = self.state.lock();
        (state.is_closed, state.holds_closing_files) = (false, false);
        self.changed.notify_all();
    }

    fn wait_until_someone_waits(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            self.changed.wait(&mut state);
        }
    }
}

/// A disk whose syncs pass a gate.
#[derive(Debug)]
struct GatedFs {
    inner: MemFs,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    inner: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl GatedFs {
    fn gated(&self, inner: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(GatedFile { inner: inner?, gate: self.gate.clone() }))
    }
}

impl Fs for GatedFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.gated(self.inner.create(path))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.gated(self.inner.open(path))
    }
    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.gated(self.inner.open_writable(path))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.inner.lock(path)
    }
}

impl File for GatedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(data, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner.allocate(len)
    }
    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>> {
        self.inner.map(len)
    }
}

impl Drop for GatedFile {
    fn drop(&mut self) {
        self.gate.pass_closing();
    }
}

fn gated_log(segment_size: u64) -> (Arc<dyn Fs>, Arc<Gate>, Log) {
    let gate = Arc::new(Gate::default());
    let fs: Arc<dyn Fs> = Arc::new(GatedFs { inner: MemFs::new(), gate: gate.clone() });
    let options = alluvium_wal::WalOptions { segment_size, ..SMALL };
    let (log, _) = Log::open(&fs, options).unwrap();
    (fs, gate, log)
}

#[test]
fn threads_that_come_during_a_sync_share_the_next_one() {
    const THREADS: usize = 8;
    let (_fs, gate, mut log) = gated_log(1 << 20);
    let first = log.append(10).unwrap();
    let wal = log.wal.clone();
    gate.close();
    let leader = std::thread::spawn(move || wal.sync_to(first));
    gate.wait_until_someone_waits();

    let wal = log.wal.clone();
    let log = Mutex::new(log);
    let appended = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Appending goes on while the disk is busy.
                let end = log.lock().append(10).unwrap();
                appended.wait();
                wal.sync_to(end).unwrap();
                assert!(wal.synced() >= end);
            });
        }
        appended.wait();
        assert_eq!(wal.synced(), LogEnd::default());
        gate.open();
    });
    leader.join().unwrap().unwrap();
    assert_eq!(wal.sync_count(), 2, "one for the first thread, one for all others");
    assert_eq!(wal.synced(), wal.written());
}

#[test]
fn a_watermark_follows_a_sync_unless_the_next_one_is_waited_for() {
    let (fs, gate, mut log) = gated_log(1 << 20);
    log.append(8).unwrap();
    let bytes = |log: &Log| log.wal.segments()[0].bytes;
    let before = bytes(&log);
    log.sync().unwrap();
    assert!(has_mark(&*fs, &log), "behind the record");
    assert_eq!(bytes(&log), before, "the next record takes its place");
    assert_eq!(log.wal.written(), LogEnd(56), "it is no record that anyone waits for");
    log.sync().unwrap();
    assert_eq!(log.wal.sync_count(), 1, "nothing new to sync");

    // What was appended meanwhile does not say that this sync succeeded.
    let end = log.append(8).unwrap();
    assert!(!has_mark(&*fs, &log));
    let wal = log.wal.clone();
    gate.close();
    let leader = std::thread::spawn(move || wal.sync_to(end));
    gate.wait_until_someone_waits();
    log.append(8).unwrap();
    gate.open();
    leader.join().unwrap().unwrap();
    assert_eq!(bytes(&log), before + 2 * 56);
    assert!(has_mark(&*fs, &log));
}

/// Whether something stands behind the last record of the active segment.
fn has_mark(fs: &dyn Fs, log: &Log) -> bool {
    let active = log.wal.segments().pop().unwrap();
    let path = FileName::Wal(active.number).in_dir(Path::new(DIR));
    let mut mark = [0; 48];
    let file = fs.open(&path).unwrap();
    file.read_exact_at(&mut mark, active.bytes).is_ok() && mark != [0; 48]
}

/// A record that exactly fills what a segment offers leaves room for every mark behind it.
#[test]
fn there_is_always_room_for_the_watermark() {
    for len in 500..1100 {
        let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
        let (mut log, _) = Log::open(&fs, SMALL).unwrap();
        log.append(len).unwrap();
        log.sync().unwrap();
        assert!(has_mark(&*fs, &log), "{len}");
        log.append(500).unwrap();
        assert_eq!(Found::in_dir(&*fs).unwrap().check(1, 2), 2);
    }
}

#[test]
fn a_sync_covers_every_segment_since_the_last_one() {
    let (fs, gate, mut log) = gated_log(1 << 10);
    for _ in 0..8 {
        log.append(400).unwrap();
    }
    let segments = log.wal.segments().len() as u64;
    assert!(segments >= 4);
    let before = gate.state.lock().syncs;
    log.sync().unwrap();
    assert_eq!(gate.state.lock().syncs - before, segments);
    assert_eq!(Found::in_dir(&*fs).unwrap().check(1, 8), 8);
}

#[test]
fn an_end_beyond_the_log_means_all_of_it() {
    let (_fs, _gate, mut log) = gated_log(1 << 20);
    log.wal.sync_to(LogEnd(u64::MAX)).unwrap();
    assert_eq!(log.wal.sync_count(), 0);
    let end = log.append(1).unwrap();
    log.wal.sync_to(LogEnd(u64::MAX)).unwrap();
    assert_eq!((log.wal.synced(), log.wal.sync_count()), (end, 1));
    assert_eq!(log.writer.end(), end);
    assert_eq!(log.wal.appended_bytes(), end.0);
}

/// Writers waited, every half second and four times three milliseconds each, for the system to take
/// back the pages of removed segments: the last handle of each was dropped under the cursor's lock.
#[test]
fn writers_go_on_while_removed_segments_are_closed() {
    let (_fs, gate, mut log) = gated_log(1 << 10);
    for _ in 0..8 {
        log.append(500).unwrap();
    }
    let wal = log.wal.clone();
    assert!(wal.segments().len() > 2);
    gate.hold_closing_files();
    let releasing = std::thread::spawn(move || wal.release(wal.active()));
    gate.wait_until_someone_waits();
    let (tell, told) = mpsc::channel();
    let appending = std::thread::spawn(move || {
        log.append(10).unwrap();
        tell.send(()).unwrap();
        log
    });
    // Not how long it takes, but whether it waits for what nobody lets through.
    let has_appended = told.recv_timeout(Duration::from_mins(1));
    gate.open();
    has_appended.expect("appending waits until a removed file is closed");
    let released = releasing.join().unwrap().unwrap();
    assert!(!released.is_empty());
    drop(appending.join().unwrap());
}
