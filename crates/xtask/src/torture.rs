//! Builds the torture program, optimised, and hands it the arguments.
//!
//! The layer `seeded` plants bugs, which no other build may have in it: it is a build of its own, in
//! a folder of its own. What is tried is noted in `docs/reliability.md`, unless one case is replayed
//! or `--no-report` is given.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::Outcome;

/// The layer that needs the build with seeded bugs.
const SEEDED: &str = "seeded";

/// Runs the layers that `arguments` name, `seeded` last.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<Outcome> {
    let is_report = !arguments.iter().any(|argument| {
        matches!(&**argument, "--no-report" | "--list" | "--help" | "-h" | "--report")
            || argument.starts_with("--only")
            || argument.starts_with("--cases")
    });
    let mut passed_on: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| *argument != "--no-report")
        .collect();
    let page = root.join("docs/reliability.md");
    let page = page.to_string_lossy();
    if is_report {
        passed_on.extend(["--report", &page]);
    }
    let names_seeded = passed_on.contains(&SEEDED);
    // The first word is a layer, or there is none and all are meant.
    let names_any = passed_on.first().is_some_and(|first| !first.starts_with('-'));
    let is_all = !names_any || passed_on.contains(&"all");
    let mut held = true;
    if !names_seeded || is_all || names_others(&passed_on) {
        let others: Vec<&str> =
            passed_on.iter().copied().filter(|argument| *argument != SEEDED).collect();
        held &= torture(root, &[], &others)?;
    }
    let only_lists = passed_on.iter().any(|argument| matches!(*argument, "--list" | "--help"));
    if (names_seeded || is_all) && !only_lists {
        let options = passed_on.iter().copied().skip_while(|argument| !argument.starts_with('-'));
        let arguments: Vec<&str> = std::iter::once(SEEDED).chain(options).collect();
        held &= torture(root, &["--features", "seeded-bugs"], &arguments)?;
    }
    Ok(if held { Outcome::Clean } else { Outcome::Broken })
}

/// Whether a layer besides `seeded` stands before the options.
fn names_others(arguments: &[&str]) -> bool {
    arguments.iter().take_while(|argument| !argument.starts_with('-')).any(|name| *name != SEEDED)
}

fn torture(root: &Path, features: &[&str], arguments: &[&str]) -> Result<bool> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["run", "--quiet", "--release", "--package", "alluvium-torture"]);
    if !features.is_empty() {
        cargo.args(features).args(["--target-dir", "target/seeded"]);
    }
    let status = cargo.arg("--").args(arguments).status().context("running cargo")?;
    Ok(status.success())
}

/// Has the torture program add a row to the published table.
pub(crate) fn note(root: &Path, arguments: &[&str]) -> Result<bool> {
    torture(root, &[], arguments)
}
