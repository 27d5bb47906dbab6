//! Operations on a database whose disk fails and whose power is cut, against the oracle.
#![no_main]

use alluvium_fuzz::driver;
use alluvium_fuzz::memory::Budget;
use libfuzzer_sys::fuzz_target;

/// A database, its disk and the oracle; an operation of two bytes can write 300.
const BUDGET: Budget = Budget { fixed_bytes: 16 << 20, bytes_per_byte: 4096 };

fuzz_target!(|data: &[u8]| BUDGET.bound(data.len(), || driver::run(data)));
