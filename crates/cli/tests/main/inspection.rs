//! Stats, tree, compact, checkpoint, bench.

use crate::program::Place;

fn filled() -> Place {
    let place = Place::new();
    let lines: Vec<String> = (0..2000).map(|n| format!("{n:06}\tsome value\n")).collect();
    place.pipe(lines.concat(), &["import", "-", "--format", "tsv"]).ok();
    place
}

#[test]
fn compacting_moves_everything_into_tables() {
    let place = filled();
    let report = place.run(&["compact", "--json"]).json();
    assert!(report["bytes_after"].as_u64() > Some(0));
    let stats = place.run(&["stats", "--json"]).json();
    let levels = stats["keyspaces"][0]["levels"].as_array().unwrap();
    let entries: u64 = levels.iter().map(|level| level["entries"].as_u64().unwrap()).sum();
    assert_eq!(entries, 2000);
    let text = place.run(&["stats"]).ok();
    assert!(text.contains("keyspace default") && text.contains("2,000"), "{text}");
}

#[test]
fn the_tree_shows_tables_over_their_keys_and_fits() {
    let place = filled();
    place.run(&["compact"]).ok();
    for width in [40, 60, 120] {
        let drawn = place.run(&["tree", "--width", &width.to_string()]).ok();
        assert!(drawn.contains("000000") && drawn.contains("001999"), "{drawn}");
        assert!(drawn.contains('┌') && drawn.contains("score"), "{drawn}");
        let widest = drawn.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(width.max(60)), "{drawn}");
    }
    assert!(place.run(&["tree", "--json"]).json()[0]["levels"].is_array());
}

#[test]
fn a_checkpoint_is_a_database_of_its_own() {
    let place = filled();
    place.run(&["checkpoint", "copy"]).ok();
    place.run(&["set", "later", "x"]).ok();
    assert_eq!(place.run(&["--db", "copy", "count"]).code, Some(2), "--db is given twice");
    assert_eq!(place.run_bare(&["--db", "copy", "count"]).ok(), "2000\n");
    place.run_bare(&["--db", "copy", "check", "--deep"]).ok();
    assert!(place.run(&["checkpoint", "copy"]).failed(2).contains("not empty"));
}

#[test]
fn a_benchmark_measures_in_a_folder_it_removes() {
    let place = Place::new();
    let workloads = "fillseq,fillrandom,overwrite,readrandom,readmissing,seekrandom,readseq,\
                     readreverse,fillsync";
    let small = ["--n", "500", "--threads", "2", "--value-size", "50"];
    let table = place.run_bare(&[&["bench", workloads], &small[..]].concat()).ok();
    let lines = place.run_bare(&[&["bench", workloads, "--json"], &small[..]].concat()).ok();
    for (workload, line) in workloads.split(',').zip(lines.lines()) {
        assert!(table.contains(workload), "{table}");
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&row["workload"], &row["operations"]), (&workload.into(), &500.into()));
        let all_found = ["readrandom", "seekrandom", "readseq", "readreverse"].contains(&workload);
        assert_eq!(row["found"], if all_found { 500 } else { 0 }, "{workload}");
        assert!(row["p50_ns"].as_u64() <= row["max_ns"].as_u64());
    }
    assert_eq!(lines.lines().count(), 9);
    assert_eq!(std::fs::read_dir(place.path(".")).unwrap().count(), 0, "the folder stays behind");
}

#[test]
fn a_benchmark_spares_other_data() {
    let place = Place::new();
    let bench = ["bench", "readrandom", "--n", "100"];
    place.run(&bench).ok();
    place.run(&bench).ok();
    place.run(&["set", "mine", "precious"]).ok();
    assert!(place.run(&bench).failed(2).contains("--force"));
    place.run(&[&bench[..], &["--force"]].concat()).ok();
    assert!(place.run_bare(&["bench", "fillsqe"]).failed(2).contains("fillseq"));
}
