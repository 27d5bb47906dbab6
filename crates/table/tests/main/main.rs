//! Tables from the outside: against a model, damaged, under a shared cache, and as documented.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests, not only tests")]

mod cache;
mod damage;
mod format;
mod model;
mod speed;
mod support;
mod written;
