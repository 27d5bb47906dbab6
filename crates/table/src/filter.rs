//! Which keys a table surely does not hold.
//!
//! A filter is built over the hashes of the distinct user keys ([`hash_key`](crate::hash_key)), so a lookup
//! hashes its key once for all tables. The block begins with a byte that says which filter it is:
//!
//! | byte | filter |
//! |-----:|--------|
//! |    1 | [`blocked`]: every key's bits in one cache line |
//! |    2 | [`standard`]: the textbook filter, from the `bloomfilter` crate |

mod blocked;
mod standard;

use alluvium_base::Bytes;

use crate::options::FilterKind;
use blocked::BlockedFilter;
use standard::StandardFilter;

/// Hashes of many keys, in pieces: one long vector would be moved as it grows, and take half as much
/// again meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    full: Vec<Vec<u64>>,
    last: Vec<u64>,
}

impl Hashes {
    const PIECE: usize = 4096;

    #[inline]
    pub(crate) fn push(&mut self, hash: u64) {
        if self.last.len() == Self::PIECE {
            self.full.push(std::mem::take(&mut self.last));
        }
        if self.last.is_empty() && !self.full.is_empty() {
            self.last.reserve_exact(Self::PIECE);
        }
        self.last.push(hash);
    }

    pub(crate) fn len(&self) -> usize {
        self.full.len() * Self::PIECE + self.last.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.full.iter().chain([&self.last]).flatten().copied()
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.full.len() * Self::PIECE + self.last.capacity()) * size_of::<u64>()
    }
}

impl FromIterator<u64> for Hashes {
    fn from_iter<I: IntoIterator<Item = u64>>(hashes: I) -> Self {
        let mut all = Self::default();
        hashes.into_iter().for_each(|hash| all.push(hash));
        all
    }
}

/// The filter of an open table.
#[derive(Debug)]
pub(crate) enum Filter {
    None,
    Blocked(BlockedFilter),
    Standard(StandardFilter),
}

impl Filter {
    /// Builds the filter block over distinct hashes, of which there must be some; `None` when the
    /// kind asks for no filter.
    pub(crate) fn build(kind: FilterKind, hashes: &Hashes) -> Option<Vec<u8>> {
        let tag = kind.encode()[0];
        match kind {
            FilterKind::None => None,
            FilterKind::Blocked { bits_per_key } => {
                Some(BlockedFilter::build(tag, hashes, bits_per_key))
            }
            FilterKind::Standard { bits_per_key } => {
                Some(StandardFilter::build(tag, hashes, bits_per_key))
            }
        }
    }

    /// Reads a filter block that may hold anything. It must be of the kind that the table's
    /// properties name.
    pub(crate) fn parse(kind: FilterKind, block: Option<&Bytes>) -> Result<Self, &'static str> {
        let Some(block) = block else {
            return match kind {
                FilterKind::None => Ok(Self::None),
                FilterKind::Blocked { .. } | FilterKind::Standard { .. } => {
                    Err("the table's filter is missing")
                }
            };
        };
        let (tag, rest) = block.split_first().ok_or("the filter is empty")?;
        if *tag != kind.encode()[0] {
            return Err("the filter is not of the kind that the properties name");
        }
        match kind {
            FilterKind::None => Err("the properties name no filter, but there is one"),
            FilterKind::Blocked { .. } => BlockedFilter::parse(rest).map(Self::Blocked),
            FilterKind::Standard { .. } => StandardFilter::parse(rest).map(Self::Standard),
        }
    }

    /// Whether the key with this hash may be there; "no" is certain.
    #[inline]
    pub(crate) fn may_contain(&self, key_hash: u64) -> bool {
        match self {
            Self::None => true,
            Self::Blocked(filter) => filter.may_contain(key_hash),
            Self::Standard(filter) => filter.may_contain(key_hash),
        }
    }

    /// Asks for the cache line that [`may_contain`](Self::may_contain) reads, where it is one.
    #[inline]
    pub(crate) fn ask_for_line(&self, key_hash: u64) {
        if let Self::Blocked(filter) = self {
            filter.ask_for_line(key_hash);
        }
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Blocked(filter) => filter.memory_bytes(),
            Self::Standard(filter) => filter.memory_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alluvium_base::key::hash_key;
    use proptest::prelude::*;

    use super::*;

    const KEYS: u64 = 100_000;

    fn hashes() -> Hashes {
        (0..KEYS).map(|i| hash_key(format!("key-{i:012}").as_bytes())).collect()
    }

    fn open(kind: FilterKind, hashes: &Hashes) -> Filter {
        let block = Filter::build(kind, hashes).map(Bytes::from);
        Filter::parse(kind, block.as_ref()).expect("just built")
    }

    /// The figure that the options promise: at 10 bits at most 1.2 % wrong "maybe", no wrong "no".
    fn check_rate(kind: FilterKind, most: f64) {
        let hashes = hashes();
        let filter = open(kind, &hashes);
        assert!(hashes.iter().all(|hash| filter.may_contain(hash)), "a wrong \"no\"");
        let wrong = (0..KEYS)
            .filter(|i| filter.may_contain(hash_key(format!("other-{i}").as_bytes())))
            .count();
        let rate = wrong as f64 / KEYS as f64;
        assert!(rate <= most, "{kind:?}: {:.2} %", rate * 100.0);
    }

    #[test]
    fn blocked_filter_keeps_its_promise() {
        check_rate(FilterKind::Blocked { bits_per_key: 10 }, 0.012);
        check_rate(FilterKind::Blocked { bits_per_key: 16 }, 0.0015);
        check_rate(FilterKind::Blocked { bits_per_key: 1 }, 0.7);
    }

    #[test]
    fn standard_filter_keeps_its_promise() {
        check_rate(FilterKind::Standard { bits_per_key: 10 }, 0.012);
    }

    #[test]
    fn no_filter_says_maybe() {
        assert!(open(FilterKind::None, &Hashes::default()).may_contain(7));
    }

    #[test]
    fn a_hostile_filter_is_refused() {
        for kind in
            [FilterKind::Blocked { bits_per_key: 8 }, FilterKind::Standard { bits_per_key: 8 }]
        {
            let good = Filter::build(kind, &[1, 2, 3].into_iter().collect())
                .expect("this kind has a block");
            for cut in 0..good.len() {
                let block = Bytes::copy_from_slice(&good[..cut]);
                assert!(Filter::parse(kind, Some(&block)).is_err(), "{kind:?} cut to {cut}");
            }
            for at in 0..14.min(good.len()) {
                for to in [0, 0x7f, 0xff] {
                    let mut bad = good.clone();
                    bad[at] = to;
                    if let Ok(filter) = Filter::parse(kind, Some(&bad.into())) {
                        let _answer = filter.may_contain(1);
                    }
                }
            }
            assert!(Filter::parse(FilterKind::None, Some(&good.clone().into())).is_err());
            assert!(Filter::parse(kind, None).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_panic(bytes: Vec<u8>, tag in 1u8..3, hash: u64) {
            let kind = FilterKind::decode([tag, 10]).expect("these exist");
            let block = [&[tag][..], &bytes].concat();
            if let Ok(filter) = Filter::parse(kind, Some(&block.into())) {
                let _answer = filter.may_contain(hash);
            }
        }
    }
}
