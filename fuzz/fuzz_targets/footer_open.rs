//! A footer that may hold anything, in front of the input so that it is what changes, behind a file
//! that may hold anything.
#![no_main]

use alluvium_fuzz::input::{Input, Mode};
use alluvium_fuzz::memory::Budget;
use alluvium_fuzz::{reading, samples, table_bytes};
use libfuzzer_sys::fuzz_target;

const FOOTER_BYTES: usize = 96;

fuzz_target!(init: samples::check_formats(), |data: &[u8]| {
    Budget::TABLE.bound(data.len(), || {
        let mut input = Input::new(data);
        let (mode, _) = input.mode();
        let footer = input.bytes(FOOTER_BYTES);
        let mut file = [input.rest(), footer].concat();
        if mode != Mode::Raw {
            table_bytes::reseal(&mut file, table_bytes::NUMBER);
        }
        if let Ok(table) = reading::open(&file) {
            let summary = table.summary();
            assert_eq!(summary.file_size, file.len() as u64);
            assert!(summary.smallest <= summary.largest && summary.entry_count > 0);
            assert!(table.approximate_offset(&summary.largest) < summary.file_size);
            assert!(table.memory_bytes() < Budget::TABLE.of(data.len()));
        }
    });
});
