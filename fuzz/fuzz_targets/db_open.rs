//! A database's folder whose files may say anything: checked, opened, read, written to, compacted and
//! opened again.
#![no_main]

use alluvium_fuzz::folder;
use alluvium_fuzz::input::Input;
use alluvium_fuzz::memory::Budget;
use alluvium_fuzz::samples;
use libfuzzer_sys::fuzz_target;

/// Two databases of a few files each, whatever the edits.
const BUDGET: Budget = Budget { fixed_bytes: 32 << 20, bytes_per_byte: 1024 };

fuzz_target!(init: samples::check_formats(), |data: &[u8]| {
    BUDGET.bound(data.len(), || folder::use_everything(&folder::edited(&mut Input::new(data))));
});
