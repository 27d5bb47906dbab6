//! Damage is named with file and offset, and has an exit code of its own.

use crate::program::Place;

/// A database with one table, whose bytes can be flipped.
fn with_table() -> Place {
    let place = Place::new();
    let lines: Vec<String> = (0..3000).map(|n| format!("{n:06}\tvalue {n}\n")).collect();
    place.pipe(lines.concat(), &["import", "-", "--format", "tsv"]).ok();
    place.run(&["compact"]).ok();
    place
}

#[test]
fn a_sound_database_has_no_damage() {
    let place = with_table();
    assert!(place.run(&["check"]).ok().contains("no damage found"));
    let report = place.run(&["check", "--deep", "--json"]).json();
    assert_eq!((&report["ok"], &report["table_entries"]), (&true.into(), &3000.into()));
}

#[test]
fn a_flipped_byte_anywhere_in_a_table_is_found() {
    let place = with_table();
    let table = place.database_files(".table").pop().unwrap();
    let name = table.file_name().unwrap().to_str().unwrap().to_owned();
    let sound = std::fs::read(&table).unwrap();
    for at in [0, sound.len() / 3, sound.len() / 2, sound.len() - 40, sound.len() - 1] {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&table, damaged).unwrap();
        let run = place.run(&["check", "--deep"]);
        assert!(run.failed(4).contains("restore"), "{run:?}");
        let found = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(found.contains(&name) && found.contains("offset"), "byte {at}: {found}");
        let json = place.run(&["check", "--deep", "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["ok"], false);
    }
    std::fs::write(&table, &sound).unwrap();
    place.run(&["check", "--deep"]).ok();
}

#[test]
fn reading_a_damaged_table_fails_and_returns_nothing_wrong() {
    let place = with_table();
    let table = place.database_files(".table").pop().unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let run = place.run(&["get", "000000"]);
    assert!(run.failed(4).contains("is damaged at offset"), "{run:?}");
    assert_eq!(place.run(&["scan"]).code, Some(4));
    assert_eq!(place.run(&["export", "out"]).code, Some(4));
    assert!(!place.path("out").exists() && !place.path("out.partial").exists());
}

#[test]
fn a_flipped_bit_in_current_is_damage() {
    let place = with_table();
    let current = place.path("db").join("CURRENT");
    let mut bytes = std::fs::read(&current).unwrap();
    bytes[12] ^= 1;
    std::fs::write(&current, bytes).unwrap();
    place.run(&["check"]).failed(4);
    assert!(place.run(&["get", "a"]).failed(4).contains("CURRENT"));
}
