//! The manifest of Alluvium: versions, version edits, file names and CURRENT.
