//! Files in, the same bytes out; bad lines; a process killed half-way.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::program::Place;

/// Lines whose keys are in order, with all that JSON allows in odd places.
fn people(count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, n| {
        let id = n + 100_000;
        writeln!(lines, "{{\"name\" : \"Pérson \\u00e9 {n}\",  \"at\":{{\"id\":\"{id}\"}}}}")
            .unwrap();
        lines
    })
}

#[test]
fn json_lines_come_back_byte_for_byte() {
    let place = Place::new();
    let lines = people(5000);
    place.file("people.jsonl", &lines);
    let report = place.run(&["import", "people.jsonl", "--key", "at.id"]).ok();
    assert!(report.starts_with("imported 5,000 records"), "{report}");
    assert!(report.contains("all are durable"), "{report}");
    assert_eq!(place.run(&["export"]).ok(), lines);
    assert_eq!(place.run(&["count"]).ok(), "5000\n");
    assert_eq!(place.run(&["get", "100007"]).ok(), format!("{}\n", lines.lines().nth(7).unwrap()));
    place.run(&["compact"]).ok();
    let exported = place.run(&["export", "out.jsonl"]).ok();
    assert!(exported.starts_with("exported 5,000 records"), "{exported}");
    assert_eq!(place.read("out.jsonl"), lines.as_bytes());
    assert!(!place.path("out.jsonl.partial").exists());
}

#[test]
fn without_a_key_json_lines_keep_their_order() {
    let place = Place::new();
    let lines = "{\"z\":1}\n[2]\n\"three\"\n";
    place.pipe(lines, &["import", "-", "--keyspace", "k", "--key-prefix", "x:"]).ok();
    assert_eq!(place.run(&["export", "--keyspace", "k"]).ok(), lines);
    assert!(
        place.run(&["scan", "--keyspace", "k"]).ok().starts_with("x:000000000001\t{\"z\":1}\n")
    );
}

#[test]
fn line_ends_are_no_part_of_the_record() {
    let place = Place::new();
    let report = place.pipe(
        "\u{feff}{\"k\":1}\r\n\r\n{\"k\":2}\n\n{\"k\":3}",
        &["import", "-", "--key", "k", "--json"],
    );
    let report = report.json();
    assert_eq!((&report["imported"], &report["empty"]), (&3.into(), &2.into()));
    assert_eq!(place.run(&["export"]).ok(), "{\"k\":1}\n{\"k\":2}\n{\"k\":3}\n");
    assert_eq!(place.pipe("", &["import", "-", "--json"]).json()["imported"], 0);
}

#[test]
fn a_named_column_is_the_key_of_csv() {
    let place = Place::new();
    let table = "name,id\r\n\"Lovelace, Ada\",\"7\"\r\n\"two\r\nlines\",8\r\nplain,9";
    place.file("t.csv", table);
    assert!(place.run(&["import", "t.csv", "--key", "id"]).ok().starts_with("imported 3 records"));
    assert_eq!(place.run(&["get", "7"]).ok(), "\"Lovelace, Ada\",\"7\"\n");
    assert_eq!(place.run(&["get", "--raw", "8"]).ok(), "\"two\r\nlines\",8");
    let unknown = place.run(&["import", "t.csv", "--key", "nmae"]);
    assert!(unknown.failed(1).contains("no column `nmae`, but name, id"));
}

#[test]
fn the_first_column_is_the_key_of_tsv() {
    let place = Place::new();
    let table = "a\t1\n\"b\t2\nc d\t3\n";
    place.file("t.tsv", table);
    place.run(&["import", "t.tsv"]).ok();
    assert_eq!(place.run(&["get", "c d"]).ok(), "c d\t3\n");
    assert_eq!(place.run(&["count"]).ok(), "3\n");
    place.run(&["import", "t.tsv", "--key", "2", "--keyspace", "by2"]).ok();
    assert_eq!(place.run(&["get", "2", "--keyspace", "by2"]).ok(), "\"b\t2\n");
    place.run(&["import", "t.tsv", "--no-header", "--key", "id"]).failed(2);
}

#[test]
fn a_bad_line_stops_the_import_and_loses_nothing() {
    let place = Place::new();
    let lines = format!("{}not json\n{}", people(1500), people(10));
    place.file("bad.jsonl", &lines);
    let run = place.run(&["import", "bad.jsonl", "--key", "at.id"]);
    let complaint = run.failed(1);
    assert!(complaint.contains("line 1501"), "{complaint}");
    assert!(complaint.contains("1,500 records were imported and durable"), "{complaint}");
    assert!(complaint.contains("--skip-bad"), "{complaint}");
    assert_eq!(place.run(&["export"]).ok(), people(1500));
}

#[test]
fn bad_lines_can_be_skipped_and_are_named() {
    let place = Place::new();
    let lines = b"{\"k\":1}\n{\n{\"k\":null}\n\"\xff\"\n{\"j\":1}\n{\"k\":2}\n{\"k\":\"\"}\n";
    let run = place.pipe(lines, &["import", "-", "--key", "k", "--skip-bad"]);
    assert!(run.ok().contains("imported 2 records"));
    assert!(run.ok().contains("skipped 5 bad lines"));
    for line in [2, 3, 4, 5, 7] {
        assert!(run.stderr.contains(&format!("skipped line {line}: ")), "{}", run.stderr);
    }
    let many = "x\n".repeat(30);
    let run = place.pipe(many, &["import", "-", "--skip-bad", "--json"]);
    assert_eq!(run.json()["bad"], 30);
    assert!(run.stderr.contains("skipped 10 bad lines more") || run.stderr.contains("10"));
}

#[test]
fn ragged_rows_are_bad_unless_allowed() {
    let place = Place::new();
    let run = place.pipe("a,1\nb,2,3\nc\n", &["import", "-", "--format", "csv"]);
    assert!(run.failed(1).contains("line 2"), "{}", run.stderr);
    let rows = "a,1\nb,2,3\nc\n";
    place.pipe(rows, &["import", "-", "--format", "csv", "--flexible"]).ok();
    assert_eq!(place.run(&["export"]).ok(), rows);
}

#[test]
fn what_cannot_be_read_makes_no_database() {
    let place = Place::new();
    assert!(
        place.run(&["import", "missing.jsonl"]).failed(1).contains("cannot open missing.jsonl")
    );
    assert!(place.run(&["import", "."]).failed(1).contains("is a folder"));
    assert!(!place.path("db").exists());
}

#[test]
fn exports_with_keys_can_be_read_by_programs() {
    let place = Place::new();
    place.run(&["set", "a\tb", "x\ny"]).ok();
    place.run(&["set", "b", "0xff"]).ok();
    let tsv = place.run(&["export", "--format", "tsv"]).stdout;
    assert_eq!(tsv, b"a\\tb\tx\\ny\nb\t\xff\n");
    let jsonl = place.run(&["export", "--format", "jsonl", "--from", "b"]).json();
    assert_eq!(jsonl, serde_json::json!({ "key": "b", "value": { "hex": "ff" } }));
    assert_eq!(place.run(&["export", "--prefix", "a"]).ok(), "x\ny\n");
}

#[test]
fn an_export_replaces_the_file_as_a_whole() {
    let place = Place::new();
    place.run(&["set", "a", "new"]).ok();
    place.file("out", "old and longer");
    place.run(&["export", "out"]).ok();
    assert_eq!(place.read("out"), b"new\n");
    assert!(place.run(&["export", "no/such/folder/out"]).failed(1).contains("cannot create"));
}

/// Killed at any moment, an import leaves the beginning of the file, whole records only.
#[test]
fn a_killed_import_leaves_a_prefix() {
    let lines = people(150_000);
    let half = lines.len() / 2;
    let cut = half + lines[half..].find('\n').unwrap() + 1;
    for round in 0..3 {
        let place = Place::new();
        let mut import = place.start(&["import", "-", "--key", "at.id", "--write-buffer", "4"]);
        let stdin = import.stdin.as_mut().unwrap();
        // It waits for more when it is killed, having read anything from little to half the file.
        stdin.write_all(&lines.as_bytes()[..cut >> (4 * round)]).unwrap();
        import.kill().unwrap();
        import.wait().unwrap();
        let kept = if place.path("db").join("CURRENT").exists() {
            place.run(&["check", "--deep"]).ok();
            place.run(&["export"]).ok()
        } else {
            String::new()
        };
        assert!(lines.starts_with(&kept), "round {round}: {} bytes are no prefix", kept.len());
        // All but a pipe's worth and a batch was read before the last write returned.
        let written = cut >> (4 * round);
        assert!(kept.len() + (3 << 20) >= written, "round {round}: {} of {written}", kept.len());
    }
}
