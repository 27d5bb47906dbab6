//! Micro-benchmarks of Alluvium.
