//! Who may import whom: the design's table of layers, as data.
//!
//! `docs/ARCHITECTURE.md` draws the same table, and a test compares the two.

/// The package that may import anything.
pub(super) const BENCHES: &str = "alluvium-benches";

/// Which of our packages something may import.
#[derive(Clone, Copy, Debug)]
pub(super) enum Imports {
    Only(&'static [&'static str]),
    Anything,
}

impl Imports {
    pub(super) fn allows(self, package: &str) -> bool {
        match self {
            Self::Only(names) => names.contains(&package),
            Self::Anything => true,
        }
    }
}

/// One package and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    /// As the design numbers it; `dev` stands beside the layers.
    pub(super) level: &'static str,
    pub(super) package: &'static str,
    pub(super) may_import: Imports,
}

const fn layer(
    level: &'static str,
    package: &'static str,
    may_import: &'static [&'static str],
) -> Layer {
    Layer { level, package, may_import: Imports::Only(may_import) }
}

/// Every package, lowest first. A package without a row is an error: it has no place yet.
pub(super) const LAYERS: &[Layer] = &[
    layer("0", "alluvium-base", &[]),
    layer("1", "alluvium-wal", &["alluvium-base"]),
    layer("1", "alluvium-memtable", &["alluvium-base"]),
    layer("1", "alluvium-table", &["alluvium-base"]),
    layer("2", "alluvium-manifest", &["alluvium-base", "alluvium-wal"]),
    layer("3", "alluvium-compaction", &["alluvium-base", "alluvium-table", "alluvium-manifest"]),
    layer(
        "4",
        "alluvium",
        &[
            "alluvium-base",
            "alluvium-wal",
            "alluvium-memtable",
            "alluvium-table",
            "alluvium-manifest",
            "alluvium-compaction",
        ],
    ),
    layer("5", "alluvium-server", &["alluvium"]),
    layer("5", "alluvium-cluster", &["alluvium"]),
    layer(
        "6",
        "alluvium-cli",
        &[
            "alluvium-base",
            "alluvium-wal",
            "alluvium-memtable",
            "alluvium-table",
            "alluvium-manifest",
            "alluvium-compaction",
            "alluvium",
            "alluvium-server",
            "alluvium-cluster",
        ],
    ),
    layer("dev", "alluvium-testkit", &["alluvium-base"]),
    layer("dev", "alluvium-torture", &["alluvium-base", "alluvium-testkit", "alluvium"]),
    layer("dev", "alluvium-xtask", &[]),
    Layer { level: "dev", package: BENCHES, may_import: Imports::Anything },
];

/// A package that tests may import although the layers do not say so.
#[derive(Clone, Copy, Debug)]
pub(super) struct DevImport {
    pub(super) package: &'static str,
    pub(super) importers: Imports,
}

/// What `[dev-dependencies]` may name beyond [`LAYERS`].
pub(super) const DEV_IMPORTS: &[DevImport] = &[
    DevImport { package: "alluvium-testkit", importers: Imports::Anything },
    DevImport { package: "alluvium", importers: Imports::Only(&["alluvium-cli", BENCHES]) },
];

/// The row of a package.
pub(super) fn layer_of(package: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.package == package)
}
