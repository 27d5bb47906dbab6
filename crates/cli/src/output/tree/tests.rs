//! The drawing says where tables lie, at any width.

use alluvium::Bytes;

use super::*;

fn table(number: u64, smallest: &'static str, largest: &'static str) -> alluvium::TableStats {
    alluvium::TableStats {
        number,
        bytes: number << 20,
        entries: number * 1000,
        tombstones: 0,
        smallest: Bytes::from_static(smallest.as_bytes()),
        largest: Bytes::from_static(largest.as_bytes()),
    }
}

fn keyspace(levels: Vec<(u8, Vec<alluvium::TableStats>)>) -> KeyspaceStats {
    let level = |(level, tables): (u8, Vec<alluvium::TableStats>)| LevelStats {
        level,
        bytes: tables.iter().map(|table| table.bytes).sum(),
        target_bytes: 0,
        score: 0.5,
        entries: 0,
        tables,
    };
    KeyspaceStats {
        name: "default".into(),
        memtable_bytes: 0,
        memtables: 1,
        index_and_filter_bytes: 0,
        table_bytes: 9 << 20,
        levels: levels.into_iter().map(level).collect(),
        read_amplification: 1,
        space_amplification: 1.0,
        compaction_debt_bytes: 0,
    }
}

#[test]
fn boxes_stand_over_the_keys_of_their_tables() {
    let tree = keyspace(vec![
        (0, vec![table(5, "b", "d")]),
        (1, vec![table(1, "a", "b"), table(2, "c", "d")]),
    ]);
    let lines = draw(&tree, 44);
    let expected = [
        "default: 3 tables, 9.0 MiB, and 0 B in 1 memtable",
        "L0  score 0.50, 1 table, 5.0 MiB",
        "              ┌────────────────────────────┐",
        "              │        5 · 5.0 MiB         │",
        "              └────────────────────────────┘",
        "L1  score 0.50, 2 tables, 3.0 MiB",
        "    ┌──────────────────┐┌──────────────────┐",
        "    │   1 · 1.0 MiB    ││   2 · 2.0 MiB    │",
        "    └──────────────────┘└──────────────────┘",
        "    a                                      d",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn too_many_tables_become_shades_and_nothing_is_wider_than_asked() {
    let names: Vec<&'static str> =
        (0..200).map(|at| &*String::leak(format!("key-{at:03}"))).collect();
    let run = names.chunks(2).zip(1..).map(|(ends, number)| table(number, ends[0], ends[1]));
    let overlapping = (0..20).map(|number| table(number, "key-000", "key-199"));
    let tree = keyspace(vec![(0, overlapping.collect()), (3, run.collect())]);
    for width in [40, 41, 57, 80, 200, 1000] {
        let lines = draw(&tree, width);
        assert!(lines[1..].iter().all(|line| line.chars().count() <= width.max(60)), "{width}");
        assert!(lines.iter().any(|line| line.contains('█')), "{width}");
    }
}

#[test]
fn a_table_of_one_key_and_an_empty_keyspace_can_be_drawn() {
    assert_eq!(draw(&keyspace(vec![(6, vec![table(1, "a", "a")])]), 40).len(), 6);
    assert_eq!(draw(&keyspace(vec![]), 40).len(), 1);
}
