use std::path::Path;

use alluvium_base::MemFs;

use super::*;
use crate::LogFileWriter;

const PATH: &str = "MANIFEST-000003";
const NUMBER: FileNumber = FileNumber(3);

fn payloads() -> Vec<Vec<u8>> {
    (0..6u8).map(|n| vec![b'a' + n; 20 + 61 * usize::from(n)]).collect()
}

/// A log of a few records, and where each begins and ends.
fn sample() -> (Vec<u8>, Vec<(u64, u64)>) {
    let fs = MemFs::new();
    let path = Path::new(PATH);
    let mut places = Vec::new();
    let mut log = LogFileWriter::create(&fs, path, NUMBER, 0).unwrap();
    for payload in payloads() {
        let start = log.bytes();
        log.append(&payload).unwrap();
        places.push((start, log.bytes()));
    }
    log.sync().unwrap();
    (alluvium_base::fs::read_file(&fs, path, 1 << 20).unwrap(), places)
}

fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, SalvagedLog) {
    let fs = MemFs::new();
    let path = Path::new(PATH);
    fs.create(path).unwrap().write_all_at(bytes, 0).unwrap();
    let mut found = Vec::new();
    let log = salvage_log_file(&fs, path, NUMBER, &mut |record| {
        found.push(record.payload.to_vec());
        Ok(())
    });
    (found, log.unwrap())
}

#[test]
fn a_sound_log_is_read_whole() {
    let (found, log) = read(&sample().0);
    assert_eq!(found, payloads());
    assert!(log.has_header && log.skipped.is_empty() && !log.is_sealed);
}

#[test]
fn a_flipped_byte_costs_the_record_it_is_in_and_no_other() {
    let (sound, places) = sample();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x21;
        let (found, log) = read(&bytes);
        let is_hit = |&(start, end): &(u64, u64)| (start..end).contains(&(at as u64));
        let hit = places.iter().position(is_hit);
        let mut expected = payloads();
        // Padding is under no checksum, and belongs to no record.
        if let Some(hit) = hit
            && found.len() < expected.len()
        {
            expected.remove(hit);
            assert_eq!(log.skipped.len(), 1, "byte {at}");
            let skipped = &log.skipped[0];
            assert_eq!(
                (skipped.offset, skipped.bytes),
                (places[hit].0, places[hit].1 - places[hit].0)
            );
            assert!(!skipped.reaches_end, "byte {at}: the watermark stands behind it");
        }
        assert_eq!(found, expected, "byte {at}");
        assert_eq!(log.has_header, at >= 64, "byte {at}");
    }
}

#[test]
fn a_cut_log_keeps_what_is_whole() {
    let (sound, places) = sample();
    for cut in 0..sound.len() {
        let (found, log) = read(&sound[..cut]);
        let whole = places.iter().filter(|(_, end)| *end <= cut as u64).count();
        // The last record's padding may be cut.
        assert!(found.len() == whole || found.len() == whole + 1, "cut at {cut}");
        assert_eq!(found, payloads()[..found.len()]);
        assert!(log.skipped.iter().all(|skipped| skipped.reaches_end));
    }
}
