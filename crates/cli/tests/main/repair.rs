//! Repair, as a person whose database is damaged meets it.

use std::path::Path;

use crate::program::Place;

/// A database with tables, a log and a keyspace of its own.
fn filled() -> Place {
    let place = Place::new();
    let lines = |from: usize, to: usize| {
        let lines: Vec<String> = (from..to).map(|n| format!("{n:06}\tvalue {n}\n")).collect();
        lines.concat()
    };
    place.pipe(lines(0, 3000), &["import", "-", "--format", "tsv"]).ok();
    place.run(&["compact"]).ok();
    place.pipe(lines(2500, 4000), &["import", "-", "--format", "tsv"]).ok();
    place.run(&["del", "000007"]).ok();
    place.run(&["set", "a", "b", "--keyspace", "users"]).ok();
    place
}

fn bytes_of(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn scan(place: &Place, db: &str, keyspace: &str) -> String {
    place.run_bare(&["--db", db, "scan", "--keyspace", keyspace]).ok()
}

#[test]
fn a_sound_database_is_copied_and_stays_as_it_is() {
    let place = filled();
    let before = bytes_of(&place.path("db"));
    let text = place.run_bare(&["repair", "db", "new"]).ok();
    assert!(text.contains("nothing was lost") && text.contains("users"), "{text}");
    assert_eq!(bytes_of(&place.path("db")), before);
    place.run_bare(&["--db", "new", "check", "--deep"]).ok();
    for keyspace in ["default", "users"] {
        assert_eq!(scan(&place, "new", keyspace), scan(&place, "db", keyspace));
    }
}

#[test]
fn a_lost_manifest_costs_names_and_certainty_but_no_data() {
    let place = filled();
    let expected = scan(&place, "db", "default");
    for path in place.database_files("") {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "CURRENT" || name.starts_with("MANIFEST") {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert!(place.run(&["count"]).failed(4).contains("alluvium repair"));
    let run = place.run_bare(&["repair", "db", "new"]);
    assert!(run.failed(1).contains("not all is certain"), "{run:?}");
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(text.contains("its name is lost") && text.contains("not certain: no manifest"));
    assert_eq!(scan(&place, "new", "default"), expected);
    assert_eq!(scan(&place, "new", "recovered-1"), "a\tb\n");
    assert!(place.run_bare(&["repair", "db", "new"]).failed(2).contains("remove it first"));
}

#[test]
fn a_damaged_block_is_named_with_its_keys() {
    let place = filled();
    let mut tables = place.database_files(".table");
    tables.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    let table = tables.pop().unwrap();
    let name = table.file_name().unwrap().to_str().unwrap().to_owned();
    let mut bytes = std::fs::read(&table).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    std::fs::write(&table, bytes).unwrap();
    let run = place.run_bare(&["repair", "db", "new", "--json"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&report["complete"], &report["live_tables_known"]), (&false.into(), &"all".into()));
    let files = report["files"].as_array().unwrap();
    let damaged = files.iter().find(|file| file["name"] == *name).unwrap();
    let loss = &damaged["losses"][0];
    let (first, last) = (&loss["keys"]["first"], &loss["keys"]["last"]);
    assert!(first.as_str() < last.as_str() && loss["bytes"].as_u64() > Some(0), "{damaged}");
    let text = place.run_bare(&["repair", "db", "other"]);
    let shown = format!(
        "its keys lay between `{}` and `{}`",
        first.as_str().unwrap(),
        last.as_str().unwrap()
    );
    assert!(String::from_utf8_lossy(&text.stdout).contains(&shown));
    place.run_bare(&["--db", "new", "check", "--deep"]).ok();
}

#[test]
fn what_is_no_database_is_refused() {
    let place = Place::new();
    place.file("notes.txt", "mine");
    assert!(place.run_bare(&["repair", ".", "new"]).failed(2).contains("there is no database"));
    assert!(!place.path("new").exists());
}
