//! An LSM-tree storage engine: fast, safe, and written to be read.
