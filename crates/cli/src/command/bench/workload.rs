//! What can be measured.

use clap::ValueEnum;

/// Most operations of a workload that waits for the disk each time.
const MOST_SYNCS: u64 = 10_000;

/// One kind of operation, many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub(super) enum Workload {
    /// Write new keys in order
    FillSeq,
    /// Write each key once, in disorder
    FillRandom,
    /// Write keys drawn at random
    Overwrite,
    /// Get keys that are there
    ReadRandom,
    /// Get keys that are not there
    ReadMissing,
    /// Go to a random key and read 10 entries
    SeekRandom,
    /// Read everything, forwards
    ReadSeq,
    /// Read everything, backwards
    ReadReverse,
    /// Write keys, each durable on return
    FillSync,
}

impl Workload {
    /// The name it is asked for with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FillSeq => "fillseq",
            Self::FillRandom => "fillrandom",
            Self::Overwrite => "overwrite",
            Self::ReadRandom => "readrandom",
            Self::ReadMissing => "readmissing",
            Self::SeekRandom => "seekrandom",
            Self::ReadSeq => "readseq",
            Self::ReadReverse => "readreverse",
            Self::FillSync => "fillsync",
        }
    }

    /// Whether it wants data to be there.
    pub(super) fn reads(self) -> bool {
        match self {
            Self::ReadRandom
            | Self::ReadMissing
            | Self::SeekRandom
            | Self::ReadSeq
            | Self::ReadReverse => true,
            Self::FillSeq | Self::FillRandom | Self::Overwrite | Self::FillSync => false,
        }
    }

    /// How many operations it makes when `n` are asked for.
    pub(super) fn operations(self, n: u64) -> u64 {
        if self == Self::FillSync { n.min(MOST_SYNCS) } else { n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for workload in Workload::value_variants() {
            let given = workload.to_possible_value().map(|value| value.get_name().to_owned());
            assert_eq!(given.as_deref(), Some(workload.name()));
        }
    }
}
