//! A disk that crashes, tears and lies on demand, for testing databases: ours and yours.
//!
//! Code that stores things is easy to get right while the power stays on. This kit makes the power
//! fail at every single operation, thousands of times a second, from a seed that replays:
//!
//! | piece | what it is |
//! |---|---|
//! | [`SimFs`] | a simulated disk: knows what was synced, crashes, and fails as a [`FaultPlan`] says |
//! | [`SimClock`] | a clock that moves when told to, and never waits |
//! | [`Oracle`] | a map with a memory: answers any read, knows which states a crash may leave |
//! | [`OpGenerator`] | operations from a seed; [`any_ops`] from proptest; [`Op::decode_from_bytes`] from a fuzzer |
//!
//! Your code has to reach its files through [`Fs`](alluvium_base::Fs) and
//! [`File`](alluvium_base::File), two small traits; [`StdFs`](alluvium_base::StdFs) is the real
//! thing behind them. Nothing else in the kit knows Alluvium.
//!
//! # Five lines: write, sync, crash, check
//!
//! ```
//! use std::path::Path;
//! use alluvium_base::{File, Fs};
//! use alluvium_testkit::{SimFs, Survival};
//! # fn main() -> std::io::Result<()> {
//! let disk = SimFs::new(1);
//! let file = disk.create(Path::new("/data"))?;
//! file.write_all_at(b"precious", 0)?;
//! file.sync()?; // the bytes are durable; the *name* is not!
//! assert_eq!(disk.crash(Survival::None).read(Path::new("/data")), None);
//!
//! disk.sync_dir(Path::new("/"))?; // now it is
//! let after = disk.crash(Survival::None);
//! assert_eq!(after.read(Path::new("/data")).as_deref(), Some(&b"precious"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! # A crash at every operation
//!
//! Here is code to test: it replaces a file. At any crash the old content or the new one must be
//! there, whole; once it has returned, the new one. (Leave out either sync and see what happens.)
//!
//! ```
//! # use std::path::Path;
//! use alluvium_base::fs::replace_file;
//! # use alluvium_testkit::{SimFs, Survival};
//! # let dir = Path::new("/db");
//! let (old, new) = (vec![b'o'; 3_000], vec![b'n'; 2_000]);
//! for n in 0.. {
//!     let disk = SimFs::new(n);
//!     disk.write(&dir.join("state"), &old); // as if it had always been there
//!     disk.freeze_after(n); // operation n finds the machine off
//!     let done = replace_file(&disk, dir, "state", "state.tmp", &new);
//!     for seed in 0..100 {
//!         let found = disk.crash(Survival::Random(seed)).read(&dir.join("state"));
//!         let found = found.expect("it is never without the file");
//!         assert!(found == new || (done.is_err() && found == old), "operation {n}, seed {seed}");
//!     }
//!     if done.is_ok() {
//!         break;
//!     }
//! }
//! ```
//!
//! A crash *during recovery* is the same loop around the code that opens the database on the disk
//! that the first crash left. [`SimFs::kill`] is the death of the process alone.
//!
//! # Every fault at every operation
//!
//! ```
//! # use std::path::Path;
//! # use alluvium_base::fs::replace_file;
//! use alluvium_testkit::{Fault, FaultPlan};
//! # use alluvium_testkit::SimFs;
//! # let dir = Path::new("/db");
//! for fault in Fault::ALL {
//!     for n in 0..7 {
//!         let disk = SimFs::new(n);
//!         disk.write(&dir.join("state"), b"old");
//!         disk.set_faults(FaultPlan::nth(n, fault));
//!         let done = replace_file(&disk, dir, "state", "state.tmp", b"new");
//!         let found = disk.read(&dir.join("state")).expect("the file is there");
//!         assert!(found == b"new" || (done.is_err() && found == b"old"), "{fault:?} at {n}");
//!     }
//! }
//! ```
//!
//! # A database against the oracle
//!
//! Generate [`Op`]s; carry each out on the database and on the [`Oracle`]; compare every answer.
//! After [`Op::Crash`], read everything that was recovered and ask [`Oracle::check_prefix`]: it
//! must be a state that the database was in, with whole batches and with every commit that was
//! acknowledged as durable. Then [`Oracle::recover_to`] that state and go on.
//!
//! ```
//! use alluvium_testkit::{GeneratorOptions, Op, OpGenerator, Oracle, SimClock};
//! # use alluvium_testkit::Content;
//! # #[derive(Default)] struct YourDb { content: Content }
//! let (seed, clock) = (42, SimClock::new(1_000_000));
//! let mut oracle = Oracle::new();
//! # let mut db = YourDb { content: Content::from([(0, [].into())]) };
//! let options = GeneratorOptions { keyspace_count: 1, ..GeneratorOptions::default() };
//! for (step, op) in OpGenerator::new(seed, options).take(1_000).enumerate() {
//!     if let Some((writes, _durability)) = op.writes() {
//!         oracle.commit(&writes, clock.now());
//!         // … and write the same to the database
//! #       db.content = oracle.content(oracle.len(), clock.now());
//!     }
//!     if let Op::Crash { .. } = op {
//!         // … crash the disk, open the database again, read all of it
//! #       db.content = oracle.content(oracle.len(), clock.now());
//!         let recovered = &db.content;
//!         match oracle.check_prefix(recovered, clock.now()) {
//!             Ok(prefixes) => oracle.recover_to(prefixes[prefixes.len() - 1]),
//!             Err(mismatch) => panic!("seed {seed}, step {step}: {mismatch}"),
//!         }
//!     }
//! }
//! ```

mod generator;
mod op;
mod oracle;
mod random;
mod sim_clock;
pub mod sim_fs;

pub use generator::{GeneratorOptions, OpGenerator, Weights, any_op, any_ops, key_of};
pub use op::{Direction, Durability, KeyspaceSlot, Op, View, Write, keyspace_name};
pub use oracle::{Content, Difference, Mismatch, Oracle};
pub use random::{ByteChoices, Choices, SeededRandom};
pub use sim_clock::SimClock;
pub use sim_fs::{Fault, FaultPlan, OpClass, OpRecord, SimFs, SimStats, Survival};
