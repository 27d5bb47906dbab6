//! Compaction in Alluvium: what to compact, what to keep, and the one writer of tables.
//!
//! Flushes put table upon table into level 0. Compaction carries their entries down, level by
//! level, and leaves behind what no reader can reach any more:
//!
//! ```text
//!            flush
//!              ▼
//!   L0   ▭▭▭▭ ▭▭▭▭▭ ▭▭▭          tables overlap, newest first
//!              ▼  pick: all L0 tables that overlap, and the tables they overlap below
//!   base ▬▬▬ ▬▬ ▬▬▬▬             one sorted run per level, each about ten times the one above
//!              ▼  pick: the table that overlaps least below
//!   L6   ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬
//! ```
//!
//! | module | question it answers |
//! |---|---|
//! | [`options`] | how large may things get? |
//! | [`targets`] | how large should each level be? |
//! | [`score`] | how urgent is each level, and how much work is owed? |
//! | [`pick`](mod@pick) | which tables go together next? |
//! | [`gc`] | what becomes of one entry? |
//! | [`below`] | may an older version of this key lie further down? |
//! | [`output`] | how do the survivors become tables? |
//!
//! Everything but [`output`] is pure: it looks at metadata and returns a value. Nothing here knows
//! of threads; the engine decides when to ask, runs what it was told, and commits the result.

pub mod below;
pub mod gc;
pub mod options;
pub mod output;
pub mod pick;
pub mod score;
pub mod targets;
#[cfg(test)]
mod testing;

pub use below::Below;
pub use gc::{EntryMeta, Fate, GcContext, fate};
pub use options::CompactionOptions;
pub use output::{KeyPart, Output, write_part, write_tables};
pub use pick::{
    ManualRange, Pick, PickContext, Reason, next_due_ms, pick, pick_manual, pick_manual_range,
};
pub use score::{debt_bytes, relief_entries, scores};
pub use targets::{LevelTargets, level_targets};
