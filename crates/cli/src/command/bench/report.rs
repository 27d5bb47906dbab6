//! Measured workloads as a table or as JSON.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::Arguments;
use super::measure::Row;
use crate::output::Output;
use crate::output::size::{Count, Size};
use crate::output::table::of_numbers;

/// Quantiles that are shown, with their names.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// Writes one table with a row for each workload, under `head`.
pub(super) fn write(head: &str, rows: &[Row], output: &mut Output) -> Result<()> {
    let mut table = of_numbers([
        "workload", "ops", "seconds", "ops/s", "per s", "found", "p50", "p90", "p99", "p99.9",
        "max", "drain s",
    ]);
    for row in rows {
        let mut cells = vec![
            row.workload.name().to_owned(),
            Count(row.operations).to_string(),
            format!("{:.2}", row.elapsed.as_secs_f64()),
            Count(row.rate() as u64).to_string(),
            Size(row.byte_rate() as u64).to_string(),
            if row.workload.reads() { Count(row.found).to_string() } else { "-".to_owned() },
        ];
        cells
            .extend(QUANTILES.map(|(_, quantile)| time(row.latencies.value_at_quantile(quantile))));
        cells.push(format!("{:.2}", row.drain.as_secs_f64()));
        table.add_row(cells);
    }
    writeln!(output, "{head}\n{table}")?;
    Ok(())
}

/// One workload as JSON; times in seconds, latencies in nanoseconds.
pub(super) fn to_json(row: &Row, arguments: &Arguments) -> Value {
    let mut value = json!({
        "workload": row.workload.name(),
        "operations": row.operations,
        "seconds": row.elapsed.as_secs_f64(),
        "operations_per_second": row.rate(),
        "bytes_per_second": row.byte_rate(),
        "found": row.found,
        "drain_seconds": row.drain.as_secs_f64(),
        "value_size": arguments.value_size,
        "threads": arguments.threads,
        "seed": arguments.seed,
        "mean_ns": row.latencies.mean(),
    });
    for (name, quantile) in QUANTILES {
        value[format!("{name}_ns")] = row.latencies.value_at_quantile(quantile).into();
    }
    value
}

/// A time in nanoseconds, in the unit that reads best.
fn time(nanos: u64) -> String {
    match nanos {
        0..1000 => format!("{nanos} ns"),
        1000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        1_000_000_000.. => format!("{:.2} s", nanos as f64 / 1e9),
    }
}
