use alluvium_manifest::TableMeta;

use super::*;
use crate::testing::{table, version};

fn sized(number: u64, size_bytes: u64) -> TableMeta {
    let key = number.to_be_bytes();
    TableMeta { size_bytes, ..table(number, &key, &key) }
}

fn options() -> CompactionOptions {
    CompactionOptions { level_base_bytes: 100, ..CompactionOptions::default() }
}

#[test]
fn a_small_tree_has_one_level_below_level_0() {
    let targets = level_targets(&Version::default(), &options());
    assert_eq!((targets.base_level, targets.target_bytes[6]), (Level::BOTTOM, 100));
    let targets = level_targets(&version(vec![(6, sized(1, 100))]), &options());
    assert_eq!(targets.base_level, Level::BOTTOM);
}

#[test]
fn levels_open_as_the_bottom_grows() {
    let targets = level_targets(&version(vec![(6, sized(1, 101))]), &options());
    assert_eq!(targets.base_level, Level(5));
    assert_eq!(targets.target_bytes, [0, 0, 0, 0, 0, 100, 101]);
    let targets = level_targets(&version(vec![(6, sized(1, 50_000))]), &options());
    assert_eq!(targets.target_bytes, [0, 0, 0, 100, 500, 5_000, 50_000]);
    // Seven levels are all there are: beyond, the base level outgrows its least target.
    let targets = level_targets(&version(vec![(6, sized(1, 1 << 40))]), &options());
    assert_eq!(targets.base_level, Level(1));
    assert_eq!(targets.target_bytes[1], (1 << 40) / 100_000);
}

/// Else a table leaving level 0 would jump over older versions of its keys.
#[test]
fn the_base_level_is_never_below_a_table() {
    let version = version(vec![(3, sized(1, 1)), (6, sized(2, 1))]);
    assert_eq!(level_targets(&version, &options()).base_level, Level(3));
}

#[test]
fn a_level_is_due_by_count_or_by_bytes() {
    let mut tables: Vec<_> = (1..=6).map(|number| (0, sized(number, 1))).collect();
    tables.extend([(5, sized(7, 250)), (6, sized(8, 1_000))]);
    let percent = scores(&version(tables), &options()).map(|score| (score * 100.0) as u32);
    assert_eq!(percent, [150, 0, 0, 0, 0, 250, 0]);
}

#[test]
fn debt_follows_what_must_move_down() {
    let full = version(vec![(5, sized(1, 100)), (6, sized(2, 1_000))]);
    assert_eq!(debt_bytes(&full, &options()), 0);
    // Half of L5 must go, and takes half of L6 with it.
    let over = version(vec![(5, sized(1, 200)), (6, sized(2, 1_000))]);
    assert_eq!(debt_bytes(&over, &options()), 100 + 500);
    // Five tables in L0 are one too many: all of it merges with L5, whose surplus goes on.
    let mut tables: Vec<_> = (10..15).map(|number| (0, sized(number, 20))).collect();
    tables.extend([(5, sized(1, 100)), (6, sized(2, 1_000))]);
    assert_eq!(debt_bytes(&version(tables), &options()), (100 + 100) + (100 + 500));
}
