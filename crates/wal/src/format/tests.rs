//! The bytes are those of `FORMAT.md`, and no others verify.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn header() -> FileHeader {
    let (number, predecessor) = (FileNumber(7), Some(FileNumber(5)));
    FileHeader { role: Role::Segment, number, predecessor, reserved: 1024 }
}

fn found(bytes: &[u8]) -> FoundHeader {
    FileHeader::decode(bytes, Role::Segment, FileNumber(7), Path::new("x")).unwrap()
}

fn record() -> RecordHeader {
    RecordHeader {
        kind: RecordKind::Data,
        len: 3,
        payload_crc: crc32(b"mud"),
        first_seq: Seq::new(41),
        last_seq: Seq::new(42),
        watermark: Place::new(FileNumber(7), 64),
    }
}

const AT: Place = Place::new(FileNumber(7), 128);

/// The bytes between the fences marked `hex` in `FORMAT.md`, comments stripped.
fn documented_bytes() -> Vec<u8> {
    let page = include_str!("../../FORMAT.md");
    let (_, rest) = page.split_once("```hex\n").expect("the page has a dump");
    let (dump, _) = rest.split_once("```").expect("the dump ends");
    let lines = dump.lines().map(|line| line.split_once('#').map_or(line, |(bytes, _)| bytes));
    let words = lines.flat_map(|line| line.split_whitespace().skip(1));
    words.map(|word| u8::from_str_radix(word, 16).expect("two hex digits")).collect()
}

#[test]
fn the_dump_in_the_format_page_is_what_a_writer_writes() {
    let number = FileNumber(7);
    let payload = b"silt and sand";
    let data = RecordHeader {
        kind: RecordKind::Data,
        len: payload.len() as u32,
        payload_crc: crc32(payload),
        first_seq: Seq::new(41),
        last_seq: Seq::new(42),
        watermark: Place::new(number, 64),
    };
    let end = FILE_HEADER_BYTES + record_bytes(payload.len());
    let mut written = header().encode().to_vec();
    written.extend(data.encode(number));
    written.extend(payload);
    written.resize(end as usize, 0);
    let synced = Place::new(number, end);
    written.extend(RecordHeader::bare(RecordKind::Watermark, synced).encode(number));
    written.extend(RecordHeader::sealed(FileNumber(9), synced).encode(number));
    assert_eq!(documented_bytes(), written, "should be\n{}", dump(&written));
}

fn dump(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        write!(out, "{:04x} ", line * 16).unwrap();
        for byte in chunk {
            write!(out, " {byte:02x}").unwrap();
        }
        out.push('\n');
    }
    out
}

#[test]
fn headers_decode_to_what_was_encoded() {
    assert_eq!(found(&header().encode()), FoundHeader::Valid(header()));
    let first = FileHeader { predecessor: None, ..header() };
    assert_eq!(found(&first.encode()), FoundHeader::Valid(first));
    assert_eq!(RecordHeader::decode(&record().encode(AT.file), AT, 1000), Some(record()));
}

#[test]
fn no_bit_of_a_header_can_flip_unnoticed() {
    let (file, record) = (header().encode(), record().encode(AT.file));
    for bit in 0..file.len() * 8 {
        let mut flipped = file;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(found(&flipped), FoundHeader::Damaged, "bit {bit} of the file's header");
    }
    for bit in 0..record.len() * 8 {
        let mut flipped = record;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            RecordHeader::decode(&flipped, AT, 1000),
            None,
            "bit {bit} of a record's header"
        );
    }
}

#[test]
fn a_file_is_refused_under_another_name_or_role() {
    let bytes = header().encode();
    let decode = |role, number| FileHeader::decode(&bytes, role, number, Path::new("x")).unwrap();
    assert_eq!(decode(Role::Single, FileNumber(7)), FoundHeader::Damaged);
    assert_eq!(decode(Role::Segment, FileNumber(8)), FoundHeader::Damaged);
    for len in 0..bytes.len() {
        assert_eq!(found(&bytes[..len]), FoundHeader::Damaged);
    }
}

#[test]
fn the_first_version_is_read_and_says_nothing_of_its_length() {
    let mut bytes = FileHeader { reserved: 0, ..header() }.encode();
    bytes[8] = 1;
    let crc = crc32(&bytes[..HEADER_CRC_OFFSET]);
    bytes[HEADER_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(found(&bytes), FoundHeader::Valid(FileHeader { reserved: 0, ..header() }));
}

#[test]
fn a_sealed_mark_names_the_segment_that_follows() {
    let sealed = RecordHeader::sealed(FileNumber(9), AT);
    let decoded = RecordHeader::decode(&sealed.encode(AT.file), AT, 1000).unwrap();
    assert_eq!(decoded.successor(), Some(FileNumber(9)));
    assert_eq!(RecordHeader::bare(RecordKind::Sealed, AT).successor(), None);
    assert_eq!(record().successor(), None);
}

#[test]
fn a_later_version_is_named() {
    let mut bytes = header().encode();
    bytes[8] = 3;
    let crc = crc32(&bytes[..HEADER_CRC_OFFSET]);
    bytes[HEADER_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
    let error = FileHeader::decode(&bytes, Role::Segment, FileNumber(7), Path::new("x"));
    assert!(matches!(error, Err(Error::Version { found: 3, .. })), "{error:?}");
}

#[test]
fn a_record_verifies_only_in_its_file() {
    let bytes = record().encode(FileNumber(9));
    assert_eq!(RecordHeader::decode(&bytes, AT, 1000), None);
}

#[test]
fn a_record_that_exceeds_its_file_or_the_limit_does_not_verify() {
    let bytes = record().encode(AT.file);
    assert_eq!(RecordHeader::decode(&bytes, AT, 50), None);
    assert_eq!(RecordHeader::decode(&bytes, AT, 51), Some(record()));
    let huge = RecordHeader { len: MAX_PAYLOAD_BYTES as u32 + 1, ..record() };
    assert_eq!(RecordHeader::decode(&huge.encode(AT.file), AT, u64::MAX), None);
}

#[test]
fn a_record_cannot_vouch_for_itself_or_what_follows() {
    let ahead = RecordHeader { watermark: Place::new(AT.file, AT.offset + 8), ..record() };
    assert_eq!(RecordHeader::decode(&ahead.encode(AT.file), AT, 1000), None);
    let before = RecordHeader { watermark: AT, ..record() };
    assert_eq!(RecordHeader::decode(&before.encode(AT.file), AT, 1000), Some(before));
}

proptest! {
    #[test]
    fn random_bytes_are_no_header(bytes: [u8; 32], more: [u8; 16], at: u64, room: u64) {
        let mut header = [0; RECORD_HEADER_BYTES];
        header[..32].copy_from_slice(&bytes);
        header[32..].copy_from_slice(&more);
        prop_assert_eq!(RecordHeader::decode(&header, Place::new(FileNumber(7), at), room), None);
    }
}
