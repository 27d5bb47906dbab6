//! placeholder
pub mod random;
pub mod sim_clock;
pub mod sim_fs;
pub use random::{ByteChoices, Choices, SeededRandom};
pub use sim_clock::SimClock;
pub use sim_fs::{Fault, FaultPlan, OpClass, OpRecord, SimFs, SimStats, Survival};
