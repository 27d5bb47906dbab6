//! A format is written down once, and the page cannot lie.

use crate::tidy::Finding;
use crate::tidy::source::Tree;

/// Crates that own a format.
const OWNERS: &[&str] = &["crates/wal", "crates/table", "crates/manifest"];

/// Fewest bytes in a row that make a line part of a hex dump.
const DUMP_BYTES: usize = 4;

/// Each owner of a format has a `FORMAT.md` with a hex dump, and reads the page in a test.
pub(in crate::tidy) fn written(tree: &Tree) -> Vec<Finding> {
    let owners = OWNERS.iter().filter(|owner| tree.has(owner));
    owners.filter_map(|owner| check_owner(tree, owner)).collect()
}

fn check_owner(tree: &Tree, owner: &str) -> Option<Finding> {
    let path = format!("{owner}/FORMAT.md");
    let Some(page) = tree.source(&path) else {
        return Some(Finding::new(&path, 0, "write down the format: byte tables and a hex dump"));
    };
    if !page.lines().any(|(_, line)| is_dump_line(line)) {
        return Some(Finding::new(&path, 0, "add a hex dump of a small file"));
    }
    let has_reader = tree.sources().iter().any(|source| {
        source.path.starts_with(&format!("{owner}/"))
            && source.syntax().is_some_and(|syntax| {
                // A comment is a string to the compiler too, but a path has no spaces.
                let is_path = |text: &str| text.ends_with("FORMAT.md\"") && !text.contains(' ');
                let mut paths = syntax.tokens.iter().filter(|token| is_path(&token.text));
                paths.any(|token| source.is_test() || syntax.is_test_line(token.line))
            })
    });
    let message = "parse its hex dump in a test: `include_str!(\"…/FORMAT.md\")`";
    (!has_reader).then(|| Finding::new(&path, 0, message))
}

/// `00000010  a1 b2 c3 d4 …`, with or without the offset.
fn is_dump_line(line: &str) -> bool {
    let is_byte =
        |word: &&str| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = line.split_whitespace();
    words.skip_while(|word| !is_byte(word)).take_while(is_byte).count() >= DUMP_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "# Format\n```text\n00000000  61 6c 6c 75 76 69\n```\n";
    const READER: &str = "const PAGE: &str = include_str!(\"../FORMAT.md\");\n";

    fn findings_of(files: &[(&str, &str)]) -> Vec<String> {
        written(&Tree::of(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_format_without_a_page_a_dump_or_a_reader_is_found() {
        let test = ("crates/wal/src/tests.rs", READER);
        assert!(findings_of(&[test])[0].starts_with("write down"));
        assert!(findings_of(&[("crates/wal/FORMAT.md", "# Format\n"), test])[0].starts_with("add"));
        assert!(findings_of(&[("crates/wal/FORMAT.md", DUMP)])[0].starts_with("parse"));
    }

    #[test]
    fn a_mention_in_a_comment_or_another_crate_is_no_reader() {
        let page = ("crates/wal/FORMAT.md", DUMP);
        let comment = "//! See FORMAT.md.\n/// As in \"FORMAT.md\"\nfn a() {}\n";
        assert_eq!(findings_of(&[page, ("crates/wal/src/tests.rs", comment)]).len(), 1);
        assert_eq!(findings_of(&[page, ("crates/base/src/tests.rs", READER)]).len(), 1);
        assert_eq!(findings_of(&[page, ("crates/wal/src/lib.rs", READER)]).len(), 1);
    }

    #[test]
    fn a_page_with_a_dump_that_a_test_reads_passes() {
        let page = ("crates/wal/FORMAT.md", DUMP);
        let inline = format!("#[cfg(test)]\nmod tests {{\n{READER}}}\n");
        assert!(findings_of(&[page, ("crates/wal/src/tests.rs", READER)]).is_empty());
        assert!(findings_of(&[page, ("crates/wal/tests/main.rs", READER)]).is_empty());
        assert!(findings_of(&[page, ("crates/wal/src/lib.rs", &inline)]).is_empty());
    }
}
