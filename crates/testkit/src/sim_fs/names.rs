//! The names of files and folders, twice: as everybody sees them, and as the disk has them.
//!
//! A created, renamed, linked or removed name is a [`Change`] that waits until its folder is
//! synced. At a power cut each waiting change persists or not, independently, with two limits that
//! real file systems keep as well: a rename happens whole or not at all, and the changes of *one*
//! name persist in their order, so that a name never skips from its oldest state to its newest
//! and takes the newest's file with it.
//!
//! Invariant: `live` is `durable` with all `pending` changes applied in order, but for what a
//! failed sync has lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names an inode; never given to another one.
pub(super) type InodeId = u64;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Dir,
    File(InodeId),
}

impl Entry {
    pub(super) fn inode(self) -> Option<InodeId> {
        match self {
            Self::Dir => None,
            Self::File(inode) => Some(inode),
        }
    }
}

/// One change of names that has not been synced.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set { path: PathBuf, entry: Entry },
    Unset { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, entry: Entry },
}

type Entries = BTreeMap<PathBuf, Entry>;

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) live: Entries,
    pub(super) durable: Entries,
    pending: Vec<Change>,
    /// Whether a name went away since all inodes were last known to have one. Looking is dear.
    pub(super) may_have_orphans: bool,
}

impl Change {
    /// The names it touches.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let (one, other) = match self {
            Self::Set { path, .. } | Self::Unset { path } => (path, None),
            Self::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(one).chain(other).map(PathBuf::as_path)
    }

    fn entry(&self) -> Option<Entry> {
        match self {
            Self::Set { entry, .. } | Self::Rename { entry, .. } => Some(*entry),
            Self::Unset { .. } => None,
        }
    }

    fn apply(self, entries: &mut Entries) {
        match self {
            Self::Set { path, entry } => {
                entries.insert(path, entry);
            }
            Self::Unset { path } => {
                entries.remove(&path);
            }
            Self::Rename { from, to, entry } => {
                entries.remove(&from);
                entries.insert(to, entry);
            }
        }
    }
}

/// Whether this is the top, which is always there: of all paths, or of the relative ones.
pub(super) fn is_top(path: &Path) -> bool {
    path.parent().is_none()
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<Entry> {
        if is_top(path) { Some(Entry::Dir) } else { self.live.get(path).copied() }
    }

    /// Makes a change that everybody sees at once and the disk later.
    pub(super) fn change(&mut self, change: Change) {
        self.may_have_orphans |= self.takes_a_name_away(&change);
        change.clone().apply(&mut self.live);
        self.pending.push(change);
    }

    fn takes_a_name_away(&self, change: &Change) -> bool {
        match change {
            Change::Set { path, .. } => {
                self.live.contains_key(path) || self.durable.contains_key(path)
            }
            Change::Unset { .. } | Change::Rename { .. } => true,
        }
    }

    /// Makes a change on the disk at once, in place of what was pending for these names.
    pub(super) fn change_durably(&mut self, change: Change) {
        self.may_have_orphans = true;
        let touched: Vec<_> = change.paths().map(Path::to_owned).collect();
        self.pending.retain(|old| !old.paths().any(|path| touched.iter().any(|t| t == path)));
        change.clone().apply(&mut self.live);
        change.apply(&mut self.durable);
    }

    /// Makes the names in `dir` durable; returns how many changes that took. A rename between two
    /// folders is made durable by a sync of either, for it is atomic; so is what came before it.
    pub(super) fn sync_dir(&mut self, dir: &Path) -> usize {
        let chosen = self.take_pending(dir);
        let count = chosen.len();
        for change in chosen {
            change.apply(&mut self.durable);
        }
        count
    }

    /// Forgets to ever make the changes in `dir` durable.
    pub(super) fn fail_sync_dir(&mut self, dir: &Path) {
        self.may_have_orphans = true;
        self.take_pending(dir);
    }

    fn take_pending(&mut self, dir: &Path) -> Vec<Change> {
        // Backwards: whatever a chosen change builds on is chosen too.
        let mut needed: BTreeSet<PathBuf> = BTreeSet::new();
        let (mut chosen, mut left) = (Vec::new(), Vec::new());
        for change in std::mem::take(&mut self.pending).into_iter().rev() {
            let is_chosen =
                change.paths().any(|path| path.parent() == Some(dir) || needed.contains(path));
            if is_chosen {
                needed.extend(change.paths().map(Path::to_owned));
                chosen.push(change);
            } else {
                left.push(change);
            }
        }
        chosen.reverse();
        left.reverse();
        self.pending = left;
        chosen
    }

    pub(super) fn unsynced_count(&self) -> usize {
        self.pending.len()
    }

    /// The names as a power cut leaves them: `survives` is asked about each pending change, oldest
    /// first. What lies in a folder that did not survive is gone with it.
    pub(super) fn after_crash(&self, mut survives: impl FnMut() -> bool) -> Entries {
        let mut entries = self.durable.clone();
        let mut blocked: BTreeSet<&Path> = BTreeSet::new();
        for change in &self.pending {
            // Asked in any case, so that item numbers do not depend on the answers.
            let survives = survives();
            if survives && !change.paths().any(|path| blocked.contains(path)) {
                change.clone().apply(&mut entries);
            } else {
                blocked.extend(change.paths());
            }
        }
        drop_orphans(entries)
    }

    /// Whether the file has a name, or could have one after a crash.
    pub(super) fn refer_to(&self, inode: InodeId) -> bool {
        let file = Entry::File(inode);
        self.live.values().any(|&entry| entry == file)
            || self.durable.values().any(|&entry| entry == file)
            || self.pending.iter().any(|change| change.entry() == Some(file))
    }

    /// Every file that [`refer_to`](Self::refer_to) holds for.
    pub(super) fn all_inodes(&self) -> BTreeSet<InodeId> {
        let named = self.live.values().chain(self.durable.values()).copied();
        let pending = self.pending.iter().filter_map(Change::entry);
        named.chain(pending).filter_map(Entry::inode).collect()
    }
}

fn drop_orphans(entries: Entries) -> Entries {
    let mut kept = Entries::new();
    // A folder sorts before what lies in it.
    for (path, entry) in entries {
        let has_folder =
            path.parent().is_some_and(|dir| is_top(dir) || kept.get(dir) == Some(&Entry::Dir));
        if has_folder {
            kept.insert(path, entry);
        }
    }
    kept
}
