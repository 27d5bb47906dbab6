//! Segments follow one another, large records get room, old segments go.

use std::sync::Arc;

use alluvium_base::{Error, FileNumber, Fs, MemFs, Seq};
use alluvium_testkit::SimFs;
use alluvium_wal::{MAX_PAYLOAD_BYTES, SegmentInfo, WalMode, WalOptions};

use crate::log::{DIR, Found, Log, SMALL};

fn disks() -> Vec<(Arc<dyn Fs>, &'static str)> {
    let sim = SimFs::new(1);
    sim.create_dir_durably(DIR.as_ref());
    vec![(Arc::new(MemFs::new()), "buffered"), (Arc::new(sim), "mapped")]
}

#[test]
fn records_of_any_size_are_found_again_in_order() {
    for (fs, mode) in disks() {
        for create_ahead in [false, true] {
            let options = WalOptions { create_ahead, ..SMALL };
            let (mut log, before) = Log::open(&fs, options).unwrap();
            assert_eq!(log.wal.mode(), mode);
            // The first one does not fit the first segment; some exceed any segment.
            for len in [5000, 0, 1, 1023, 1024, 7, 100_000, 600_000, 3, 3, 900, 900, 2] {
                log.append(len).unwrap();
            }
            let segments = log.wal.segments();
            assert!(segments.is_sorted_by(|a, b| a.number < b.number && a.last_seq <= b.last_seq));
            let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
            assert_eq!(log.wal.live_bytes(), bytes);
            let found = Found::in_dir(&*fs).unwrap();
            assert_eq!(found.records.len(), before.records.len() + 13);
            found.check(1, log.last);
            assert_eq!(found.replayed.torn, None);
            // The log's own record of them says the same, but for the mark that settling added.
            let known =
                |segment: &SegmentInfo| (segment.number, segment.first_seq, segment.last_seq);
            let read = found.replayed.segments.iter().map(known);
            assert!(read.eq(segments.iter().map(known)));
        }
    }
}

#[test]
fn a_payload_over_the_limit_is_refused_and_harms_nothing() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    let huge = vec![0; MAX_PAYLOAD_BYTES + 1];
    let refused = log.writer.append(Seq::new(1), Seq::new(1), &huge, 0);
    assert!(matches!(refused, Err(Error::Invalid(_))));
    log.append(3).unwrap();
    log.sync().unwrap();
}

#[test]
fn mapped_mode_is_refused_where_nothing_can_be_mapped() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let options = WalOptions { mode: WalMode::Mapped, ..SMALL };
    assert!(matches!(Log::open(&fs, options), Err(Error::Io { .. })));
    let sim = SimFs::new(1);
    sim.create_dir_durably(DIR.as_ref());
    let fs: Arc<dyn Fs> = Arc::new(sim);
    let options = WalOptions { mode: WalMode::Buffered, ..SMALL };
    assert_eq!(Log::open(&fs, options).unwrap().0.wal.mode(), "buffered");
}

#[test]
fn releasing_removes_what_is_flushed_oldest_first_and_never_the_active_segment() {
    for (fs, _) in disks() {
        let (mut log, _) = Log::open(&fs, SMALL).unwrap();
        while log.wal.segments().len() < 5 {
            log.append(300).unwrap();
        }
        let segments = log.wal.segments();
        assert_eq!(log.wal.release(log.wal.first_needed(Seq::ZERO)).unwrap(), []);
        assert_eq!(
            log.wal.release(log.wal.first_needed(segments[1].last_seq.prev())).unwrap(),
            [segments[0].number]
        );
        let released = log.wal.release(log.wal.first_needed(segments[2].last_seq)).unwrap();
        assert_eq!(released, [segments[1].number, segments[2].number]);
        assert_eq!(log.wal.segments(), segments[3..]);
        assert_eq!(log.wal.live_bytes(), segments[3].bytes + segments[4].bytes);
        assert_eq!(log.wal.release(log.wal.first_needed(Seq::MAX)).unwrap(), [segments[3].number]);
        log.append(10).unwrap();
        log.sync().unwrap();
        let found = Found::in_dir(&*fs).unwrap();
        found.check(segments[4].first_seq.get(), log.last);
        assert_eq!(found.replayed.segments.len(), 1);
    }
}

#[test]
fn recovered_segments_are_counted_and_released_like_others() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    while log.wal.segments().len() < 3 {
        log.append(300).unwrap();
    }
    drop(log);
    let (mut log, found) = Log::open(&fs, SMALL).unwrap();
    let recovered = found.replayed.segments;
    assert_eq!(log.wal.segments()[..3], recovered);
    assert_eq!(log.wal.segments()[3].last_seq, recovered[2].last_seq, "it has no record yet");
    log.append(5).unwrap();
    assert_eq!(log.wal.release(log.wal.first_needed(recovered[2].last_seq)).unwrap().len(), 3);
    assert_eq!(Found::in_dir(&*fs).unwrap().records.len(), 1);
}

#[test]
fn the_next_segment_is_created_ahead_once_the_active_one_is_half_full() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, WalOptions { create_ahead: true, ..SMALL }).unwrap();
    assert_eq!(fs.list(DIR.as_ref()).unwrap().len(), 1);
    log.append(600).unwrap();
    // Dropping joins the thread, which finishes what it was asked for, if it had begun.
    drop(log);
    let found = Found::in_dir(&*fs).unwrap();
    assert!(found.replayed.empty.len() <= 1);
    let (log, _) = Log::open(&fs, SMALL).unwrap();
    assert_eq!(log.wal.segments().len(), 2);
    assert_eq!(fs.list(DIR.as_ref()).unwrap().len(), 2, "the empty one is gone");
    assert_eq!(log.wal.segments()[0].number, FileNumber(1));
}
