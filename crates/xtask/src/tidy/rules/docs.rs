//! Docs that are there, and still true.

use std::collections::BTreeSet;

use crate::tidy::Finding;
use crate::tidy::source::{Source, Tree};

/// Pages whose code names must exist in the code.
const PAGES: &[&str] = &["docs/ARCHITECTURE.md", "docs/GLOSSARY.md"];

/// A file opens by saying what it is. Its tests open with what it says.
pub(in crate::tidy) fn opening(source: &Source) -> Vec<Finding> {
    let is_exempt = source.path.ends_with("/tests.rs") || source.text.starts_with("//!");
    if !source.is_rust() || is_exempt {
        return Vec::new();
    }
    vec![Finding::new(&source.path, 1, "open with `//!`: what this is, and its invariants")]
}

/// Links from Markdown to our own files lead somewhere.
pub(in crate::tidy) fn links(tree: &Tree) -> Vec<Finding> {
    let pages = tree.sources().iter().filter(|source| source.is_markdown());
    pages
        .flat_map(|page| {
            prose_lines(page)
                .flat_map(|(number, line)| {
                    link_targets(&line).into_iter().map(move |link| (number, link))
                })
                .filter(|(_, link)| !tree.has(&resolve(&page.path, link)))
                .map(|(number, link)| {
                    Finding::new(&page.path, number, format!("`{link}` leads nowhere"))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A type, function or method that a page names in `code` is one that some crate defines.
///
/// Plain lower-case words are left alone: they may be a file, a command or a field of a format.
pub(in crate::tidy) fn named_code(tree: &Tree) -> Vec<Finding> {
    let pages: Vec<&Source> = PAGES.iter().filter_map(|path| tree.source(path)).collect();
    if pages.is_empty() {
        return Vec::new();
    }
    let known: BTreeSet<&str> = tree
        .sources()
        .iter()
        .filter(|source| !source.path.starts_with("crates/xtask/"))
        .filter_map(Source::syntax)
        .flat_map(|syntax| syntax.definitions.iter().map(|defined| defined.name.as_str()))
        .collect();
    let mut findings = Vec::new();
    for page in pages {
        for (number, line) in page.lines() {
            let spans = line.split('`').skip(1).step_by(2).filter(|span| is_code_name(span));
            for span in spans {
                let mut parts = span.trim_end_matches("()").split("::");
                if let Some(unknown) = parts.find(|part| !known.contains(part)) {
                    let message =
                        format!("`{span}`: the code has no `{unknown}`; name what it has");
                    findings.push(Finding::new(&page.path, number, message));
                }
            }
        }
    }
    findings
}

/// `Db::write`, `resolve()` and `ReadView`, but not `CURRENT`, `data` or `a < b`.
fn is_code_name(span: &str) -> bool {
    let name = span.trim_end_matches("()");
    let is_path = name.split("::").all(|part| {
        !part.is_empty() && part.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
    });
    let is_type = name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase);
    is_path && (is_type || name.contains("::") || span.ends_with("()"))
}

/// Lines outside of fenced code, with inline code blanked out.
fn prose_lines(page: &Source) -> impl Iterator<Item = (usize, String)> {
    let mut is_fenced = false;
    page.lines().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            return None;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        (!is_fenced).then_some((number, prose))
    })
}

/// Paths that a line links to: `[text](path)` and `[label]: path`, without what is not a file.
fn link_targets(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let definition = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .and_then(|(_, target)| target.split_whitespace().next());
    inline
        .chain(definition)
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .map(str::to_owned)
        .collect()
}

/// The path from the repository's root that `link` means on the page at `from`.
fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part != ".." {
            parts.push(part);
        } else if parts.pop().is_none() {
            // Out of the repository: a path that no file has.
            parts.push("..");
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::lines_found;

    #[test]
    fn a_file_opens_with_its_docs() {
        assert_eq!(lines_found(opening, "a/src/lib.rs", "use b;\n//! Late.\n"), [1]);
        assert_eq!(lines_found(opening, "a/tests/main.rs", "use b;\n"), [1]);
        assert_eq!(lines_found(opening, "a/src/lib.rs", "//! Docs.\n"), [0; 0]);
        assert_eq!(lines_found(opening, "a/src/b/tests.rs", "use super::*;\n"), [0; 0]);
        assert_eq!(lines_found(opening, "a/README.md", "# A\n"), [0; 0]);
    }

    fn links_found(text: &str) -> usize {
        links(&Tree::of(&[("docs/a.md", text), ("crates/wal/FORMAT.md", ""), ("README.md", "")]))
            .len()
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        assert_eq!(links_found("[b](b.md) and [c](../c.md)\n"), 2);
        assert_eq!(links_found("[b]: b.md\n"), 1);
        assert_eq!(links_found("[out](../../README.md)\n"), 1);
    }

    #[test]
    fn links_to_files_folders_places_and_sites_pass() {
        assert_eq!(links_found("[a](a.md#top) [b](../crates/wal) [c](../README.md \"c\")\n"), 0);
        assert_eq!(links_found("[a](https://b.c/d) [e](#f) [g](mailto:h@i)\n"), 0);
        assert_eq!(links_found("`[a](b.md)`\n```text\n[a](b.md)\n```\n"), 0);
    }

    fn names_found(page: &str) -> usize {
        let code = "struct Db;\nimpl Db { fn write(&self) {} }\nfn resolve() { settle() }\n";
        named_code(&Tree::of(&[("docs/ARCHITECTURE.md", page), ("crates/a/src/a.rs", code)])).len()
    }

    #[test]
    fn code_that_a_page_names_exists() {
        assert_eq!(names_found("`Db::write`, then `resolve()`, on a `Db`\n"), 0);
        assert_eq!(names_found("`Db::read`, `settle()` and `View`\n"), 3);
    }

    #[test]
    fn files_commands_and_formulas_are_not_names_of_code() {
        assert_eq!(names_found("`CURRENT`, `000002.wal`, `cargo xtask ci`, `a < b`, `base`\n"), 0);
    }
}
