//! The manifest of Alluvium: versions, version edits, file names and CURRENT.

pub mod current;
pub mod edit;
mod fields;
pub mod level;
pub mod record;
pub mod state;
pub mod table_meta;
pub mod version;

pub use edit::{Cause, KeyspaceChange, VersionEdit};
pub use level::{LEVEL_COUNT, Level};
pub use record::Record;
pub use state::{KeyspaceState, State};
pub use table_meta::TableMeta;
pub use version::Version;
