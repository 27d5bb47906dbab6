//! A few seconds of each fuzz target: enough to know that all build, start, and survive the easy
//! inputs. Long runs are `cargo fuzz run <target>`.
//!
//! The targets are built here as `cargo fuzz` builds them, with the coverage that libFuzzer steers
//! by, so that only nightly is needed. New inputs go to `fuzz/corpus`, failing ones to
//! `fuzz/artifacts`, where `cargo fuzz` looks for them; `fuzz/seeds` and `fuzz/dictionaries` are read
//! where a target has some.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

use super::Verdict;
use super::machine::{Machine, judge};

const MANIFEST: &str = "fuzz/Cargo.toml";

/// Seconds that each target runs.
const SECONDS: u32 = 5;

/// What makes a program steerable by libFuzzer, and slow where it helps to find mistakes.
const COVERAGE_FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Clink-dead-code",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg=fuzzing",
];

/// Finds reads and writes outside of what was allocated.
const ADDRESS_SANITIZER: &str = "-Zsanitizer=address";

/// Where the fuzz targets are and what they are called.
#[derive(Debug)]
struct Targets {
    names: Vec<String>,
    /// Holds a program per name once they are built.
    programs: PathBuf,
    triple: String,
}

/// Builds each target of `fuzz/` and runs it for a few seconds.
pub(super) fn smoke(machine: &Machine) -> Result<Verdict> {
    if !machine.root.join(MANIFEST).exists() {
        return Ok(Verdict::Skipped("no fuzz/ yet".to_owned()));
    }
    if !machine.has_nightly(&["--version"]) {
        return Ok(Verdict::Skipped("no nightly: rustup toolchain install nightly".to_owned()));
    }
    let targets = find_targets(machine)?;
    if build(machine, &targets.triple, Some(ADDRESS_SANITIZER))? != Verdict::Passed {
        println!("again, without the address sanitizer");
        let plain = build(machine, &targets.triple, None)?;
        if plain != Verdict::Passed {
            return Ok(plain);
        }
    }
    let mut verdicts = Vec::new();
    for name in &targets.names {
        verdicts.push(judge(&mut run_command(machine, &targets.programs, name)?)?);
    }
    Ok(Verdict::worst(verdicts))
}

fn find_targets(machine: &Machine) -> Result<Targets> {
    let metadata = MetadataCommand::new()
        .manifest_path(machine.root.join(MANIFEST))
        .no_deps()
        .exec()
        .context("reading the targets of fuzz/Cargo.toml")?;
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let names: Vec<String> =
        targets.filter(|target| target.is_bin()).map(|target| target.name.clone()).collect();
    ensure!(!names.is_empty(), "{MANIFEST} has no [[bin]]");
    let output = machine.nightly("rustc", &["-vV"]).output().context("asking nightly's rustc")?;
    let triple = host_triple(&String::from_utf8_lossy(&output.stdout))?;
    let programs = metadata.target_directory.as_std_path().join(&triple).join("release");
    Ok(Targets { names, programs, triple })
}

/// The line `host: …` of `rustc -vV`.
fn host_triple(version: &str) -> Result<String> {
    let triple = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(triple.context("nightly's `rustc -vV` names no host")?.to_owned())
}

/// Naming the triple keeps the flags away from build scripts and macros.
fn build(machine: &Machine, triple: &str, sanitizer: Option<&str>) -> Result<Verdict> {
    let flags: Vec<&str> = COVERAGE_FLAGS.iter().copied().chain(sanitizer).collect();
    let arguments =
        ["build", "--manifest-path", MANIFEST, "--release", "--bins", "--target", triple];
    judge(machine.nightly("cargo", &arguments).env("RUSTFLAGS", flags.join(" ")))
}

/// A short run of one target; an input that fails is written down and named in the output.
fn run_command(machine: &Machine, programs: &Path, name: &str) -> Result<Command> {
    let corpus = Path::new("fuzz/corpus").join(name);
    let artifacts = Path::new("fuzz/artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(machine.root.join(folder))
            .with_context(|| format!("creating {}", folder.display()))?;
    }
    let mut command = Command::new(programs.join(name));
    command
        .current_dir(&machine.root)
        .arg(format!("-max_total_time={SECONDS}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-verbosity=0", "-print_final_stats=1"])
        .arg(corpus)
        // As cargo-fuzz sets it; and looking for leaks needs ptrace, which containers forbid.
        .env("ASAN_OPTIONS", "detect_odr_violation=0:detect_leaks=0");
    let dictionary = Path::new("fuzz/dictionaries").join(format!("{name}.dict"));
    if machine.root.join(&dictionary).exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    let seeds = Path::new("fuzz/seeds").join(name);
    if machine.root.join(&seeds).exists() {
        command.arg(seeds);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_read_from_the_compilers_version() {
        let version = "rustc 1.99.0-nightly\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n";
        assert_eq!(host_triple(version).expect("a host"), "x86_64-unknown-linux-gnu");
        assert!(host_triple("rustc 1.99.0-nightly").is_err());
    }

    #[test]
    fn without_targets_there_is_nothing_to_do() {
        let verdict = smoke(&Machine::new(Path::new("/nonexistent"))).expect("no error");
        assert!(matches!(verdict, Verdict::Skipped(_)), "{verdict:?}");
    }
}
