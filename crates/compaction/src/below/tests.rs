use super::*;
use crate::testing::{table, version};

fn answers(below: &mut Below, keys: &[&str]) -> Vec<bool> {
    keys.iter().map(|key| below.may_hold(key.as_bytes())).collect()
}

#[test]
fn only_ranges_of_deeper_tables_may_hold_older_versions() {
    let version = version(vec![
        (2, table(1, b"a", b"z")),
        (3, table(2, b"a", b"z")),
        (4, table(3, b"c", b"f")),
        (5, table(4, b"e", b"k")),
        (6, table(5, b"p", b"q")),
    ]);
    let inputs: Vec<_> = [Level(2), Level(3)]
        .into_iter()
        .flat_map(|level| version.level(level).iter().map(move |table| (level, table.clone())))
        .collect();
    let mut below = Below::of(&version, Level(3), &inputs);
    let keys = ["a", "c", "d", "f", "g", "k", "kk", "o", "p", "q", "r"];
    let held = [false, true, true, true, true, true, false, false, true, true, false];
    assert_eq!(answers(&mut below, &keys), held);
    let mut shallower = Below::of(&version, Level(6), &inputs);
    assert_eq!(answers(&mut shallower, &["d"]), [true], "levels on the way count too");
}

/// An L0 table left behind is older or newer by its sequence numbers, and only an older one counts.
#[test]
fn an_older_level_0_table_left_behind_counts() {
    let version = version(vec![
        (0, table(1, b"a", b"c")),
        (0, table(2, b"a", b"z")),
        (0, table(3, b"x", b"z")),
    ]);
    let inputs = [(Level(0), version.level(Level(0))[1].clone())];
    assert_eq!(inputs[0].1.number, FileNumber(2));
    let mut below = Below::of(&version, Level(6), &inputs);
    assert_eq!(answers(&mut below, &["a", "d", "y"]), [true, false, false]);
}

#[test]
fn the_extremes_answer_for_every_key() {
    assert_eq!(answers(&mut Below::everything(), &["", "m"]), [true, true]);
    assert_eq!(answers(&mut Below::nothing(), &["", "m"]), [false, false]);
}
