//! The throughput table as bars.

use std::path::Path;

use anyhow::Result;
use charts_rs::{HorizontalBarChart, Series};

use crate::engines::EngineName;
use crate::measure::Measure;
use crate::report::Report;

/// Files, titles, and the workloads whose names begin so.
const PLOTS: [(&str, &str, &[&str]); 4] = [
    ("writes.svg", "Writes", &["fill", "overwrite", "batch", "queue"]),
    ("reads.svg", "Reads by key", &["read", "getmany"]),
    ("scans.svg", "Seeks and scans", &["seek", "scan"]),
    ("ycsb.svg", "YCSB", &["ycsb"]),
];
const WIDTH: f32 = 900.0;
const HEIGHT_OF_BAR: f32 = 14.0;
const HEIGHT_OF_REST: f32 = 120.0;

/// Writes the plots into the folder `out`.
pub fn write(report: &Report, engines: &[EngineName], out: &Path) -> Result<()> {
    for (file, title, prefixes) in PLOTS {
        let is_shown = |workload: &&String| prefixes.iter().any(|name| workload.starts_with(name));
        let mut workloads: Vec<String> =
            report.workloads().iter().filter(is_shown).cloned().collect();
        if workloads.is_empty() {
            continue;
        }
        // The first one stands at the bottom.
        workloads.reverse();
        let chart = chart(report, engines, title, workloads);
        std::fs::write(out.join(file), chart.svg()?)?;
    }
    Ok(())
}

/// Each engine's throughput, as a part of the fastest one's.
fn chart(
    report: &Report,
    engines: &[EngineName],
    title: &str,
    workloads: Vec<String>,
) -> HorizontalBarChart {
    let rate = |workload: &str, engine| {
        report.median(workload, engine, Measure::per_second).unwrap_or_default()
    };
    let fastest = |workload: &str| {
        engines.iter().map(|&engine| rate(workload, engine)).fold(f64::MIN_POSITIVE, f64::max)
    };
    let series = engines.iter().map(|&engine| {
        let parts = workloads.iter().map(|name| (rate(name, engine) / fastest(name)) as f32);
        Series::new(format!("{engine:?}"), parts.collect())
    });
    let bars = (workloads.len() * (engines.len() + 1)) as f32;
    let mut chart = HorizontalBarChart::new(series.collect(), workloads);
    chart.title.text = format!("{title}: throughput, 1 is the fastest engine");
    chart.width = WIDTH;
    chart.height = bars * HEIGHT_OF_BAR + HEIGHT_OF_REST;
    chart
}
