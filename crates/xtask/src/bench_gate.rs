//! The gate against slowing down: a small part of the benchmarks, ours against fjall in one run.
//!
//! ```text
//!   benches/versus ─► measures.json ─► our median ÷ fjall's ─► not below the floor? ─► outcome
//!                                                 │
//!                                                 └─ with --update: four fifths of it is the new floor
//! ```
//!
//! Machines are noisy and differ, so only ratios of one run count, and a floor leaves room. For a
//! nightly run: CI's time is too short, and its machine too busy, to judge by.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::Outcome;

/// The floors, by workload, below the repository's root.
const FLOORS: &str = "benches/versus/floors.json";
/// Where the run leaves its page and its measures.
const OUT: &str = "target/bench-gate";
/// What is run.
const SCENARIOS: &str = "random,batch,sync,ycsb,queue,reopen";
/// How much of what was measured is asked for later.
const MARGIN: f64 = 0.8;

/// What to run, and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Entries of each workload.
    #[arg(long, default_value_t = 300_000)]
    n: u64,
    /// Rounds; medians are compared.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Where the databases are made: must be on a disk.
    #[arg(long, default_value = "target")]
    dir: String,
    /// Set the floors by this run.
    #[arg(long)]
    update: bool,
}

/// Runs the benchmarks and compares, or sets the floors.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<Outcome> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["run", "--release", "--quiet"]);
    cargo.args(["--manifest-path", "benches/versus/Cargo.toml", "--"]);
    cargo.args(["--engines", "alluvium,fjall", "--scenarios", SCENARIOS, "--out", OUT]);
    cargo.args(["--sync-n", "1000", "--queue-n", "10000", "--dir", &arguments.dir]);
    cargo.args(["--n", &arguments.n.to_string(), "--rounds", &arguments.rounds.to_string()]);
    let status = cargo.status().context("running cargo")?;
    ensure!(status.success(), "the benchmarks ended with {status}");
    let measures = std::fs::read_to_string(root.join(OUT).join("measures.json"))?;
    let ratios = ratios(&serde_json::from_str(&measures)?)?;
    if arguments.update {
        let floors: BTreeMap<_, _> = ratios
            .iter()
            .map(|(name, ratio)| (name, (ratio * MARGIN * 100.0).round() / 100.0))
            .collect();
        std::fs::write(root.join(FLOORS), serde_json::to_string_pretty(&floors)? + "\n")?;
        println!("{FLOORS}: {} floors", floors.len());
        return Ok(Outcome::Clean);
    }
    let floors = std::fs::read_to_string(root.join(FLOORS)).context(FLOORS)?;
    Ok(Outcome::of_findings(compare(&ratios, &serde_json::from_str(&floors)?)))
}

/// Our throughput as a multiple of fjall's, by workload.
fn ratios(measures: &Value) -> Result<BTreeMap<String, f64>> {
    let mut rates: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for entry in measures.as_array().context("measures are no list")? {
        let engine = entry["engine"].as_str().context("a measure names no engine")?;
        let rounds = entry["rounds"].as_array().context("a measure has no rounds")?;
        let rate = |round: &Value| {
            Some(round["operations"].as_f64()? / round["seconds"].as_f64().filter(|&s| s > 0.0)?)
        };
        let mut of_rounds: Vec<f64> = rounds.iter().filter_map(rate).collect();
        of_rounds.sort_by(f64::total_cmp);
        let workload = rounds.first().and_then(|round| round["workload"].as_str());
        if let (Some(workload), Some(&median)) = (workload, of_rounds.get(of_rounds.len() / 2)) {
            rates.entry(workload.to_owned()).or_default().insert(engine.to_owned(), median);
        }
    }
    let ratio = |(name, engines): (String, BTreeMap<String, f64>)| {
        Some((name, engines.get("Alluvium")? / engines.get("Fjall")?))
    };
    Ok(rates.into_iter().filter_map(ratio).collect())
}

/// Prints each workload's ratio and its floor; answers how many are below, or were not measured.
fn compare(ratios: &BTreeMap<String, f64>, floors: &BTreeMap<String, f64>) -> usize {
    let mut below = 0;
    for (name, floor) in floors {
        let ratio = ratios.get(name).copied().unwrap_or_default();
        let is_below = ratio < *floor;
        below += usize::from(is_below);
        let verdict = if is_below { "BELOW" } else { "ok" };
        println!("{name:<18} × fjall {ratio:>7.2}, floor {floor:>7.2}  {verdict}");
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(engine: &str, workload: &str, seconds: &[f64]) -> Value {
        let round =
            |s: &f64| serde_json::json!({"workload": workload, "operations": 100, "seconds": s});
        let rounds: Vec<_> = seconds.iter().map(round).collect();
        serde_json::json!({"engine": engine, "rounds": rounds})
    }

    #[test]
    fn medians_are_compared_and_what_is_missing_is_below() {
        let measures = Value::Array(vec![
            entry("Alluvium", "scan", &[1.0, 9.0, 2.0]),
            entry("Fjall", "scan", &[4.0, 4.0, 0.1]),
            entry("Alluvium", "queue", &[1.0]),
        ]);
        let ratios = ratios(&measures).unwrap();
        assert_eq!(ratios, BTreeMap::from([("scan".to_owned(), 2.0)]));
        let floors = |scan, queue: Option<f64>| {
            let queue = queue.map(|floor| ("queue".to_owned(), floor));
            [("scan".to_owned(), scan)].into_iter().chain(queue).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(compare(&ratios, &floors(2.0, None)), 0);
        assert_eq!(compare(&ratios, &floors(2.1, None)), 1);
        assert_eq!(compare(&ratios, &floors(2.0, Some(1.0))), 1);
    }
}
