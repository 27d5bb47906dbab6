//! Names that say nothing about what they name.

use super::words::words_of;
use crate::tidy::Finding;
use crate::tidy::source::Source;
use crate::tidy::syntax::Defines;

/// A name and what to choose instead.
const BANNED_MODULES: &[(&str, &str)] = &[
    ("utils", NAME_THE_NOUN),
    ("util", NAME_THE_NOUN),
    ("common", "two siblings need it: give it a module of its own in `base`"),
    ("helpers", "move each function next to its caller"),
    ("helper", "move the function next to its caller"),
    ("manager", NAME_THE_OWNED),
    ("misc", NAME_THE_NOUN),
    ("v2", "change the thing itself; formats carry their version in the file"),
];

const NAME_THE_NOUN: &str = "name the noun its functions are about";
const NAME_THE_OWNED: &str = "name what it owns, or the decision it takes";

/// Words that a type's name must not hold.
const BANNED_TYPE_WORDS: &[(&str, &str)] = &[
    ("manager", NAME_THE_OWNED),
    ("helper", NAME_THE_NOUN),
    ("util", NAME_THE_NOUN),
    ("utils", NAME_THE_NOUN),
];

/// No module, file or folder is called by a name that would fit any.
pub(in crate::tidy) fn modules(source: &Source) -> Vec<Finding> {
    let path = source.path.strip_suffix(".rs").into_iter().flat_map(|path| path.split('/'));
    let files = path.filter_map(|part| ban(BANNED_MODULES, part)).map(|message| (0, message));
    let definitions = source.syntax().map(|syntax| &syntax.definitions).into_iter().flatten();
    let inline = definitions
        .filter(|definition| definition.kind == Defines::Module)
        .filter_map(|module| Some((module.line, ban(BANNED_MODULES, &module.name)?)));
    files.chain(inline).map(|(line, message)| Finding::new(&source.path, line, message)).collect()
}

/// No type is called a manager of something.
pub(in crate::tidy) fn types(source: &Source) -> Vec<Finding> {
    let definitions = source.syntax().map(|syntax| &syntax.definitions).into_iter().flatten();
    definitions
        .filter(|definition| definition.kind == Defines::Type)
        .filter_map(|definition| {
            let words = words_of(&definition.name);
            let message = words.iter().find_map(|word| ban(BANNED_TYPE_WORDS, word))?;
            Some(Finding::new(&source.path, definition.line, message))
        })
        .collect()
}

fn ban(banned: &[(&str, &str)], name: &str) -> Option<String> {
    let (_, instead) = banned.iter().find(|(word, _)| *word == name)?;
    Some(format!("`{name}` says nothing; {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::lines_found;

    #[test]
    fn files_and_folders_that_say_nothing_are_found() {
        for path in ["crates/wal/src/utils.rs", "crates/common/src/lib.rs", "src/v2/a.rs"] {
            assert_eq!(lines_found(modules, path, ""), [0], "{path}");
        }
        assert_eq!(lines_found(modules, "crates/wal/src/a.rs", "\nmod helpers {}"), [2]);
    }

    #[test]
    fn names_that_merely_contain_such_a_word_pass() {
        for path in ["crates/wal/src/commons.rs", "crates/table/src/common_prefix.rs", "v2.md"] {
            assert_eq!(lines_found(modules, path, "fn common() {}"), [0; 0], "{path}");
        }
    }

    #[test]
    fn managers_are_found_among_types_alone() {
        let path = "crates/wal/src/a.rs";
        assert_eq!(lines_found(types, path, "struct CacheManager;\nenum SyncHelper {}"), [1, 2]);
        assert_eq!(lines_found(types, path, "struct Managed;\nfn manager_of() {}"), [0; 0]);
    }
}
