//! Everything a change must pass, in order; exactly what `.ci/run` runs.
//!
//! Every step runs even when an earlier one failed, so that one run shows all there is to mend. A
//! step that needs a tool which is not there is skipped and says so. Only the Rust toolchain is
//! needed; nightly adds fuzzing and miri, `cargo-deny` adds licences.

mod fuzz;
pub(crate) mod machine;
mod steps;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Outcome;
use machine::Machine;
pub(crate) use steps::miri;

/// How much to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What is worth waiting for before each commit.
    Fast,
    /// Everything.
    Full,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// With what to look for in the output above.
    Failed(String),
    /// With what was missing.
    Skipped(String),
}

impl Verdict {
    /// The first failure, or else the first skip, or else a pass.
    pub(crate) fn worst(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let rank = |verdict: &Self| match verdict {
            Self::Failed(_) => 0,
            Self::Skipped(_) => 1,
            Self::Passed => 2,
        };
        verdicts.into_iter().min_by_key(rank).unwrap_or(Self::Passed)
    }
}

/// A row of [`STEPS`].
#[derive(Clone, Copy, Debug)]
struct Step {
    name: &'static str,
    /// The shortest extent that includes it.
    from: Extent,
    run: fn(&Machine) -> Result<Verdict>,
}

const fn step(name: &'static str, run: fn(&Machine) -> Result<Verdict>) -> Step {
    Step { name, from: Extent::Fast, run }
}

const fn long_step(name: &'static str, run: fn(&Machine) -> Result<Verdict>) -> Step {
    Step { name, from: Extent::Full, run }
}

/// All there are, cheap ones first.
const STEPS: &[Step] = &[
    step("format", steps::format),
    step("layers", steps::layers),
    step("tidy", steps::tidy),
    step("clippy", steps::clippy),
    step("test", steps::test),
    step("examples", steps::examples),
    step("docs", steps::docs),
    step("licences", steps::licences),
    long_step("release", steps::release),
    long_step("seeded", steps::seeded),
    long_step("concurrency", crate::concurrency::short),
    long_step("fuzz", fuzz::smoke),
    long_step("miri", steps::miri),
];

/// One line of the summary.
#[derive(Debug)]
struct Report {
    name: &'static str,
    verdict: Verdict,
    took: Duration,
}

/// Runs the steps in the repository at `root` and prints how each ended.
pub(crate) fn run(root: &Path, extent: Extent) -> Outcome {
    let machine = Machine::new(root);
    let wanted = STEPS.iter().filter(|step| step.from == Extent::Fast || extent == Extent::Full);
    let reports: Vec<Report> = wanted
        .map(|step| {
            println!("\n=== {} {}", step.name, "=".repeat(70 - step.name.len()));
            let began = Instant::now();
            // A step that could not run is one that failed; the others still can.
            let verdict = (step.run)(&machine)
                .unwrap_or_else(|error| Verdict::Failed(format!("could not run: {error:#}")));
            let report = Report { name: step.name, verdict, took: began.elapsed() };
            println!("{}", summary_line(&report));
            report
        })
        .collect();
    println!("\n=== summary {}", "=".repeat(63));
    for report in &reports {
        println!("{}", summary_line(report));
    }
    let took: Duration = reports.iter().map(|report| report.took).sum();
    let failed = reports.iter().filter(|report| matches!(report.verdict, Verdict::Failed(_)));
    let failed_count = failed.count();
    println!(
        "{failed_count} of {} steps failed, {:.0} s in all",
        reports.len(),
        took.as_secs_f64()
    );
    Outcome::of_findings(failed_count)
}

fn summary_line(report: &Report) -> String {
    let (word, why) = match &report.verdict {
        Verdict::Passed => ("passed", ""),
        Verdict::Failed(why) => ("FAILED", why.as_str()),
        Verdict::Skipped(why) => ("skipped", why.as_str()),
    };
    let seconds = report.took.as_secs_f64();
    format!("{:<10} {word:<8} {seconds:>7.1} s  {why}", report.name).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_a_skip_and_a_skip_a_pass() {
        let failed = Verdict::Failed("a".to_owned());
        let skipped = Verdict::Skipped("b".to_owned());
        let all = [Verdict::Passed, skipped.clone(), failed.clone()];
        assert_eq!(Verdict::worst(all), failed);
        assert_eq!(Verdict::worst([skipped.clone(), Verdict::Passed]), skipped);
        assert_eq!(Verdict::worst([]), Verdict::Passed);
    }

    #[test]
    fn the_summary_says_how_a_step_ended_and_why() {
        let verdict = Verdict::Failed("see above".to_owned());
        let report = Report { name: "clippy", verdict, took: Duration::from_millis(2500) };
        assert_eq!(summary_line(&report), "clippy     FAILED       2.5 s  see above");
    }
}
