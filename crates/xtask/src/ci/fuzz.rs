//! A short run of all fuzz targets, where there is a nightly toolchain; a long one is
//! `cargo xtask fuzz`.

use anyhow::Result;

use super::Verdict;
use super::machine::Machine;
use crate::fuzz;

/// Builds each target of `fuzz/` and runs it for a few seconds.
pub(super) fn smoke(machine: &Machine) -> Result<Verdict> {
    if !machine.root.join(fuzz::MANIFEST).exists() {
        return Ok(Verdict::Skipped("no fuzz/ yet".to_owned()));
    }
    if !machine.has_nightly(&["--version"]) {
        return Ok(Verdict::Skipped(fuzz::NO_NIGHTLY.to_owned()));
    }
    fuzz::smoke(machine)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn without_targets_there_is_nothing_to_do() {
        let verdict = smoke(&Machine::new(Path::new("/nonexistent"))).expect("no error");
        assert!(matches!(verdict, Verdict::Skipped(_)), "{verdict:?}");
    }
}
