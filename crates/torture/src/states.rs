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
use std::sync::Arc;

use alluvium::{Db, Read, Result};
use parking_lot::Mutex;

/// All that is visible: keyspaces by name.
pub type Content = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What is stored: a value, and when it expires.
pub type Stored = (Vec<u8>, Option<u64>);

/// One state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// By name.
    pub keyspaces: BTreeMap<String, BTreeMap<Vec<u8>, Stored>>,
}

impl State {
    /// Whether a reader sees exactly `found` at `now_ms`.
    pub fn looks_like(&self, found: &Content, now_ms: u64) -> bool {
        let is_visible = |expiry: Option<u64>| expiry.is_none_or(|expiry| expiry > now_ms);
        self.keyspaces.len() == found.len()
            && self.keyspaces.iter().zip(found).all(|((name, tree), (found_name, found))| {
                let visible = tree.iter().filter(|(_, (_, expiry))| is_visible(*expiry));
                name == found_name && visible.map(|(key, (value, _))| (key, value)).eq(found.iter())
            })
    }

    /// What a reader sees at `now_ms`.
    pub fn content(&self, now_ms: u64) -> Content {
        let visible = |tree: &BTreeMap<Vec<u8>, Stored>| {
            tree.iter()
                .filter(|(_, (_, expiry))| expiry.is_none_or(|expiry| expiry > now_ms))
                .map(|(key, (value, _))| (key.clone(), value.clone()))
                .collect()
        };
        self.keyspaces.iter().map(|(name, tree)| (name.clone(), visible(tree))).collect()
    }
}

/// All states, in order. Clones share them, so that whoever watches the disk from outside knows what
/// was promised at that moment.
#[derive(Clone, Debug)]
pub struct History {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    states: Vec<State>,
    durable: usize,
    acknowledged: usize,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// A new database: the default keyspace, empty.
    pub fn new() -> Self {
        let mut state = State::default();
        state.keyspaces.insert("default".to_owned(), BTreeMap::new());
        let inner = Inner { states: vec![state], durable: 0, acknowledged: 0 };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The newest state, whatever is known of it.
    pub fn latest(&self) -> State {
        self.inner.lock().states.last().expect("there is a first state").clone()
    }

    /// The state that survives a power cut at least.
    pub fn durable(&self) -> usize {
        self.inner.lock().durable
    }

    /// The state that survives the death of the process at least.
    pub fn acknowledged(&self) -> usize {
        self.inner.lock().acknowledged
    }

    /// A change is about to be made.
    pub fn attempt(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.latest();
        change(&mut state);
        self.inner.lock().states.push(state);
    }

    /// The change that was attempted last has happened.
    pub fn acknowledge(&self) {
        let mut inner = self.inner.lock();
        inner.acknowledged = inner.states.len() - 1;
    }

    /// Everything acknowledged is durable.
    pub fn make_durable(&self) {
        let mut inner = self.inner.lock();
        inner.durable = inner.acknowledged;
    }

    /// Whether a state from number `from` on looks like `found` at `now_ms`; an error describes the
    /// nearest miss.
    pub fn find(&self, found: &Content, from: usize, now_ms: u64) -> Result<(), String> {
        let inner = self.inner.lock();
        let states = &inner.states;
        let looks_like = |at: &usize| states[*at].looks_like(found, now_ms);
        if (from..states.len()).rev().any(|at| looks_like(&at)) {
            return Ok(());
        }
        if let Some(lost) = (0..from).rev().find(looks_like) {
            return Err(format!("state {from} must be there, and only {lost} is: writes are lost"));
        }
        let nearest = (0..states.len())
            .min_by_key(|&at| differences(&states[at].content(now_ms), found).len())
            .unwrap_or_default();
        let shown = differences(&states[nearest].content(now_ms), found);
        Err(format!(
            "the database was never in this state. After state {nearest} of {} (durable from \
             {from}): {}",
            states.len() - 1,
            shown.into_iter().take(5).collect::<Vec<_>>().join("; ")
        ))
    }
}

/// One line for each key that differs.
pub fn differences(expected: &Content, found: &Content) -> Vec<String> {
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
pub fn read_all(db: &Db) -> Result<Content> {
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
pub fn read_every_way(db: &Db) -> Result<Content> {
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
