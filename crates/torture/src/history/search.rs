//! The search for an order: is there one that explains every answer?
//!
//! A history is linearizable if its operations can be put in one order such that each takes effect
//! at a moment between its beginning and its end, and every answer is what that order gives. The
//! search is Wing and Gong's (*Testing and verifying concurrent objects*, 1993) with Lowe's
//! memory of where it has been (*Testing for linearizability*, 2017), over all keys at once:
//!
//! ```text
//!   thread 0   ──[put a]────────[get b]──         places so far: (1, 0)   state: a=1
//!   thread 1   ─────[batch a,b]──────────         next: "get b" or the batch, whichever explains
//! ```
//!
//! One state of all keys judges more than a register for each would: a batch must be seen whole by
//! every read of several keys, a snapshot and a scan must be of one moment between their beginning
//! and their end, and batches keep their order in real time.
//!
//! Since a thread does one thing at a time, what was ordered so far is one place in each thread:
//! with the state, that is all there is to remember. A read that fits is ordered at once: it
//! changes nothing, so no other choice is lost.
//!
//! The clock moves meanwhile. A value that expires may be seen by a read that began before its
//! expiry and missed by one that ended after; what one read answers must fit one moment.

use std::collections::HashSet;

use super::event::{Event, History, Key, MAX_THREADS, OnlyIf, State, Value, What};

/// How many operations of each thread were ordered.
type Places = [u16; MAX_THREADS];

/// Whether some order explains the history.
pub fn is_linearizable(history: &History) -> bool {
    assert!(history.threads.len() <= MAX_THREADS, "more threads than the search has places for");
    let mut search = Search { history, seen: HashSet::new() };
    search.extend(Places::default(), history.start)
}

struct Search<'a> {
    history: &'a History,
    /// Where the search has been without success, or is.
    seen: HashSet<(Places, State)>,
}

impl<'a> Search<'a> {
    /// Whether the rest can be ordered after what led to `state`.
    fn extend(&mut self, mut places: Places, state: State) -> bool {
        while let Some((thread, _)) =
            self.candidates(&places).into_iter().flatten().find(|(_, event)| {
                matches!(event.what, What::Read(..)) && self.apply(event, state).is_some()
            })
        {
            places[thread] += 1;
        }
        if self.is_complete(&places) {
            return true;
        }
        if !self.seen.insert((places, state)) {
            return false;
        }
        for (thread, event) in self.candidates(&places).into_iter().flatten() {
            let Some(state) = self.apply(event, state) else { continue };
            let mut places = places;
            places[thread] += 1;
            if self.extend(places, state) {
                return true;
            }
        }
        false
    }

    fn is_complete(&self, places: &Places) -> bool {
        let threads = self.history.threads.iter().zip(places);
        threads.into_iter().all(|(events, place)| usize::from(*place) == events.len())
    }

    /// The operations that may come next: those that began before any other ended.
    fn candidates(&self, places: &Places) -> [Option<(usize, &'a Event)>; MAX_THREADS] {
        let mut next = [None; MAX_THREADS];
        for (thread, events) in self.history.threads.iter().enumerate() {
            next[thread] = events.get(usize::from(places[thread])).map(|event| (thread, event));
        }
        let first_end = next.iter().flatten().map(|(_, event)| event.done).min();
        next.map(|next| next.filter(|(_, event)| Some(event.begun) < first_end))
    }

    /// The state after an operation, if its answer fits `state`.
    fn apply(&self, event: &Event, mut state: State) -> Option<State> {
        match &event.what {
            What::Write(pairs) => {
                for (key, value) in pairs {
                    state[*key] = *value;
                }
                Some(state)
            }
            What::Read(_, pairs) => self.fits(event, pairs, &state).then_some(state),
            What::PutIf { key, only_if, value, is_made } => {
                if !self.may_answer(event, (*key, *only_if), &state, *is_made) {
                    return None;
                }
                if *is_made {
                    state[*key] = *value;
                }
                Some(state)
            }
        }
    }

    /// Whether a condition may have held, or may not have, as `is_made` says.
    fn may_answer(
        &self,
        event: &Event,
        (key, only_if): (Key, OnlyIf),
        state: &State,
        is_made: bool,
    ) -> bool {
        let held = state[key];
        let may_be_seen = held != 0 && self.fits(event, &[(key, held)], state);
        let may_be_missed = self.fits(event, &[(key, 0)], state);
        match (only_if, is_made) {
            (OnlyIf::Absent, true) | (OnlyIf::Present, false) => may_be_missed,
            (OnlyIf::Absent, false) | (OnlyIf::Present, true) => may_be_seen,
            (OnlyIf::Equals(value), true) => held == value && may_be_seen,
            (OnlyIf::Equals(value), false) => held != value || may_be_missed,
        }
    }

    /// Whether a reader may see `pairs` in `state` at one moment of the event's time.
    fn fits(&self, event: &Event, pairs: &[(Key, Value)], state: &State) -> bool {
        let (mut earliest, mut latest) = event.clock;
        for (key, seen) in pairs {
            let held = state[*key];
            let expiry = self.expiry(held);
            match (held == *seen, expiry) {
                (true, None) => {}
                (true, Some((_, until))) => latest = latest.min(until.saturating_sub(1)),
                (false, Some((from, _))) if *seen == 0 => earliest = earliest.max(from),
                (false, _) => return false,
            }
        }
        earliest <= latest
    }

    fn expiry(&self, value: Value) -> Option<(u64, u64)> {
        self.history.expiries.get(&value).copied()
    }
}

/// What is wrong, in lines to be read: the key whose operations alone have no order, or all of them,
/// without those that do not matter.
pub fn explain(history: &History) -> String {
    let keys = 0..history.start.len();
    let of_key = keys.map(|key| history.of_key(key)).find(|history| !is_linearizable(history));
    let (what, history) = match of_key {
        Some(of_key) => ("one key alone cannot have been like this", of_key),
        None => (
            "each key alone can have been like this, all together cannot: a batch was torn, or \
             reads of several keys are not of one moment",
            history.clone(),
        ),
    };
    format!("{what}.\nNo order explains these answers:\n{}", shrink(history))
}

/// Leaves out what does not matter: reads, keys of reads, and writes that nothing depends on, without
/// which there is no order either. Leaving those out never takes an order away, so what is left is a
/// proof.
fn shrink(mut history: History) -> History {
    loop {
        let before = history.clone();
        for thread in 0..history.threads.len() {
            for at in (0..history.threads[thread].len()).rev() {
                leave_out(&mut history, thread, at);
            }
        }
        if history.threads == before.threads {
            return history;
        }
    }
}

/// Leaves out the operation, or keys that it read.
fn leave_out(history: &mut History, thread: usize, at: usize) {
    if can_leave_out(history, &history.threads[thread][at]) {
        let event = history.threads[thread].remove(at);
        if !is_linearizable(history) {
            return;
        }
        history.threads[thread].insert(at, event);
    }
    let What::Read(how, pairs) = history.threads[thread][at].what.clone() else { return };
    let mut left = pairs;
    for n in (0..left.len()).rev() {
        let pair = left.remove(n);
        history.threads[thread][at].what = What::Read(how, left.clone());
        if is_linearizable(history) {
            left.insert(n, pair);
        }
    }
    history.threads[thread][at].what = What::Read(how, left);
}

/// Whether an order of all operations is one without this as well.
fn can_leave_out(history: &History, event: &Event) -> bool {
    let written = match &event.what {
        What::Read(..) | What::PutIf { is_made: false, .. } => return true,
        What::Write(pairs) => pairs.clone(),
        What::PutIf { key, value, .. } => vec![(*key, *value)],
    };
    let is_written = |key: Key| written.iter().any(|(written, _)| *written == key);
    let mut others = history.threads.iter().flatten().filter(|other| *other != event);
    // What had ended before it began has not seen it.
    others.all(|other| match &other.what {
        What::Write(_) => true,
        What::PutIf { .. } | What::Read(..) if other.done < event.begun => true,
        // Whether it was made depends on whatever was there.
        What::PutIf { key, .. } => !is_written(*key),
        // A removal, or a value that expires, explains that nothing was seen.
        What::Read(_, read) => read.iter().all(|(key, seen)| {
            written.iter().filter(|(written, _)| written == key).all(|(_, value)| {
                let leaves_nothing = *value == 0 || history.expiries.contains_key(value);
                value != seen && !(leaves_nothing && *seen == 0)
            })
        }),
    })
}

#[cfg(test)]
mod tests;
