//! The command line: which layer, how long, from which seed on.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::LAYERS;
use crate::kill;
use crate::layer::Layer;
use crate::power;
use crate::report::{self, Entry};
use crate::run::{Limits, replay, run};

/// How long a layer is run, unless told otherwise.
const DEFAULT_TIME: Duration = Duration::from_mins(1);

/// Tries to lose data, for as long as it is told.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask torture")]
struct Arguments {
    /// Layers to run one after the other, or `all`.
    #[arg(default_value = "all")]
    layers: Vec<String>,
    /// How long each layer runs, such as 30s, 10m or 2h. One minute, unless `--cases` is given.
    #[arg(long, value_parser = parse_time)]
    time: Option<Duration>,
    /// The seed of the first case. Chosen and printed, unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many cases each layer tries.
    #[arg(long)]
    cases: Option<u64>,
    /// How many cases at once. One a core, unless given.
    #[arg(long)]
    jobs: Option<usize>,
    /// The one trial of each case that is made: what a failure prints.
    #[arg(long)]
    only: Option<String>,
    /// Adds the figures to this file's table.
    #[arg(long)]
    report: Option<std::path::PathBuf>,
    /// Lists the layers.
    #[arg(long)]
    list: bool,
    /// Adds what another program tried to the report, such as `12 executions, 3 CPU seconds`,
    /// as a row of the one layer that is named.
    #[arg(long, hide = true, requires = "report")]
    note: Option<String>,
    /// How long that took, in minutes.
    #[arg(long, hide = true, default_value_t = 0.0)]
    minutes: f64,
    /// How much it found.
    #[arg(long, hide = true, default_value_t = 0)]
    findings: u64,
    /// The bug that is planted in this process: see the layer `seeded`.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long, hide = true)]
    bug: Option<String>,
}

/// Reads 90s, 10m, 2h or a number of seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text}: use 90s, 10m or 2h"))?;
    Ok(match unit {
        "m" => Duration::from_mins(number),
        "h" => Duration::from_hours(number),
        _ => Duration::from_secs(number),
    })
}

/// Runs the program: children of ours first, for they are the same program.
pub fn main() -> ExitCode {
    if let Some(code) = kill::child().or_else(power::child) {
        return code;
    }
    let arguments = Arguments::parse();
    if let (Some(tried), Some(page)) = (&arguments.note, &arguments.report) {
        return note(&arguments, tried, page);
    }
    if arguments.list {
        for layer in LAYERS {
            println!("{:<12} {}", layer.name, layer.what);
        }
        return ExitCode::SUCCESS;
    }
    #[cfg(feature = "seeded-bugs")]
    if let Some(code) = seeded(&arguments) {
        return code;
    }
    let mut layers = Vec::new();
    for name in &arguments.layers {
        match LAYERS.iter().filter(|layer| name == "all" || layer.name == name).collect::<Vec<_>>()
        {
            found if found.is_empty() => {
                println!("there is no layer {name}: --list shows them");
                return ExitCode::FAILURE;
            }
            found => layers.extend(found),
        }
    }
    // Every layer has its turn, whatever became of those before it.
    let held: Vec<bool> = layers.into_iter().map(|layer| torture(layer, &arguments)).collect();
    let all_held = held.into_iter().all(|held| held);
    if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plants the bug that was asked for; runs the layer `seeded`, if it was asked for.
#[cfg(feature = "seeded-bugs")]
fn seeded(arguments: &Arguments) -> Option<ExitCode> {
    use crate::seeded::{self, Hunt};

    let unknown = |name: &str| {
        println!("there is no bug {name}");
        Some(ExitCode::FAILURE)
    };
    if let Some(name) = &arguments.bug {
        let Some(bug) = seeded::find(name) else { return unknown(name) };
        alluvium_base::seeded::plant(Some(bug));
    }
    if arguments.layers != [seeded::NAME] {
        return None;
    }
    let mut bugs = alluvium_base::seeded::Bug::ALL.to_vec();
    if let Some(names) = &arguments.only {
        if let Some(name) = names.split(',').find(|name| seeded::find(name).is_none()) {
            return unknown(name);
        }
        bugs = names.split(',').filter_map(seeded::find).collect();
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let hunt = Hunt {
        program: std::env::current_exe().expect("a running program has a path"),
        bugs,
        // Whoever looks for one bug may wait longer than it is allowed to stay undiscovered.
        budget: match (arguments.time, &arguments.only) {
            (Some(time), Some(_)) => time,
            (time, _) => time.map_or(seeded::BUDGET, |time| time.min(seeded::BUDGET)),
        },
        jobs: arguments.jobs.unwrap_or(cores),
        seed: arguments.seed.unwrap_or_else(fresh_seed),
    };
    let all_caught = seeded::command(&hunt, arguments.report.as_deref());
    Some(if all_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Adds a row that another program asks for.
fn note(arguments: &Arguments, tried: &str, page: &std::path::Path) -> ExitCode {
    let Arguments { minutes, findings, seed, .. } = arguments;
    let layer = arguments.layers.first().map_or("unnamed", String::as_str);
    let entry = Entry::noted(layer, tried, *minutes, seed.unwrap_or_default(), *findings);
    match report::add(page, &entry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cannot add to {}: {error:#}", page.display());
            ExitCode::FAILURE
        }
    }
}

/// Runs one layer; answers whether every promise held.
fn torture(layer: &Layer, arguments: &Arguments) -> bool {
    if let Err(missing) = (layer.needs)() {
        println!("{}: skipped, {missing}", layer.name);
        return true;
    }
    let time = arguments.time.or(arguments.cases.is_none().then_some(DEFAULT_TIME));
    let limits = Limits {
        seed: arguments.seed.unwrap_or_else(fresh_seed),
        time,
        cases: arguments.cases,
        jobs: arguments.jobs,
        only: arguments.only.clone(),
        child: std::env::current_exe().expect("a running program has a path"),
    };
    println!("{}: {}, from seed {}", layer.name, layer.what, limits.seed);
    let outcome = run(layer, &limits, &|line| println!("  {line}"));
    println!("  {}: {} cases, {}", layer.name, outcome.cases, outcome.summary());
    if let Some((seed, failure)) = &outcome.failure {
        println!("FAILED {}: {}", layer.name, failure.what);
        println!("  replay: {}", replay(layer, *seed, failure));
    }
    if let Some(path) = &arguments.report
        && let Err(error) = report::add(path, &Entry::of(layer, &limits, &outcome))
    {
        println!("cannot add to {}: {error:#}", path.display());
        return false;
    }
    outcome.failure.is_none()
}

/// Another seed every time: of the clock and the process.
fn fresh_seed() -> u64 {
    use alluvium_base::{Clock, SystemClock};
    let now_ms = SystemClock::new().now_ms();
    (now_ms << 16) ^ u64::from(std::process::id())
}
