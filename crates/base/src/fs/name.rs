//! The names of a database's files: generated numbers, never taken from data.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers a log segment, a table or a manifest; never used twice in one database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileNumber(pub u64);

impl fmt::Debug for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl fmt::Display for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// Hands out file numbers, each once. Shared by everyone who creates files of a database.
#[derive(Debug)]
pub struct FileNumbers {
    next: AtomicU64,
}

impl FileNumbers {
    /// Hands out `next` first.
    pub const fn starting_at(next: FileNumber) -> Self {
        Self { next: AtomicU64::new(next.0) }
    }

    /// A number that was never handed out before.
    pub fn take(&self) -> FileNumber {
        FileNumber(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The number that comes next: all handed out so far are smaller.
    pub fn peek(&self) -> FileNumber {
        FileNumber(self.next.load(Ordering::Relaxed))
    }
}

/// Every name a file of a database can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// `CURRENT`: names the manifest.
    Current,
    /// `CURRENT.tmp`: the next `CURRENT`, until it is renamed.
    CurrentTemporary,
    /// `LOCK`: held while the database is open.
    Lock,
    /// `OPTIONS`: the options the database was last opened with, for people.
    Options,
    /// `OPTIONS.tmp`: the next `OPTIONS`, until it is renamed.
    OptionsTemporary,
    /// `MANIFEST-000001`: a log of version edits.
    Manifest(FileNumber),
    /// `000002.wal`: a log segment.
    Wal(FileNumber),
    /// `000002.wal.tmp`: a copy of a log segment, until it is renamed.
    WalTemporary(FileNumber),
    /// `000003.table`: a table.
    Table(FileNumber),
}

impl FileName {
    /// Reads a name; `None` for one that is none of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let parsed = match name {
            "CURRENT" => Self::Current,
            "CURRENT.tmp" => Self::CurrentTemporary,
            "LOCK" => Self::Lock,
            "OPTIONS" => Self::Options,
            "OPTIONS.tmp" => Self::OptionsTemporary,
            _ => {
                if let Some(digits) = name.strip_prefix("MANIFEST-") {
                    Self::Manifest(parse_number(digits)?)
                } else if let Some(digits) = name.strip_suffix(".wal") {
                    Self::Wal(parse_number(digits)?)
                } else if let Some(digits) = name.strip_suffix(".wal.tmp") {
                    Self::WalTemporary(parse_number(digits)?)
                } else {
                    Self::Table(parse_number(name.strip_suffix(".table")?)?)
                }
            }
        };
        Some(parsed)
    }

    /// The number in the name, if it has one.
    pub const fn number(self) -> Option<FileNumber> {
        match self {
            Self::Manifest(number)
            | Self::Wal(number)
            | Self::WalTemporary(number)
            | Self::Table(number) => Some(number),
            Self::Current
            | Self::CurrentTemporary
            | Self::Lock
            | Self::Options
            | Self::OptionsTemporary => None,
        }
    }

    /// The path of this file in the database folder `dir`.
    pub fn in_dir(self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }
}

/// Six digits or more, no sign, no needless zeroes: exactly what `Display` writes.
fn parse_number(digits: &str) -> Option<FileNumber> {
    let number = FileNumber(digits.parse().ok()?);
    (number.to_string() == digits).then_some(number)
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("CURRENT"),
            Self::CurrentTemporary => f.write_str("CURRENT.tmp"),
            Self::Lock => f.write_str("LOCK"),
            Self::Options => f.write_str("OPTIONS"),
            Self::OptionsTemporary => f.write_str("OPTIONS.tmp"),
            Self::Manifest(number) => write!(f, "MANIFEST-{number}"),
            Self::Wal(number) => write!(f, "{number}.wal"),
            Self::WalTemporary(number) => write!(f, "{number}.wal.tmp"),
            Self::Table(number) => write!(f, "{number}.table"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_no_others() {
        let number = FileNumber(1_234_567);
        for name in [
            FileName::Current,
            FileName::Lock,
            FileName::Options,
            FileName::Manifest(FileNumber(1)),
            FileName::Wal(FileNumber(2)),
            FileName::WalTemporary(FileNumber(2)),
            FileName::Table(number),
        ] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for stranger in ["", "1.wal", "+00001.wal", "000001.wal.bak", "MANIFEST-x", "../CURRENT"] {
            assert_eq!(FileName::parse(stranger), None, "{stranger}");
        }
    }
}
