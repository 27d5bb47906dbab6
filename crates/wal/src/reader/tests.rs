//! Reading hostile bytes, and finding witnesses wherever they stand.

use std::path::Path;

use alluvium_base::MemFs;
use proptest::prelude::*;

use super::*;

const NUMBER: FileNumber = FileNumber(7);

fn reader_of(bytes: &[u8]) -> LogReader {
    let fs = MemFs::new();
    let path = Path::new("/log");
    fs.create(path).unwrap().write_all_at(bytes, 0).unwrap();
    LogReader::open(&fs, path.to_owned(), Role::Segment, NUMBER).unwrap()
}

fn header_bytes() -> Vec<u8> {
    FileHeader { role: Role::Segment, number: NUMBER, predecessor: None, reserved: 0 }
        .encode()
        .to_vec()
}

fn watermark_at(offset: u64) -> [u8; RECORD_HEADER_BYTES] {
    let watermark = Place::new(NUMBER, offset);
    RecordHeader::bare(RecordKind::Watermark, watermark).encode(NUMBER)
}

#[test]
fn a_witness_is_found_at_every_aligned_place_around_the_edge_of_a_window() {
    for steps_before in 0..12 {
        let mut bytes = header_bytes();
        let at = FILE_HEADER_BYTES as usize + WINDOW_BYTES - steps_before * ALIGNMENT as usize;
        bytes.resize(at, 0);
        bytes.extend(watermark_at(at as u64));
        let mut behind = Behind::new(Place::new(NUMBER, FILE_HEADER_BYTES));
        reader_of(&bytes).scan(&mut behind).unwrap();
        assert_eq!(behind.witness, Some(Place::new(NUMBER, at as u64)), "{steps_before}");
        assert!(behind.dropped_bytes > 0);
    }
}

#[test]
fn a_watermark_at_the_stop_is_no_witness() {
    let mut bytes = header_bytes();
    bytes.resize(1 << 10, 0);
    bytes.extend(watermark_at(FILE_HEADER_BYTES));
    let mut behind = Behind::new(Place::new(NUMBER, FILE_HEADER_BYTES));
    reader_of(&bytes).scan(&mut behind).unwrap();
    assert_eq!(behind.witness, None);
    assert!(behind.dropped_bytes > 0);
}

#[test]
fn reserved_space_is_nothing() {
    let mut bytes = header_bytes();
    bytes.resize(2 * WINDOW_BYTES + 11, 0);
    let mut behind = Behind::new(Place::new(NUMBER, FILE_HEADER_BYTES));
    reader_of(&bytes).scan(&mut behind).unwrap();
    assert_eq!((behind.witness, behind.dropped_bytes), (None, 0));
}

#[test]
fn the_last_used_byte_is_found_wherever_it_stands() {
    for len in 0..200 {
        assert_eq!(last_used_byte(&vec![0; len]), None);
        for at in 0..len {
            let mut bytes = vec![0; len];
            bytes[at] = 1;
            assert_eq!(last_used_byte(&bytes), Some(at), "{len}");
        }
    }
}

#[test]
fn a_payload_longer_than_a_window_is_read_whole() {
    let payload: Vec<_> = (0..WINDOW_BYTES * 2 + 5).map(|at| at as u8).collect();
    let header = RecordHeader {
        len: payload.len() as u32,
        payload_crc: crc32(&payload),
        ..RecordHeader::bare(RecordKind::Data, Place::default())
    };
    let mut bytes = header_bytes();
    bytes.extend(header.encode(NUMBER));
    bytes.extend(&payload);
    // The file ends without the padding: the record is whole all the same.
    let mut reader = reader_of(&bytes);
    let Step::Data { payload: read, .. } = reader.step().unwrap() else { panic!("a record") };
    assert_eq!(read, payload);
    assert!(matches!(reader.step().unwrap(), Step::Unverified));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for front in [Vec::new(), header_bytes()] {
            let mut reader = reader_of(&[front, bytes.clone()].concat());
            prop_assert!(matches!(reader.step().unwrap(), Step::Unverified));
            let mut behind = Behind::new(reader.place());
            reader.scan_all(&mut behind).unwrap();
            prop_assert_eq!(behind.witness, None);
        }
    }
}
