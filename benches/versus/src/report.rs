//! Medians and ratios, as tables.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};

use crate::Args;
use crate::engines::EngineName;
use crate::machine;
use crate::measure::{Latency, Measure};
use crate::workload::Scenario;

/// All measures of all rounds.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they ran first.
    workloads: Vec<String>,
    measures: BTreeMap<(String, EngineName), Vec<Measure>>,
    failures: Vec<String>,
}

impl Report {
    pub fn add(&mut self, engine: EngineName, measures: Vec<Measure>) {
        for measure in measures {
            eprintln!("  {}: {:.0}/s", measure.workload, measure.per_second());
            if !self.workloads.contains(&measure.workload) {
                self.workloads.push(measure.workload.clone());
            }
            self.measures.entry((measure.workload.clone(), engine)).or_default().push(measure);
        }
    }

    pub fn failed(&mut self, engine: EngineName, scenario: Scenario, error: &anyhow::Error) {
        let failure = format!("{engine:?} failed in scenario {scenario:?}: {error:#}");
        eprintln!("  {failure}");
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    pub fn workloads(&self) -> &[String] {
        &self.workloads
    }

    /// The median over the rounds of some figure.
    pub fn median(
        &self,
        workload: &str,
        engine: EngineName,
        figure: impl Fn(&Measure) -> f64,
    ) -> Option<f64> {
        let measures = self.measures.get(&(workload.to_owned(), engine))?;
        let mut figures: Vec<f64> = measures.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }

    pub fn json(&self) -> Result<String> {
        let all: Vec<_> = self
            .measures
            .iter()
            .map(|((_, engine), measures)| serde_json::json!({ "engine": engine, "rounds": measures }))
            .collect();
        Ok(serde_json::to_string_pretty(&all)?)
    }

    /// The page: what was run where, and the tables.
    pub fn markdown(&self, args: &Args) -> String {
        let mut page = String::from("# Benchmarks\n\n");
        let Args { n, value_size, cache_mib, rounds, seed, .. } = args;
        let _written = write!(
            page,
            "`cargo run --release{} -- {}` in `benches/versus`, on {}.\n{}. Values of {value_size} \
             bytes, {n} entries, {cache_mib} MiB of cache, seed {seed}, medians of {rounds} rounds.\n\n\
             ## Throughput\n\nThousands of operations a second; then Alluvium's as a multiple of \
             each rival's: below 1 is a loss.\n\n{}\n\n\
             ## Latency\n\nMicroseconds: p50 / p99 / p99.9 / max.\n\n{}\n\n\
             ## Cost\n\nProcessor time of all threads, µs an operation; bytes that reached the disk \
             for each byte written by the user; MB on disk; MB of memory at most.\n\n{}\n",
            features(),
            command().join(" "),
            machine::describe(),
            machine::versions(),
            self.throughput(&args.engines),
            self.table(&args.engines, |workload, engine| self.latency(workload, engine)),
            self.table(&args.engines, |workload, engine| self.cost(workload, engine)),
        );
        for failure in &self.failures {
            page.push_str("\n- ");
            page.push_str(failure);
            page.push('\n');
        }
        page
    }

    fn throughput(&self, engines: &[EngineName]) -> String {
        let ours = EngineName::Alluvium;
        let rivals: Vec<_> = engines.iter().copied().filter(|&name| name != ours).collect();
        let rate = |workload: &str, engine| self.median(workload, engine, Measure::per_second);
        let names = engines.iter().map(|name| format!("{name:?}"));
        let ratios = rivals.iter().map(|name| format!("× {name:?}"));
        let mut table = new_table(names.chain(ratios));
        for workload in &self.workloads {
            let rates = engines.iter().map(|&name| {
                rate(workload, name)
                    .map_or("–".to_owned(), |rate| format!("{:.1}", rate / 1000.0))
            });
            let ratios = rivals.iter().map(|&name| {
                let (Some(our), Some(their)) = (rate(workload, ours), rate(workload, name)) else {
                    return "–".to_owned();
                };
                format!("{:.2}", our / their)
            });
            table.add_row(std::iter::once(workload.clone()).chain(rates).chain(ratios));
        }
        aligned(table)
    }

    fn table(
        &self,
        engines: &[EngineName],
        cell: impl Fn(&str, EngineName) -> Option<String>,
    ) -> String {
        let mut table = new_table(engines.iter().map(|name| format!("{name:?}")));
        for workload in &self.workloads {
            let cells = engines.iter().map(|&name| cell(workload, name).unwrap_or("–".to_owned()));
            table.add_row(std::iter::once(workload.clone()).chain(cells));
        }
        aligned(table)
    }

    fn latency(&self, workload: &str, engine: EngineName) -> Option<String> {
        let of = |figure: fn(&Latency) -> f64| {
            self.median(workload, engine, |measure| figure(&measure.latency))
        };
        let max = of(|latency| latency.max).filter(|&max| max > 0.0)?;
        let (p50, p99) = (of(|latency| latency.p50)?, of(|latency| latency.p99)?);
        let p999 = of(|latency| latency.p999)?;
        Some(format!("{p50:.1} / {p99:.1} / {p999:.1} / {max:.0}"))
    }

    fn cost(&self, workload: &str, engine: EngineName) -> Option<String> {
        let of = |figure: fn(&Measure) -> f64| self.median(workload, engine, figure);
        let cpu = of(|measure| measure.cpu_seconds * 1e6 / measure.operations as f64)?;
        let written =
            of(|measure| measure.written_bytes as f64 / measure.user_bytes.max(1) as f64)?;
        let has_written = of(|measure| measure.user_bytes as f64)? > 0.0;
        let written = if has_written { format!("{written:.2}") } else { "–".to_owned() };
        let (disk, peak) =
            (of(|measure| measure.disk_bytes as f64)?, of(|measure| measure.peak_bytes as f64)?);
        Some(format!("{cpu:.2}; {written}; {:.0}; {:.0}", disk / 1e6, peak / 1e6))
    }
}

fn new_table(columns: impl Iterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(std::iter::once("workload".to_owned()).chain(columns));
    table
}

fn aligned(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// What was built beside the engines in Rust.
const fn features() -> &'static str {
    match (cfg!(feature = "lmdb"), cfg!(feature = "rocksdb")) {
        (true, true) => " --features lmdb,rocksdb",
        (true, false) => " --features lmdb",
        (false, true) => " --features rocksdb",
        (false, false) => "",
    }
}

/// What the program was called with, without the folders: those are one machine's.
fn command() -> Vec<String> {
    let mut command: Vec<String> = Vec::new();
    let mut is_folder = false;
    for argument in std::env::args().skip(1) {
        if std::mem::take(&mut is_folder) {
            continue;
        }
        is_folder = matches!(argument.as_str(), "--dir" | "--out");
        if !is_folder {
            command.push(argument);
        }
    }
    command
}
