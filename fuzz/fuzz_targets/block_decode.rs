//! A data block that may hold anything: parsed, listed, searched, and unpacked in part.
#![no_main]

use alluvium_base::key::compare;
use alluvium_base::{Bytes, Seq};
use alluvium_fuzz::memory::Budget;
use alluvium_table::fuzzing::{ParsedBlock, find_in_part, pack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    Budget::DECODER.bound(data.len(), || {
        let _found_or_refused = find_in_part(data, 2 * data.len(), data, Seq::MAX);
        let Ok(block) = ParsedBlock::parse(Bytes::copy_from_slice(data)) else { return };
        let entries = block.entries();
        let held: usize = entries.iter().map(|(key, entry)| key.len() + entry.value.len()).sum();
        assert!(!entries.is_empty() && held < data.len(), "entries lie side by side in the block");
        let is_sorted = entries
            .windows(2)
            .all(|pair| compare(&pair[0].0, pair[0].1.seq, &pair[1].0, pair[1].1.seq).is_lt());
        let is_good = is_sorted && block.has_true_tags();
        for (index, (key, entry)) in (0..).zip(&entries) {
            let found = block.find(key, entry.seq);
            let before = block.count_before(key, entry.seq);
            assert!(found.is_none_or(|found| found.seq <= entry.seq));
            if is_good {
                assert_eq!(block.find(key, entry.seq).as_ref(), Some(entry));
                assert_eq!(before, index);
            }
        }
        if is_good {
            let packed = pack(data).expect("a good block has a tail");
            for (key, entry) in &entries {
                let found = find_in_part(&packed, data.len(), key, entry.seq);
                assert_eq!(found.expect("what was packed").as_ref(), Some(entry));
            }
        }
        let _absent = block.find(data, Seq::MAX);
    });
});
