//! Third-party crates that live in one place.
//!
//! A crate is listed once replacing it would otherwise touch several of ours: its types in a
//! signature, its bytes in a file, its threads in a design. Everything else is free.

/// Whether `[dev-dependencies]` elsewhere may name the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InTests {
    Allowed,
    Forbidden,
}

/// A third-party crate and the packages that may import it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    pub(super) third_party: &'static str,
    pub(super) packages: &'static [&'static str],
    pub(super) tests_may_import: InTests,
    /// What everybody else does.
    pub(super) instead: &'static str,
}

const fn home(
    third_party: &'static str,
    packages: &'static [&'static str],
    instead: &'static str,
) -> Home {
    Home { third_party, packages, tests_may_import: InTests::Forbidden, instead }
}

/// Every crate with a home.
pub(super) const HOMES: &[Home] = &[
    home("bytes", &["alluvium-base"], "use `alluvium_base::Bytes`"),
    home("crc32fast", &["alluvium-base"], "use `alluvium_base::checksum`"),
    home("memmap2", &["alluvium-base"], "use `alluvium_base::fs::Mapping`"),
    home("rustix", &["alluvium-base", "alluvium-torture"], "go through `alluvium_base::Fs`"),
    home("arc-swap", &["alluvium-base"], "use `alluvium_base::sync`: models must see it"),
    home(
        "parking_lot",
        // A test's own locks are not the engine's.
        &["alluvium-base", "alluvium-testkit", "alluvium-torture"],
        "use `alluvium_base::sync`: models must see it",
    ),
    home("loom", &["alluvium-base"], "use `alluvium_base::sync`"),
    home("shuttle", &["alluvium-base"], "use `alluvium_base::sync`"),
    home("crossbeam-skiplist", &["alluvium-memtable"], "go through `alluvium_memtable::Memtable`"),
    home("lz4_flex", &["alluvium-table"], "let the table compress its blocks"),
    home("bloomfilter", &["alluvium-table"], "ask the table's filter"),
    home("xxhash-rust", &["alluvium-base"], "use `alluvium_base::key::hash_key`"),
    home(
        "tokio",
        &["alluvium-server", "alluvium-cluster"],
        "everything below layer 5 is synchronous",
    ),
    home("openraft", &["alluvium-cluster"], "replication is the cluster's"),
    home("criterion", &["alluvium-benches"], "put the measurement into `benches/`"),
    Home {
        third_party: "proptest",
        packages: &["alluvium-testkit"],
        tests_may_import: InTests::Allowed,
        instead: "name it under [dev-dependencies]",
    },
];
