//! Every state that a database went through, and which of them a crash may leave.
//!
//! ```text
//!   states:    0 ── 1 ── 2 ── 3 ── 4 ── 5
//!                        ▲         ▲    ▲ attempted: begun, and not known to have happened
//!                        │         └ acknowledged: survives the death of the process
//!                        └ durable: survives a power cut
//! ```
//!
//! Unlike testkit's oracle, which takes keyspaces to come and go outside the order of writes, this
//! keeps whole states: that is dear for long histories and strict for short ones.

use std::collections::BTreeMap;

use alluvium::{Db, Read, Result};

/// All that is visible: keyspaces by name.
pub(crate) type Content = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What is stored: a value, and when it expires.
type Stored = (Vec<u8>, Option<u64>);

/// One state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) keyspaces: BTreeMap<String, BTreeMap<Vec<u8>, Stored>>,
}

impl State {
    /// What a reader sees at `now_ms`.
    pub(crate) fn content(&self, now_ms: u64) -> Content {
        let visible = |tree: &BTreeMap<Vec<u8>, Stored>| {
            tree.iter()
                .filter(|(_, (_, expiry))| expiry.is_none_or(|expiry| expiry > now_ms))
                .map(|(key, (value, _))| (key.clone(), value.clone()))
                .collect()
        };
        self.keyspaces.iter().map(|(name, tree)| (name.clone(), visible(tree))).collect()
    }
}

/// All states, in order.
#[derive(Clone, Debug)]
pub(crate) struct History {
    states: Vec<State>,
    pub(crate) durable: usize,
    pub(crate) acknowledged: usize,
}

impl History {
    /// A new database: the default keyspace, empty.
    pub(crate) fn new() -> Self {
        let mut state = State::default();
        state.keyspaces.insert("default".to_owned(), BTreeMap::new());
        Self { states: vec![state], durable: 0, acknowledged: 0 }
    }

    /// The newest state, whatever is known of it.
    pub(crate) fn latest(&self) -> &State {
        self.states.last().expect("there is a first state")
    }

    /// How many states there are.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// A change is about to be made.
    pub(crate) fn attempt(&mut self, change: impl FnOnce(&mut State)) {
        let mut state = self.latest().clone();
        change(&mut state);
        self.states.push(state);
    }

    /// The change that was attempted last has happened.
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = self.states.len() - 1;
    }

    /// Everything acknowledged is durable.
    pub(crate) fn make_durable(&mut self) {
        self.durable = self.acknowledged;
    }

    /// Which states from number `from` on look like `found` at `now_ms`; an error describes the
    /// nearest miss.
    pub(crate) fn find(
        &self,
        found: &Content,
        from: usize,
        now_ms: u64,
    ) -> Result<Vec<usize>, String> {
        let looks_like = |at: &usize| self.states[*at].content(now_ms) == *found;
        let matches: Vec<usize> = (from..self.states.len()).filter(looks_like).collect();
        if !matches.is_empty() {
            return Ok(matches);
        }
        if let Some(lost) = (0..from).rev().find(|at| looks_like(at)) {
            return Err(format!("state {from} must be there, and only {lost} is: writes are lost"));
        }
        let nearest = (0..self.states.len())
            .min_by_key(|&at| differences(&self.states[at].content(now_ms), found).len())
            .unwrap_or_default();
        let shown = differences(&self.states[nearest].content(now_ms), found);
        Err(format!(
            "the database was never in this state. After state {nearest} of {} (durable from \
             {from}): {}",
            self.states.len() - 1,
            shown.into_iter().take(5).collect::<Vec<_>>().join("; ")
        ))
    }
}

/// One line for each key that differs.
pub(crate) fn differences(expected: &Content, found: &Content) -> Vec<String> {
    let mut lines = Vec::new();
    let empty = BTreeMap::new();
    for name in expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name))) {
        if expected.contains_key(name) != found.contains_key(name) {
            lines.push(format!("keyspace {name} is there in one and not in the other"));
        }
        let (a, b) = (expected.get(name).unwrap_or(&empty), found.get(name).unwrap_or(&empty));
        for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
            if a.get(key) != b.get(key) {
                let shown = |value: Option<&Vec<u8>>| {
                    value.map_or("absent".to_owned(), |value| {
                        format!("\"{}\"", value[..value.len().min(20)].escape_ascii())
                    })
                };
                lines.push(format!(
                    "{name} \"{}\" was {} and is {}",
                    key.escape_ascii(),
                    shown(a.get(key)),
                    shown(b.get(key))
                ));
            }
        }
    }
    lines
}

/// Everything visible in the database, by a forward scan of each keyspace.
pub(crate) fn read_all(db: &Db) -> Result<Content> {
    let mut content = Content::new();
    for name in db.keyspaces()? {
        let Some(keyspace) = db.find_keyspace(&name)? else { continue };
        let mut tree = BTreeMap::new();
        for entry in keyspace.iter() {
            let (key, value) = entry?;
            assert!(tree.insert(key.to_vec(), value.to_vec()).is_none(), "a key comes twice");
        }
        content.insert(name, tree);
    }
    Ok(content)
}

/// As [`read_all`], and every other way to read must agree: backwards, by key, by count.
pub(crate) fn read_every_way(db: &Db) -> Result<Content> {
    let content = read_all(db)?;
    for (name, tree) in &content {
        let keyspace = db.find_keyspace(name)?.expect("it was just listed");
        let backwards: Result<Vec<_>> = keyspace.iter().rev().collect();
        let mut backwards = backwards?;
        backwards.reverse();
        assert!(
            backwards.iter().map(|(k, v)| (&**k, &**v)).eq(tree.iter().map(|(k, v)| (&**k, &**v))),
            "{name} reads differently backwards"
        );
        let found = keyspace.get_many(tree.keys())?;
        assert!(found.iter().map(Option::as_deref).eq(tree.values().map(|v| Some(&**v))));
        assert_eq!(keyspace.count()?, tree.len() as u64);
    }
    Ok(content)
}
