//! The write-ahead log of Alluvium: segments, records, syncs and replay.
