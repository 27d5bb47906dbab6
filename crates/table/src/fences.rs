//! Numbers in ascending order, laid out so that a search meets few cache lines.
//!
//! A binary search through sixteen thousand numbers looks at fourteen of them, each in a cache line of
//! its own but for the last few. So every sixteenth number stands once more in an array that is
//! small enough to stay in the processor's cache, and the search begins there. The lines of the one group
//! that is left are asked for together:
//!
//! ```text
//!   samples     …  12  31  58  70 …                the last of each full group
//!   numbers     …  58 │ 60 61 64 66 70 │ …         the one group that is left
//! ```

use alluvium_base::prefetch::{LINE_BYTES, prefetch};

/// How many numbers there are to a sample: two cache lines of them, or three where they do not begin with
/// one.
const GROUP: usize = 16;

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    numbers: Box<[u64]>,
    samples: Box<[u64]>,
}

impl Fences {
    /// Of numbers that ascend; equal ones may follow each other.
    pub(crate) fn new(numbers: Box<[u64]>) -> Self {
        let groups = numbers.as_chunks::<GROUP>().0;
        let samples = groups.iter().map(|group| group[GROUP - 1]).collect();
        Self { numbers, samples }
    }

    /// All numbers, ascending.
    #[inline]
    pub(crate) fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// How many numbers are less than `number`.
    #[inline]
    pub(crate) fn count_less(&self, number: u64) -> usize {
        let start = self.samples.partition_point(|&sample| sample < number) * GROUP;
        let group = &self.numbers[start..self.numbers.len().min(start + GROUP)];
        for line in 0..size_of::<[u64; GROUP]>() / LINE_BYTES {
            prefetch(group.as_ptr().addr() + line * LINE_BYTES);
        }
        start + group.partition_point(|&other| other < number)
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.numbers) + size_of_val(&*self.samples)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_many_are_less_as_a_binary_search_finds(
            mut numbers in proptest::collection::vec(0u64..5_000, 0..6_000),
            wanted in proptest::collection::vec(0u64..5_001, 50),
        ) {
            numbers.sort_unstable();
            let fences = Fences::new(numbers.clone().into());
            prop_assert_eq!(fences.numbers(), &numbers[..]);
            for number in wanted.into_iter().chain([u64::MAX]) {
                let less = numbers.partition_point(|&other| other < number);
                prop_assert_eq!(fences.count_less(number), less);
            }
        }
    }
}
