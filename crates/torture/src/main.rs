//! The `torture` program: what `cargo xtask torture` runs.

#![allow(clippy::print_stdout, reason = "a program says what it found")]

use std::process::ExitCode;

/// Images come and go by the thousand a second: half the time of the system's allocator is spent in
/// giving memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    alluvium_torture::command::main()
}
