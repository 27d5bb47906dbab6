use std::ops::Bound::{Excluded, Included, Unbounded};

use super::*;
use crate::random::{Choices, SeededRandom};

fn put(key: &str, value: &str) -> Write {
    Write::Put { keyspace: 0, key: key.into(), value: value.into() }
}

fn remove(key: &str) -> Write {
    Write::Remove { keyspace: 0, key: key.into() }
}

fn expiring(key: &str, ttl_ms: u64) -> Write {
    Write::PutExpiring { keyspace: 0, key: key.into(), value: b"v".to_vec(), ttl_ms }
}

fn content(pairs: &[(&str, &str)]) -> Content {
    let pairs = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    Content::from([(0, pairs.collect())])
}

#[test]
fn every_moment_can_be_read() {
    let mut oracle = Oracle::new();
    let first = oracle.commit(&[put("a", "1"), put("b", "1")], 0);
    let second = oracle.commit(&[remove("a"), put("b", "2"), put("b", "3")], 0);
    assert_eq!((first, second, oracle.len()), (1, 2, 2));
    assert_eq!(oracle.get(0, b"a", 0, 0), None);
    assert_eq!(oracle.get(0, b"a", first, 0), Some(&b"1"[..]));
    assert_eq!(oracle.get(0, b"a", second, 0), None);
    assert_eq!(oracle.get(0, b"b", second, 0), Some(&b"3"[..]), "the later write of a batch wins");
}

#[test]
fn a_value_is_gone_from_the_millisecond_it_expires() {
    let mut oracle = Oracle::new();
    oracle.commit(&[put("a", "old")], 90);
    oracle.commit(&[expiring("a", 10)], 100);
    assert_eq!(oracle.get(0, b"a", 2, 109), Some(&b"v"[..]));
    assert_eq!(oracle.get(0, b"a", 2, 110), None, "and what it hid stays hidden");
    assert_eq!(oracle.get(0, b"a", 1, 110), Some(&b"old"[..]));
}

#[test]
fn scans_keep_to_bounds_and_direction() {
    let mut oracle = Oracle::new();
    oracle.commit(&["a", "b", "c", "d", "e"].map(|key| put(key, "")), 0);
    oracle.commit(&[remove("c")], 0);
    let keys = |start: Bound<&str>, end: Bound<&str>, direction| {
        let (start, end) = (start.map(Vec::from), end.map(Vec::from));
        let found = oracle.scan(0, (&start, &end), direction, 2, 0);
        String::from_utf8(found.iter().map(|(key, _)| key[0]).collect()).expect("letters")
    };
    assert_eq!(keys(Unbounded, Unbounded, Direction::Forward), "abde");
    assert_eq!(keys(Included("b"), Excluded("e"), Direction::Backward), "db");
    assert_eq!(keys(Excluded("a"), Unbounded, Direction::Alternating), "bed");
    assert_eq!(keys(Included("d"), Included("a"), Direction::Forward), "");
    assert_eq!(keys(Excluded("a"), Excluded("a"), Direction::Forward), "");
}

#[test]
fn a_recovered_prefix_is_accepted_and_a_hole_is_not() {
    let mut oracle = Oracle::new();
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
        oracle.commit(&[put(key, value)], 0);
    }
    assert_eq!(oracle.check_prefix(&content(&[]), 0), Ok(vec![0]));
    assert_eq!(oracle.check_prefix(&content(&[("a", "1"), ("b", "2")]), 0), Ok(vec![2]));
    assert_eq!(oracle.check_prefix(&content(&[("a", "3"), ("b", "2")]), 0), Ok(vec![3]));
    let hole = oracle.check_prefix(&content(&[("a", "3")]), 0).expect_err("b is missing");
    assert!(matches!(hole, Mismatch::NoPrefix { .. }), "{hole}");
    let invented = oracle.check_prefix(&content(&[("a", "1"), ("z", "9")]), 0);
    let invented = invented.expect_err("nobody wrote z").to_string();
    assert_eq!(
        invented,
        "the database was never in this state; after 1 commits, \
         keyspace 0 key \"z\" was absent and is \"9\" (1 bytes)"
    );
}

#[test]
fn a_torn_batch_is_no_prefix() {
    let mut oracle = Oracle::new();
    oracle.commit(&[put("a", "1"), put("b", "1")], 0);
    assert!(oracle.check_prefix(&content(&[("a", "1")]), 0).is_err());
}

#[test]
fn losing_a_durable_commit_is_told_from_a_hole() {
    let mut oracle = Oracle::new();
    oracle.commit(&[put("a", "1")], 0);
    oracle.commit(&[put("b", "2")], 0);
    oracle.mark_durable();
    oracle.commit(&[put("c", "3")], 0);
    let lost = oracle.check_prefix(&content(&[("a", "1")]), 0);
    assert_eq!(lost, Err(Mismatch::Lost { durable: 2, found: 1 }));
}

#[test]
fn commits_without_visible_effect_leave_several_answers() {
    let mut oracle = Oracle::new();
    oracle.commit(&[put("a", "1")], 0);
    oracle.commit(&[put("a", "1")], 0);
    oracle.commit(&[remove("x")], 0);
    oracle.commit(&[expiring("y", 5)], 0);
    assert_eq!(oracle.check_prefix(&content(&[("a", "1")]), 5), Ok(vec![1, 2, 3, 4]));
    oracle.mark_durable_up_to(3);
    assert_eq!(oracle.check_prefix(&content(&[("a", "1")]), 5), Ok(vec![3, 4]));
}

#[test]
fn keyspaces_come_and_go_at_once() {
    let mut oracle = Oracle::new();
    oracle.create_keyspace(1);
    oracle.commit(&[Write::Put { keyspace: 1, key: b"k".to_vec(), value: b"v".to_vec() }], 0);
    oracle.drop_keyspace(1);
    assert!(!oracle.has_keyspace(1));
    let with_it = Content::from([(0, BTreeMap::new()), (1, BTreeMap::new())]);
    let without = Content::from([(0, BTreeMap::new())]);
    assert!(matches!(oracle.check_prefix(&with_it, 0), Err(Mismatch::Keyspaces { .. })));
    assert_eq!(oracle.check_prefix(&without, 0), Ok(vec![0, 1]));
    oracle.create_keyspace(1);
    assert_eq!(oracle.get(1, b"k", 1, 0), None, "a new keyspace begins empty");
    assert_eq!(oracle.check_prefix(&with_it, 0), Ok(vec![0, 1]));
}

#[test]
fn recovery_forgets_what_was_lost_and_goes_on() {
    let mut oracle = Oracle::new();
    for value in ["1", "2", "3"] {
        oracle.commit(&[put("a", value)], 0);
    }
    oracle.recover_to(2);
    assert_eq!((oracle.len(), oracle.durable()), (2, 2));
    assert_eq!(oracle.get(0, b"a", 9, 0), Some(&b"2"[..]));
    assert_eq!(oracle.commit(&[put("a", "4")], 0), 3);
    assert_eq!(oracle.get(0, b"a", 3, 0), Some(&b"4"[..]));
    assert_eq!(oracle.check_prefix(&content(&[("a", "3")]), 0).ok(), None);
}

/// The counting in `check_prefix` against building every state anew.
#[test]
fn checking_a_prefix_agrees_with_comparing_every_state() {
    for seed in 0..200 {
        let mut random = SeededRandom::new(seed);
        let mut oracle = Oracle::new();
        for now_ms in 0..30 {
            let writes: Vec<_> = (0..=random.below(3))
                .map(|_| {
                    let key = ["a", "b", "c"][random.below(3) as usize];
                    match random.below(4) {
                        0 => remove(key),
                        1 => expiring(key, random.below(20)),
                        _ => put(key, ["1", "2"][random.below(2) as usize]),
                    }
                })
                .collect();
            oracle.commit(&writes, now_ms);
        }
        let now_ms = 20 + random.below(20);
        let recovered = oracle.content(random.below(31) as usize, now_ms);
        let matching = |at: &usize| oracle.content(*at, now_ms) == recovered;
        let expected: Vec<_> = (0..=oracle.len()).filter(matching).collect();
        assert_eq!(oracle.check_prefix(&recovered, now_ms), Ok(expected), "seed {seed}");
    }
}
