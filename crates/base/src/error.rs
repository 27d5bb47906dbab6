//! What can go wrong, sorted by what the caller can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. [`Error::kind`] sorts it by what the caller can do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused. See [`ErrorKind::Io`].
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried, as a verb: "read", "sync", …
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// Bytes on disk are not what was written. See [`ErrorKind::Corrupt`].
    #[error("{0}")]
    Corrupt(Corruption),
    /// Another handle has the database open. See [`ErrorKind::Locked`].
    #[error(
        "{} is already open, in this process or another: close it there, or open another folder",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A condition of the write did not hold. See [`ErrorKind::Conflict`].
    #[error("the write was not made: {0}")]
    Conflict(String),
    /// An earlier write to the log or manifest failed. See [`ErrorKind::Poisoned`].
    #[error(
        "the database refuses writes since an earlier one failed ({cause}): reopen it to recover"
    )]
    Poisoned {
        /// The failure that poisoned it.
        cause: Arc<Error>,
    },
    /// The database was closed or the keyspace dropped. See [`ErrorKind::Closed`].
    #[error("{0}")]
    Closed(String),
    /// The call itself makes no sense. See [`ErrorKind::Invalid`].
    #[error("{0}")]
    Invalid(String),
    /// The files were written by another version. See [`ErrorKind::Version`].
    #[error(
        "{} has format version {found}, and this program reads {supported}: \
         use the release of Alluvium that wrote it",
        file.display()
    )]
    Version {
        /// The file that says so.
        file: PathBuf,
        /// The version it has.
        found: u32,
        /// The versions this program reads.
        supported: &'static str,
    },
    /// The write would have had to wait. See [`ErrorKind::WouldStall`].
    #[error("the write would have to wait: {reason}")]
    WouldStall {
        /// Which limit holds it back.
        reason: String,
    },
}

/// What to do about it, where the operating system's words do not say it.
fn advice(source: &io::Error) -> &'static str {
    if is_full(source) { ": make room on this disk, then try again" } else { "" }
}

fn is_full(source: &io::Error) -> bool {
    matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The kinds of [`Error`], each with what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused. Reads, flushes and compactions can be tried again; a write or
    /// a sync of the log or the manifest that failed poisons the database, and what follows is
    /// [`Poisoned`](Self::Poisoned). [`Error::is_disk_full`] tells a full disk: make room first.
    Io,
    /// A file is damaged: the error names file and offset. Restore the database from a checkpoint or
    /// a backup, or save what can be read with `alluvium repair`. Nothing wrong was returned.
    Corrupt,
    /// The folder is open elsewhere. Use that handle, or close it first.
    Locked,
    /// A condition did not hold, or a concurrent write came first. Read again and decide anew.
    Conflict,
    /// An earlier write or sync of the log or the manifest failed, so that its end is unknown. Reads
    /// and snapshots go on. Close the database and open it again: everything acknowledged is there
    /// then, and the write that failed is there whole or not at all.
    Poisoned,
    /// The handle is of no more use. Open again.
    Closed,
    /// The call is wrong and was refused before it did anything. Change the call.
    Invalid,
    /// Written by another version of Alluvium, and left as it is. Use that version.
    Version,
    /// The write would have to wait for a flush or a compaction that nobody makes. Do what the error
    /// says, then try again: nothing was written.
    WouldStall,
}

/// Damage: which file, where in it, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The damaged file.
    pub file: PathBuf,
    /// Where in the file the damaged piece begins, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl Corruption {
    /// Names the damage.
    pub fn new(file: impl Into<PathBuf>, offset: u64, what: impl Into<String>) -> Self {
        Self { file: file.into(), offset, what: what.into() }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at offset {}: {}", self.file.display(), self.offset, self.what)
    }
}

impl std::error::Error for Corruption {}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl Error {
    /// Which kind of error this is, and so what can be done about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Io,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Locked { .. } => ErrorKind::Locked,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Poisoned { .. } => ErrorKind::Poisoned,
            Self::Closed(_) => ErrorKind::Closed,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Version { .. } => ErrorKind::Version,
            Self::WouldStall { .. } => ErrorKind::WouldStall,
        }
    }

    /// Wraps what the operating system said about `path`.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source: Arc::new(source) }
    }

    /// A call that makes no sense; `what` says what to do instead.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(what.into())
    }

    /// Damage at `offset` of `file`.
    pub fn corrupt(file: impl Into<PathBuf>, offset: u64, what: impl Into<String>) -> Self {
        Corruption::new(file, offset, what).into()
    }

    /// Whether the disk (or a quota) is full: room makes it work again.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::Corrupt(_) | Error::Version { .. } => io::ErrorKind::InvalidData,
            Error::Locked { .. } | Error::WouldStall { .. } => io::ErrorKind::WouldBlock,
            Error::Invalid(_) => io::ErrorKind::InvalidInput,
            Error::Conflict(_) | Error::Poisoned { .. } | Error::Closed(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_names_file_and_offset() {
        let error = Error::corrupt("db/000003.table", 4096, "checksum mismatch");
        assert_eq!(
            error.to_string(),
            "db/000003.table is damaged at offset 4096: checksum mismatch"
        );
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_full_disk_is_told_from_other_errors() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(Error::io("write", "x", full).is_disk_full());
        assert!(!Error::io("write", "x", io::Error::other("x")).is_disk_full());
    }
}
