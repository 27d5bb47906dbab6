//! Medians and ratios, as a table.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;

use crate::engines::EngineName;
use crate::workload::Workload;

/// What one run of a workload measured.
#[derive(Debug)]
pub struct Measure {
    pub per_second: f64,
    pub latency: Histogram<u64>,
}

/// All measures of all rounds.
#[derive(Debug)]
pub struct Report {
    engines: Vec<EngineName>,
    measures: BTreeMap<(Workload, EngineName), Vec<Measure>>,
}

impl Report {
    pub fn new(engines: &[EngineName]) -> Self {
        Self { engines: engines.to_vec(), measures: BTreeMap::new() }
    }

    pub fn add(&mut self, engine: EngineName, workload: Workload, measure: Measure) {
        eprintln!("  {workload:?}: {:.0}/s", measure.per_second);
        self.measures.entry((workload, engine)).or_default().push(measure);
    }

    fn median(&self, workload: Workload, engine: EngineName) -> Option<f64> {
        let measures = self.measures.get(&(workload, engine))?;
        let mut rates: Vec<f64> = measures.iter().map(|measure| measure.per_second).collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }

    /// The 99th percentile of latency over all rounds, in microseconds.
    fn p99_micros(&self, workload: Workload, engine: EngineName) -> Option<f64> {
        let measures = self.measures.get(&(workload, engine))?;
        let worst = measures.iter().map(|measure| measure.latency.value_at_quantile(0.99));
        worst.max().map(|nanos| nanos as f64 / 1000.0)
    }

    fn cell(&self, workload: Workload, engine: EngineName) -> String {
        let Some(rate) = self.median(workload, engine) else { return "–".to_owned() };
        let p99 = self.p99_micros(workload, engine).unwrap_or_default();
        format!("{:.1} ({p99:.1})", rate / 1000.0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = EngineName::Alluvium;
        let rivals: Vec<_> = self.engines.iter().copied().filter(|&name| name != ours).collect();
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let names = self.engines.iter().map(|name| format!("{name:?} k/s (p99 µs)"));
        let ratios = rivals.iter().map(|name| format!("× {name:?}"));
        table.set_header(std::iter::once("workload".to_owned()).chain(names).chain(ratios));
        let mut workloads: Vec<Workload> = self.measures.keys().map(|key| key.0).collect();
        workloads.dedup();
        for workload in workloads {
            let rates = self.engines.iter().map(|&name| self.cell(workload, name));
            let ratios = rivals.iter().map(|&name| {
                let pair = (self.median(workload, ours), self.median(workload, name));
                let (Some(our_rate), Some(rate)) = pair else { return "–".to_owned() };
                format!("{:.2}", our_rate / rate)
            });
            let name = format!("{workload:?}").to_lowercase();
            table.add_row(std::iter::once(name).chain(rates).chain(ratios));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}
