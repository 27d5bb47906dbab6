//! What Tab offers: commands first, then keyspaces after `use`, and keys after the rest.

use alluvium::{Db, Keyspace, Read};
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::parse::VERBS;
use super::session::Session;

/// Most keys that are offered.
const MOST_KEYS: usize = 100;

/// Knows what can come next. Handles only: made anew for each prompt, it costs nothing.
#[derive(Debug)]
pub(crate) struct Completion {
    db: Db,
    keyspace: Option<Keyspace>,
}

impl Completion {
    /// Completion for the keyspace that `session` uses now.
    pub(crate) fn of(session: &Session) -> Self {
        Self { db: session.db().clone(), keyspace: session.keyspace().cloned() }
    }

    /// Where the word under the cursor begins, and what could stand there.
    fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (before, word) = line.split_at(start);
        let mut words = before.split_whitespace();
        let candidates = match (words.next(), words.next()) {
            (None, _) => starting_with(word, VERBS.map(|verb| verb.name.to_owned())),
            (Some("use"), None) => starting_with(word, self.db.keyspaces().unwrap_or_default()),
            (Some("get" | "set" | "del" | "scan"), None) => self.keys(word),
            _ => Vec::new(),
        };
        (start, candidates)
    }

    /// Keys that begin with `prefix` and need no quotes. An error of the disk offers nothing; the
    /// command itself will tell it.
    fn keys(&self, prefix: &str) -> Vec<String> {
        let Some(keyspace) = &self.keyspace else { return Vec::new() };
        keyspace
            .prefix(prefix)
            .take(MOST_KEYS)
            .filter_map(|entry| String::from_utf8(entry.ok()?.0.to_vec()).ok())
            .filter(|key| is_plain(key))
            .collect()
    }
}

fn starting_with(word: &str, all: impl IntoIterator<Item = String>) -> Vec<String> {
    all.into_iter().filter(|candidate| candidate.starts_with(word)).collect()
}

/// Whether the shell reads `key` as itself.
fn is_plain(key: &str) -> bool {
    let is_special = |c: char| c.is_whitespace() || c.is_control() || c == '\'' || c == '"';
    !key.is_empty() && !key.contains(is_special) && !key.starts_with("0x") && !key.starts_with("0X")
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(&line[..position]))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}

impl Validator for Completion {}

impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_offers_what_can_stand_there() {
        let db = Db::in_memory().unwrap();
        for key in ["user:1", "user:2", "user 3", "other", "0xff"] {
            db.insert(key, "").unwrap();
        }
        let keyspace = Some(db.default_keyspace());
        let completion = Completion { db, keyspace };
        let offered = |line: &str| completion.candidates(line).1;
        assert_eq!(completion.candidates("get use"), (4, vec!["user:1".into(), "user:2".into()]));
        assert_eq!(offered("s"), ["set", "scan", "stats"]);
        assert_eq!(offered("use d"), ["default"]);
        assert_eq!(offered("count "), [""; 0]);
        assert_eq!(offered("set user:1 "), [""; 0]);
        assert_eq!(offered("get "), ["other", "user:1", "user:2"]);
    }
}
