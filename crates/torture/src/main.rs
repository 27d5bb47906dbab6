//! The `torture` program: what `cargo xtask torture` runs.

#![allow(clippy::print_stdout, reason = "a program says what it found")]

use std::process::ExitCode;

fn main() -> ExitCode {
    alluvium_torture::command::main()
}
