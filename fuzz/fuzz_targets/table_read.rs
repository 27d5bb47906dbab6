//! A table file that may hold anything: opened, verified, looked up in, walked both ways.
#![no_main]

use alluvium_fuzz::input::{Input, Mode};
use alluvium_fuzz::memory::Budget;
use alluvium_fuzz::{reading, samples, table_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: samples::check_formats(), |data: &[u8]| {
    Budget::TABLE.bound(data.len(), || {
        let mut input = Input::new(data);
        let file = match input.mode().0 {
            Mode::Raw => input.rest().to_vec(),
            Mode::Resealed => {
                let mut file = input.rest().to_vec();
                table_bytes::reseal(&mut file, table_bytes::NUMBER);
                file
            }
            Mode::Assembled => table_bytes::assemble(&mut input),
        };
        if let Ok(table) = reading::open(&file) {
            reading::ask_everything(&table);
        }
    });
});
