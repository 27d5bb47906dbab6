//! A filter block that may hold anything, and filters built over hashes that may be anything: no
//! key that went in is ever denied.
#![no_main]

use alluvium_base::Bytes;
use alluvium_fuzz::input::{Input, Mode};
use alluvium_fuzz::memory::Budget;
use alluvium_table::FilterKind;
use alluvium_table::fuzzing::{ask_filter, build_filter};
use libfuzzer_sys::fuzz_target;

const HASHES: [u64; 5] = [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15, 0xffff_ffff_0000_0000];

fn kind(flags: u8, bits: u8) -> FilterKind {
    let bits_per_key = bits % 32 + 1;
    match flags % 3 {
        0 => FilterKind::Blocked { bits_per_key },
        1 => FilterKind::Standard { bits_per_key },
        _ => FilterKind::None,
    }
}

fuzz_target!(|data: &[u8]| {
    Budget::DECODER.bound(data.len(), || {
        let mut input = Input::new(data);
        let (mode, flags) = input.mode();
        let kind = kind(flags, input.byte());
        if mode == Mode::Assembled {
            let words = input.rest().as_chunks::<8>().0;
            let hashes: Vec<u64> =
                words.iter().map(|word| u64::from_le_bytes(*word)).chain([7]).collect();
            let block = build_filter(kind, &hashes).map(Bytes::from);
            let answers = ask_filter(kind, block.as_ref(), &hashes).expect("just built");
            assert!(answers.iter().all(|&may| may), "a key that is there was denied");
            return;
        }
        let block = Bytes::copy_from_slice(input.rest());
        if let Ok(answers) = ask_filter(kind, Some(&block), &HASHES) {
            assert_eq!(answers.len(), HASHES.len());
        }
    });
});
