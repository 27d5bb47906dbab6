//! Compaction in Alluvium: scores, picks, garbage rules and the one writer of tables.
