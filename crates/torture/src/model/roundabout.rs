//! Other ways to read, which must answer the same.
//!
//! | asked for | read instead |
//! |---|---|
//! | one key | a scan of that key alone |
//! | many keys | one key at a time |
//! | a scan | the other way round; or cut in two at some key |
//! | first, last, count, a prefix | one scan of everything |

use std::ops::Bound;

use alluvium::Read;
use alluvium_testkit::{Choices, Direction, SeededRandom, key_of};

use super::action::{Answer, Pairs};
use super::point::{Point, owned, to_pairs};

type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A scan as it was asked for.
pub(super) fn straight(point: &Point, range: Range, direction: Direction) -> Pairs {
    let mut scan = point.range(range);
    match direction {
        Direction::Forward => to_pairs(scan),
        Direction::Backward => to_pairs(scan.rev()),
        Direction::Alternating => {
            let mut found = Vec::new();
            while let Some(front) = scan.next() {
                found.push(front);
                found.extend(scan.next_back());
            }
            to_pairs(found.into_iter())
        }
    }
}

/// A scan made some other way.
pub(super) fn scan(
    point: &Point,
    range: Range,
    direction: Direction,
    random: &mut SeededRandom,
) -> Pairs {
    let ascending = if random.chance(1, 2) {
        let mut pairs = straight(point, range, Direction::Backward);
        pairs.reverse();
        pairs
    } else {
        let middle = key_of(random.below(100) as u32);
        let (low, high) = cut(range, &middle);
        let mut pairs = straight(point, low, Direction::Forward);
        pairs.extend(straight(point, high, Direction::Forward));
        pairs
    };
    in_direction(ascending, direction)
}

/// The parts of a range below `middle`, and from it on.
fn cut((start, end): Range, middle: &[u8]) -> (Range, Range) {
    let starts_later = match &start {
        Bound::Unbounded => false,
        Bound::Included(start) | Bound::Excluded(start) => start.as_slice() >= middle,
    };
    let ends_earlier = match &end {
        Bound::Unbounded => false,
        Bound::Included(end) | Bound::Excluded(end) => end.as_slice() < middle,
    };
    let nothing = || (Bound::Excluded(Vec::new()), Bound::Excluded(Vec::new()));
    if starts_later {
        return (nothing(), (start, end));
    }
    if ends_earlier {
        return ((start, end), nothing());
    }
    let low = (start, Bound::Excluded(middle.to_vec()));
    (low, (Bound::Included(middle.to_vec()), end))
}

/// Ascending pairs, in the order in which a scan in that direction yields them.
fn in_direction(mut ascending: Pairs, direction: Direction) -> Pairs {
    match direction {
        Direction::Forward => ascending,
        Direction::Backward => {
            ascending.reverse();
            ascending
        }
        Direction::Alternating => {
            let backs = ascending.split_off(ascending.len().div_ceil(2));
            let mut backs = backs.into_iter().rev();
            let with_back = |front| std::iter::once(front).chain(backs.next());
            ascending.into_iter().flat_map(with_back).collect()
        }
    }
}

/// One key, by a scan of it alone.
pub(super) fn get(point: &Point, key: &[u8]) -> Option<Vec<u8>> {
    let only = (Bound::Included(key.to_vec()), Bound::Included(key.to_vec()));
    let mut found = straight(point, only, Direction::Forward);
    assert!(found.len() <= 1, "one key comes twice: {found:?}");
    found.pop().map(|(_, value)| value)
}

/// Many keys, one at a time.
pub(super) fn get_many(point: &Point, keys: &[Vec<u8>]) -> Answer {
    Answer::Values(keys.iter().map(|key| get(point, key)).collect())
}

/// First, last, count and a prefix, from one scan.
pub(super) fn ends(point: &Point, prefix: &[u8]) -> Answer {
    let all: Pairs = point.iter().map(|entry| owned(entry.expect("a sound disk"))).collect();
    let with_prefix = all.iter().filter(|(key, _)| key.starts_with(prefix)).cloned().collect();
    let count = all.len() as u64;
    Answer::Ends(all.first().cloned(), all.last().cloned(), count, with_prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(keys: &str) -> Pairs {
        keys.bytes().map(|key| (vec![key], Vec::new())).collect()
    }

    #[test]
    fn alternating_takes_one_from_each_end() {
        for (ascending, alternating) in [("", ""), ("a", "a"), ("abcd", "adbc"), ("abcde", "aebdc")]
        {
            assert_eq!(in_direction(pairs(ascending), Direction::Alternating), pairs(alternating));
        }
    }
}
