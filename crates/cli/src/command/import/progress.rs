//! How far the import is: rate and time left, on standard error, if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure;
use crate::output::size::Count;

const KNOWN: &str = "{bar:30} {percent:>3} %  {msg}  {bytes_per_sec}  {eta} left";
const UNKNOWN: &str = "{spinner} {bytes}  {msg}  {bytes_per_sec}  {elapsed}";

/// A progress bar, or nothing when nobody is there to see it.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins; `len` is that of the file in bytes, if it is known.
    pub(super) fn start(len: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(len, ProgressDrawTarget::stderr());
        let template = if len.is_some() { KNOWN } else { UNKNOWN };
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("the templates above are well-formed"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Shows how many records are in and how many bytes are read.
    pub(super) fn show(&self, records: u64, bytes: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} records", Count(records)));
            self.bar.set_position(bytes);
        }
    }

    /// Says something on standard error without tearing the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| failure::say(format_args!("{line}")));
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
