//! The words the glossary forbids, where they are unambiguous.
//!
//! Definitions are checked, not uses: what the standard library or another crate calls its own
//! things is not ours to change. Many words of the glossary's last column are good English
//! elsewhere (*page*, *pointer*, *task*), so they are banned only next to the word that makes them
//! mean the wrong thing.

use crate::tidy::Finding;
use crate::tidy::source::Source;

/// Words in a row that no name of ours holds, and what to write instead.
const BANNED_IN_NAMES: &[(&[&str], &str)] = &[
    (&["journal"], "`Wal`, `segment` or `record`"),
    (&["super", "version"], "`ReadView`"),
    (&["column", "family"], "`keyspace`"),
    (&["column", "families"], "`keyspaces`"),
    (&["value", "type"], "`Kind`"),
    (&["delete", "marker"], "`tombstone`"),
    (&["tombstone", "marker"], "`tombstone`"),
    (&["frozen", "memtable"], "`immutable memtable`"),
    (&["sealed", "memtable"], "`immutable memtable`"),
    (&["block", "pointer"], "`BlockHandle`"),
    (&["data", "page"], "`data block`"),
    (&["index", "page"], "`index block`"),
    (&["filter", "page"], "`filter block`"),
    (&["tier"], "`level`"),
    (&["version", "delta"], "`VersionEdit`"),
    (&["minor", "compaction"], "`flush`"),
    (&["compaction", "task"], "`Pick`"),
    (&["merge", "task"], "`Pick`"),
    (&["garbage", "file"], "`obsolete file`"),
];

/// Names that are wrong as a whole; inside a longer one they may be right (`raw_key_bytes` is the
/// size of keys before compression).
const BANNED_NAMES: &[(&[&str], &str)] =
    &[(&["raw", "key"], "`user_key` for the caller's bytes, `InternalKey` for the whole")];

/// Phrases that no comment holds, unless it speaks of the engine whose word it is.
const BANNED_IN_PROSE: &[(&str, &str)] = &[
    ("journal", "\"WAL\", \"segment\" or \"record\""),
    ("super version", "\"read view\""),
    ("superversion", "\"read view\""),
    ("column famil", "\"keyspace\""),
    ("frozen memtable", "\"immutable memtable\""),
    ("sealed memtable", "\"immutable memtable\""),
    ("minor compaction", "\"flush\""),
    ("block pointer", "\"block handle\""),
];

/// Engines with words of their own.
const OTHER_ENGINES: &[&str] =
    &["RocksDB", "LevelDB", "Pebble", "fjall", "LMDB", "SlateDB", "ext4", "XFS"];

/// Names use the glossary's words.
pub(in crate::tidy) fn identifiers(source: &Source) -> Vec<Finding> {
    let definitions = source.syntax().map(|syntax| &syntax.definitions).into_iter().flatten();
    definitions
        .filter_map(|definition| {
            let words = words_of(&definition.name);
            let part = BANNED_IN_NAMES.iter().find(|(banned, _)| holds(&words, banned));
            let whole = BANNED_NAMES.iter().find(|(banned, _)| words == *banned);
            let (_, instead) = part.or(whole)?;
            let message = format!("`{}`: the glossary's word is {instead}", definition.name);
            Some(Finding::new(&source.path, definition.line, message))
        })
        .collect()
}

/// Comments use the glossary's words.
pub(in crate::tidy) fn prose(source: &Source) -> Vec<Finding> {
    if source.syntax().is_none() {
        return Vec::new();
    }
    let comments = source.lines().filter(|(_, line)| line.trim_start().starts_with("//"));
    comments
        .filter(|(_, line)| !OTHER_ENGINES.iter().any(|engine| line.contains(engine)))
        .filter_map(|(number, line)| {
            let line = line.to_lowercase();
            let (phrase, instead) =
                BANNED_IN_PROSE.iter().find(|(phrase, _)| line.contains(phrase))?;
            let message = format!("\"{phrase}\": the glossary's word is {instead}");
            Some(Finding::new(&source.path, number, message))
        })
        .collect()
}

/// Whether `words` holds `banned` in a row; the last may be in the plural.
fn holds(words: &[String], banned: &[&str]) -> bool {
    let is_same =
        |word: &str, banned: &str| word == banned || word.strip_suffix('s') == Some(banned);
    words
        .windows(banned.len())
        .any(|window| window.iter().zip(banned).all(|(word, banned)| is_same(word, banned)))
}

/// `ReadView`, `read_view` and `READ_VIEW` are all `read`, `view`.
pub(super) fn words_of(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in name.split('_').filter(|part| !part.is_empty()) {
        let is_shouted = !part.chars().any(char::is_lowercase);
        let mut word = String::new();
        for letter in part.chars() {
            if letter.is_uppercase() && !is_shouted && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.extend(letter.to_lowercase());
        }
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::lines_found;

    const PATH: &str = "crates/engine/src/a.rs";

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(words_of("SuperVersion"), ["super", "version"]);
        assert_eq!(words_of("super_version"), ["super", "version"]);
        assert_eq!(words_of("MAX_BATCH_BYTES"), ["max", "batch", "bytes"]);
        assert_eq!(words_of("_pick"), ["pick"]);
    }

    #[test]
    fn forbidden_words_are_found_in_every_kind_of_definition() {
        for text in [
            "struct Journal;",
            "struct JournalWriter;",
            "enum SuperVersion {}",
            "fn open_column_family() {}",
            "fn column_families() {}",
            "mod journal {}",
            "struct A { value_type: u8 }",
            "enum A { FrozenMemtable }",
            "const MAX_TIER: u8 = 0;",
            "trait A { fn frozen_memtables(&self); }",
            "impl A { fn raw_key(&self) {} }",
        ] {
            assert_eq!(lines_found(identifiers, PATH, text), [1], "{text}");
        }
    }

    #[test]
    fn ordinary_words_and_other_peoples_names_pass() {
        for text in [
            "fn partition_point(page: u8, pointer: u8) {}",
            "fn a() { other::Journal::open(); }",
            "struct A { raw_key_bytes: u64, sealed: bool, version: u8 }",
            "fn values_typed() { \"SuperVersion\"; }",
            "struct Frontier;",
        ] {
            assert_eq!(lines_found(identifiers, PATH, text), [0; 0], "{text}");
        }
    }

    #[test]
    fn comments_use_our_words_and_may_quote_theirs() {
        let ours = "//! Replays the journal.\nfn a() {}\n";
        let theirs = "//! What RocksDB calls a column family.\nfn a() {}\n";
        assert_eq!(lines_found(prose, PATH, ours), [1]);
        assert_eq!(lines_found(prose, PATH, theirs), [0; 0]);
        assert_eq!(lines_found(prose, PATH, "const A: &str = \"journal\";\n"), [0; 0]);
    }
}
