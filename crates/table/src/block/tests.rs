use proptest::prelude::*;

use alluvium_base::Kind;

use super::entry::short_varint;
use super::*;
use crate::block_builder::BlockBuilder;

fn build(entries: &[(Vec<u8>, u64, Kind, Vec<u8>)]) -> Bytes {
    let mut builder = BlockBuilder::default();
    let mut out = Vec::new();
    for (key, seq, kind, value) in entries {
        let key = InternalKey::new(key, Seq::new(*seq), *kind);
        let expected = builder.cached_len_with(key, value.len());
        builder.add(key, tag_of(crate::hash_key(key.user_key)), value);
        let count = builder.count();
        assert_eq!(builder.len() + most_fences_bytes(count), expected);
    }
    builder.finish(|raw| out.extend_from_slice(raw));
    out.into()
}

fn entries_of_sizes(count: usize, value_bytes: usize) -> Vec<(Vec<u8>, u64, Kind, Vec<u8>)> {
    (0..count)
        .map(|i| (format!("{i:05}").into_bytes(), i as u64, Kind::Put, vec![7; value_bytes]))
        .collect()
}

/// Allocators hand out 5 KiB for a little more than four.
#[test]
fn a_cached_block_takes_no_more_than_was_expected() {
    for key_bytes in [0, 3, 13] {
        let keys =
            (10_000..10_040u32).map(|n| [vec![b'k'; key_bytes], n.to_be_bytes().to_vec()].concat());
        let entries: Vec<_> = keys.map(|key| (key, 7, Kind::Put, vec![1; 90])).collect();
        let block = build(&entries);
        let expected = block.len() + most_fences_bytes(entries.len());
        let cached = Block::parse(block).expect("sound").with_fences();
        let cached_bytes = cached.bytes.len();
        assert!((expected - 20..=expected).contains(&cached_bytes), "{cached_bytes} of {expected}");
    }
}

#[test]
fn lookups_steps_and_seeks_agree_at_both_offset_widths() {
    for (count, value_bytes) in [(1, 0), (7, 1), (9, 100), (300, 127), (300, 300), (20, 20_000)] {
        let entries = entries_of_sizes(count, value_bytes);
        let block = Block::parse(build(&entries)).expect("sound");
        assert_eq!(block.count() as usize, count);
        let fenced = block.clone().with_fences();
        let each = entries.iter().enumerate();
        let each = each.flat_map(|entry| [(&block, entry), (&fenced, entry)]);
        for (block, (i, (key, seq, _, value))) in each {
            let tag = tag_of(crate::hash_key(key));
            let found = block.find(key, tag, Seq::MAX).expect("it is there");
            assert_eq!((block.value(&found), found.seq), (&value[..], Seq::new(*seq)));
            if *seq > 0 {
                assert!(block.find(key, tag, Seq::new(*seq).prev()).is_none(), "not yet written");
            }
            assert_eq!(block.count_before(key, Seq::MAX), i as u32);
            assert_eq!(block.count_before(key, Seq::ZERO), i as u32 + u32::from(*seq > 0));
            assert_eq!(block.user_key(&block.entry(i as u32)), key);
        }
    }
}

#[test]
fn hostile_counts_offsets_and_lengths_are_refused() {
    let good = build(&entries_of_sizes(3, 10)).to_vec();
    assert!(Block::parse(Bytes::from(good.clone())).is_ok());
    for count in [0, 2, 4, u32::MAX, u32::MAX / 3] {
        let mut bad = good.clone();
        let at = bad.len() - COUNT_BYTES;
        bad[at..].copy_from_slice(&count.to_le_bytes());
        assert!(Block::parse(Bytes::from(bad)).is_err(), "count {count}");
    }
    assert!(Block::parse(Bytes::new()).is_err());
}

proptest! {
    #[test]
    fn short_varints_decode_like_the_codec(n: u64, shift in 8u32..64, noise: [u8; 8]) {
        let n = n >> shift;
        let mut bytes = Vec::new();
        alluvium_base::codec::put_varint(&mut bytes, n);
        let len = bytes.len() as u32;
        bytes.extend_from_slice(&noise);
        let word = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
        prop_assert_eq!(short_varint(word), Some((n, len)));
    }

    /// Whatever the keys have in common, short ones and versions of one key included.
    #[test]
    fn a_block_with_fences_is_sought_in_like_one_without(
        same in proptest::collection::vec(any::<u8>(), 0..6),
        keys in proptest::collection::btree_set(proptest::collection::vec(0u8..4, 0..7), 1..60),
        versions in 1u64..4,
        sought in proptest::collection::vec(proptest::collection::vec(0u8..5, 0..8), 0..40),
    ) {
        let key_of = |rest: &Vec<u8>| [&same[..], rest].concat();
        let of_key = |key: &Vec<u8>| {
            let key = key_of(key);
            (0..versions).rev().map(move |seq| (key.clone(), seq, Kind::Put, vec![1]))
        };
        let block = Block::parse(build(&keys.iter().flat_map(of_key).collect::<Vec<_>>()));
        let block = block.expect("sound");
        let fenced = block.clone().with_fences();
        let sought = sought.iter().map(key_of).chain(sought.clone()).chain(keys.iter().map(key_of));
        for key in sought {
            for seq in 0..=versions {
                let seq = Seq::new(seq);
                prop_assert_eq!(fenced.count_before(&key, seq), block.count_before(&key, seq));
            }
        }
    }

    #[test]
    fn any_bytes_parse_without_panic_and_what_parses_can_be_walked(bytes: Vec<u8>) {
        if let Ok(block) = Block::parse(Bytes::from(bytes)) {
            for index in 0..block.count() {
                let entry = block.entry(index);
                let (_, _) = (block.user_key(&entry), block.value(&entry));
            }
        }
    }

    /// Unlike arbitrary bytes, most of these come close to being a block.
    #[test]
    fn a_changed_block_parses_to_something_walkable_or_not_at_all(
        at: prop::sample::Index, to: u8, count in 1usize..20, value_bytes in 0usize..200
    ) {
        let mut bytes = build(&entries_of_sizes(count, value_bytes)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(block) = Block::parse(Bytes::from(bytes)) {
            for index in 0..block.count() {
                let entry = block.entry(index);
                let (_, _) = (block.user_key(&entry), block.value(&entry));
            }
        }
    }
}
