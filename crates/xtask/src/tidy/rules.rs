//! The rules: pure functions from text to findings, grouped by what they look at.

pub(super) mod docs;
pub(super) mod formats;
pub(super) mod lengths;
pub(super) mod names;
pub(super) mod packages;
pub(super) mod safety;
pub(super) mod text;
pub(super) mod words;

use super::Finding;
use super::source::Source;

/// A file that does not parse would pass every rule that reads its syntax.
pub(super) fn parses(source: &Source) -> Vec<Finding> {
    let finding = |error| Finding::new(&source.path, 0, format!("does not parse: {error}"));
    source.parse_error().map(finding).into_iter().collect()
}

/// The lines that `rule` finds in `text`, as if it stood in the file `path`.
#[cfg(test)]
fn lines_found(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::new(path, text)).into_iter().map(|finding| finding.line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_parse_is_found() {
        assert_eq!(lines_found(parses, "crates/wal/src/a.rs", "fn ("), [0]);
        assert_eq!(lines_found(parses, "crates/wal/src/a.rs", "fn a() {}"), [0; 0]);
        assert_eq!(lines_found(parses, "docs/a.md", "fn ("), [0; 0]);
    }
}
