//! The program killed with SIGKILL under loads of its own: nothing that it answered for is lost.

use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use alluvium::{Db, Read};

use crate::program::Place;

/// Commands of one life of the shell, at most.
const COMMANDS: usize = 200_000;

/// Every command that the shell answered is there after its death, each life going on where the one
/// before ended: the keys are the numbers from 0 on, without a gap.
#[test]
fn a_killed_shell_loses_no_answered_command() {
    let place = Place::new();
    let mut stored = 0;
    for life in 0..4 {
        let mut shell = place.start(&["--write-buffer", "1", "shell"]);
        let (mut stdin, stdout) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        let (first_answer, answered_once) = sync_channel(1);
        let answered = std::thread::scope(|scope| {
            // Killed, the shell closes its end: no error of the test.
            scope.spawn(move || {
                for n in stored..stored + COMMANDS {
                    if writeln!(stdin, "set {n:08} {}", "x".repeat(1 + n % 300)).is_err() {
                        return;
                    }
                }
            });
            let reader = scope.spawn(move || {
                let mut answered = 0;
                for line in BufReader::new(stdout).lines() {
                    match line.unwrap().as_str() {
                        "OK" => {}
                        // It died while it answered.
                        "" | "O" => break,
                        other => panic!("{other}"),
                    }
                    answered += 1;
                    if answered == 1 {
                        first_answer.send(()).unwrap();
                    }
                }
                answered
            });
            answered_once.recv().unwrap();
            std::thread::sleep(Duration::from_millis(20 + 70 * life));
            shell.kill().unwrap();
            shell.wait().unwrap();
            reader.join().unwrap()
        });
        place.run(&["check", "--deep"]).ok();
        let db = Db::open(place.path("db")).unwrap();
        let mut found = 0;
        for entry in db.iter() {
            let (key, value) = entry.unwrap();
            assert_eq!(*key, *format!("{found:08}").as_bytes(), "life {life}: a gap");
            assert_eq!(value.len(), 1 + found % 300, "life {life}: a wrong value");
            found += 1;
        }
        assert!(found >= stored + answered, "{found} keys, {stored} and {answered} answered");
        stored = found;
    }
}

/// Four threads that write and sync, killed: the files are sound, and what is there can be counted
/// and written over.
#[test]
fn a_killed_bench_leaves_a_sound_database() {
    let place = Place::new();
    for life in 0..4 {
        let mut bench = place.start(&[
            "--write-buffer",
            "1",
            "bench",
            "fillrandom,fillsync,overwrite",
            "--threads",
            "4",
            "--n",
            "1000000",
            "--force",
        ]);
        while !place.path("db").join("CURRENT").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(100 + 150 * life));
        bench.kill().unwrap();
        bench.wait().unwrap();
        place.run(&["check", "--deep"]).ok();
        let counted: usize = place.run(&["count"]).ok().trim().parse().unwrap();
        assert_eq!(place.run(&["scan"]).ok().lines().count(), counted);
    }
}
