//! Life under `ulimit -v`.
//!
//! The C library sets aside 64 MiB of address space for each thread that asks it for memory, be it
//! for a few bytes. Unlimited, that costs nothing; with a limit of 512 MiB a handful of threads have
//! taken most of it. The library can be told to share one area, but only through a variable in the
//! environment, and only before it starts: so the command starts itself once more.

use std::os::unix::process::CommandExt;
use std::process::Command;

use alluvium_base::memory::address_space_bytes;

/// The C library's own switch.
const SWITCH: &str = "MALLOC_ARENA_MAX";

/// Starts the command once more with a thrifty C library if address space is limited. Returns when
/// there is no need to, or it cannot be done: then the command does as well as it can.
pub(crate) fn start_thrifty() {
    if address_space_bytes().is_none() || std::env::var_os(SWITCH).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    // Returns only if it failed.
    let _error = Command::new(program).args(std::env::args_os().skip(1)).env(SWITCH, "1").exec();
}
