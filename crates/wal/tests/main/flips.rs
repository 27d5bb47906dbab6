//! Every bit of a small log flipped, every length of its files: the same records, an error, or
//! fewer records where none of the missing was durable. Never others, never a panic.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::{ErrorKind, Fs, MemFs};

use crate::log::{DIR, Found, Log, SMALL};

/// What flips did.
#[derive(Debug, Default)]
struct Tally {
    same: u64,
    refused: u64,
    shorter: u64,
}

/// Flips every bit of every file; `durable` records must be there whenever replay succeeds.
fn flip_everything(fs: &Arc<dyn Fs>, last: u64, durable: u64) -> Tally {
    let mut tally = Tally::default();
    for name in fs.list(DIR.as_ref()).unwrap() {
        let file = fs.open_writable(&Path::new(DIR).join(&name)).unwrap();
        for bit in 0..file.len().unwrap() * 8 {
            let mut byte = [0];
            file.read_exact_at(&mut byte, bit / 8).unwrap();
            let flipped = [byte[0] ^ (1 << (bit % 8))];
            file.write_all_at(&flipped, bit / 8).unwrap();
            match Found::in_dir(&**fs) {
                Ok(found) if found.check(1, durable) == last => tally.same += 1,
                Ok(_) => tally.shorter += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}, bit {bit}");
                    tally.refused += 1;
                }
            }
            file.write_all_at(&byte, bit / 8).unwrap();
        }
    }
    assert_eq!(Found::in_dir(&**fs).unwrap().check(1, last), last);
    tally
}

/// Three segments; synced now and then, and at the end or not.
fn three_segments(is_synced: bool) -> (Arc<dyn Fs>, u64, u64) {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    let mut durable = 0;
    for len in [0, 1, 300, 77, 300, 8, 120, 100, 200, 64, 5, 90] {
        log.append(len).unwrap();
        if log.last.is_multiple_of(4) && (is_synced || log.last < 12) {
            log.sync().unwrap();
            durable = log.last;
        }
    }
    assert_eq!(log.wal.segments().len(), 3);
    (fs, log.last, durable)
}

#[test]
fn a_flipped_bit_in_a_synced_log_never_loses_a_record() {
    let (fs, last, durable) = three_segments(true);
    assert_eq!(last, durable);
    let tally = flip_everything(&fs, last, durable);
    assert!(tally.refused > tally.same && tally.shorter == 0, "{tally:?}");
}

#[test]
fn a_flipped_bit_in_an_unsynced_tail_loses_that_tail_at_most() {
    let (fs, last, durable) = three_segments(false);
    assert!(durable < last && durable > 0);
    let tally = flip_everything(&fs, last, durable);
    assert!(tally.refused > 0 && tally.shorter > 0, "{tally:?}");
}

#[test]
fn a_flipped_bit_in_a_settled_log_never_loses_a_record() {
    let (fs, last, _) = three_segments(false);
    let (mut log, _) = Log::open(&fs, SMALL).unwrap();
    flip_everything(&fs, last, last);
    log.append(7).unwrap();
    flip_everything(&fs, last + 1, last);
}

#[test]
fn a_file_cut_at_any_length_gives_a_prefix_or_an_error() {
    let (fs, last, _) = three_segments(true);
    for name in fs.list(DIR.as_ref()).unwrap() {
        let file = fs.open_writable(&Path::new(DIR).join(&name)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for len in (0..bytes.len() as u64).rev() {
            file.set_len(len).unwrap();
            match Found::in_dir(&*fs) {
                Ok(found) => _ = found.check(1, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}, {len} bytes"),
            }
        }
        file.write_all_at(&bytes, 0).unwrap();
    }
    assert_eq!(Found::in_dir(&*fs).unwrap().check(1, last), last);
}
