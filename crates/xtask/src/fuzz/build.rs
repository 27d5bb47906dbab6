//! The fuzz targets as programs.
//!
//! They are built here as `cargo fuzz` builds them, with the coverage that libFuzzer steers by, so
//! that only nightly is needed, and with the address sanitizer, which finds leaks as well.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::ci::Verdict;
use crate::ci::machine::{Machine, judge};

/// The workspace of the targets.
pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";

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

/// Finds reads and writes outside of what was allocated, and what is never freed.
const ADDRESS_SANITIZER: &str = "-Zsanitizer=address";

/// Megabytes that a process may take, and that one allocation may; what each input may is up to
/// the target (`fuzz/src/memory.rs`), and less.
const MEMORY_LIMITS: &[&str] = &["-rss_limit_mb=1024", "-malloc_limit_mb=256"];

/// Seconds after which an input counts as a hang, and after which it is noted as slow. On the wall,
/// not of work: a busy machine takes its time.
const SLOWEST_INPUT: &[&str] = &["-timeout=600", "-report_slow_units=300"];

/// Longer inputs find nothing that these do not.
const LONGEST_INPUT: &str = "-max_len=16384";

/// Whether what is never freed counts as a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaks {
    Reported,
    /// Looking for leaks stops all threads with ptrace, which some containers forbid.
    Ignored,
}

/// How many calls of each allocation are remembered while searching: each costs time, and a replay
/// remembers enough of them.
const FRAMES: u8 = 3;

/// What a program is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To find something.
    Search(Leaks),
    /// To see again what was found.
    Replay,
    /// To make a corpus smaller.
    Merge,
}

/// Where the fuzz targets are and what they are called.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) names: Vec<String>,
    /// Holds a program per name once they are built.
    folder: PathBuf,
    triple: String,
}

impl Programs {
    /// Reads which targets there are.
    pub(super) fn find(machine: &Machine) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(machine.root.join(MANIFEST))
            .no_deps()
            .exec()
            .context("reading the targets of fuzz/Cargo.toml")?;
        let targets = metadata.packages.iter().flat_map(|package| &package.targets);
        let names: Vec<String> =
            targets.filter(|target| target.is_bin()).map(|target| target.name.clone()).collect();
        ensure!(!names.is_empty(), "{MANIFEST} has no [[bin]]");
        let output = machine.nightly("rustc", &["-vV"]).output();
        let output = output.context("asking nightly's rustc")?;
        let triple = host_triple(&String::from_utf8_lossy(&output.stdout))?;
        let folder = metadata.target_directory.as_std_path().join(&triple).join("release");
        Ok(Self { names, folder, triple })
    }

    /// Builds all of them. Naming the triple keeps the flags away from build scripts and macros.
    pub(super) fn build(&self, machine: &Machine) -> Result<Verdict> {
        let flags: Vec<&str> = COVERAGE_FLAGS.iter().copied().chain([ADDRESS_SANITIZER]).collect();
        let arguments =
            ["build", "--manifest-path", MANIFEST, "--release", "--bins", "--target", &self.triple];
        judge(machine.nightly("cargo", &arguments).env("RUSTFLAGS", flags.join(" ")))
    }

    /// A program with its limits and its dictionary, in the repository's root.
    pub(super) fn command(&self, machine: &Machine, name: &str, purpose: Purpose) -> Command {
        let mut command = Command::new(self.folder.join(name));
        command
            .current_dir(&machine.root)
            .args(MEMORY_LIMITS)
            .args(SLOWEST_INPUT)
            .arg(LONGEST_INPUT);
        let dictionary = Path::new("fuzz/dictionaries").join(format!("{name}.dict"));
        if machine.root.join(&dictionary).exists() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        let (leaks, frames) = match purpose {
            Purpose::Replay => (1, 30),
            Purpose::Search(Leaks::Reported) => (1, FRAMES),
            Purpose::Search(Leaks::Ignored) | Purpose::Merge => (0, FRAMES),
        };
        // Freed memory is watched for a while; as much as is usual would dwarf what we take.
        let options = format!(
            "detect_odr_violation=0:detect_leaks={leaks}:quarantine_size_mb=32:\
             malloc_context_size={frames}:detect_stack_use_after_return=0"
        );
        command.arg(format!("-detect_leaks={leaks}")).env("ASAN_OPTIONS", options);
        command
    }

    /// The folder of a target's seeds, if it has some.
    pub(super) fn seeds(&self, machine: &Machine, name: &str) -> Option<PathBuf> {
        let seeds = machine.root.join("fuzz/seeds").join(name);
        (self.names.iter().any(|known| known == name) && seeds.exists()).then_some(seeds)
    }

    /// Whether leaks can be looked for here: tried out.
    pub(super) fn probe_leaks(&self, machine: &Machine, name: &str) -> Result<Leaks> {
        let mut command = self.command(machine, name, Purpose::Search(Leaks::Reported));
        command.arg("-runs=1").stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().with_context(|| format!("starting {name}"))?;
        if status.success() {
            return Ok(Leaks::Reported);
        }
        println!("leaks are not looked for: it takes ptrace, which is forbidden here");
        Ok(Leaks::Ignored)
    }
}

/// The line `host: …` of `rustc -vV`.
fn host_triple(version: &str) -> Result<String> {
    let triple = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(triple.context("nightly's `rustc -vV` names no host")?.to_owned())
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
}
