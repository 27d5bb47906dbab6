//! Fuzzing: every target of `fuzz/`, on all cores, for as long as one likes.
//!
//! ```text
//!   targets ─► shares of the time ─► processes, `jobs` at once ─► corpus   target/fuzz/corpus/<target>
//!                                                             ├─► findings target/fuzz/findings/<target>
//!                                                             └─► figures  target/torture/fuzz.jsonl
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `build` | the programs: coverage that libFuzzer steers by, and the address sanitizer |
//! | `process` | one run of one program, and what its output says |
//! | `report` | figures for people, and for `docs/reliability.md` |
//!
//! The time is what the whole takes, not each target. It is split evenly; what is left over when
//! the targets do not fill the cores goes to those with the most behind them. Several processes of
//! one target share its corpus. A process that finds something is started again for what is left of
//! its share, a few times at most: one mistake is often found over and over.
//!
//! Invariant: a finding is a file, and the command that replays it is printed.

mod build;
mod process;
mod report;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::Outcome;
use crate::ci::Verdict;
use crate::ci::machine::{Machine, judge};
pub(crate) use build::MANIFEST;
use build::{Leaks, Programs, Purpose};
use process::Process;
use report::Figures;

/// Where everything is kept that a run leaves behind, below the repository's root.
const FOLDER: &str = "target/fuzz";

/// How often a process that found something is started again within its share.
const MOST_RESTARTS: u32 = 3;

/// Less than this is not worth a start.
const SHORTEST_SHARE: Duration = Duration::from_secs(2);

/// What the smoke of `cargo xtask ci` may take, over all targets.
const SMOKE: Duration = Duration::from_secs(40);

/// The message where there is no nightly.
pub(crate) const NO_NIGHTLY: &str = "fuzzing needs nightly: rustup toolchain install nightly";

/// Targets that get time left over, those with the most behind them first.
const DEEPEST: &[&str] = &["db_ops", "db_open", "wal_replay", "manifest_replay", "table_read"];

/// What to fuzz, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Targets, by name; all of them where none is named.
    targets: Vec<String>,
    /// How long all of it takes: 90s, 10m, 2h.
    #[arg(long, default_value = "1m", value_parser = parse_time)]
    time: Duration,
    /// Processes at once; as many as there are cores unless told otherwise.
    #[arg(long)]
    jobs: Option<usize>,
    /// Where the random choices begin.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Afterwards, throw out what adds nothing to the coverage.
    #[arg(long)]
    minimise: bool,
    /// Add the figures to `docs/reliability.md`.
    #[arg(long)]
    report: bool,
    /// Run one target on this file alone.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

/// Which inputs a run begins with, and whether what it finds is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Corpus {
    /// That of all runs before it.
    Kept,
    /// The seeds alone: large corpora take long to read.
    Fresh,
}

/// A run over some targets.
#[derive(Debug)]
struct Campaign<'a> {
    machine: &'a Machine,
    programs: &'a Programs,
    corpus: Corpus,
    jobs: usize,
    time: Duration,
    seed: u32,
}

/// Builds the targets and does what the arguments say.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<Outcome> {
    let machine = Machine::new(root);
    ensure!(machine.has_nightly(&["--version"]), NO_NIGHTLY);
    let programs = Programs::find(&machine)?;
    let names = chosen(&programs.names, &arguments.targets)?;
    if let Verdict::Failed(why) = programs.build(&machine)? {
        bail!("the targets cannot be built: {why}");
    }
    if let Some(file) = &arguments.replay {
        return replay(&machine, &programs, &names, file);
    }
    let jobs = arguments.jobs.unwrap_or_else(cores).max(1);
    let (time, seed) = (arguments.time, arguments.seed);
    let (machine, programs, corpus) = (&machine, &programs, Corpus::Kept);
    let campaign = Campaign { machine, programs, corpus, jobs, time, seed };
    let mut figures = campaign.carry_out(&names)?;
    if arguments.minimise {
        for figures in &mut figures {
            figures.corpus = campaign.minimise(&figures.target)?;
        }
    }
    report::append(root, &figures)?;
    report::print(&figures);
    if arguments.report {
        report::publish(root, &figures, arguments.time, u64::from(seed))?;
    }
    Ok(Outcome::of_findings(figures.iter().map(|figures| figures.findings.len()).sum()))
}

/// A short run of all targets: enough to know that all build, start, and survive the easy inputs.
pub(crate) fn smoke(machine: &Machine) -> Result<Verdict> {
    let programs = Programs::find(machine)?;
    let built = programs.build(machine)?;
    if built != Verdict::Passed {
        return Ok(built);
    }
    let names = chosen(&programs.names, &[])?;
    let (programs, corpus) = (&programs, Corpus::Fresh);
    let campaign = Campaign { machine, programs, corpus, jobs: cores(), time: SMOKE, seed: 1 };
    let figures = campaign.carry_out(&names)?;
    report::print(&figures);
    Ok(match figures.iter().flat_map(|figures| &figures.findings).next() {
        None => Verdict::Passed,
        Some(finding) => Verdict::Failed(finding.what.clone()),
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The targets that are meant, the deepest first.
fn chosen(all: &[String], wanted: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    let mut names = if wanted.is_empty() { all.to_vec() } else { wanted.to_vec() };
    let depth = |name: &String| DEEPEST.iter().position(|deep| deep == name);
    names.sort_by_key(|name| depth(name).unwrap_or(DEEPEST.len()));
    names.dedup();
    Ok(names)
}

/// `90s`, `10m`, `2h`; a bare number is seconds.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let (number, unit) = (digits.parse::<u64>(), &text[digits.len()..]);
    let unit = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let seconds = number.ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("{text} is no time such as 90s or 10m"))
}

/// Which target each share of the time goes to: as many rounds as all need, every core busy.
fn shares(targets: usize, jobs: usize) -> Vec<usize> {
    let rounds = targets.div_ceil(jobs);
    (0..rounds * jobs).map(|share| share % targets).collect()
}

/// Runs one target on one file, with its output as our own.
fn replay(
    machine: &Machine,
    programs: &Programs,
    names: &[String],
    file: &Path,
) -> Result<Outcome> {
    let [name] = names else {
        bail!("--replay takes one target: cargo xtask fuzz --replay FILE TARGET")
    };
    // A file is named from where one stands, and the program runs in the root.
    let file = std::path::absolute(file)?;
    ensure!(file.is_file(), "there is no file {}", file.display());
    let mut command = programs.command(machine, name, Purpose::Replay);
    Ok(match judge(command.arg(file))? {
        Verdict::Passed | Verdict::Skipped(_) => Outcome::Clean,
        Verdict::Failed(_) => Outcome::Broken,
    })
}

impl Campaign<'_> {
    /// Runs them all and gives the figures of each.
    fn carry_out(&self, names: &[String]) -> Result<Vec<Figures>> {
        for name in names {
            self.prepare(name)?;
        }
        let leaks = self.programs.probe_leaks(self.machine, &names[0])?;
        let shares = shares(names.len(), self.jobs);
        let rounds = u32::try_from(shares.len() / self.jobs).context("too many targets")?;
        let each = (self.time / rounds).max(SHORTEST_SHARE);
        println!(
            "{} targets, {} processes at once, {} s each, seed {}",
            names.len(),
            self.jobs,
            each.as_secs(),
            self.seed
        );
        let next = AtomicUsize::new(0);
        let worker = || -> Result<Vec<(usize, Figures)>> {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(&target) = shares.get(index) else { return Ok(done) };
                let figures = self.share(&names[target], index, each, leaks)?;
                println!("{}", report::line(&figures));
                done.push((target, figures));
            }
        };
        let done = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|worker| worker.join().expect("no worker panics")).collect()
        });
        let done: Result<Vec<Vec<_>>> = done;
        let mut figures: Vec<_> = names.iter().map(|name| Figures::new(name)).collect();
        for (target, share) in done?.into_iter().flatten() {
            figures[target].add(share);
        }
        for figures in &mut figures {
            figures.corpus = count_files(&self.corpus_of(&figures.target))?;
        }
        Ok(figures)
    }

    /// Runs one target for a share of the time.
    fn share(&self, name: &str, index: usize, time: Duration, leaks: Leaks) -> Result<Figures> {
        let (began, mut figures) = (Instant::now(), Figures::new(name));
        for start in 0..=MOST_RESTARTS {
            let left = time.saturating_sub(began.elapsed());
            if left < SHORTEST_SHARE && start > 0 {
                break;
            }
            let process = Process {
                command: self.programs.command(self.machine, name, Purpose::Search(leaks)),
                seeds: self.programs.seeds(self.machine, name),
                corpus: self.corpus_of(name),
                // As it is seen from the root, where programs run and people stand.
                findings: Path::new(FOLDER).join("findings").join(name),
                log: self.folder("logs", name).join(format!("{index}-{start}.log")),
                seconds: left.as_secs().max(1),
                // libFuzzer takes 0 for "any".
                seed: self.seed.wrapping_add(index as u32 * 97 + start).max(1),
            };
            let run = process.run(name)?;
            let is_done = run.findings.is_empty();
            figures.add(run);
            if is_done {
                break;
            }
        }
        Ok(figures)
    }

    fn folder(&self, kind: &str, name: &str) -> PathBuf {
        self.machine.root.join(FOLDER).join(kind).join(name)
    }

    fn corpus_of(&self, name: &str) -> PathBuf {
        let kind = match self.corpus {
            Corpus::Kept => "corpus",
            Corpus::Fresh => "smoke",
        };
        self.folder(kind, name)
    }

    fn prepare(&self, name: &str) -> Result<()> {
        let corpus = self.corpus_of(name);
        if self.corpus == Corpus::Fresh && corpus.exists() {
            std::fs::remove_dir_all(&corpus)?;
        }
        for folder in [corpus, self.folder("findings", name), self.folder("logs", name)] {
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("creating {}", folder.display()))?;
        }
        Ok(())
    }

    /// Keeps of the corpus what covers all that it covers; gives back how much that is.
    fn minimise(&self, name: &str) -> Result<usize> {
        let (corpus, smaller) = (self.corpus_of(name), self.folder("smaller", name));
        if smaller.exists() {
            std::fs::remove_dir_all(&smaller)?;
        }
        std::fs::create_dir_all(&smaller)?;
        let mut command = self.programs.command(self.machine, name, Purpose::Merge);
        command.args(["-merge=1", "-verbosity=0"]).args([&smaller, &corpus]);
        if let Verdict::Failed(why) = judge(&mut command)? {
            bail!("minimising: {why}");
        }
        let before = count_files(&corpus)?;
        std::fs::remove_dir_all(&corpus)?;
        std::fs::rename(&smaller, &corpus)?;
        let after = count_files(&corpus)?;
        println!("{name}: {after} of {before} inputs are enough");
        Ok(after)
    }
}

fn count_files(folder: &Path) -> Result<usize> {
    let entries = std::fs::read_dir(folder);
    Ok(entries.with_context(|| format!("reading {}", folder.display()))?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(parse_time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(parse_time("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(parse_time("7"), Ok(Duration::from_secs(7)));
        assert!(
            parse_time("soon").is_err() && parse_time("5d").is_err() && parse_time("").is_err()
        );
    }

    #[test]
    fn every_target_gets_a_share_and_every_core_is_busy() {
        assert_eq!(shares(3, 2), [0, 1, 2, 0]);
        assert_eq!(shares(1, 4), [0, 0, 0, 0]);
        assert_eq!(shares(4, 2), [0, 1, 2, 3]);
    }

    #[test]
    fn the_deepest_targets_come_first_and_unknown_ones_are_refused() {
        let all = ["block_decode", "db_ops"].map(str::to_owned);
        assert_eq!(chosen(&all, &[]).expect("all"), ["db_ops", "block_decode"]);
        assert_eq!(chosen(&all, &all[..1]).expect("one"), ["block_decode"]);
        let error = chosen(&all, &["db_op".to_owned()]).expect_err("unknown");
        assert_eq!(error.to_string(), "there is no target db_op; there are block_decode, db_ops");
    }
}
