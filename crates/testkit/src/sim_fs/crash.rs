//! What a power cut leaves.
//!
//! Everything unsynced is a list of *items*, always in the same order: first the pending changes of
//! names, oldest first; then, file by file in order of creation, the file's length if it changed,
//! and its dirty sectors, ascending. A [`Survival`] decides about each item.
//!
//! Whatever it decides, a byte that was synced and not changed since is never touched: disks write
//! sectors whole, and what a sector did not change it does not lose. That a log may append to a
//! sector it has synced, without fear for what is there, is an assumption worth naming; all
//! databases in use make it.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, Inode, SECTOR_BYTES, Sector};
use super::disk::Disk;
use crate::random::{Choices, SeededRandom};

/// Which unsynced items survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Survival {
    /// Every unsynced sector, length and name survived, but for what a failed sync has lost.
    All,
    /// Nothing unsynced survived.
    None,
    /// Chance decides, by this seed. Each unsynced sector holds, independently, its new content, its
    /// old one, what it held at some moment between, zeroes or garbage; each length is the new one,
    /// the old one, or one between; each change of a name persisted or not. How likely items are
    /// to survive is itself drawn anew for each seed, from hardly any to nearly all.
    Random(u64),
    /// Bit *i* decides about unsynced item *i* (modulo 64): set, and it survived; clear, and its
    /// old state did. For walking through all combinations; see
    /// [`SimFs::unsynced_count`](super::SimFs::unsynced_count).
    Mask(u64),
}

/// Decides about one item after the other.
enum Judge {
    All,
    Mask { mask: u64, item: u32 },
    Random { random: SeededRandom, survivors_in_64: u64 },
}

/// What became of a sector.
enum SectorFate {
    New,
    Old,
    Earlier,
    Zeroes,
    Garbage,
}

impl Judge {
    fn of(survival: Survival, disk_seed: u64) -> Self {
        match survival {
            Survival::All => Self::All,
            Survival::None => Self::Mask { mask: 0, item: 0 },
            Survival::Mask(mask) => Self::Mask { mask, item: 0 },
            Survival::Random(seed) => {
                let mut random = SeededRandom::with_stream(disk_seed, seed);
                // One survivor among many, and one loss among many, are what even odds never show.
                let survivors_in_64 = [1, 6, 32, 32, 58, 63][random.below(6) as usize];
                Self::Random { random, survivors_in_64 }
            }
        }
    }

    fn survives(&mut self) -> bool {
        match self {
            Self::All => true,
            Self::Mask { mask, item } => {
                let survives = *mask >> (*item % u64::BITS) & 1 == 1;
                *item += 1;
                survives
            }
            Self::Random { random, survivors_in_64 } => random.chance(*survivors_in_64, 64),
        }
    }

    /// The length after the crash, of the durable, the lowest and the live one.
    fn len(&mut self, [durable, lowest, live]: [u64; 3]) -> u64 {
        if self.survives() {
            return live;
        }
        let Self::Random { random, .. } = self else { return durable };
        match random.below(3) {
            0 => lowest,
            // A growing file passes through every length between.
            1 if live > durable => durable + random.below(live - durable),
            _ => durable,
        }
    }

    fn sector(&mut self) -> SectorFate {
        if self.survives() {
            return SectorFate::New;
        }
        let Self::Random { random, .. } = self else { return SectorFate::Old };
        match random.below(8) {
            0..3 => SectorFate::Old,
            3..5 => SectorFate::Earlier,
            5..7 => SectorFate::Garbage,
            _ => SectorFate::Zeroes,
        }
    }

    fn garbage(&mut self) -> Sector {
        let mut bytes = [0; SECTOR_BYTES];
        if let Self::Random { random, .. } = self {
            random.fill(&mut bytes);
        }
        bytes
    }
}

impl Disk {
    /// How many items a crash would decide about.
    pub(super) fn unsynced_count(&self) -> usize {
        let in_files: usize = self.inodes.values().map(Inode::unsynced_count).sum();
        self.names.unsynced_count() + in_files
    }

    /// The disk as found after a power cut.
    pub(super) fn after_crash(&self, survival: Survival) -> Self {
        let mut judge = Judge::of(survival, self.seed);
        let entries = self.names.after_crash(|| judge.survives());
        let named: BTreeSet<_> = entries.values().filter_map(|entry| entry.inode()).collect();
        let mut inodes = BTreeMap::new();
        for (&id, inode) in &self.inodes {
            // Files without a name are judged too: item numbers do not depend on the answers.
            let content = after_crash(inode, &mut judge);
            if named.contains(&id) {
                inodes.insert(id, Inode::of(content));
            }
        }
        let mut disk = Self::new(self.seed);
        disk.names.live.clone_from(&entries);
        disk.names.durable = entries;
        disk.inodes = inodes;
        disk.next_inode = self.next_inode;
        disk.is_mapping_supported = self.is_mapping_supported;
        disk
    }

    /// The disk as found after the process died: the page cache is the kernel's and lives on.
    pub(super) fn after_kill(&self) -> Self {
        let fresh = Self::new(self.seed);
        let mut disk = Self {
            inodes: self.inodes.clone(),
            names: self.names.clone(),
            next_inode: self.next_inode,
            is_mapping_supported: self.is_mapping_supported,
            ..fresh
        };
        for inode in disk.inodes.values_mut() {
            inode.handle_count = 0;
        }
        disk.collect_all();
        disk
    }
}

fn after_crash(inode: &Inode, judge: &mut Judge) -> Content {
    let mut content = inode.durable.clone();
    let len = match inode.unsynced_len() {
        Some(lens) => judge.len(lens),
        None => inode.durable.len(),
    };
    for sector in inode.dirty_sectors() {
        let new = inode.live.sector(sector);
        let found = match judge.sector() {
            SectorFate::Old => continue,
            SectorFate::New => new,
            SectorFate::Earlier => inode.earlier_sector(sector).unwrap_or(new),
            SectorFate::Zeroes => spoil(inode, sector, &new, &[0; SECTOR_BYTES]),
            SectorFate::Garbage => spoil(inode, sector, &new, &judge.garbage()),
        };
        content.set_sector(sector, &found);
    }
    content.set_len(len);
    content
}

/// The sector with `spoilt` bytes, except where a byte was synced and has not been changed since.
fn spoil(inode: &Inode, sector: usize, new: &Sector, spoilt: &Sector) -> Sector {
    let old = inode.durable.sector(sector);
    let start = (sector * SECTOR_BYTES) as u64;
    let synced = inode.durable.len().saturating_sub(start).min(SECTOR_BYTES as u64) as usize;
    let mut found = *spoilt;
    for at in 0..synced {
        if old[at] == new[at] {
            found[at] = old[at];
        }
    }
    found
}
