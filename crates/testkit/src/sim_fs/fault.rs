//! Which operation fails, and how.

use std::io;
use std::path::Path;

/// The kinds of calls that can fail: one per method of [`Fs`](alluvium_base::Fs) and
/// [`File`](alluvium_base::File) that returns a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpClass {
    /// `Fs::create`.
    Create,
    /// `Fs::open` and `Fs::open_writable`.
    Open,
    /// `Fs::exists`.
    Exists,
    /// `Fs::list`.
    List,
    /// `Fs::create_dir_all`.
    CreateDir,
    /// `Fs::rename`.
    Rename,
    /// `Fs::remove`.
    Remove,
    /// `Fs::hard_link`.
    HardLink,
    /// `Fs::sync_dir`.
    SyncDir,
    /// `Fs::lock`.
    Lock,
    /// `File::read_at`.
    Read,
    /// `File::write_at`.
    Write,
    /// `File::sync`.
    Sync,
    /// `File::len`.
    Len,
    /// `File::set_len`.
    SetLen,
    /// `File::allocate`.
    Allocate,
    /// `File::map`.
    Map,
}

impl OpClass {
    /// Every class.
    pub const ALL: [Self; 17] = [
        Self::Create,
        Self::Open,
        Self::Exists,
        Self::List,
        Self::CreateDir,
        Self::Rename,
        Self::Remove,
        Self::HardLink,
        Self::SyncDir,
        Self::Lock,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::Len,
        Self::SetLen,
        Self::Allocate,
        Self::Map,
    ];
}

/// What goes wrong. Where nothing else is said, the failing call has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Any call fails with an input/output error.
    Eio,
    /// Any call fails with an input/output error, *though it took effect*: the caller must not
    /// believe that a failed rename, write or sync did nothing.
    EioButDone,
    /// A write fails with an input/output error after half of it was written.
    TornWrite,
    /// Creating, writing, extending, naming or syncing fails: the disk is full.
    Enospc,
    /// A read returns half of what it could, but at least one byte.
    ShortRead,
    /// A write writes half of what it was given, but at least one byte.
    ShortWrite,
    /// A read or write is interrupted by a signal and is to be tried again. When sticky, every
    /// other attempt is: nobody could make progress otherwise.
    Interrupted,
    /// A sync, of a file or a folder, fails and *marks everything clean though it is not on disk*:
    /// the next sync succeeds without it, reads still show it, and a power cut loses it. This is
    /// what Linux does. Lengths are on disk after the next sync all the same. A sector
    /// that was never on disk before stays lost even when it is written again: so does ext4.
    SyncFailsOnce,
    /// A read succeeds with one bit wrong.
    FlippedRead,
}

impl Fault {
    /// Every fault, for sweeps.
    pub const ALL: [Self; 9] = [
        Self::Eio,
        Self::EioButDone,
        Self::TornWrite,
        Self::Enospc,
        Self::ShortRead,
        Self::ShortWrite,
        Self::Interrupted,
        Self::SyncFailsOnce,
        Self::FlippedRead,
    ];

    /// Whether calls of this class can fail this way.
    pub const fn applies_to(self, class: OpClass) -> bool {
        use OpClass as Op;
        match self {
            Self::Eio | Self::EioButDone => true,
            Self::TornWrite | Self::ShortWrite => matches!(class, Op::Write),
            Self::Enospc => matches!(
                class,
                Op::Create
                    | Op::CreateDir
                    | Op::Rename
                    | Op::HardLink
                    | Op::SyncDir
                    | Op::Lock
                    | Op::Write
                    | Op::Sync
                    | Op::SetLen
                    | Op::Allocate
            ),
            Self::ShortRead | Self::FlippedRead => matches!(class, Op::Read),
            Self::Interrupted => matches!(class, Op::Read | Op::Write),
            Self::SyncFailsOnce => matches!(class, Op::Sync | Op::SyncDir),
        }
    }

    /// The error that callers see.
    pub(super) fn error(self, op: u64, class: OpClass, path: &Path) -> io::Error {
        let kind = match self {
            Self::Enospc => io::ErrorKind::StorageFull,
            Self::Interrupted => io::ErrorKind::Interrupted,
            Self::Eio
            | Self::EioButDone
            | Self::TornWrite
            | Self::ShortRead
            | Self::ShortWrite
            | Self::SyncFailsOnce
            | Self::FlippedRead => io::ErrorKind::Other,
        };
        let at = path.display();
        io::Error::new(kind, format!("simulated {self:?} at operation {op}: {class:?} {at}"))
    }
}

/// Which operations fail, and how. Give it to [`SimFs::set_faults`](super::SimFs::set_faults).
///
/// Operations are numbered from 0 as [`SimFs::op_count`](super::SimFs::op_count) counts them, over
/// the whole life of the disk. A fault hits the first operation *numbered `n` or later* that it
/// applies to and that the filters let through, so `nth(0, …)` means the next one.
///
/// ```
/// use alluvium_testkit::{Fault, FaultPlan, OpClass};
/// // The third sync of a log from now on fails, and its data is gone:
/// let plan = FaultPlan::nth(0, Fault::SyncFailsOnce)
///     .only_on(&[OpClass::Sync])
///     .only_paths_with(".wal")
///     .skip(2);
/// # drop(plan);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    from: u64,
    fault: Fault,
    is_sticky: bool,
    classes: Vec<OpClass>,
    path_part: String,
    skip: u64,
    hits: u64,
    is_spent: bool,
}

impl FaultPlan {
    /// Nothing fails.
    pub const fn none() -> Self {
        Self { rules: Vec::new() }
    }

    /// Operation `n`, or the first later one that `fault` applies to, fails; once.
    pub fn nth(n: u64, fault: Fault) -> Self {
        Self::rule(n, fault, false)
    }

    /// Every operation from number `n` on that `fault` applies to fails.
    pub fn from_nth(n: u64, fault: Fault) -> Self {
        Self::rule(n, fault, true)
    }

    fn rule(from: u64, fault: Fault, is_sticky: bool) -> Self {
        let classes = OpClass::ALL.to_vec();
        let path_part = String::new();
        let rule =
            Rule { from, fault, is_sticky, classes, path_part, skip: 0, hits: 0, is_spent: false };
        Self { rules: vec![rule] }
    }

    /// Only operations of these classes fail.
    #[must_use]
    pub fn only_on(mut self, classes: &[OpClass]) -> Self {
        for rule in &mut self.rules {
            rule.classes.retain(|class| classes.contains(class));
        }
        self
    }

    /// Only operations on paths that contain `part` fail: `"MANIFEST"`, `".wal"`. A rename or link
    /// is told by the new name, an open file by the name it was opened with.
    #[must_use]
    pub fn only_paths_with(mut self, part: &str) -> Self {
        for rule in &mut self.rules {
            part.clone_into(&mut rule.path_part);
        }
        self
    }

    /// Lets `count` operations that would fail pass first.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        for rule in &mut self.rules {
            rule.skip = count;
        }
        self
    }

    /// The faults of both plans; where both hit one operation, this one's count.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }

    /// How operation `op` fails, if it does.
    pub(super) fn choose(&mut self, op: u64, class: OpClass, path: &Path) -> Option<Fault> {
        self.rules.iter_mut().find_map(|rule| rule.choose(op, class, path))
    }
}

impl Rule {
    fn choose(&mut self, op: u64, class: OpClass, path: &Path) -> Option<Fault> {
        let matches = !self.is_spent
            && op >= self.from
            && self.fault.applies_to(class)
            && self.classes.contains(&class)
            && (self.path_part.is_empty() || path.to_string_lossy().contains(&self.path_part));
        if !matches {
            return None;
        }
        let hit = self.hits;
        self.hits += 1;
        if hit < self.skip {
            return None;
        }
        self.is_spent = !self.is_sticky;
        // Whoever is interrupted tries again, and must get through at some time.
        let is_retry = self.fault == Fault::Interrupted && (hit - self.skip) % 2 == 1;
        (!is_retry).then_some(self.fault)
    }
}
