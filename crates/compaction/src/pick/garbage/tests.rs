use super::*;
use crate::testing::{table, version};

fn expiring(entries: u64, expiring: u64, first: u64, last: u64) -> TableMeta {
    TableMeta {
        entry_count: entries,
        expiring_count: expiring,
        earliest_expiry_ms: Some(first),
        latest_expiry_ms: Some(last),
        ..table(1, b"a", b"z")
    }
}

#[test]
fn a_table_is_half_expired_between_its_first_expiry_and_its_last() {
    assert_eq!(half_expired_ms(&expiring(10, 10, 100, 200)), Some(150));
    assert_eq!(half_expired_ms(&expiring(10, 5, 100, 200)), Some(200));
    assert_eq!(half_expired_ms(&expiring(10, 7, 100, 200)), Some(172));
    assert_eq!(half_expired_ms(&expiring(10, 4, 100, 200)), None, "it never is");
    assert_eq!(half_expired_ms(&expiring(1, 1, 100, 100)), Some(100));
    assert_eq!(half_expired_ms(&expiring(9, 9, 0, u64::MAX)), Some((u64::MAX).div_ceil(2)));
    assert_eq!(half_expired_ms(&table(1, b"a", b"z")), None);
}

#[test]
fn the_worker_is_told_when_to_look_again() {
    let version = version(vec![
        (0, TableMeta { created_ms: 5_000, ..expiring(10, 10, 100, 200) }),
        (6, TableMeta { number: alluvium_base::FileNumber(2), ..expiring(10, 10, 700, 800) }),
    ]);
    assert_eq!(next_due_ms(&version, 0), Some(750));
    assert_eq!(next_due_ms(&version, 750), Some(5_000 + L0_PATIENCE_MS));
    assert_eq!(next_due_ms(&version, 5_000 + L0_PATIENCE_MS), None);
    assert_eq!(next_due_ms(&Version::default(), 0), None);
}
