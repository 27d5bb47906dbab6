//! The log of one file: the same promises, for one owner who syncs what it appends.

use std::path::Path;

use alluvium_base::{Error, ErrorKind, FileNumber, Fs, MemFs, Result};
use alluvium_testkit::{Fault, FaultPlan, OpClass, SimFs, Survival};
use alluvium_wal::{LogFileWriter, ReplayedFile, replay_file};

use crate::log::payload;

const NUMBER: FileNumber = FileNumber(3);

fn path() -> &'static Path {
    Path::new("/MANIFEST-000003")
}

fn read(fs: &dyn Fs) -> Result<(Vec<Vec<u8>>, ReplayedFile)> {
    let mut records = Vec::new();
    let replayed = replay_file(fs, path(), NUMBER, &mut |payload, _| {
        records.push(payload.to_vec());
        Ok(())
    })?;
    assert_eq!(replayed.records, records.len() as u64);
    Ok((records, replayed))
}

fn expected(count: u64) -> Vec<Vec<u8>> {
    (1..=count).map(|n| payload(n, n as usize * 23)).collect()
}

/// A file of `count` synced records, and whatever `append` adds.
fn file_of(fs: &dyn Fs, count: u64) -> LogFileWriter {
    let mut log = LogFileWriter::create(fs, path(), NUMBER, 0).unwrap();
    for record in expected(count) {
        log.append(&record).unwrap();
        log.sync().unwrap();
    }
    log
}

#[test]
fn records_are_found_again() {
    let fs = MemFs::new();
    let log = file_of(&fs, 4);
    let (records, replayed) = read(&fs).unwrap();
    assert_eq!(records, expected(4));
    assert_eq!((replayed.valid_len, replayed.torn), (log.bytes(), false));
}

#[test]
fn an_unsynced_record_torn_at_any_byte_is_dropped() {
    for count in [0, 3] {
        let mut log = file_of(&MemFs::new(), count);
        let start = log.bytes();
        log.append(&payload(9, 40)).unwrap();
        let end = log.bytes();
        for cut in start..end {
            let fs = MemFs::new();
            let mut log = file_of(&fs, count);
            log.append(&payload(9, 40)).unwrap();
            let file = fs.open_writable(path()).unwrap();
            file.set_len(cut).unwrap();
            file.set_len(end + 100).unwrap();
            let (records, replayed) = read(&fs).unwrap();
            assert_eq!(records, expected(count), "cut at {cut}");
            assert_eq!(replayed.valid_len, start);
        }
    }
}

#[test]
fn a_file_cut_below_what_was_reserved_is_damaged() {
    let reserved = 4096;
    for cut in 64..=reserved {
        let fs = MemFs::new();
        let mut log = LogFileWriter::create(&fs, path(), NUMBER, reserved).unwrap();
        log.append(b"record").unwrap();
        log.sync().unwrap();
        fs.open_writable(path()).unwrap().set_len(cut).unwrap();
        match read(&fs) {
            Ok((records, _)) => assert_eq!((records.len(), cut), (1, reserved)),
            Err(error) => assert_eq!((error.kind(), cut < reserved), (ErrorKind::Corrupt, true)),
        }
    }
}

#[test]
fn no_flipped_bit_loses_a_record() {
    let fs = MemFs::new();
    drop(file_of(&fs, 5));
    let file = fs.open_writable(path()).unwrap();
    let mut refused = 0;
    for bit in 0..file.len().unwrap() * 8 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit / 8).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << (bit % 8))], bit / 8).unwrap();
        match read(&fs) {
            Ok((records, _)) => assert_eq!(records, expected(5), "bit {bit}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}");
                refused += 1;
            }
        }
        file.write_all_at(&byte, bit / 8).unwrap();
    }
    assert!(refused > 2_000, "{refused}");
}

#[test]
fn a_file_under_another_number_is_not_read() {
    let fs = MemFs::new();
    drop(file_of(&fs, 5));
    let other = replay_file(&fs, path(), FileNumber(4), &mut |_, _| panic!("a record"));
    assert!(other.is_err_and(|error| error.kind() == ErrorKind::Corrupt) || other_is_empty(&fs));
}

/// Nothing in it verifies under another number, so it reads as a file without records.
fn other_is_empty(fs: &dyn Fs) -> bool {
    let other = replay_file(fs, path(), FileNumber(4), &mut |_, _| Ok(())).unwrap();
    other.valid_len == 0 && other.torn
}

#[test]
fn the_first_failure_is_final() {
    for (fault, class) in [
        (Fault::SyncFailsOnce, OpClass::Sync),
        (Fault::Enospc, OpClass::Write),
        (Fault::TornWrite, OpClass::Write),
    ] {
        let disk = SimFs::new(5);
        let mut log = file_of(&disk, 2);
        disk.sync_dir(Path::new("/")).unwrap();
        disk.set_faults(FaultPlan::nth(0, fault).only_on(&[class]));
        let failed = log.append(b"x").and_then(|()| log.sync());
        assert!(matches!(failed, Err(Error::Io { .. })), "{fault:?}");
        assert!(matches!(log.append(b"x"), Err(Error::Poisoned { .. })));
        assert!(matches!(log.sync(), Err(Error::Poisoned { .. })));
        for seed in 0..20 {
            let (records, _) = read(&disk.crash(Survival::Random(seed))).unwrap();
            assert_eq!(records[..2], expected(2));
        }
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_synced() {
    for seed in 0..200 {
        let disk = SimFs::new(seed);
        let count = seed % 7;
        let mut log = file_of(&disk, count);
        disk.sync_dir(Path::new("/")).unwrap();
        if count > 0 {
            log.append(&payload(count + 1, (count as usize + 1) * 23)).unwrap();
        } else {
            log.sync().unwrap();
        }
        let after = disk.crash(Survival::Random(seed));
        let (records, _) = read(&after).unwrap();
        assert!(records == expected(count) || records == expected(count + 1), "seed {seed}");
    }
}
