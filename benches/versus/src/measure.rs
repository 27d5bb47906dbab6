//! What is measured of a workload, and how: the clock, and what the kernel counts of this process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Clock ticks of `/proc/self/stat` a second, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run of a workload measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measure {
    pub workload: String,
    pub operations: u64,
    pub seconds: f64,
    /// Latency, in microseconds.
    pub latency: Latency,
    /// Of all threads, those in the background too.
    pub cpu_seconds: f64,
    /// Bytes of keys and values that the workload wrote, and those that went to the disk for them.
    pub user_bytes: u64,
    pub written_bytes: u64,
    /// Of the database's folder, at the end.
    pub disk_bytes: u64,
    /// Resident memory at its highest since the workload began.
    pub peak_bytes: u64,
}

/// Latency, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    pub fn of(nanos: &Histogram<u64>) -> Self {
        let micros = |quantile| nanos.value_at_quantile(quantile) as f64 / 1000.0;
        Self { p50: micros(0.5), p99: micros(0.99), p999: micros(0.999), max: micros(1.0) }
    }
}

impl Measure {
    pub fn per_second(&self) -> f64 {
        self.operations as f64 / self.seconds
    }
}

/// A measurement under way.
#[derive(Debug)]
pub struct Meter {
    workload: String,
    dir: PathBuf,
    cpu_seconds: f64,
    written_bytes: u64,
    start: Instant,
}

impl Meter {
    /// Begins to measure `workload` on the database in `dir`.
    pub fn start(workload: &str, dir: &Path) -> Result<Self> {
        // Sets the highest resident memory back to what it is now.
        fs::write("/proc/self/clear_refs", "5").context("resetting the peak of memory")?;
        Ok(Self {
            workload: workload.to_owned(),
            dir: dir.to_owned(),
            cpu_seconds: cpu_seconds()?,
            written_bytes: written_bytes()?,
            start: Instant::now(),
        })
    }

    /// Ends it.
    pub fn finish(self, operations: u64, user_bytes: u64, latency: Latency) -> Result<Measure> {
        let seconds = self.start.elapsed().as_secs_f64();
        self.finish_after(seconds, operations, user_bytes, latency)
    }

    /// Ends a measurement whose time was taken elsewhere.
    pub fn finish_after(
        self,
        seconds: f64,
        operations: u64,
        user_bytes: u64,
        latency: Latency,
    ) -> Result<Measure> {
        Ok(Measure {
            workload: self.workload,
            operations,
            seconds,
            latency,
            cpu_seconds: cpu_seconds()? - self.cpu_seconds,
            user_bytes,
            written_bytes: written_bytes()?.saturating_sub(self.written_bytes),
            disk_bytes: disk_bytes(&self.dir)?,
            peak_bytes: status_bytes("VmHWM:")?,
        })
    }
}

/// Time on the processor of all threads, in user and in kernel mode.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold anything.
    let (_, after_name) = stat.rsplit_once(')').context("an odd /proc/self/stat")?;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}

/// Bytes that this process caused to be written to the disk. The kernel counts what is written to
/// memory on the disk's behalf, and apart from it what was removed before it got there.
fn written_bytes() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let figure = |name: &str| -> Result<u64> {
        let line = io.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.with_context(|| format!("no {name:?} in /proc/self/io"))?.parse()?)
    };
    Ok(figure("write_bytes: ")?.saturating_sub(figure("cancelled_write_bytes: ")?))
}

fn status_bytes(field: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("an odd status")?;
    Ok(kib.parse::<u64>()? << 10)
}

/// What the files in a folder take on the disk.
fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path())?,
            Ok(metadata) => metadata.blocks() * 512,
            // A file that was obsolete is gone.
            Err(_) => 0,
        };
    }
    Ok(bytes)
}
