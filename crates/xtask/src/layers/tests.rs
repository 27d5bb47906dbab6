use super::table::LAYERS;
use super::*;

fn edge(from: &str, to: &str, kind: EdgeKind) -> Edge {
    Edge { from: from.to_owned(), to: to.to_owned(), kind }
}

/// Checks one edge among all packages of the table.
fn findings_of(from: &str, to: &str, kind: EdgeKind) -> Vec<String> {
    let members: Vec<String> = LAYERS.iter().map(|layer| layer.package.to_owned()).collect();
    check(&members, &[edge(from, to, kind)])
}

#[test]
fn downward_imports_pass() {
    for (from, to) in [
        ("alluvium-wal", "alluvium-base"),
        ("alluvium-manifest", "alluvium-wal"),
        ("alluvium-compaction", "alluvium-table"),
        ("alluvium", "alluvium-memtable"),
        ("alluvium-cli", "alluvium"),
        ("alluvium-cli", "alluvium-manifest"),
        ("alluvium-testkit", "alluvium-base"),
        ("alluvium-benches", "alluvium-xtask"),
    ] {
        assert_eq!(findings_of(from, to, EdgeKind::Normal), Vec::<String>::new(), "{from} {to}");
    }
}

#[test]
fn upward_and_sideways_imports_fail_in_tests_too() {
    for (from, to) in [
        ("alluvium-base", "alluvium-wal"),
        ("alluvium-wal", "alluvium-table"),
        ("alluvium-manifest", "alluvium-table"),
        ("alluvium-compaction", "alluvium-memtable"),
        ("alluvium-compaction", "alluvium-wal"),
        ("alluvium-testkit", "alluvium"),
        ("alluvium-xtask", "alluvium-base"),
        ("alluvium-server", "alluvium-cluster"),
    ] {
        for kind in [EdgeKind::Normal, EdgeKind::Dev] {
            assert_eq!(findings_of(from, to, kind).len(), 1, "{from} {to} {kind:?}");
        }
    }
}

#[test]
fn a_finding_names_the_edge_and_the_rule() {
    assert_eq!(
        findings_of("alluvium-manifest", "alluvium-table", EdgeKind::Normal),
        ["alluvium-manifest -> alluvium-table: alluvium-manifest (layer 2) may import \
          only alluvium-base, alluvium-wal"]
    );
    assert_eq!(
        findings_of("alluvium-table", "bytes", EdgeKind::Normal),
        ["alluvium-table -> bytes: bytes lives in alluvium-base; use `alluvium_base::Bytes`"]
    );
}

#[test]
fn testkit_is_for_tests_alone_and_for_all_of_them() {
    for layer in LAYERS {
        assert!(findings_of(layer.package, "alluvium-testkit", EdgeKind::Dev).is_empty());
    }
    assert_eq!(findings_of("alluvium-wal", "alluvium-testkit", EdgeKind::Normal).len(), 1);
    assert_eq!(findings_of("alluvium", "alluvium-testkit", EdgeKind::Normal).len(), 1);
}

#[test]
fn third_party_crates_stay_at_home() {
    assert!(findings_of("alluvium-base", "crc32fast", EdgeKind::Normal).is_empty());
    assert!(findings_of("alluvium-wal", "proptest", EdgeKind::Dev).is_empty());
    assert!(findings_of("alluvium-benches", "criterion", EdgeKind::Normal).is_empty());
    assert!(findings_of("alluvium-benches", "bloomfilter", EdgeKind::Dev).is_empty());
    assert!(findings_of("alluvium-base", "parking_lot", EdgeKind::Normal).is_empty());
    for (from, to, kind) in [
        ("alluvium-wal", "crc32fast", EdgeKind::Normal),
        ("alluvium-wal", "parking_lot", EdgeKind::Normal),
        ("alluvium", "arc-swap", EdgeKind::Normal),
        ("alluvium-wal", "bytes", EdgeKind::Dev),
        ("alluvium-wal", "proptest", EdgeKind::Normal),
        ("alluvium", "crossbeam-skiplist", EdgeKind::Normal),
        ("alluvium", "tokio", EdgeKind::Normal),
        ("alluvium-table", "criterion", EdgeKind::Dev),
    ] {
        assert_eq!(findings_of(from, to, kind).len(), 1, "{from} {to} {kind:?}");
    }
}

#[test]
fn a_package_without_a_layer_is_named() {
    let findings = check(&["alluvium-attic".to_owned()], &[]);
    assert!(findings[0].starts_with("alluvium-attic has no row"), "{findings:?}");
}

/// The page that explains the layers and the table that enforces them cannot drift apart.
#[test]
fn the_architecture_page_draws_the_same_layers() {
    let page = include_str!("../../../../docs/ARCHITECTURE.md");
    for layer in LAYERS {
        let row = page
            .lines()
            .filter(|line| line.starts_with(&format!("| {} |", layer.level)))
            .find(|line| line.contains(&format!("(`{}`)", layer.package)))
            .unwrap_or_else(|| panic!("no row for {} on layer {}", layer.package, layer.level));
        let may_import = row.split('|').nth(3).expect("a third column").trim();
        let expected = match layer.may_import {
            Imports::Only([]) => "–".to_owned(),
            Imports::Only(names) => names.join(", ").replace("alluvium-", ""),
            Imports::Anything => "anything".to_owned(),
        };
        assert_eq!(may_import, expected, "{}", layer.package);
    }
}
