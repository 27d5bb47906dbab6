//! What this module claims, tried.
