//! Settling: idempotent, safe to crash in, and what is written behind it is found.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::{FileName, FileNumber, Fs, MemFs};
use alluvium_testkit::{SimFs, Survival};
use alluvium_wal::{WalMode, WalOptions, seal, settle};

use crate::log::{DIR, Found, Log, SMALL};

/// Two whole segments, a torn one and two behind it; `durable` records at least must survive.
fn torn_log() -> (Arc<dyn Fs>, Found) {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    while log.wal.segments().len() < 5 {
        log.append(150).unwrap();
    }
    let torn = log.wal.segments()[2];
    let path = FileName::Wal(torn.number).in_dir(DIR.as_ref());
    let file = fs.open_writable(&path).unwrap();
    file.write_all_at(b"torn here", torn.bytes - 48 - 100).unwrap();
    let found = Found::in_dir(&*fs).unwrap();
    let last = found.check(1, torn.first_seq.get());
    assert!(last < torn.last_seq.get());
    (fs, found)
}

/// A copy of the folder, as a crash would leave it.
pub(crate) fn copy_of(fs: &Arc<dyn Fs>) -> Arc<dyn Fs> {
    let copy: Arc<dyn Fs> = Arc::new(MemFs::new());
    for name in fs.list(DIR.as_ref()).unwrap() {
        let path = Path::new(DIR).join(name);
        let bytes = alluvium_base::fs::read_file(&**fs, &path, 1 << 20).unwrap();
        copy.create(&path).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    copy
}

/// Opening finds what the first replay found, and what is written then follows it.
#[track_caller]
fn check_goes_on(fs: &Arc<dyn Fs>, expected: &Found) {
    let (mut log, found) = Log::open(fs, SMALL).unwrap();
    assert_eq!(found.records, expected.records);
    for _ in 0..10 {
        log.append(150).unwrap();
    }
    let found = Found::in_dir(&**fs).unwrap();
    assert_eq!(found.check(1, log.last), log.last);
    assert_eq!(found.replayed.torn, None);
}

#[test]
fn after_settling_the_log_is_whole_and_goes_on() {
    let (fs, found) = torn_log();
    settle(&*fs, DIR.as_ref(), &found.replayed).unwrap();
    let again = Found::in_dir(&*fs).unwrap();
    assert_eq!(again.records, found.records);
    assert_eq!(again.replayed.torn, None);
    assert_eq!(again.replayed.segments.len(), 3);
    settle(&*fs, DIR.as_ref(), &again.replayed).unwrap();
    check_goes_on(&fs, &found);
}

#[test]
fn settling_twice_from_one_replay_changes_nothing() {
    let (fs, found) = torn_log();
    settle(&*fs, DIR.as_ref(), &found.replayed).unwrap();
    let after = copy_of(&fs);
    settle(&*fs, DIR.as_ref(), &found.replayed).unwrap();
    for name in fs.list(DIR.as_ref()).unwrap() {
        let path = Path::new(DIR).join(name);
        let read = |fs: &dyn Fs| alluvium_base::fs::read_file(fs, &path, 1 << 20).unwrap();
        assert_eq!(read(&*fs), read(&*after));
    }
    check_goes_on(&fs, &found);
}

#[test]
fn a_crash_between_any_two_steps_loses_nothing() {
    let (fs, found) = torn_log();
    let settled = copy_of(&fs);
    settle(&*settled, DIR.as_ref(), &found.replayed).unwrap();
    let path = |number| FileName::Wal(FileNumber(number)).in_dir(DIR.as_ref());

    // The newest dropped segment is gone, then the other one too.
    for removed in [5, 4] {
        fs.remove(&path(removed)).unwrap();
        check_goes_on(&copy_of(&fs), &found);
    }
    // The mark is there up to some byte, over what was there; once it is whole, the cut may be made.
    let mark = alluvium_base::fs::read_file(&*settled, &path(3), 1 << 20).unwrap();
    let cut = mark.len() as u64 - 48;
    for written in 0..=48 {
        let crashed = copy_of(&fs);
        let file = crashed.open_writable(&path(3)).unwrap();
        file.write_all_at(&mark[cut as usize..][..written], cut).unwrap();
        if written == 48 {
            let crashed = copy_of(&crashed);
            crashed.open_writable(&path(3)).unwrap().set_len(cut + 48).unwrap();
            check_goes_on(&crashed, &found);
        }
        check_goes_on(&crashed, &found);
    }
}

#[test]
fn a_clean_stop_leaves_an_unsealed_segment_that_later_ones_can_follow() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    for generation in 1..=6 {
        let (mut log, found) = Log::open(&fs, SMALL).unwrap();
        assert_eq!(found.replayed.torn, None);
        found.check(1, log.last);
        log.append(20 * generation).unwrap();
        if generation % 2 == 0 {
            log.sync().unwrap();
        }
    }
    let found = Found::in_dir(&*fs).unwrap();
    assert_eq!(found.check(1, 6), 6);
    assert_eq!(found.replayed.segments.len(), 6);
}

#[test]
fn opening_again_and_again_leaves_no_files_behind() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    for _ in 0..5 {
        let (log, found) = Log::open(&fs, SMALL).unwrap();
        assert!(found.records.is_empty() && found.replayed.segments.is_empty());
        assert_eq!(log.wal.segments().len(), 1);
        assert_eq!(fs.list(DIR.as_ref()).unwrap().len(), 1);
    }
}

#[test]
fn an_empty_folder_is_an_empty_log() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let found = Found::in_dir(&*fs).unwrap();
    assert_eq!((found.replayed.segments.len(), found.replayed.torn), (0, None));
    settle(&*fs, DIR.as_ref(), &found.replayed).unwrap();
}

/// What a checkpoint does, recovered segments included.
#[test]
fn a_copy_of_every_segment_is_a_log() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    for generation in 0..6 {
        let (mut log, _) = Log::open(&fs, SMALL).unwrap();
        for _ in 0..generation {
            log.append(300).unwrap();
            let to = format!("/copy {}", log.last);
            let to = Path::new(&to);
            alluvium_wal::copy_segments(&*fs, DIR.as_ref(), to, &log.wal.segments()).unwrap();
            log.sync().unwrap();
            let found = Found::read(&*fs, to, alluvium_base::FileNumber(0)).unwrap();
            assert_eq!(found.check(1, log.last), log.last);
            assert_eq!(found.replayed.torn, None);
        }
    }
}

/// Five records are durable, ten more are only the kernel's; then the process dies and another one
/// seals the log and writes three records behind it.
fn sealed_log(is_mapped: bool) -> (SimFs, Vec<u64>) {
    let disk = SimFs::new(7);
    disk.create_dir_durably(DIR.as_ref());
    disk.set_mapping_supported(is_mapped);
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    // Room for all in one segment, or for three records.
    let mode = if is_mapped { WalMode::Mapped } else { WalMode::Buffered };
    let options = WalOptions { mode, ..SMALL };
    let (mut log, _) = Log::open(&fs, options).unwrap();
    for _ in 0..5 {
        log.append(150).unwrap();
    }
    log.sync().unwrap();
    for _ in 0..10 {
        log.append(150).unwrap();
    }
    drop(log);
    let found = Found::in_dir(&*fs).unwrap();
    assert_eq!(found.check(1, 15), 15);
    let earlier = seal(&*fs, DIR.as_ref(), &found.replayed).unwrap();
    let mut log =
        Log::start_behind(&fs, DIR.as_ref(), options, &found, (earlier, FileNumber(0))).unwrap();
    for _ in 0..3 {
        log.append(150).unwrap();
    }
    let segments = log.wal.segments().iter().map(|segment| segment.number.0).collect();
    drop(log);
    (disk, segments)
}

#[test]
fn what_is_written_behind_a_sealed_log_follows_it() {
    for is_mapped in [false, true] {
        let (disk, segments) = sealed_log(is_mapped);
        let found = Found::in_dir(&disk).unwrap();
        assert_eq!(found.check(1, 18), 18);
        assert_eq!(found.replayed.segments.len(), segments.len());
    }
}

#[test]
fn a_power_cut_behind_a_sealed_log_leaves_a_prefix_and_is_no_damage() {
    for is_mapped in [false, true] {
        let (disk, _) = sealed_log(is_mapped);
        for survival in
            [Survival::None, Survival::All].into_iter().chain((0..400).map(Survival::Random))
        {
            let found = Found::in_dir(&disk.crash(survival));
            let found = found.unwrap_or_else(|error| panic!("{survival:?}: {error}"));
            found.check(1, 5);
        }
    }
}

#[test]
fn a_log_is_not_sealed_where_a_record_stands_after_all() {
    let (fs, found) = torn_log();
    seal(&*fs, DIR.as_ref(), &found.replayed).unwrap();
    // Read once more, the place holds a record: the mark.
    let again = seal(&*fs, DIR.as_ref(), &found.replayed);
    assert!(again.is_err_and(|error| error.to_string().contains("reads differently")));
}
