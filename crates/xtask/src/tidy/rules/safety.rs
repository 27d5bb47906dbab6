//! Where `unsafe` may stand, and what an exception must say for itself.

use crate::tidy::Finding;
use crate::tidy::source::Source;
use crate::tidy::syntax::Token;

/// The files that may hold `unsafe`: a log segment seen as memory, one instruction (decision 17), and memory
/// that is read while more is appended to it (decision 24).
const UNSAFE_FILES: [&str; 3] =
    ["crates/base/src/fs/mapped.rs", "crates/base/src/prefetch.rs", "crates/base/src/append.rs"];

/// Where a file may excuse itself: test binaries, fuzz targets, the rivals we measure, whose calls
/// are unsafe, and the system calls with which the harness cuts the power.
const EXCUSABLE: &[&str] =
    &["/tests/", "fuzz/", "benches/versus/", "crates/torture/src/power/kernel.rs"];

/// `unsafe` stands in three files. An excusable one may have some too, where it says why in an `allow`.
pub(in crate::tidy) fn place(source: &Source) -> Vec<Finding> {
    let Some(syntax) = source.syntax() else { return Vec::new() };
    let is_excused = EXCUSABLE.iter().any(|place| source.path.contains(place))
        && syntax.allowed.iter().any(|allowed| {
            allowed.lints.contains("unsafe_code") && allowed.lints.contains("reason")
        });
    if UNSAFE_FILES.contains(&&*source.path) || is_excused {
        return Vec::new();
    }
    let message = format!(
        "`unsafe` belongs in {}; another place needs a decision record with the \
         measured gain (tests and rivals: `#![allow(unsafe_code, reason = \"…\")]`)",
        UNSAFE_FILES[0]
    );
    let tokens = syntax.tokens.iter().filter(|token| token.text == "unsafe");
    tokens.map(|token| Finding::new(&source.path, token.line, message.clone())).collect()
}

/// Each unsafe block and implementation has a SAFETY comment right above its statement.
pub(in crate::tidy) fn reason(source: &Source) -> Vec<Finding> {
    let Some(syntax) = source.syntax() else { return Vec::new() };
    let lines: Vec<&str> = source.text.split('\n').collect();
    let needs_reason = |pair: &&[Token]| {
        pair[0].text == "unsafe" && (pair[1].text == "{" || pair[1].text == "impl")
    };
    let blocks = syntax.tokens.windows(2).filter(needs_reason);
    blocks
        .filter(|pair| {
            // The statement may begin a few lines above the block; a blank line ends the search.
            let above = lines[..pair[0].line].iter().rev();
            !above
                .take_while(|line| !line.trim().is_empty())
                .any(|line| line.contains("// SAFETY:"))
        })
        .map(|pair| {
            let message = "say above it why this is sound: `// SAFETY: …`";
            Finding::new(&source.path, pair[0].line, message)
        })
        .collect()
}

/// An allowed lint says why. Clippy asks the same of the workspace; this reaches the packages
/// outside of it.
pub(in crate::tidy) fn allows(source: &Source) -> Vec<Finding> {
    let allowed = source.syntax().map(|syntax| &syntax.allowed).into_iter().flatten();
    allowed
        .filter(|allowed| !allowed.lints.contains("reason"))
        .map(|allowed| {
            let message = format!("add `reason = \"…\"` to allow({})", allowed.lints);
            Finding::new(&source.path, allowed.line, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::lines_found;

    const BLOCK: &str = "fn a() {\n    unsafe { b() }\n}\n";

    #[test]
    fn unsafe_is_found_anywhere_but_in_its_file() {
        for path in ["crates/wal/src/a.rs", "crates/base/src/fs.rs", "crates/wal/tests/main.rs"] {
            assert_eq!(lines_found(place, path, BLOCK), [2], "{path}");
        }
        assert_eq!(lines_found(place, UNSAFE_FILES[0], BLOCK), [0; 0]);
        let in_a_macro = "macro_rules! a { () => { unsafe { b() } } }";
        assert_eq!(lines_found(place, "crates/wal/src/a.rs", in_a_macro), [1]);
    }

    #[test]
    fn tests_and_rivals_may_excuse_themselves_and_a_library_may_not() {
        let excused = format!("#![allow(unsafe_code, reason = \"an allocator\")]\n{BLOCK}");
        assert_eq!(lines_found(place, "crates/memtable/tests/memory.rs", &excused), [0; 0]);
        assert_eq!(lines_found(place, "fuzz/src/memory.rs", &excused), [0; 0]);
        assert_eq!(lines_found(place, "benches/versus/src/lmdb.rs", &excused), [0; 0]);
        assert_eq!(lines_found(place, "crates/torture/src/power/kernel.rs", &excused), [0; 0]);
        assert_eq!(lines_found(place, "crates/torture/src/power.rs", &excused), [3]);
        assert_eq!(lines_found(place, "benches/versus/src/lmdb.rs", BLOCK), [2]);
        assert_eq!(lines_found(place, "crates/memtable/src/a.rs", &excused), [3]);
    }

    #[test]
    fn the_word_in_a_comment_or_string_or_lint_is_not_the_keyword() {
        let text = "//! unsafe\n#[deny(unsafe_code)]\nfn a() -> &'static str { \"unsafe\" }";
        assert_eq!(lines_found(place, "crates/wal/src/a.rs", text), [0; 0]);
    }

    #[test]
    fn an_unsafe_block_says_why_it_is_sound() {
        let said =
            "fn a() {\n    // SAFETY: b is sound.\n    let c =\n        unsafe { b() };\n}\n";
        let far = "fn a() {\n    // SAFETY: of something else.\n\n    unsafe { b() }\n}\n";
        assert_eq!(lines_found(reason, UNSAFE_FILES[0], said), [0; 0]);
        assert_eq!(lines_found(reason, UNSAFE_FILES[0], BLOCK), [2]);
        assert_eq!(lines_found(reason, UNSAFE_FILES[0], far), [4]);
        assert_eq!(lines_found(reason, UNSAFE_FILES[0], "unsafe impl Send for A {}"), [1]);
        assert_eq!(lines_found(reason, UNSAFE_FILES[0], "unsafe fn a() {}"), [0; 0]);
    }

    #[test]
    fn an_allowed_lint_says_why() {
        let path = "fuzz/fuzz_targets/wal_replay.rs";
        assert_eq!(lines_found(allows, path, "#![allow(dead_code)]\n"), [1]);
        assert_eq!(lines_found(allows, path, "\n#[expect(dead_code)]\nfn a() {}"), [2]);
        assert_eq!(
            lines_found(allows, path, "#[allow(dead_code, reason = \"b\")]\nfn a() {}"),
            [0; 0]
        );
    }
}
