//! Files crafted to mislead: every checksum is right, what it covers is not.

use alluvium_base::{Error, Fs, InternalIterator, InternalKey, MemFs};

use super::*;
use crate::block::{PartialBlock, tail_len};
use crate::block_builder::BlockBuilder;
use crate::filter::Filter;
use crate::footer::Footer;
use crate::frame::{FrameWriter, MAX_RAW_BYTES, Packing, unpack};
use crate::handle::Handle;
use crate::index::IndexBuilder;
use crate::lz4::SLACK_BYTES;
use crate::options::{Compression, FilterKind};
use crate::properties::Properties;
use crate::{BlockCache, hash_key};

const NUMBER: FileNumber = FileNumber(1);
const PATH: &str = "000001.table";

/// The parts of a table, each of which a test may spoil before all of it is framed and checksummed.
struct Parts {
    /// Raw blocks with the separators behind them.
    blocks: Vec<(Vec<u8>, Vec<u8>)>,
    filter: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
    properties: Properties,
    spoil_footer: fn(&mut Footer),
    spoil_properties: fn(&mut Vec<u8>),
}

fn block_of(keys: &[&str]) -> Vec<u8> {
    let mut builder = BlockBuilder::default();
    let mut raw = Vec::new();
    for key in keys {
        let hash = hash_key(key.as_bytes());
        builder.add(InternalKey::new(key.as_bytes(), Seq::new(5), Kind::Put), tag_of(hash), b"v");
    }
    builder.finish(|bytes| raw.extend_from_slice(bytes));
    raw
}

impl Parts {
    /// A good table with two blocks, `a b` and `c d`.
    fn good() -> Self {
        let mut summary =
            TableSummary::of_first(InternalKey::new(b"a", Seq::new(5), Kind::Put), b"v");
        for key in ["b", "c", "d"] {
            summary.count(InternalKey::new(key.as_bytes(), Seq::new(5), Kind::Put), b"v");
        }
        summary.largest = Bytes::from_static(b"d");
        let options = TableOptions { filter: FilterKind::None, ..TableOptions::default() };
        let keyspace = KeyspaceId::DEFAULT;
        Self {
            blocks: vec![
                (block_of(&["a", "b"]), b"b".to_vec()),
                (block_of(&["c", "d"]), b"d".to_vec()),
            ],
            filter: None,
            index: None,
            properties: Properties { number: NUMBER, keyspace, options, summary },
            spoil_footer: |_| {},
            spoil_properties: |_| {},
        }
    }

    fn open(self) -> Result<Arc<Table>> {
        let mut frames = FrameWriter::new(NUMBER, Compression::Lz4);
        let mut file = Vec::new();
        let mut index = IndexBuilder::new();
        for (raw, separator) in &self.blocks {
            let offset = file.len() as u64;
            frames.append_compressed(&mut file, raw, offset);
            index.add(file.len() as u64 - offset, separator);
        }
        let mut append = |bytes: Option<Vec<u8>>| {
            let offset = file.len() as u64;
            if let Some(bytes) = bytes {
                frames.append(&mut file, &bytes, offset);
            }
            Handle { offset, len: file.len() as u64 - offset }
        };
        let filter = append(self.filter);
        let range_tombstones = append(None);
        let index = append(Some(self.index.unwrap_or(index.finish())));
        let mut properties = self.properties.encode();
        (self.spoil_properties)(&mut properties);
        let properties = append(Some(properties));
        let mut footer = Footer { filter, range_tombstones, index, properties, number: NUMBER };
        (self.spoil_footer)(&mut footer);
        file.extend_from_slice(&footer.encode());
        open(&file)
    }
}

fn open(bytes: &[u8]) -> Result<Arc<Table>> {
    let (fs, path) = (MemFs::new(), Path::new(PATH));
    let file = fs.create(path).expect("memory has room");
    file.write_all_at(bytes, 0).expect("memory has room");
    Table::open(file, path, NUMBER, KeyspaceId::DEFAULT, BlockCache::new(1 << 20))
}

/// Opening, or else reading everything, fails with damage that names the file.
fn assert_refused(parts: Parts, context: &str) {
    let error = match parts.open() {
        Err(error) => error,
        Ok(table) => {
            let verified = table.verify().expect_err(context);
            for key in ["a", "b", "c", "d", "zzz"] {
                let _found = table.get(key.as_bytes(), hash_key(key.as_bytes()), Seq::MAX);
            }
            let mut cursor = table.iter(ReadOptions::default());
            let mut steps = 0;
            let mut walked = cursor.seek_to_first();
            while walked.is_ok() && cursor.is_valid() {
                steps += 1;
                assert!(steps < 1000, "{context}: the cursor does not end");
                walked = cursor.next();
            }
            verified
        }
    };
    let is_damage = matches!(&error, Error::Corrupt(damage) if damage.file == Path::new(PATH));
    assert!(is_damage, "{context}: {error}");
}

#[test]
fn the_crafted_table_is_good_until_it_is_spoiled() {
    let table = Parts::good().open().expect("good");
    table.verify().expect("good");
    assert_eq!(table.block_count(), 2);
    let found = table.get(b"c", hash_key(b"c"), Seq::MAX).expect("good");
    assert_eq!(found.expect("it is there").value, "v");
}

#[test]
fn handles_that_lie_are_refused_before_anything_is_allocated() {
    let lies: [fn(&mut Footer); 9] = [
        |footer| footer.index.len = u64::MAX,
        |footer| footer.index.offset = u64::MAX,
        |footer| footer.index.len += 1,
        |footer| footer.filter.offset -= 1,
        |footer| footer.filter.len = 1 << 40,
        |footer| footer.properties.len = 0,
        |footer| footer.properties.offset = 0,
        |footer| footer.range_tombstones.len = 9,
        |footer| (footer.index.offset, footer.index.len) = (0, footer.properties.offset),
    ];
    for (i, spoil_footer) in lies.into_iter().enumerate() {
        assert_refused(Parts { spoil_footer, ..Parts::good() }, &format!("lie {i}"));
    }
}

#[test]
fn indexes_that_lie_are_refused() {
    let entry = |lens: &[u64], separators: &[&[u8]], count: Option<u32>| {
        let mut index = IndexBuilder::new();
        for (len, separator) in lens.iter().zip(separators) {
            index.add(*len, separator);
        }
        let mut bytes = index.finish();
        if let Some(count) = count {
            bytes[..4].copy_from_slice(&count.to_le_bytes());
        }
        bytes
    };
    let whole = Parts::good();
    let mut frames = FrameWriter::new(NUMBER, Compression::Lz4);
    let mut data = Vec::new();
    frames.append_compressed(&mut data, &whole.blocks[0].0, 0);
    let first = data.len() as u64;
    let both = 2 * first;
    for (context, index) in [
        ("no entries", entry(&[], &[], None)),
        ("a count beyond the block", entry(&[first, first], &[b"b", b"d"], Some(u32::MAX))),
        ("a count below the entries", entry(&[first, first], &[b"b", b"d"], Some(1))),
        ("one long block", entry(&[both], &[b"d"], None)),
        ("a block beyond the file", entry(&[u64::MAX], &[b"d"], None)),
        ("sums that wrap", entry(&[u64::MAX, both + 1], &[b"b", b"d"], None)),
        ("a block without room", entry(&[5, both - 5], &[b"b", b"d"], None)),
        ("separators that descend", entry(&[first, first], &[b"e", b"d"], None)),
        ("a separator too small", entry(&[first, first], &[b"a", b"d"], None)),
        ("a separator too large", entry(&[first, first], &[b"c", b"d"], None)),
        ("another last separator", entry(&[first, first], &[b"b", b"e"], None)),
        ("cut inside a block", entry(&[first + 3, first - 3], &[b"b", b"d"], None)),
        ("nothing", Vec::new()),
    ] {
        assert_refused(Parts { index: Some(index), ..Parts::good() }, context);
    }
}

#[test]
fn blocks_that_lie_are_refused() {
    let good = Parts::good().blocks;
    for (context, block) in [
        ("out of order", block_of(&["b", "a"])),
        ("twice the same", block_of(&["a", "a"])),
        ("beyond the separator", block_of(&["a", "bb"])),
        ("no block", b"no block at all".to_vec()),
        ("empty", Vec::new()),
        ("a wrong tag", {
            let mut raw = block_of(&["a", "b"]);
            let tags = raw.len() - 6;
            raw[tags] ^= 1;
            raw
        }),
        ("other entries than counted", block_of(&["a"])),
    ] {
        let blocks = vec![(block, good[0].1.clone()), good[1].clone()];
        assert_refused(Parts { blocks, ..Parts::good() }, context);
    }
}

#[test]
fn properties_that_lie_are_refused() {
    let lies: [fn(&mut Vec<u8>); 8] = [
        |bytes| bytes[24] = 9,
        |bytes| bytes[32] = 1,
        |bytes| bytes[56] = 1,
        |bytes| bytes[64] = 6,
        |bytes| bytes[71] = 0xff,
        |bytes| bytes[17] = 1,
        |bytes| bytes[96] = 0x7f,
        |bytes| bytes.truncate(97),
    ];
    for (i, spoil_properties) in lies.into_iter().enumerate() {
        assert_refused(Parts { spoil_properties, ..Parts::good() }, &format!("lie {i}"));
    }
}

#[test]
fn a_filter_that_denies_a_key_is_found_by_verify() {
    let mut parts = Parts::good();
    let kind = FilterKind::Blocked { bits_per_key: 10 };
    parts.properties.options.filter = kind;
    parts.filter = Filter::build(kind, &[hash_key(b"a")].into_iter().collect());
    assert_refused(parts, "a filter of one key");
}

/// A frame at offset 0 with a good checksum over anything.
fn sealed(payload: &[u8], tag: u8, raw: u32) -> Vec<u8> {
    let mut frame = [payload, &[tag], &raw.to_le_bytes()].concat();
    let crc = alluvium_base::checksum::Checksum::new()
        .with(&frame)
        .with(&0u64.to_le_bytes())
        .with(&NUMBER.0.to_le_bytes())
        .finish();
    frame.extend_from_slice(&crc.to_le_bytes());
    frame
}

/// A block that compresses well: entries, and behind them the tail.
fn roomy_block() -> (Vec<u8>, Vec<u8>) {
    let mut builder = BlockBuilder::default();
    for key in ["a", "b", "c"] {
        let hash = hash_key(key.as_bytes());
        let key = InternalKey::new(key.as_bytes(), Seq::new(5), Kind::Put);
        builder.add(key, tag_of(hash), &[7; 100]);
    }
    let mut raw = Vec::new();
    builder.finish(|bytes| raw.extend_from_slice(bytes));
    let tail = raw.split_off(raw.len() - tail_len(&raw, raw.len()).expect("a good block"));
    (raw, tail)
}

/// The declared length is held against what LZ4 can do before memory is taken for it.
#[test]
fn a_block_cannot_claim_more_than_it_can_hold() {
    let (entries, tail) = roomy_block();
    let packed = lz4_flex::block::compress(&entries);
    let apart = [&packed[..], &tail].concat();
    let whole = lz4_flex::block::compress(&[&entries[..], &tail].concat());
    let raw = (entries.len() + tail.len()) as u32;
    for (payload, packing) in [(whole, Packing::Whole), (apart, Packing::Entries)] {
        let unpack = |raw| unpack(&sealed(&payload, packing as u8, raw), 0, NUMBER);
        assert!(unpack(raw).is_ok(), "{packing:?}");
        for lie in [MAX_RAW_BYTES as u32 + 1, u32::MAX, 10_000, raw + 1, raw - 1, 1, 0] {
            let refused = unpack(lie).expect_err("a lie");
            assert!(!refused.contains("checksum"), "{refused}");
        }
    }
    assert!(unpack(&sealed(&tail, Packing::Entries as u8, raw), 0, NUMBER).is_err());
    assert!(unpack(&sealed(&[], Packing::Entries as u8, raw), 0, NUMBER).is_err());
    assert!(unpack(&sealed(&tail, 3, raw), 0, NUMBER).is_err(), "an unknown packing");
}

/// Lookups that unpack a part of a block believe nothing that its tail says.
#[test]
fn a_partial_block_with_a_tail_that_lies_is_refused() {
    let (entries, tail) = roomy_block();
    let packed = lz4_flex::block::compress(&entries);
    let find = |packed: &[u8], tail: &[u8], key: &str| {
        let mut room = vec![0; entries.len() + SLACK_BYTES];
        let partial = PartialBlock::new(packed, entries.len(), tail);
        let tag = tag_of(hash_key(key.as_bytes()));
        partial.find(&mut room, key.as_bytes(), tag, Seq::MAX)
    };
    for key in ["a", "b", "c"] {
        assert!(find(&packed, &tail, key).is_ok_and(|found| found.is_some()));
        assert!(find(&packed[..packed.len() / 2], &tail, "c").is_err(), "cut");
    }
    assert!(find(&packed, &tail, "d").is_ok_and(|found| found.is_none()));
    // Three offsets of two bytes, of which the lookup of "b" needs the second and the third.
    for (at, lie) in [(2, 0), (2, 1), (2, 0xffff), (4, 0), (4, 1), (4, 0xffff)] {
        let mut tail = tail.clone();
        tail[at..at + 2].copy_from_slice(&u16::to_le_bytes(lie));
        assert!(find(&packed, &tail, "b").is_err(), "{lie} at {at}");
    }
    // An entry that is longer than its place.
    let mut lying = entries.clone();
    lying[2] += 1;
    assert!(find(&lz4_flex::block::compress(&lying), &tail, "a").is_err());
}
