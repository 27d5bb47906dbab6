//! Every bit flipped, every length cut: the same state or an error that names the file.

use std::sync::Arc;

use alluvium_base::fs::read_file;
use alluvium_base::{ErrorKind, FileName, FileNumber, Fs, MemFs, Result};
use alluvium_manifest::{Manifest, REWRITE_MIN_BYTES, State};

use crate::database::{closed, dir};

fn with(name: FileName, bytes: &[u8], others: &MemFs) -> Arc<MemFs> {
    let fs = MemFs::new();
    for other in others.list(dir()).unwrap() {
        let content = read_file(others, &dir().join(&other), u64::MAX).unwrap();
        fs.create(&dir().join(&other)).unwrap().write_all_at(&content, 0).unwrap();
    }
    fs.create(&name.in_dir(dir())).unwrap().write_all_at(bytes, 0).unwrap();
    Arc::new(fs)
}

fn recover(name: FileName, bytes: &[u8], others: &MemFs) -> Result<State> {
    Manifest::recover(with(name, bytes, others), dir()).map(|recovered| recovered.state)
}

/// Not even the last record may vanish: a watermark behind it tells that it was durable.
#[test]
fn no_flipped_bit_of_a_manifest_goes_unnoticed() {
    let (fs, state) = closed();
    let name = FileName::Manifest(FileNumber(1));
    let bytes = read_file(&*fs, &name.in_dir(dir()), 1 << 21).unwrap();
    // Behind what is used stands what is reserved: zeroes, of which a few are enough.
    let used = Manifest::recover(fs.clone(), dir()).unwrap().valid_len as usize;
    assert_eq!(bytes.len() as u64, REWRITE_MIN_BYTES);
    let mut refused = 0;
    for bit in 0..(used + 64) * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match recover(name, &flipped, &fs) {
            Ok(found) => assert_eq!(found, state, "bit {bit}"),
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
                assert!(error.to_string().contains("MANIFEST-000001"), "bit {bit}: {error}");
            }
        }
    }
    // What may rot unnoticed is the last watermark, which nothing depends on, and padding.
    assert!(refused > used * 7, "{refused} of {} bits refused", used * 8);
}

#[test]
fn a_cut_manifest_is_an_error() {
    let (fs, _) = closed();
    let name = FileName::Manifest(FileNumber(1));
    let bytes = read_file(&*fs, &name.in_dir(dir()), 1 << 21).unwrap();
    let used = Manifest::recover(fs.clone(), dir()).unwrap().valid_len as usize;
    let reserved = (used..bytes.len()).step_by(9973).chain([bytes.len() - 1]);
    for length in (0..used).chain(reserved) {
        let error = recover(name, &bytes[..length], &fs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length} bytes: {error}");
        assert!(error.to_string().contains("MANIFEST-000001"), "{error}");
    }
}

#[test]
fn no_flipped_bit_and_no_cut_of_current_goes_unnoticed() {
    let (fs, state) = closed();
    let name = FileName::Current;
    let bytes = read_file(&*fs, &name.in_dir(dir()), 100).unwrap();
    let flips = (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    let cuts = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    let long = [bytes.clone(), vec![b'\n'; 1000]].concat();
    for damaged in flips.chain(cuts).chain([long]) {
        let error = recover(name, &damaged, &fs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damaged:?}: {error}");
        assert!(error.to_string().contains("CURRENT"), "{error}");
    }
    assert_eq!(recover(name, &bytes, &fs).unwrap(), state);
}
