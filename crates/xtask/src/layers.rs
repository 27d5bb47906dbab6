//! The layers of the design, held to by reading `cargo metadata`.
//!
//! ```text
//! 6  cli
//! 5  server   cluster
//! 4  alluvium (crates/engine)
//! 3  compaction
//! 2  manifest
//! 1  wal   memtable   table         dev: testkit   torture   xtask   benches
//! 0  base
//! ```
//!
//! A package may import what its row in [`table::LAYERS`] names and nothing else of ours; siblings never
//! import each other. A third-party crate with a home ([`homes::HOMES`]) is imported there alone, so that
//! replacing it touches one crate. Checking is pure: packages in, broken rules out.

mod homes;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::Outcome;
use homes::HOMES;
use table::{DEV_IMPORTS, Imports};

/// Why a package is built with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EdgeKind {
    /// Its library or binary imports it, or its build script does.
    Normal,
    /// Its tests, examples or benches do.
    Dev,
}

/// One line under `[dependencies]` or `[dev-dependencies]`.
#[derive(Clone, Debug)]
struct Edge {
    from: String,
    to: String,
    kind: EdgeKind,
}

impl Edge {
    fn arrow(&self) -> String {
        let kind = match self.kind {
            EdgeKind::Normal => "->",
            EdgeKind::Dev => "-> (dev)",
        };
        format!("{} {kind} {}", self.from, self.to)
    }
}

/// Prints each broken rule of the workspace in `root`.
pub(crate) fn run(root: &Path) -> Result<Outcome> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("reading `cargo metadata`")?;
    let members: Vec<String> =
        metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let edges: Vec<Edge> = metadata
        .packages
        .iter()
        .flat_map(|package| {
            package.dependencies.iter().map(|dependency| Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                kind: match dependency.kind {
                    DependencyKind::Development => EdgeKind::Dev,
                    DependencyKind::Normal | DependencyKind::Build | DependencyKind::Unknown => {
                        EdgeKind::Normal
                    }
                },
            })
        })
        .collect();
    let findings = check(&members, &edges);
    for finding in &findings {
        println!("layers: {finding}");
    }
    println!(
        "layers: {} packages, {} dependencies, {} broken rules",
        members.len(),
        edges.len(),
        findings.len()
    );
    Ok(Outcome::of_findings(findings.len()))
}

/// Every rule that a dependency breaks, in the order of `members` and `edges`. Pure.
fn check(members: &[String], edges: &[Edge]) -> Vec<String> {
    let unknown = members.iter().filter(|name| table::layer_of(name).is_none()).map(|name| {
        format!("{name} has no row in the table of layers; add it to the design and to xtask")
    });
    let broken = edges.iter().filter_map(|edge| {
        if members.contains(&edge.to) { check_layer(edge) } else { check_home(edge) }
    });
    unknown.chain(broken).collect()
}

/// What is wrong with an import of one of our own packages.
fn check_layer(edge: &Edge) -> Option<String> {
    let layer = table::layer_of(&edge.from)?;
    let allowed_in_tests =
        DEV_IMPORTS.iter().any(|dev| dev.package == edge.to && dev.importers.allows(&edge.from));
    if layer.may_import.allows(&edge.to) || (edge.kind == EdgeKind::Dev && allowed_in_tests) {
        return None;
    }
    let rule = match layer.may_import {
        Imports::Only([]) => "nothing of ours".to_owned(),
        Imports::Only(names) => format!("only {}", names.join(", ")),
        Imports::Anything => "anything".to_owned(),
    };
    Some(format!("{}: {} (layer {}) may import {rule}", edge.arrow(), edge.from, layer.level))
}

/// What is wrong with an import of a third-party crate.
fn check_home(edge: &Edge) -> Option<String> {
    let home = HOMES.iter().find(|home| home.third_party == edge.to)?;
    let is_guest = edge.kind == EdgeKind::Dev && home.tests_may_import == homes::InTests::Allowed;
    // Benches may measure anything against anything.
    if is_guest || home.packages.contains(&edge.from.as_str()) || edge.from == table::BENCHES {
        return None;
    }
    Some(format!(
        "{}: {} lives in {}; {}",
        edge.arrow(),
        edge.to,
        home.packages.join(" and "),
        home.instead
    ))
}
