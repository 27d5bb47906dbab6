//! How long a file and a function may be.
//!
//! Tests do not count, and neither does the essay a file opens with: both make the rest shorter to
//! read. Everything else does, comments and blank lines too, for a screen shows them all.

use crate::tidy::Finding;
use crate::tidy::source::Source;

/// Most lines of a file, without its tests and its opening `//!`.
const MAX_FILE_LINES: usize = 400;

/// Most lines of a function, from `fn` to its closing brace.
const MAX_FUNCTION_LINES: usize = 70;

/// A file is one idea.
pub(in crate::tidy) fn files(source: &Source) -> Vec<Finding> {
    let Some(syntax) = source.syntax() else { return Vec::new() };
    if source.is_test() {
        return Vec::new();
    }
    let essay = source.lines().take_while(|(_, line)| line.starts_with("//!")).count();
    let last = source.text.lines().count();
    let count = (essay + 1..=last).filter(|line| !syntax.is_test_line(*line)).count();
    if count <= MAX_FILE_LINES {
        return Vec::new();
    }
    let message =
        format!("{count} lines without tests, more than {MAX_FILE_LINES}; split it by idea");
    vec![Finding::new(&source.path, 0, message)]
}

/// A function is one screen. Test functions are left to clippy, which counts code alone.
pub(in crate::tidy) fn functions(source: &Source) -> Vec<Finding> {
    let Some(syntax) = source.syntax() else { return Vec::new() };
    if source.is_test() {
        return Vec::new();
    }
    let functions = syntax.functions.iter();
    functions
        .filter(|function| !syntax.is_test_line(*function.lines.start()))
        .filter_map(|function| {
            let count = function.lines.end() - function.lines.start() + 1;
            (count > MAX_FUNCTION_LINES).then(|| {
                let message = format!(
                    "`{}` has {count} lines, more than {MAX_FUNCTION_LINES}; name its steps",
                    function.name
                );
                Finding::new(&source.path, *function.lines.start(), message)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::lines_found;

    const PATH: &str = "crates/wal/src/segment.rs";

    fn constants(count: usize) -> String {
        "const _: () = ();\n".repeat(count)
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn files_of_400_lines_pass_and_longer_ones_fail() {
        assert_eq!(lines_found(files, PATH, &constants(400)), [0; 0]);
        assert_eq!(lines_found(files, PATH, &constants(401)), [0]);
    }

    #[test]
    fn tests_and_the_essay_do_not_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", constants(300));
        let text = format!("{}{}{tests}", "//! Essay.\n".repeat(50), constants(400));
        assert_eq!(lines_found(files, PATH, &text), [0; 0]);
        assert_eq!(lines_found(files, "crates/wal/src/segment/tests.rs", &constants(900)), [0; 0]);
        assert_eq!(lines_found(files, "crates/wal/tests/main.rs", &constants(900)), [0; 0]);
    }

    #[test]
    fn functions_of_70_lines_pass_and_longer_ones_fail() {
        assert_eq!(lines_found(functions, PATH, &function(70)), [0; 0]);
        assert_eq!(lines_found(functions, PATH, &function(71)), [1]);
    }

    #[test]
    fn methods_and_default_methods_are_functions() {
        let method = format!("impl A {{\n{}}}\n", function(71));
        let default = format!("trait A {{\n{}}}\n", function(71));
        assert_eq!(lines_found(functions, PATH, &method), [2]);
        assert_eq!(lines_found(functions, PATH, &default), [2]);
    }

    #[test]
    fn test_functions_may_be_long() {
        let text = format!("#[test]\n{}", function(90));
        assert_eq!(lines_found(functions, PATH, &text), [0; 0]);
    }
}
