use std::collections::BTreeSet;

use super::*;

#[test]
fn keys_are_distinct_and_begin_with_the_empty_one() {
    let keys: BTreeSet<_> = (0..500).map(key_of).collect();
    assert_eq!(keys.len(), 500);
    assert_eq!(key_of(0), b"");
    assert_eq!((key_of(1), key_of(4), key_of(5)), (vec![b'a'], vec![0xff], b"aa".to_vec()));
}

#[test]
fn every_kind_of_operation_comes_and_a_weight_of_zero_means_never() {
    let kind = |op: &Op| std::mem::discriminant(op);
    let options = GeneratorOptions::default();
    let all: BTreeSet<_> = OpGenerator::new(1, options.clone())
        .take(5_000)
        .map(|op| format!("{:?}", kind(&op)))
        .collect();
    assert_eq!(all.len(), 17);
    let weights = Weights { crash: 0, scan: 0, ..Weights::default() };
    for op in OpGenerator::new(1, GeneratorOptions { weights, ..options }).take(5_000) {
        assert!(!matches!(op, Op::Crash { .. } | Op::Scan { .. }));
    }
}

#[test]
fn operations_stay_within_their_options() {
    let options = GeneratorOptions { keyspace_count: 2, ..GeneratorOptions::default() };
    for op in OpGenerator::new(9, options).take(5_000) {
        let Some((writes, _)) = op.writes() else { continue };
        for write in writes {
            assert!(write.keyspace() < 2 && write.key().len() <= 4);
            if let Write::Put { value, .. } = write {
                assert!(value.len() <= 600);
            }
        }
    }
}

#[test]
fn options_of_zeroes_still_generate() {
    let options = GeneratorOptions {
        key_count: 0,
        max_value_bytes: 0,
        max_batch_len: 0,
        keyspace_count: 0,
        snapshot_count: 0,
        max_ttl_ms: 0,
        weights: Weights::default(),
    };
    assert_eq!(OpGenerator::new(3, options).take(1_000).count(), 1_000);
}

proptest! {
    #[test]
    fn any_bytes_are_operations(bytes: Vec<u8>) {
        let ops = Op::decode_from_bytes(&bytes, &GeneratorOptions::default());
        prop_assert!(ops.len() <= bytes.len());
        prop_assert_eq!(ops.is_empty(), bytes.is_empty());
    }

    #[test]
    fn the_strategy_yields_no_more_than_asked(ops in any_ops(GeneratorOptions::default(), 20)) {
        prop_assert!(ops.len() <= 20);
    }
}
