//! Opening after a crash: a process fills the log and is killed, and another opens the database.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::Bench;
use crate::engines::WRITE_BUFFER_BYTES;
use crate::load::Load;
use crate::measure::{Latency, Meter};

/// How much of a write buffer the log holds: what is in it is in no table.
const SHARE: f64 = 0.85;

/// One operation: an open.
pub fn after_a_crash(bench: &Bench<'_>) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("versus-").tempdir_in(&bench.args.dir)?;
    let mut child = Command::new(std::env::current_exe()?);
    child.args(std::env::args_os().skip(1)).arg("--die-in").arg(dir.path());
    let status = child.status().context("filling the log")?;
    ensure!(status.signal() == Some(9), "the process that fills the log ended with {status}");
    let entries = entries(&bench.load);
    let meter = Meter::start("open", dir.path())?;
    let start = Instant::now();
    let engine = bench.open(dir.path())?;
    let micros = start.elapsed().as_secs_f64() * 1e6;
    let latency = Latency { p50: micros, p99: micros, p999: micros, max: micros };
    let measure = meter.finish_after(micros / 1e6, 1, 0, latency)?;
    for n in (0..entries).step_by(97).chain([entries - 1]) {
        let key = bench.load.random(n);
        ensure!(bench.get(&*engine, &key)? == Some(true), "{key:?} did not survive the crash");
    }
    bench.show(&measure)
}

fn entries(load: &Load) -> u64 {
    (WRITE_BUFFER_BYTES as f64 * SHARE) as u64 / (load.entry_bytes() + 48)
}

/// Fills the log of a database in `dir` and dies.
pub fn fill_and_die(bench: &Bench<'_>, dir: &Path) -> Result<()> {
    let engine = bench.open(dir)?;
    for n in 0..entries(&bench.load) {
        bench.put(&*engine, &bench.load.random(n), false)?;
    }
    let pid = std::process::id().to_string();
    Command::new("kill").args(["-KILL", &pid]).status().context("killing ourselves")?;
    unreachable!("a killed process does not go on")
}
