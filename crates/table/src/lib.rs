//! The sorted table files of Alluvium: blocks, index, filter and block cache.
