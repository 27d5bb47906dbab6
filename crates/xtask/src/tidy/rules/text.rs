//! What no text of ours holds, in any language.

use crate::tidy::Finding;
use crate::tidy::source::Source;

/// Spelled in halves, so that this file does not find itself.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Macros that stand for code that is not there.
const UNFINISHED_MACROS: &[&str] = &["todo", "unimplemented"];

/// Nothing is left for later: it is done, or it is an issue.
pub(in crate::tidy) fn unfinished(source: &Source) -> Vec<Finding> {
    let marks = source.lines().filter_map(|(number, line)| {
        let mark = UNFINISHED.iter().find(|mark| holds_word(line, mark))?;
        Some((number, format!("{mark}: do it, or open an issue and name it in the sentence")))
    });
    let tokens = source.syntax().map_or(&[][..], |syntax| &syntax.tokens);
    let macros = tokens.windows(2).filter_map(|pair| {
        let is_unfinished = UNFINISHED_MACROS.contains(&pair[0].text.as_str());
        (is_unfinished && pair[1].text == "!")
            .then(|| (pair[0].line, format!("`{}!`: write it, or return an error", pair[0].text)))
    });
    marks.chain(macros).map(|(line, message)| Finding::new(&source.path, line, message)).collect()
}

/// Lines end in no space and files in exactly one newline.
pub(in crate::tidy) fn spaces(source: &Source) -> Vec<Finding> {
    let trailing = source
        .lines()
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
        .map(|(number, _)| Finding::new(&source.path, number, "remove the space at the end"));
    let has_one_newline = source.text.ends_with('\n') && !source.text.ends_with("\n\n");
    let ending = (!source.text.is_empty() && !has_one_newline)
        .then(|| Finding::new(&source.path, 0, "end the file with exactly one newline"));
    trailing.chain(ending).collect()
}

/// Whether `word` stands in `line` with no letter, digit or underscore beside it.
fn holds_word(line: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::lines_found;

    #[test]
    fn marks_of_unfinished_work_are_found_in_every_kind_of_file() {
        for mark in UNFINISHED {
            let text = format!("a\n// {mark}: later\n");
            assert_eq!(lines_found(unfinished, "docs/a.md", &text), [2], "{mark}");
            assert_eq!(lines_found(unfinished, "a.toml", &text), [2], "{mark}");
        }
    }

    #[test]
    fn longer_words_and_templates_pass() {
        for text in [concat!("TO", "DOS"), concat!("a_FIX", "ME"), "mktemp XXXXXX", "todo"] {
            assert_eq!(lines_found(unfinished, "docs/a.md", text), [0; 0], "{text}");
        }
    }

    #[test]
    fn macros_that_stand_for_missing_code_are_found() {
        let path = "fuzz/a.rs";
        assert_eq!(lines_found(unfinished, path, "fn a() {\n    todo!()\n}\n"), [2]);
        assert_eq!(lines_found(unfinished, path, "fn a() { unimplemented!(\"b\") }\n"), [1]);
        assert_eq!(lines_found(unfinished, path, "fn todo() { \"todo!()\"; }\n"), [0; 0]);
    }

    #[test]
    fn spaces_at_the_end_are_found() {
        assert_eq!(lines_found(spaces, "a.md", "a \nb\n"), [1]);
        assert_eq!(lines_found(spaces, "a.md", "a\r\n"), [1]);
        assert_eq!(lines_found(spaces, "a.md", "a"), [0]);
        assert_eq!(lines_found(spaces, "a.md", "a\n\n"), [0]);
        assert_eq!(lines_found(spaces, "a.md", "a\n\nb\n"), [0; 0]);
        assert_eq!(lines_found(spaces, "a.md", ""), [0; 0]);
    }
}
