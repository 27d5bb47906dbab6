//! What every package of the workspace has in common.

use crate::tidy::Finding;
use crate::tidy::source::{Source, Tree};

/// Every package takes its lints, and the version of each dependency, from the workspace.
pub(in crate::tidy) fn shared(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.sources().iter().filter(|source| is_member(&source.path));
    manifests.flat_map(|manifest| lints(manifest).into_iter().chain(versions(manifest))).collect()
}

/// `benches/versus` and `fuzz` are workspaces of their own.
fn is_member(path: &str) -> bool {
    let folder = path.strip_suffix("/Cargo.toml");
    folder.is_some_and(|folder| {
        let is_crate = folder.strip_prefix("crates/").is_some_and(|name| !name.contains('/'));
        is_crate || folder == "benches"
    })
}

fn lints(manifest: &Source) -> Option<Finding> {
    let is_shared = manifest.text.contains("[lints]\nworkspace = true\n");
    let message = "take the workspace's lints: `[lints]`, `workspace = true`";
    (!is_shared).then(|| Finding::new(&manifest.path, 0, message))
}

fn versions(manifest: &Source) -> Vec<Finding> {
    let mut is_dependencies = false;
    let mut findings = Vec::new();
    for (number, line) in manifest.lines() {
        if line.starts_with('[') {
            is_dependencies = line.ends_with("dependencies]");
        } else if is_dependencies && line.contains('=') && !line.contains("workspace = true") {
            let message = "pin it once, in the workspace: `name.workspace = true`";
            findings.push(Finding::new(&manifest.path, number, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(path: &str, text: &str) -> Vec<usize> {
        shared(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    const LINTS: &str = "[lints]\nworkspace = true\n";

    #[test]
    fn a_package_without_shared_lints_is_found() {
        assert_eq!(lines_of("crates/wal/Cargo.toml", "[package]\n"), [0]);
        assert_eq!(lines_of("crates/wal/Cargo.toml", LINTS), [0; 0]);
    }

    #[test]
    fn a_version_outside_the_workspace_is_found() {
        let own = format!("{LINTS}[dependencies]\nserde = \"1\"\n");
        let kept =
            format!("{LINTS}[dependencies]\nserde = {{ workspace = true }}\n[features]\na = []\n");
        assert_eq!(lines_of("benches/Cargo.toml", &own), [4]);
        assert_eq!(lines_of("benches/Cargo.toml", &kept), [0; 0]);
    }

    #[test]
    fn other_workspaces_are_left_alone() {
        for path in ["benches/versus/Cargo.toml", "fuzz/Cargo.toml", "Cargo.toml"] {
            assert_eq!(lines_of(path, "[dependencies]\nserde = \"1\"\n"), [0; 0], "{path}");
        }
    }
}
