//! The steps that are one command each, or one chore of ours.

use anyhow::Result;

use super::Verdict;
use super::machine::{Machine, judge};
use crate::Outcome;

/// Workspaces of their own, formatted along with the rest.
const OTHER_WORKSPACES: &[&str] = &["benches/versus/Cargo.toml", "fuzz/Cargo.toml"];

/// Cases per property under miri, which is a thousand times slower.
const MIRI_PROPTEST_CASES: &str = "4";

/// Tests that make system calls miri does not know.
const MIRI_SKIPPED: &[&str] = &["fs::standard", "fs::mapped"];

pub(super) fn format(machine: &Machine) -> Result<Verdict> {
    let mut verdicts = vec![judge(&mut machine.cargo(&["fmt", "--all", "--check"]))?];
    for manifest in OTHER_WORKSPACES.iter().filter(|path| machine.root.join(path).exists()) {
        let arguments = ["fmt", "--manifest-path", manifest, "--check"];
        verdicts.push(judge(&mut machine.cargo(&arguments))?);
    }
    Ok(Verdict::worst(verdicts))
}

pub(super) fn layers(machine: &Machine) -> Result<Verdict> {
    Ok(judge_chore(crate::layers::run(&machine.root)?))
}

pub(super) fn tidy(machine: &Machine) -> Result<Verdict> {
    Ok(judge_chore(crate::tidy::run(&machine.root)?))
}

fn judge_chore(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Clean => Verdict::Passed,
        Outcome::Broken => Verdict::Failed("findings above".to_owned()),
    }
}

pub(super) fn clippy(machine: &Machine) -> Result<Verdict> {
    judge(&mut machine.cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// Unit tests, integration tests, doc tests; examples are built along.
pub(super) fn test(machine: &Machine) -> Result<Verdict> {
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast"];
    judge(machine.cargo(&arguments).env("RUST_BACKTRACE", "1"))
}

/// Runs every example of the library as a newcomer would, each on a folder of its own.
pub(super) fn examples(machine: &Machine) -> Result<Verdict> {
    let data = machine.root.join("target/example-data");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    std::fs::create_dir_all(&data)?;
    let mut verdicts = Vec::new();
    for entry in std::fs::read_dir(machine.root.join("crates/engine/examples"))? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let folder = data.join(name);
        let folder = folder.to_string_lossy();
        let arguments =
            ["run", "--locked", "--package", "alluvium", "--example", name, "--", &*folder];
        verdicts.push(judge(&mut machine.cargo(&arguments))?);
    }
    Ok(Verdict::worst(verdicts))
}

pub(super) fn docs(machine: &Machine) -> Result<Verdict> {
    let arguments = ["doc", "--workspace", "--no-deps", "--locked"];
    judge(machine.cargo(&arguments).env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Advisories need the network and change without us; they are checked before a release.
pub(super) fn licences(machine: &Machine) -> Result<Verdict> {
    if !machine.has_cargo("deny") {
        return Ok(Verdict::Skipped("no cargo-deny".to_owned()));
    }
    judge(&mut machine.cargo(&["deny", "--locked", "check", "licenses", "bans", "sources"]))
}

pub(super) fn release(machine: &Machine) -> Result<Verdict> {
    judge(&mut machine.cargo(&["build", "--release", "--locked", "--package", "alluvium-cli"]))
}

/// Plants every bug there is, one after the other, in a build and a folder of its own: a layer of
/// tests must catch each.
pub(super) fn seeded(machine: &Machine) -> Result<Verdict> {
    let build = ["--locked", "--package", "alluvium-torture", "--features", "seeded-bugs"];
    let clippy = [&["clippy", "--all-targets"], &build[..], &["--", "--deny", "warnings"]].concat();
    let folder = ["--target-dir", "target/seeded"];
    let run = [&["run"], &build[..], &folder, &["--", "seeded"]].concat();
    Ok(Verdict::worst([judge(&mut machine.cargo(&clippy))?, judge(&mut machine.cargo(&run))?]))
}

pub(crate) fn miri(machine: &Machine) -> Result<Verdict> {
    if !machine.has_nightly(&["miri", "--version"]) {
        return Ok(Verdict::Skipped("no miri: rustup +nightly component add miri".to_owned()));
    }
    let mut arguments = vec!["miri", "test", "--package", "alluvium-base", "--lib", "--"];
    arguments.extend(MIRI_SKIPPED.iter().flat_map(|name| ["--skip", *name]));
    // Isolation hides the clock and the environment, which the seeds of properties come from.
    judge(
        machine
            .nightly("cargo", &arguments)
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            .env("PROPTEST_CASES", MIRI_PROPTEST_CASES),
    )
}
