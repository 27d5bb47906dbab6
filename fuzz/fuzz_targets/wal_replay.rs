//! Log segments that may hold anything, and good ones with some bytes changed or after a power cut,
//! mapped and buffered: replayed, renewed, settled, replayed again, and written to.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use alluvium_base::checksum::crc32;
use alluvium_base::{Bytes, FileName, FileNumber, FileNumbers, Fs, MemFs, Result, Seq};
use alluvium_fuzz::input::{Input, Mode};
use alluvium_fuzz::memory::Budget;
use alluvium_fuzz::{log_bytes, samples};
use alluvium_testkit::{SimFs, Survival};
use alluvium_wal::{
    EarlierSegments, KnownSegments, Replayed, WalConfig, WalMode, WalOptions, renew, replay,
    settle, start,
};
use libfuzzer_sys::fuzz_target;

const MEMORY: &str = "memory has no way to fail";
const DIR: &str = "/db";

/// The windows of a few files, and a log of 32 records for an input of as many bytes.
const BUDGET: Budget = Budget { fixed_bytes: 2 << 20, bytes_per_byte: 256 };

/// First sequence and payload of each record.
type Records = Vec<(Seq, Bytes)>;

fn write(fs: &dyn Fs, number: u64, bytes: &[u8]) {
    let path = FileName::Wal(FileNumber(number)).in_dir(Path::new(DIR));
    fs.create(&path).expect(MEMORY).write_all_at(bytes, 0).expect(MEMORY);
}

fn read(fs: &dyn Fs) -> Result<(Records, Replayed)> {
    let mut records = Records::new();
    let replayed =
        replay(fs, Path::new(DIR), KnownSegments::default(), &mut |first, payload, _at| {
            records.push((first, payload));
            Ok(())
        })?;
    assert_eq!(replayed.records, records.len() as u64);
    Ok((records, replayed))
}

/// Opens the log for writing behind what it holds, and hands `next` file numbers on.
fn open(fs: &Arc<dyn Fs>, mode: WalMode, earlier: EarlierSegments, next: u64) -> Result<Opened> {
    start(WalConfig {
        fs: Arc::clone(fs),
        dir: DIR.into(),
        numbers: Arc::new(FileNumbers::starting_at(FileNumber(next))),
        options: WalOptions { segment_size: 1 << 10, mode, create_ahead: false },
        earlier,
    })
}

type Opened = (alluvium_wal::WalWriter, Arc<alluvium_wal::Wal>);

/// What a database does after it found this log: the same records must be there ever after.
fn go_on(fs: &Arc<dyn Fs>, mode: WalMode, (records, replayed): (&Records, &Replayed), next: u64) {
    let dir = Path::new(DIR);
    renew(&**fs, dir, replayed).expect("what was replayed can be written again");
    let (again, replayed) = read(&**fs).expect("it is renewed");
    assert!(again == *records, "renewing changed the log");
    let earlier = settle(&**fs, dir, &replayed).expect("what was replayed can be settled");
    let (again, settled) = read(&**fs).expect("it is settled");
    assert!(again == *records && settled.torn.is_none(), "settling changed the log");
    let last = settled.segments.last().map_or(Seq::ZERO, |segment| segment.last_seq);
    if last.get() >= Seq::MAX.get() - 1 {
        return;
    }
    let (mut writer, wal) = open(fs, mode, earlier, next).expect("a settled log can be written to");
    let seq = last.next();
    let end = writer.append(seq, seq, b"new", crc32(b"new")).expect(MEMORY);
    wal.sync_to(end).expect(MEMORY);
    let (again, _) = read(&**fs).expect("nothing was damaged");
    let (new, old) = again.split_last().expect("a record was just written");
    assert!(old == *records && *new == (seq, Bytes::from_static(b"new")));
}

/// One to four files of any content.
fn any_files(input: &mut Input<'_>, is_resealed: bool, flags: u8) {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let count = u64::from(flags & 3) + 1;
    for number in 1..=count {
        let bytes = if number == count { input.rest() } else { input.piece() };
        let mut bytes = bytes.to_vec();
        if is_resealed {
            log_bytes::reseal(&mut bytes, number);
        }
        write(&*fs, number, &bytes);
    }
    if let Ok((records, replayed)) = read(&*fs) {
        go_on(&fs, WalMode::Buffered, (&records, &replayed), count + 1);
    }
}

/// A log written as the input says, and how much of it is durable.
struct Written {
    disk: SimFs,
    mode: WalMode,
    records: Records,
    durable: usize,
    /// Open, as when the power is cut.
    log: Opened,
}

/// Writes up to 31 records, with syncs between them.
fn written_log(input: &mut Input<'_>, mode: WalMode) -> Written {
    let disk = SimFs::new(0);
    disk.create_dir_all(Path::new(DIR)).and_then(|()| disk.sync_dir(Path::new("/"))).expect(MEMORY);
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    let (mut writer, wal) = open(&fs, mode, EarlierSegments::default(), 1).expect(MEMORY);
    let (mut records, mut durable) = (Records::new(), 0);
    for _ in 0..input.byte() % 32 {
        let byte = input.byte();
        if byte.is_multiple_of(8) {
            wal.sync_to(wal.written()).expect(MEMORY);
            durable = records.len();
            continue;
        }
        let seq = Seq::new(records.len() as u64 + 1);
        let payload = Bytes::from(vec![byte; usize::from(byte) * 3]);
        writer.append(seq, seq, &payload, crc32(&payload)).expect(MEMORY);
        records.push((seq, payload));
    }
    Written { disk, mode, records, durable, log: (writer, wal) }
}

/// The power is cut over a log: a prefix is left, with all that was durable.
fn torn_log(input: &mut Input<'_>, mode: WalMode) {
    let written = written_log(input, mode);
    let image = written.disk.crash(Survival::Random(input.word().into()));
    let fs: Arc<dyn Fs> = Arc::new(image);
    let (records, replayed) = read(&*fs).expect("a power cut is no damage");
    assert!(written.records.starts_with(&records), "what was read is no prefix");
    assert!(records.len() >= written.durable, "{} records are left", records.len());
    go_on(&fs, written.mode, (&records, &replayed), 1000);
}

/// A log whose bytes are changed as the input says.
fn damaged_log(input: &mut Input<'_>, mode: WalMode, changes: u8) {
    let Written { disk, records: written, durable, log, .. } = written_log(input, mode);
    let segments = log.1.segments();
    drop(log);
    let fs: Arc<dyn Fs> = Arc::new(disk);
    for _ in 0..changes {
        let segment = &segments[usize::from(input.byte()) % segments.len()];
        let path = FileName::Wal(segment.number).in_dir(Path::new(DIR));
        let file = fs.open_writable(&path).expect(MEMORY);
        let at = u64::from(input.short()) % file.len().expect(MEMORY);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect(MEMORY);
        file.write_all_at(&[byte[0] ^ (input.byte() | 1)], at).expect(MEMORY);
    }
    match read(&*fs) {
        Ok((records, replayed)) => {
            assert!(written.starts_with(&records), "what was read is no prefix");
            // More changes can take the record and all that bears witness to it.
            let least = if changes <= 1 { durable } else { 0 };
            assert!(records.len() >= least, "{} of {least} records are lost", records.len());
            go_on(&fs, mode, (&records, &replayed), 1000);
        }
        Err(error) => assert!(changes > 0, "an untouched log was refused: {error}"),
    }
}

fuzz_target!(init: samples::check_formats(), |data: &[u8]| {
    BUDGET.bound(data.len(), || {
        let mut input = Input::new(data);
        match input.mode() {
            (Mode::Raw, flags) => any_files(&mut input, false, flags),
            (Mode::Resealed, flags) => any_files(&mut input, true, flags),
            (Mode::Assembled, flags) => {
                let mode = if flags & 8 == 0 { WalMode::Buffered } else { WalMode::Mapped };
                match flags & 16 {
                    0 => damaged_log(&mut input, mode, flags & 7),
                    _ => torn_log(&mut input, mode),
                }
            }
        }
    });
});
