//! Promises 4 to 7, each through the public API: what the caller sees, and what it does then.
//!
//! | module | promise |
//! |---|---|
//! | `poison` | 4: the first failed write or sync of the log or the manifest poisons; reopening recovers |
//! | `full_disk` | 5: a full disk never corrupts, and room makes it work again |
//! | `lock` | 6: one opener at a time, and closing is closed |
//! | `version` | 7: files of another version are refused, and left as they are |
//!
//! Promises 1 to 3 and 8 are for the layers to try: see `docs/reliability.md`.

mod full_disk;
mod lock;
mod poison;
mod version;
