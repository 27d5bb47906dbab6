//! The search itself is tried: histories that have an order, and those that have none.

use super::super::event::How;
use super::*;
use alluvium_testkit::{Choices, SeededRandom};

/// An operation from `begun` to `done`, when the clock stands still.
fn event(begun: u64, done: u64, what: What) -> Event {
    Event { begun, done, clock: (0, 0), what }
}

fn put(begun: u64, done: u64, key: Key, value: Value) -> Event {
    event(begun, done, What::Write(vec![(key, value)]))
}

fn batch(begun: u64, done: u64, pairs: &[(Key, Value)]) -> Event {
    event(begun, done, What::Write(pairs.to_vec()))
}

fn get(begun: u64, done: u64, key: Key, value: Value) -> Event {
    event(begun, done, What::Read(How::Get, vec![(key, value)]))
}

fn read(begun: u64, done: u64, pairs: &[(Key, Value)]) -> Event {
    event(begun, done, What::Read(How::Scan, pairs.to_vec()))
}

fn put_if(begun: u64, done: u64, only_if: OnlyIf, value: Value, is_made: bool) -> Event {
    event(begun, done, What::PutIf { key: 0, only_if, value, is_made })
}

fn history(threads: Vec<Vec<Event>>) -> History {
    History { threads, ..History::default() }
}

fn has_order(threads: Vec<Vec<Event>>) -> bool {
    is_linearizable(&history(threads))
}

#[test]
fn reads_may_see_a_write_that_is_under_way_and_must_see_one_that_has_ended() {
    assert!(has_order(vec![vec![put(0, 5, 0, 1)], vec![get(1, 2, 0, 0), get(3, 4, 0, 1)]]));
    assert!(has_order(vec![vec![put(0, 1, 0, 1)], vec![get(2, 3, 0, 1)]]));
    assert!(!has_order(vec![vec![put(0, 1, 0, 1)], vec![get(2, 3, 0, 0)]]), "a stale read");
}

#[test]
fn what_was_seen_once_is_not_unseen() {
    let back_in_time = vec![vec![put(0, 9, 0, 1)], vec![get(1, 2, 0, 1), get(3, 4, 0, 0)]];
    assert!(!has_order(back_in_time));
    // Two readers do not see two writes in two orders.
    let writes = [vec![put(0, 20, 0, 1)], vec![put(1, 21, 0, 2)]];
    let reader = |at: u64, one, two| vec![get(at, at + 1, 0, one), get(at + 2, at + 3, 0, two)];
    let [a, b] = writes;
    assert!(has_order(vec![a.clone(), b.clone(), reader(2, 1, 2), reader(8, 2, 2)]));
    assert!(!has_order(vec![a, b, reader(2, 1, 2), reader(8, 2, 1)]));
}

#[test]
fn of_two_conditional_writes_that_see_the_same_one_is_made() {
    let first = put_if(0, 5, OnlyIf::Absent, 1, true);
    assert!(has_order(vec![vec![first.clone()], vec![put_if(1, 4, OnlyIf::Absent, 2, false)]]));
    let lost_update = vec![vec![first.clone()], vec![put_if(1, 4, OnlyIf::Absent, 2, true)]];
    assert!(!has_order(lost_update));
    let both = |only_if| {
        vec![vec![put_if(0, 1, only_if, 1, true)], vec![put_if(2, 3, OnlyIf::Equals(1), 2, true)]]
    };
    assert!(has_order(both(OnlyIf::Absent)));
    assert!(!has_order(both(OnlyIf::Present)));
    let refused = vec![vec![first], vec![put_if(6, 7, OnlyIf::Equals(1), 2, false)]];
    assert!(!has_order(refused));
}

#[test]
fn a_batch_is_seen_whole() {
    let writer = vec![batch(0, 9, &[(0, 1), (6, 2)])];
    assert!(has_order(vec![writer.clone(), vec![read(1, 2, &[(0, 0), (6, 0)])]]));
    assert!(has_order(vec![writer.clone(), vec![read(1, 2, &[(0, 1), (6, 2)])]]));
    assert!(!has_order(vec![writer.clone(), vec![read(1, 2, &[(0, 1), (6, 0)])]]), "torn");
    // Each key alone is fine, and what is shown is of both.
    let torn = history(vec![writer, vec![get(1, 2, 0, 1), get(3, 4, 6, 0)]]);
    assert!((0..KEYS_IN_ALL).all(|key| is_linearizable(&torn.of_key(key))));
    assert!(!is_linearizable(&torn));
    let shown = explain(&torn);
    assert!(
        shown.contains("all together cannot") && shown.contains("other/k1 = nothing"),
        "{shown}"
    );
}

const KEYS_IN_ALL: usize = super::super::event::KEYS;

#[test]
fn a_snapshot_is_of_a_moment_between_its_beginning_and_its_end() {
    let writer = vec![put(0, 1, 0, 1), put(4, 5, 1, 2)];
    assert!(has_order(vec![writer.clone(), vec![read(2, 3, &[(0, 1), (1, 0)])]]));
    assert!(!has_order(vec![writer.clone(), vec![read(2, 3, &[(0, 0), (1, 0)])]]), "too old");
    assert!(!has_order(vec![writer.clone(), vec![read(2, 3, &[(0, 1), (1, 2)])]]), "too new");
    assert!(!has_order(vec![writer, vec![read(2, 9, &[(0, 0), (1, 2)])]]), "of two moments");
}

#[test]
fn batches_keep_their_order_in_real_time() {
    let first = vec![batch(0, 1, &[(0, 1), (1, 2)])];
    let second = vec![batch(2, 3, &[(0, 3), (1, 4)])];
    let last = |pairs: &[(Key, Value)]| vec![read(4, 5, pairs)];
    assert!(has_order(vec![first.clone(), second.clone(), last(&[(0, 3), (1, 4)])]));
    assert!(!has_order(vec![first.clone(), second.clone(), last(&[(0, 1), (1, 2)])]));
    assert!(!has_order(vec![first, second, last(&[(0, 1), (1, 4)])]));
}

#[test]
fn a_value_expires_once_and_at_its_time() {
    let at = |clock, what: Event| Event { clock, ..what };
    let with_expiry = |reads: Vec<Event>| {
        let mut history = history(vec![vec![batch(0, 1, &[(0, 1), (1, 2)])], reads]);
        history.expiries.extend([(1, (10, 12)), (2, (20, 20))]);
        is_linearizable(&history)
    };
    assert!(with_expiry(vec![at((0, 9), get(2, 3, 0, 1)), at((12, 12), get(4, 5, 0, 0))]));
    assert!(with_expiry(vec![at((10, 11), get(2, 3, 0, 1))]));
    assert!(!with_expiry(vec![at((0, 9), get(2, 3, 0, 0))]), "gone too early");
    assert!(!with_expiry(vec![at((12, 30), get(2, 3, 0, 1))]), "there too long");
    // One moment for both: the first is gone before the second.
    assert!(with_expiry(vec![at((0, 30), read(2, 3, &[(0, 0), (1, 2)]))]));
    assert!(!with_expiry(vec![at((0, 30), read(2, 3, &[(0, 1), (1, 0)]))]));
}

/// What is shown of a long history is what is wrong with it.
#[test]
fn what_does_not_matter_is_left_out() {
    let mut writer = Vec::new();
    for n in 0..10 {
        writer.push(put(n * 10, n * 10 + 1, (n % 4) as usize, n as u32 + 1));
    }
    let readers = (0..10).map(|n| get(n * 10 + 2, n * 10 + 3, (n % 4) as usize, n as u32 + 1));
    let mut readers: Vec<_> = readers.collect();
    readers.push(get(200, 201, 1, 2));
    let shown = explain(&history(vec![writer, readers]));
    assert!(shown.contains("one key alone"), "{shown}");
    let lines = shown.lines().filter(|line| line.contains("thread"));
    assert!(lines.count() <= 4, "{shown}");
    assert!(shown.contains("get       -> default/k1 = v2"), "{shown}");
}

/// Tries every order there is.
fn has_order_by_trying_all(search: &Search<'_>, places: Places, state: State) -> bool {
    search.is_complete(&places)
        || search.candidates(&places).into_iter().flatten().any(|(thread, event)| {
            search.apply(event, state).is_some_and(|state| {
                let mut places = places;
                places[thread] += 1;
                has_order_by_trying_all(search, places, state)
            })
        })
}

/// Three threads, three operations each, of two keys, answers by chance or by a true order.
fn random_history(random: &mut SeededRandom, is_true: bool) -> History {
    let mut places: Vec<(usize, usize)> =
        (0..3).flat_map(|thread| (0..3).map(move |at| (thread, at))).collect();
    for n in (1..places.len()).rev() {
        places.swap(n, random.below(n as u64 + 1) as usize);
    }
    let mut threads = vec![Vec::new(); 3];
    let mut state = State::default();
    for (moment, (thread, _)) in places.into_iter().enumerate() {
        let (key, value) = (random.below(2) as Key, moment as Value + 1);
        let mut seen = |held: Value| {
            if is_true { held } else { random.below(moment as u64 + 1) as Value }
        };
        let what = match moment % 4 {
            0 => What::Write(vec![(0, value), (1, value + 100)]),
            1 => {
                What::PutIf { key, only_if: OnlyIf::Absent, value, is_made: seen(state[key]) == 0 }
            }
            2 => What::Write(vec![(key, value)]),
            _ => What::Read(How::GetMany, vec![(0, seen(state[0])), (1, seen(state[1]))]),
        };
        match &what {
            What::Write(pairs) => pairs.iter().for_each(|(key, value)| state[*key] = *value),
            What::PutIf { key, value, is_made: true, .. } => state[*key] = *value,
            What::PutIf { .. } | What::Read(..) => {}
        }
        // Around its moment, and behind what the thread did before.
        let moment = moment as u64 * 10 + 5;
        let after: u64 = threads[thread].last().map_or(0, |event: &Event| event.done + 1);
        let begun = after.max(moment.saturating_sub(random.below(30)));
        let done = moment + random.below(30);
        threads[thread].push(event(begun.min(moment), done, what));
    }
    // A thread's next operation begins when the last has ended.
    for events in &mut threads {
        for n in (1..events.len()).rev() {
            events[n - 1].done = events[n - 1]
                .done
                .min(events[n].begun.saturating_sub(1))
                .max(events[n - 1].begun + 1);
        }
    }
    history(threads)
}

#[test]
fn the_search_agrees_with_trying_all_orders() {
    let (mut with, mut without) = (0, 0);
    for seed in 0..3000 {
        let history = random_history(&mut SeededRandom::new(seed), seed % 3 == 0);
        let search = Search { history: &history, seen: HashSet::new() };
        let expected = has_order_by_trying_all(&search, Places::default(), history.start);
        assert_eq!(is_linearizable(&history), expected, "seed {seed}:\n{history}");
        if expected { with += 1 } else { without += 1 }
    }
    assert!(with > 500 && without > 500, "{with} with an order, {without} without");
}
