//! The sorted write buffer of Alluvium: a concurrent skiplist.
