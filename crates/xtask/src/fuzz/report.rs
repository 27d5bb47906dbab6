//! What fuzzing came to: for people, and as lines of JSON for whoever writes `docs/reliability.md`.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Where each run adds a line a target, below the repository's root.
const SUMMARY: &str = "target/torture/fuzz.jsonl";

/// Adds a row to `docs/reliability.md`, as the torture program does for its layers.
pub(super) fn publish(root: &Path, figures: &[Figures], time: Duration, seed: u64) -> Result<()> {
    let executions: u64 = figures.iter().map(|figures| figures.executions).sum();
    let cpu_seconds: f64 = figures.iter().map(|figures| figures.cpu_seconds).sum();
    let findings: usize = figures.iter().map(|figures| figures.findings.len()).sum();
    let tried = format!("{executions} executions, {cpu_seconds:.0} CPU seconds");
    let minutes = format!("{:.1}", time.as_secs_f64() / 60.0);
    let (findings, seed) = (findings.to_string(), seed.to_string());
    let page = root.join("docs/reliability.md");
    let arguments: [&str; 11] = [
        "fuzz",
        "--note",
        &tried,
        "--minutes",
        &minutes,
        "--seed",
        &seed,
        "--findings",
        &findings,
        "--report",
        &page.to_string_lossy(),
    ];
    ensure!(crate::torture::note(root, &arguments)?, "{} took no row", page.display());
    Ok(())
}

/// An input that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The panic, or what the sanitizer said.
    pub(super) what: String,
    /// Where the input is.
    pub(super) file: String,
}

/// What the runs of one target came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) target: String,
    pub(super) cpu_seconds: f64,
    pub(super) executions: u64,
    /// Edges of the program that were reached: the most of any run.
    pub(super) coverage: u64,
    /// Inputs kept; counted at the end.
    pub(super) corpus: usize,
    /// The most of any run.
    pub(super) peak_rss_mb: u64,
    pub(super) findings: Vec<Finding>,
}

impl Figures {
    /// None yet.
    pub(super) fn new(target: &str) -> Self {
        Self { target: target.to_owned(), ..Self::default() }
    }

    /// Adds those of another run of the same target.
    pub(super) fn add(&mut self, other: Self) {
        self.cpu_seconds += other.cpu_seconds;
        self.executions += other.executions;
        self.coverage = self.coverage.max(other.coverage);
        self.peak_rss_mb = self.peak_rss_mb.max(other.peak_rss_mb);
        for finding in other.findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }

    /// One line, without its end. The target's name is a crate's, so nothing in it needs escaping.
    fn json(&self) -> String {
        format!(
            "{{\"target\":\"{}\",\"cpu_seconds\":{:.1},\"executions\":{},\"peak_rss_mb\":{},\
             \"findings\":{}}}",
            self.target,
            self.cpu_seconds,
            self.executions,
            self.peak_rss_mb,
            self.findings.len()
        )
    }
}

/// One line about a target.
pub(super) fn line(figures: &Figures) -> String {
    format!(
        "{:<16} {:>9.0} s CPU {:>11} executions {:>7} edges {:>5} MB peak {:>3} findings",
        figures.target,
        figures.cpu_seconds,
        figures.executions,
        figures.coverage,
        figures.peak_rss_mb,
        figures.findings.len()
    )
}

/// Adds the run to [`SUMMARY`].
pub(super) fn append(root: &Path, all: &[Figures]) -> Result<()> {
    let path = root.join(SUMMARY);
    let context = || format!("writing {}", path.display());
    std::fs::create_dir_all(path.parent().unwrap_or(root)).with_context(context)?;
    let mut text = String::new();
    for figures in all {
        writeln!(text, "{}", figures.json())?;
    }
    let mut file =
        OpenOptions::new().create(true).append(true).open(&path).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)
}

/// Prints the table, and for each finding how to see it again.
pub(super) fn print(all: &[Figures]) {
    println!();
    for figures in all {
        println!("{} {:>6} inputs kept", line(figures), figures.corpus);
    }
    for figures in all {
        for finding in &figures.findings {
            println!("\n{}: {}", figures.target, finding.what);
            println!("  cargo xtask fuzz --replay {} {}", finding.file, figures.target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up_and_a_finding_counts_once() {
        let finding = Finding { what: "a".to_owned(), file: "f".to_owned() };
        let run = Figures {
            cpu_seconds: 1.5,
            executions: 10,
            coverage: 7,
            peak_rss_mb: 50,
            findings: vec![finding],
            ..Figures::new("t")
        };
        let mut all = Figures::new("t");
        all.add(run.clone());
        all.add(run);
        assert_eq!(
            all.json(),
            "{\"target\":\"t\",\"cpu_seconds\":3.0,\"executions\":20,\"peak_rss_mb\":50,\
             \"findings\":1}"
        );
    }
}
