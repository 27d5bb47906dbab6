//! What the compiler, clippy and rustfmt cannot see, and a reader would.
//!
//! ```text
//! disk --walk--> Tree of Sources --each rule of RULES--> Findings --> printed
//! ```
//!
//! A rule is one small pure function from a file, or from the whole tree, to findings; it lives in
//! [`rules`] with snippets that must fail and snippets that must pass. A ban always names its
//! replacement, so that whoever meets it knows what to do. To add a rule, write the function and
//! give it a row in [`RULES`].

mod rules;
mod source;
mod syntax;

use std::path::Path;

use anyhow::Result;

use crate::Outcome;
use source::{Source, Tree};

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 speaks of the whole file.
    line: usize,
    /// What is wrong, and what to do instead.
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

/// How much a rule looks at.
#[derive(Clone, Copy, Debug)]
enum Check {
    File(fn(&Source) -> Vec<Finding>),
    Tree(fn(&Tree) -> Vec<Finding>),
}

/// A row of [`RULES`].
#[derive(Clone, Copy, Debug)]
struct Rule {
    name: &'static str,
    /// What it asks for, in one line.
    asks: &'static str,
    check: Check,
}

const fn file_rule(name: &'static str, asks: &'static str, check: FileCheck) -> Rule {
    Rule { name, asks, check: Check::File(check) }
}

const fn tree_rule(name: &'static str, asks: &'static str, check: TreeCheck) -> Rule {
    Rule { name, asks, check: Check::Tree(check) }
}

type FileCheck = fn(&Source) -> Vec<Finding>;
type TreeCheck = fn(&Tree) -> Vec<Finding>;

/// All there are, in the order they are run.
const RULES: &[Rule] = &[
    file_rule("parses", "Rust files parse", rules::parses),
    file_rule("file-length", "a file is one idea: at most 400 lines", rules::lengths::files),
    file_rule("function-length", "a function is one screen: 70 lines", rules::lengths::functions),
    file_rule("module-names", "a file is named for what it holds", rules::names::modules),
    file_rule("type-names", "a type is named for what it is", rules::names::types),
    file_rule("words", "identifiers use the glossary's words", rules::words::identifiers),
    file_rule("prose", "comments use the glossary's words", rules::words::prose),
    file_rule("opening", "a file opens with `//!` docs", rules::docs::opening),
    file_rule("unsafe-place", "`unsafe` has one file", rules::safety::place),
    file_rule("unsafe-reason", "an unsafe block says why it is sound", rules::safety::reason),
    file_rule("allow-reason", "an allowed lint has a reason", rules::safety::allows),
    file_rule("unfinished", "nothing is left for later", rules::text::unfinished),
    file_rule("spaces", "lines end in no space, files in one newline", rules::text::spaces),
    tree_rule("links", "links between files resolve", rules::docs::links),
    tree_rule("pages", "code that the pages name exists", rules::docs::named_code),
    tree_rule("formats", "a format has a FORMAT.md that a test parses", rules::formats::written),
    tree_rule("packages", "packages share lints and versions", rules::packages::shared),
];

/// Prints the rules.
pub(crate) fn list() -> Outcome {
    for rule in RULES {
        println!("{:<16} {}", rule.name, rule.asks);
    }
    Outcome::Clean
}

/// Prints each place in the repository at `root` that breaks a rule.
pub(crate) fn run(root: &Path) -> Result<Outcome> {
    let tree = Tree::read(root)?;
    let findings = check(&tree);
    for (rule, Finding { path, line, message }) in &findings {
        if *line == 0 {
            println!("tidy: {path}: {message} [{rule}]");
        } else {
            println!("tidy: {path}:{line}: {message} [{rule}]");
        }
    }
    println!(
        "tidy: {} rules, {} files, {} findings",
        RULES.len(),
        tree.sources().len(),
        findings.len()
    );
    Ok(Outcome::of_findings(findings.len()))
}

/// Every finding with the name of its rule. Pure.
fn check(tree: &Tree) -> Vec<(&'static str, Finding)> {
    let mut findings = Vec::new();
    for rule in RULES {
        let found: Vec<Finding> = match rule.check {
            Check::File(check) => tree.sources().iter().flat_map(check).collect(),
            Check::Tree(check) => check(tree),
        };
        findings.extend(found.into_iter().map(|finding| (rule.name, finding)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_names_of_their_own() {
        let names: std::collections::BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn a_clean_tree_has_no_findings_and_a_finding_names_its_rule() {
        let code = ("crates/wal/src/lib.rs", "//! Docs.\n");
        let reader =
            ("crates/wal/src/tests.rs", "const A: &str = include_str!(\"../FORMAT.md\");\n");
        let page = ("crates/wal/FORMAT.md", "# Format\n\n    00 01 02 03\n");
        assert_eq!(check(&Tree::of(&[code, reader, page])), []);
        let found =
            check(&Tree::of(&[code, reader, page, ("crates/wal/src/v2.rs", "//! Docs.\n")]));
        assert_eq!(found.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), ["module-names"]);
    }
}
