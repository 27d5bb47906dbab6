//! What the first bytes of an input say: options, faults and the moment when the power fails.

use std::sync::Arc;

use alluvium::{Background, Compression, Db, Filter, KeyspaceOptions, LogMode, Result};
use alluvium_testkit::{Fault, FaultPlan, GeneratorOptions, SimClock, SimFs, Weights};

use super::restart::Restart;
use super::step::Step;
use crate::input::Input;

/// Options small enough that a few hundred operations make levels, and the faults that come.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    options: u16,
    /// More of them.
    sizes: u8,
    /// Which fault, whether it stays, and whether recovery meets it.
    fault: u8,
    /// Operations of the disk until it comes.
    fault_after: u16,
}

/// Which bits of [`Setup::options`] mean what.
fn bits(options: u16, at: u32, count: u32) -> u16 {
    (options >> at) & ((1 << count) - 1)
}

impl Setup {
    /// Takes an input apart: what to run on, and what to do.
    pub(super) fn decode(bytes: &[u8]) -> (Self, Vec<Step>) {
        let mut input = Input::new(bytes);
        let setup = Self {
            options: input.short(),
            fault: input.byte(),
            fault_after: input.short(),
            sizes: input.byte(),
        };
        let generator = GeneratorOptions {
            key_count: 40,
            max_value_bytes: 300,
            weights: Weights {
                flush: 5,
                compact: 3,
                reopen: 2,
                kill: 2,
                crash: 3,
                ..Weights::default()
            },
            ..GeneratorOptions::default()
        };
        (setup, Step::decode_all(input.rest(), &generator))
    }

    pub(super) const fn seed(self) -> u64 {
        self.fault_after as u64
    }

    pub(super) fn is_mapping_supported(self) -> bool {
        bits(self.options, 0, 2) != 1
    }

    fn log_mode(self) -> LogMode {
        match bits(self.options, 0, 2) {
            0 => LogMode::Mapped,
            1 => LogMode::Auto,
            _ => LogMode::Buffered,
        }
    }

    fn log_segment_size(self) -> u64 {
        4096 << bits(self.options, 2, 2)
    }

    fn max_log_bytes(self) -> u64 {
        // Two segments are the least that a database takes.
        self.log_segment_size() * (2 << bits(self.options, 4, 2))
    }

    fn cache_bytes(self) -> u64 {
        if bits(self.options, 6, 1) == 0 { 0 } else { 1 << 20 }
    }

    pub(super) fn keyspace(self) -> KeyspaceOptions {
        KeyspaceOptions {
            write_buffer_size: 512 << bits(self.options, 7, 3),
            block_size: 64 << bits(self.options, 10, 2),
            max_write_buffers: 2 + usize::from(self.sizes & 3),
            compression: match self.sizes >> 2 & 3 {
                0 => vec![Compression::None, Compression::Lz4],
                1 => vec![Compression::Lz4],
                _ => vec![Compression::None],
            },
            filter: match bits(self.options, 12, 2) {
                0 => Filter::None,
                1 => Filter::Standard { bits_per_key: 6 },
                _ => Filter::Blocked { bits_per_key: 10 },
            },
            l0_trigger: 1 + usize::from(bits(self.options, 14, 1)),
            l0_slowdown: 4,
            l0_stop: 8,
            level_base_bytes: 1024 << (self.sizes >> 4 & 3),
            level_multiplier: 2 + u64::from(self.sizes >> 6),
            target_file_size: 1024 << bits(self.options, 15, 1),
        }
    }

    fn fault(self) -> Option<Fault> {
        Fault::ALL.get(usize::from(self.fault & 15)).copied()
    }

    /// Whether the fault makes the kernel forget what it was given: no process that goes on can
    /// know, only a power cut shows it.
    pub(super) fn loses_pages(self) -> bool {
        self.fault() == Some(Fault::SyncFailsOnce)
    }

    /// The faults from operation `now` of the disk on.
    pub(super) fn faults(self, now: u64) -> FaultPlan {
        let at = now + u64::from(self.fault_after);
        let is_sticky = self.fault & 16 != 0;
        match self.fault() {
            None => FaultPlan::none(),
            Some(fault) if is_sticky => FaultPlan::from_nth(at, fault),
            Some(fault) => FaultPlan::nth(at, fault),
        }
    }

    /// After how many operations of the disk the power fails, where that is what happens.
    pub(super) fn freezes_after(self) -> Option<u64> {
        (self.fault & 15 == 15).then_some(self.fault_after.into())
    }

    /// Whether recovery meets the faults too. Not wrong bits: what was never synced has nobody to
    /// bear witness to it, and a wrong bit there is a torn tail.
    pub(super) fn fails_while_opening(self) -> bool {
        self.fault & 32 != 0 && self.fault() != Some(Fault::FlippedRead)
    }

    /// Whatever was interrupted: what may happen to the machine next.
    pub(super) fn restart_after_fault(self, step: usize, is_frozen: bool) -> Restart {
        if is_frozen || self.loses_pages() || step.is_multiple_of(2) {
            Restart::Crash(step as u64)
        } else {
            Restart::Kill
        }
    }

    /// Opens the database, or creates it.
    pub(super) fn open(self, disk: &SimFs, clock: &SimClock) -> Result<Db> {
        self.open_at("db", disk, clock)
    }

    /// Opens the one in `dir`, with the same options.
    pub(super) fn open_at(self, dir: &str, disk: &SimFs, clock: &SimClock) -> Result<Db> {
        Db::builder(dir)
            .fs(Arc::new(disk.clone()))
            .clock(Arc::new(clock.clone()))
            .default_keyspace(self.keyspace())
            .log_mode(self.log_mode())
            .log_segment_size(self.log_segment_size())
            .max_log_bytes(self.max_log_bytes())
            // Small enough to be rewritten now and then.
            .max_manifest_bytes(self.log_segment_size())
            .cache_bytes(self.cache_bytes())
            .background(Background::Manual)
            .open()
    }
}
