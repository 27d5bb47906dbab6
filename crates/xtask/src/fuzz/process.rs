//! One run of one program, and what its output says.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::report::{Figures, Finding};

/// How often a process is asked how much it has worked.
const POLL: Duration = Duration::from_millis(200);

/// What Linux counts the work of a process in, a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// What libFuzzer calls the file of an input that was slow.
const SLOW_UNIT: &str = "/slow-unit-";

/// What is said of a finding until more is known.
const UNNAMED: &str = "it failed";

/// A run to come.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) command: Command,
    pub(super) seeds: Option<PathBuf>,
    /// Read, and added to.
    pub(super) corpus: PathBuf,
    pub(super) findings: PathBuf,
    /// All that the program says.
    pub(super) log: PathBuf,
    pub(super) seconds: u64,
    pub(super) seed: u32,
}

impl Process {
    /// Runs it to its end.
    pub(super) fn run(mut self, name: &str) -> Result<Figures> {
        let log =
            File::create(&self.log).with_context(|| format!("creating {}", self.log.display()))?;
        self.command
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-seed={}", self.seed))
            .arg(format!("-artifact_prefix={}/", self.findings.display()))
            .arg("-print_final_stats=1")
            .arg(&self.corpus)
            .args(&self.seeds)
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = self.command.spawn().with_context(|| format!("starting {name}"))?;
        let (is_success, cpu_seconds) = watch(child)?;
        let output = String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned();
        let mut figures = read_output(name, &output);
        figures.cpu_seconds = cpu_seconds;
        if !is_success && figures.findings.is_empty() {
            bail!("{name} failed and left no input behind: see {}", self.log.display());
        }
        Ok(figures)
    }
}

/// Waits for it; whether it was content, and the seconds of work that it took.
fn watch(mut child: Child) -> Result<(bool, f64)> {
    let (began, mut worked) = (Instant::now(), None);
    loop {
        // Before it is waited for: what has ended and was not waited for can still be asked.
        worked = cpu_seconds(child.id()).or(worked);
        if let Some(status) = child.try_wait()? {
            return Ok((status.success(), worked.unwrap_or(began.elapsed().as_secs_f64())));
        }
        std::thread::sleep(POLL);
    }
}

/// The seconds of work that a process has taken, where the system says so.
fn cpu_seconds(process: u32) -> Option<f64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Of `/proc/<process>/stat`: the fields 14 and 15, behind a name that may hold anything.
fn parse_stat(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// What libFuzzer says of a run, its last words counting.
fn read_output(name: &str, output: &str) -> Figures {
    let mut figures = Figures::new(name);
    let mut what = None;
    let mut lines = output.lines();
    while let Some(line) = lines.next() {
        if let Some(number) = stat(line, "number_of_executed_units") {
            figures.executions = number;
        } else if let Some(number) = stat(line, "peak_rss_mb") {
            figures.peak_rss_mb = number;
        } else if let Some(number) = word_after(line, " cov: ") {
            figures.coverage = number;
        } else if let Some(file) = line.split("Test unit written to ").nth(1) {
            // Slow is not wrong.
            if file.contains(SLOW_UNIT) {
                continue;
            }
            let what = what.take().unwrap_or_else(|| UNNAMED.to_owned());
            figures.findings.push(Finding { what, file: file.trim().to_owned() });
        } else if line.contains("' panicked at ")
            || line.contains("' (") && line.contains("panicked at")
        {
            let place = line.split("panicked at ").nth(1).unwrap_or_default();
            let message = lines.next().unwrap_or_default();
            what = Some(format!("{place} {message}"));
        } else if let Some((_, error)) = line.split_once("ERROR: ")
            && !error.contains("deadly signal")
        {
            // Of a hang the file is written first.
            match figures.findings.last_mut().filter(|finding| finding.what == UNNAMED) {
                Some(finding) => error.clone_into(&mut finding.what),
                None => what = Some(error.to_owned()),
            }
        }
    }
    figures
}

fn stat(line: &str, name: &str) -> Option<u64> {
    let (key, number) = line.strip_prefix("stat::")?.split_once(':')?;
    (key == name).then(|| number.trim().parse().ok())?
}

fn word_after(line: &str, mark: &str) -> Option<u64> {
    line.split(mark).nth(1)?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_last_words() {
        let output = "#2\tINITED cov: 17 ft: 18 corp: 1/1b\n#900\tDONE   cov: 42 ft: 99 corp: 7/1Kb\n\
                      stat::number_of_executed_units: 900\nstat::peak_rss_mb:              81\n";
        let figures = read_output("t", output);
        assert_eq!((figures.coverage, figures.executions, figures.peak_rss_mb), (42, 900, 81));
        assert!(figures.findings.is_empty());
    }

    #[test]
    fn a_finding_is_named_by_its_panic() {
        let output = "\nthread '<unnamed>' (7) panicked at src/a.rs:1:2:\nit is wrong\n\
                      ==7== ERROR: libFuzzer: deadly signal\n\
                      artifact_prefix='x/'; Test unit written to x/crash-1\n";
        let findings = read_output("t", output).findings;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].what, "src/a.rs:1:2: it is wrong");
        assert_eq!(findings[0].file, "x/crash-1");
    }

    #[test]
    fn a_finding_of_the_sanitizer_is_named_by_it() {
        let output = "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n\
                      artifact_prefix='x/'; Test unit written to x/crash-2\n";
        let findings = read_output("t", output).findings;
        assert_eq!(findings[0].what, "AddressSanitizer: heap-use-after-free on address 0x1");
    }

    #[test]
    fn a_hang_is_named_after_its_file() {
        let output = "artifact_prefix='x/'; Test unit written to x/timeout-4\n\
                      ==7== ERROR: libFuzzer: timeout after 601 seconds\n";
        let findings = read_output("t", output).findings;
        assert_eq!(findings[0].what, "libFuzzer: timeout after 601 seconds");
    }

    #[test]
    fn an_input_that_is_merely_slow_is_no_finding() {
        let output = "artifact_prefix='x/'; Test unit written to x/slow-unit-3\n";
        assert!(read_output("t", output).findings.is_empty());
    }

    #[test]
    fn work_is_counted_behind_a_name_of_any_shape() {
        let stat = "12 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(parse_stat(stat), Some(3.0));
        assert_eq!(parse_stat("12 (a"), None);
    }
}
