//! Commands from a pipe.

use crate::program::Place;

#[test]
fn each_command_has_its_answer() {
    let place = Place::new();
    let commands = "\
        # a comment\n\
        set a 'b c'\n\
        get a\n\
        \n\
        get missing\n\
        set \"tab\\tkey\" 0x6869\n\
        scan\n\
        count\n\
        del a\n\
        count\n\
        use users\n\
        count\n\
        set id:1 Ada 1000\n\
        scan id: 5\n\
        keyspaces\n\
        exit\n\
        get never-reached\n";
    let expected = "OK\nb c\n(nil)\nOK\na\tb c\ntab\\tkey\thi\n2\nOK\n1\nOK\n0\nOK\nid:1\tAda\n\
                    default\nusers\n";
    assert_eq!(place.pipe(commands, &["shell"]).ok(), expected);
}

#[test]
fn no_command_at_all_is_the_shell_on_the_default_folder() {
    let place = Place::new();
    assert_eq!(place.pipe_bare("set a 1\nget a").ok(), "OK\n1\n");
    assert!(place.path("alluvium-data").join("CURRENT").exists());
    assert_eq!(place.run_bare(&["get", "a"]).ok(), "1\n");
    assert_eq!(place.pipe_bare("").ok(), "");
}

#[test]
fn the_first_error_ends_the_run() {
    let place = Place::new();
    let run = place.pipe("set a 1\ngte a\nset a 2\n", &[]);
    let complaint = run.failed(2);
    assert!(complaint.contains("line 2") && complaint.contains("did you mean `get`?"));
    assert_eq!(run.stdout, b"OK\n");
    assert_eq!(place.run(&["get", "a"]).ok(), "1\n");
}

#[test]
fn bytes_that_are_no_text_pass_through_quotes() {
    let place = Place::new();
    let run = place.pipe(b"set k\xff 'v\xfe'\nget k\xff\nget 0x6bff\n", &[]);
    assert_eq!(run.ok(), "OK\nv\\xFE\nv\\xFE\n");
}

#[test]
fn a_missing_keyspace_reads_as_empty_and_is_not_made() {
    let place = Place::new();
    let run = place.pipe("use nowhere\nget a\ndel a\nscan\ncount\nkeyspaces\n", &[]);
    assert_eq!(run.ok(), "OK\n(nil)\nOK\n0\ndefault\n");
}

#[test]
fn every_answer_can_be_json() {
    let place = Place::new();
    let commands = "set a 1\nget a\nget b\nscan\ncount\nkeyspaces\nstats\ntree\nhelp\n";
    let answers = place.pipe(commands, &["--json"]).ok();
    let answers: Vec<serde_json::Value> =
        answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 9);
    assert_eq!(answers[1]["value"], "1");
    assert!(answers[2]["value"].is_null());
    assert_eq!(answers[4]["count"], 1);
}
