//! Torn tails are cut; damage before the watermark is an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium_base::{Error, FileName, FileNumber, Fs, MemFs};
use alluvium_wal::{KnownSegments, TornTail};

use crate::log::{DIR, Found, Log, SMALL};
use crate::settle::copy_of;

fn segment(number: u64) -> PathBuf {
    FileName::Wal(FileNumber(number)).in_dir(DIR.as_ref())
}

/// A log of three records in one segment, and the offset of the last one.
fn three_records() -> (Arc<dyn Fs>, u64, u64) {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    log.append(100).unwrap();
    log.append(0).unwrap();
    let offset = log.wal.segments()[0].bytes;
    log.append(61).unwrap();
    let end = log.wal.segments()[0].bytes;
    (fs, offset, end)
}

#[test]
fn a_last_record_torn_at_any_byte_is_dropped_and_writing_goes_on() {
    let (_, offset, end) = three_records();
    for cut in offset..end {
        for reserved in [1024, 4096] {
            let (fs, ..) = three_records();
            let file = fs.open_writable(&segment(1)).unwrap();
            file.set_len(cut).unwrap();
            assert!(matches!(Found::in_dir(&*fs), Err(Error::Corrupt(_))), "cut at {cut}");
            file.set_len(reserved).unwrap();
            // The last bytes of the last record are padding, which nobody misses.
            let is_whole = cut >= offset + 48 + 61;
            let kept = if is_whole { 3 } else { 2 };
            let found = Found::in_dir(&*fs).unwrap();
            assert_eq!(found.check(1, kept), kept, "cut at {cut}");
            let torn = (!is_whole && cut > offset).then_some(offset);
            assert_eq!(found.replayed.torn.map(|torn| torn.offset), torn, "cut at {cut}");

            let (mut log, _) = Log::open(&fs, SMALL).unwrap();
            log.append(33).unwrap();
            let found = Found::in_dir(&*fs).unwrap();
            assert_eq!(found.check(1, kept + 1), kept + 1, "cut at {cut}");
            assert_eq!(found.replayed.torn, None);
        }
    }
}

#[test]
fn the_report_of_a_torn_tail_says_where_and_how_much() {
    let (fs, offset, _) = three_records();
    let file = fs.open_writable(&segment(1)).unwrap();
    file.write_all_at(&[0xff], offset + 48).unwrap();
    let torn = Found::in_dir(&*fs).unwrap().replayed.torn;
    assert_eq!(torn, Some(TornTail { segment: FileNumber(1), offset, dropped_bytes: 48 + 61 }));
}

#[test]
fn damage_before_a_later_watermark_is_an_error_that_names_the_place() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    log.append(100).unwrap();
    let offset = log.wal.segments()[0].bytes;
    log.append(100).unwrap();
    log.sync().unwrap();
    let file = fs.open_writable(&segment(1)).unwrap();
    file.write_all_at(b"?", offset + 50).unwrap();
    let error = Found::in_dir(&*fs).unwrap_err();
    let Error::Corrupt(damage) = error else { panic!("{error}") };
    assert_eq!((damage.file, damage.offset), (segment(1), offset));
}

#[test]
fn a_hole_that_loses_a_whole_synced_record_is_damage() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    let offset = log.wal.segments()[0].bytes;
    log.append(200).unwrap();
    log.sync().unwrap();
    let file = fs.open_writable(&segment(1)).unwrap();
    file.write_all_at(&[0; 248], offset).unwrap();
    assert!(matches!(Found::in_dir(&*fs), Err(Error::Corrupt(_))));
}

#[test]
fn a_hole_before_records_that_were_never_synced_drops_them_and_later_segments() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    log.append(200).unwrap();
    log.sync().unwrap();
    let segment_before = log.wal.segments()[0];
    for _ in 0..12 {
        log.append(200).unwrap();
    }
    assert!(log.wal.segments().len() >= 3);
    let file = fs.open_writable(&segment(1)).unwrap();
    file.write_all_at(&[0; 8], segment_before.bytes).unwrap();
    let found = Found::in_dir(&*fs).unwrap();
    assert_eq!(found.check(1, 1), 1);
    let torn = found.replayed.torn.expect("a torn tail");
    assert_eq!((torn.segment, torn.offset), (FileNumber(1), segment_before.bytes));
    assert!(torn.dropped_bytes > 12 * 200);

    let (log, _) = Log::open(&fs, SMALL).unwrap();
    let numbers: Vec<_> = log.wal.segments().iter().map(|segment| segment.number.0).collect();
    assert_eq!(numbers.first(), Some(&1), "and only the new one follows: {numbers:?}");
    assert_eq!(fs.list(DIR.as_ref()).unwrap().len(), 2);
}

#[test]
fn a_missing_middle_segment_is_damage_and_a_missing_first_one_is_not() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    while log.wal.segments().len() < 4 {
        log.append(300).unwrap();
    }
    let segments = log.wal.segments();
    fs.remove(&segment(segments[0].number.0)).unwrap();
    let found = Found::in_dir(&*fs).unwrap();
    found.check(segments[1].first_seq.get(), log.last);
    fs.remove(&segment(segments[2].number.0)).unwrap();
    let error = Found::in_dir(&*fs).unwrap_err();
    assert!(error.to_string().contains(&segments[2].number.to_string()), "{error}");
    assert!(matches!(error, Error::Corrupt(_)));
}

#[test]
fn an_unsealed_segment_before_a_used_one_is_never_read_past() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    while log.wal.segments().len() < 2 {
        log.append(300).unwrap();
    }
    // The sealed mark is lost, with nothing ever synced: all behind it is dropped.
    let sealed = log.wal.segments()[0];
    let file = fs.open_writable(&segment(1)).unwrap();
    file.write_all_at(&[0; 48], sealed.bytes - 48).unwrap();
    let found = Found::in_dir(&*fs).unwrap();
    assert_eq!(found.check(1, sealed.last_seq.get()), sealed.last_seq.get());
    assert!(found.replayed.torn.is_some());

    // With a sync behind it, it is damage.
    log.sync().unwrap();
    log.append(10).unwrap();
    assert!(matches!(Found::in_dir(&*fs), Err(Error::Corrupt(_))));
}

/// What a header, a sealed mark and the manifest say of the log's end.
#[test]
fn a_log_that_lost_its_end_is_damaged_wherever_it_was_cut() {
    let whole: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&whole, SMALL).unwrap();
    while log.wal.segments().len() < 3 {
        log.append(300).unwrap();
    }
    let segments = log.wal.segments();
    let known = log.wal.active();
    assert_eq!(known, segments[2].number);
    let replay = |fs: &dyn Fs, active| {
        let known = KnownSegments { active, ..KnownSegments::default() };
        alluvium_wal::replay(fs, Path::new(DIR), known, &mut |_, _, _| Ok(()))
    };
    assert!(replay(&*whole, Some(known)).is_ok());
    for info in &segments {
        let path = segment(info.number.0);
        let len = whole.open(&path).unwrap().len().unwrap();
        for cut in 0..len {
            let fs = copy_of(&whole);
            fs.open_writable(&path).unwrap().set_len(cut).unwrap();
            let cut_short = replay(&*fs, Some(known));
            // What stands behind a sealed mark is not part of the log.
            let is_whole = info.number != known && cut >= info.bytes;
            assert_eq!(cut_short.is_ok(), is_whole, "{path:?} cut at {cut}");
        }
        let fs = copy_of(&whole);
        fs.remove(&path).unwrap();
        // That the first ones are gone is not for the log to tell.
        assert_eq!(replay(&*fs, Some(known)).is_ok(), info.number == segments[0].number);
    }
    // The newest is named by the mark before it as well.
    let fs = copy_of(&whole);
    fs.remove(&segment(known.0)).unwrap();
    assert!(replay(&*fs, None).is_err());
}
