//! Operations on a database whose disk fails and whose power is cut, against the oracle.
#![no_main]

use alluvium_fuzz::driver;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| driver::run(data));
