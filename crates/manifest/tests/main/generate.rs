//! Records that make no sense, but can be written down.

use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, KeyspaceId, Seq};
use alluvium_manifest::{Cause, KeyspaceChange, Level, Record, TableMeta, VersionEdit};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![0..100u64, 0..=Seq::MAX.get()].prop_map(Seq::new)
}

fn number() -> impl Strategy<Value = FileNumber> {
    prop_oneof![0..100u64, any::<u64>()].prop_map(FileNumber)
}

fn level() -> impl Strategy<Value = Level> {
    (0..7u8).prop_map(Level)
}

fn keyspace() -> impl Strategy<Value = KeyspaceId> {
    prop_oneof![0..4u32, any::<u32>()].prop_map(KeyspaceId)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Create),
        Just(Cause::Open),
        Just(Cause::CreateKeyspace),
        Just(Cause::DropKeyspace),
        Just(Cause::Flush),
        (level(), level(), any::<u32>()).prop_map(|(from, to, score_percent)| Cause::Compaction {
            from,
            to,
            score_percent
        }),
        (level(), level()).prop_map(|(from, to)| Cause::TrivialMove { from, to }),
        Just(Cause::Manual),
        Just(Cause::Expiry),
        Just(Cause::Recovery),
        Just(Cause::Snapshot),
    ]
}

fn table() -> impl Strategy<Value = Arc<TableMeta>> {
    let counts = (0..1u64 << 40, 0..1000u64, 0..1000u64, 0..1000u64);
    let raw = (any::<u64>(), any::<u64>(), any::<u64>());
    let expiry = option::of((any::<u64>(), any::<u64>()));
    (number(), counts, raw, expiry, (bytes(), bytes()), (seq(), seq())).prop_map(
        |(number, counts, raw, expiry, keys, seqs)| {
            let (size_bytes, tombstone_count, expiring_count, puts) = counts;
            Arc::new(TableMeta {
                number,
                size_bytes,
                entry_count: tombstone_count.max(expiring_count) + puts,
                tombstone_count,
                expiring_count,
                earliest_expiry_ms: expiry.map(|(a, b)| a.min(b)),
                latest_expiry_ms: expiry.map(|(a, b)| a.max(b)),
                smallest: keys.0.clone().min(keys.1.clone()),
                largest: keys.0.max(keys.1),
                smallest_seq: seqs.0.min(seqs.1),
                largest_seq: seqs.0.max(seqs.1),
                raw_key_bytes: raw.0,
                raw_value_bytes: raw.1,
                created_ms: raw.2,
            })
        },
    )
}

fn change() -> impl Strategy<Value = KeyspaceChange> {
    let removed = vec((level(), number()), 0..4);
    (keyspace(), option::of(seq()), removed, vec((level(), table()), 0..4)).prop_map(
        |(keyspace, flushed, removed, added)| KeyspaceChange { keyspace, flushed, removed, added },
    )
}

/// Any record that the format can hold.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    let created = vec(((keyspace(), "\\PC{1,60}", bytes()), seq()), 0..3);
    let lists = (created, vec(keyspace(), 0..3), vec((keyspace(), bytes()), 0..3));
    let head = (option::of(any::<u32>()), number(), keyspace(), cause(), any::<u64>());
    (
        head,
        lists,
        vec(change(), 0..3),
        (option::of(seq()), option::of(number()), option::of(number())),
    )
        .prop_map(
            |(
                (format_version, next_file, next_keyspace, cause, at_ms),
                lists,
                changes,
                (last_seq, log, log_first),
            )| {
                let (created, created_at) = lists.0.into_iter().unzip();
                let (dropped, options) = (lists.1, lists.2);
                let edit = VersionEdit {
                    cause,
                    at_ms,
                    created,
                    dropped,
                    options,
                    changes,
                    last_seq,
                    log,
                    log_first,
                };
                Record { format_version, next_file, next_keyspace, created_at, edit }
            },
        )
}
