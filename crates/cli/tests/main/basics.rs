//! One key, a range of keys, exit codes and help.

use std::io::Read;

use crate::program::Place;

#[test]
fn a_value_can_be_set_read_and_removed() {
    let place = Place::new();
    assert_eq!(place.run(&["set", "greeting", "hello world"]).ok(), "OK\n");
    assert_eq!(place.run(&["get", "greeting"]).ok(), "hello world\n");
    assert_eq!(place.run(&["set", "n", "-5"]).ok(), "OK\n");
    assert_eq!(place.run(&["get", "n"]).ok(), "-5\n");
    assert_eq!(place.run(&["del", "greeting"]).ok(), "OK\n");
    let missing = place.run(&["get", "greeting"]);
    assert!(missing.failed(3).contains("`greeting` has no value"));
    assert_eq!(missing.stdout, b"");
    assert_eq!(place.run(&["del", "never there"]).ok(), "OK\n");
}

#[test]
fn bytes_go_in_as_hex_and_come_out_escaped_or_raw() {
    let place = Place::new();
    place.run(&["set", "0xff00", "0x0a41fe"]).ok();
    assert_eq!(place.run(&["get", "0xff00"]).ok(), "\\nA\\xFE\n");
    assert_eq!(place.run(&["get", "--raw", "0xff00"]).stdout, b"\x0aA\xfe");
    assert_eq!(place.run(&["scan"]).ok(), "\\xFF\\x00\t\\nA\\xFE\n");
    let json = place.run(&["--json", "get", "0xff00"]).json();
    assert_eq!((&json["key"]["hex"], &json["value"]["hex"]), (&"ff00".into(), &"0a41fe".into()));
    assert!(place.run(&["set", "0xabc", "v"]).failed(2).contains("hexadecimal"));
}

#[test]
fn a_value_with_a_time_to_live_disappears() {
    let place = Place::new();
    place.run(&["set", "k", "v", "--ttl", "1"]).ok();
    place.run(&["set", "long", "v", "--ttl", "1000"]).ok();
    assert_eq!(place.run(&["get", "k"]).ok(), "v\n");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(place.run(&["get", "k"]).code, Some(3));
    assert_eq!(place.run(&["count"]).ok(), "1\n");
    place.run(&["set", "k", "v", "--ttl", "0"]).failed(2);
}

#[test]
fn scans_go_both_ways_over_any_range() {
    let place = Place::new();
    for key in ["a", "b:1", "b:2", "b:3", "c"] {
        place.run(&["set", key, "v"]).ok();
    }
    let keys = |arguments: &[&str]| -> Vec<String> {
        let all = [&["scan"], arguments].concat();
        place.run(&all).ok().lines().map(|l| l.split('\t').next().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&[]), ["a", "b:1", "b:2", "b:3", "c"]);
    assert_eq!(keys(&["--reverse"]), ["c", "b:3", "b:2", "b:1", "a"]);
    assert_eq!(keys(&["--prefix", "b:", "--limit", "2"]), ["b:1", "b:2"]);
    assert_eq!(keys(&["--prefix", "b:", "--reverse", "--limit", "2"]), ["b:3", "b:2"]);
    assert_eq!(keys(&["--from", "b:2", "--to", "c"]), ["b:2", "b:3"]);
    assert_eq!(keys(&["--from", "c", "--to", "a"]), [""; 0]);
    assert_eq!(keys(&["--to", "b", "--reverse"]), ["a"]);
    assert_eq!(place.run(&["count", "--prefix", "b:"]).ok(), "3\n");
    assert_eq!(place.run(&["count"]).ok(), "5\n");
    place.run(&["scan", "--prefix", "b", "--from", "a"]).failed(2);
}

#[test]
fn keyspaces_are_made_by_writing_and_asked_for_by_reading() {
    let place = Place::new();
    place.run(&["--keyspace", "users", "set", "id:1", "Ada"]).ok();
    assert_eq!(place.run(&["get", "id:1", "--keyspace", "users"]).ok(), "Ada\n");
    assert_eq!(place.run(&["get", "id:1"]).code, Some(3));
    let missing = place.run(&["count", "--keyspace", "user"]);
    assert!(missing.failed(1).contains("it has default, users"));
}

#[test]
fn reading_makes_no_database() {
    let place = Place::new();
    for command in [&["get", "a"][..], &["scan"], &["stats"], &["tree"], &["compact"]] {
        assert!(place.run(command).failed(1).contains("there is no database in db"));
    }
    assert!(!place.path("db").exists());
}

#[test]
fn options_of_the_engine_are_taken_and_kept() {
    let place = Place::new();
    let options = ["--cache-size", "8", "--write-buffer", "1", "--sync"];
    place.run(&[&options[..], &["set", "a", "1"]].concat()).ok();
    let stats = place.run(&["--cache-size", "8", "--json", "stats"]).json();
    assert_eq!(stats["cache"]["budget_bytes"], 8 << 20);
    place.run(&[&options[..], &["set", "b", "2"]].concat()).ok();
    assert_eq!(place.run(&["count"]).ok(), "2\n");
    place.run(&["--cache-size", "0", "count"]).failed(2);
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let place = Place::new();
    assert!(place.run(&["chekc"]).failed(2).contains("'check'"));
    place.run(&["get"]).failed(2);
    place.run(&["scan", "--limit", "many"]).failed(2);
    let long = "k".repeat(70_000);
    place.run(&["set", &long, "v"]).failed(2);
}

#[test]
fn help_shows_examples() {
    let place = Place::new();
    assert!(place.run_bare(&["--help"]).ok().contains("alluvium import people.jsonl --key id"));
    assert!(place.run_bare(&["import", "--help"]).ok().contains("--skip-bad"));
    assert!(place.run_bare(&["bench", "--help"]).ok().contains("readmissing"));
    assert!(place.run_bare(&["--version"]).ok().starts_with("alluvium "));
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let place = Place::new();
    let lines: Vec<String> = (0..50_000).map(|n| format!("{n:08}\tsome text\n")).collect();
    place.pipe(lines.concat(), &["import", "-", "--format", "tsv"]).ok();
    for command in [&["scan"][..], &["export"], &["scan", "--json"]] {
        let mut child = place.start(command);
        let mut start = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut start).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{command:?}");
    }
}

#[test]
fn a_second_process_is_refused_while_the_first_has_it_open() {
    let place = Place::new();
    place.run(&["set", "a", "1"]).ok();
    let mut shell = place.start(&["shell"]);
    // Once it has answered, it has the database open.
    std::io::Write::write_all(shell.stdin.as_mut().unwrap(), b"get a\n").unwrap();
    let mut answer = [0; 2];
    shell.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"1\n");
    assert!(place.run(&["get", "a"]).failed(1).contains("already open"));
    assert!(place.run(&["check"]).failed(1).contains("already open"));
    drop(shell.stdin.take());
    assert!(shell.wait().unwrap().success());
    assert_eq!(place.run(&["get", "a"]).ok(), "1\n");
}
