//! Writing records.

use alluvium_base::{Bytes, FileNumber, KeyspaceId, Seq};

use super::{Record, cause_code, cause_tag, change_tag, keyspace_tag, table_tag, tag};
use crate::edit::{Cause, KeyspaceChange};
use crate::fields::{put_bytes, put_nested, put_number};
use crate::level::Level;
use crate::table_meta::TableMeta;

impl Record {
    /// The payload that stands for this record. One record has one encoding.
    ///
    /// # Panics
    /// When `created_at` does not go with `edit.created` one for one.
    pub fn encode(&self) -> Vec<u8> {
        let edit = &self.edit;
        assert_eq!(self.created_at.len(), edit.created.len(), "each created keyspace has its time");
        let mut out = Vec::new();
        // First, so that a reader meets it before anything it may not understand.
        if let Some(version) = self.format_version {
            put_number(&mut out, tag::FORMAT_VERSION, u64::from(version));
        }
        put_number(&mut out, tag::AT_MS, edit.at_ms);
        put_nested(&mut out, tag::CAUSE, |out| put_cause(out, edit.cause));
        put_number(&mut out, tag::NEXT_FILE, self.next_file.0);
        put_number(&mut out, tag::NEXT_KEYSPACE, u64::from(self.next_keyspace.0));
        put_optional(&mut out, tag::LAST_SEQ, edit.last_seq.map(Seq::get));
        put_optional(&mut out, tag::LOG, edit.log.map(|number| number.0));
        put_optional(&mut out, tag::LOG_FIRST, edit.log_first.map(|number| number.0));
        for id in &edit.dropped {
            put_number(&mut out, tag::DROPPED, u64::from(id.0));
        }
        for (keyspace, created_at) in edit.created.iter().zip(&self.created_at) {
            put_nested(&mut out, tag::CREATED, |out| put_created(out, keyspace, *created_at));
        }
        for (id, options) in &edit.options {
            put_nested(&mut out, tag::OPTIONS, |out| {
                put_number(out, keyspace_tag::ID, u64::from(id.0));
                put_bytes(out, keyspace_tag::OPTIONS, options);
            });
        }
        for change in &edit.changes {
            put_nested(&mut out, tag::CHANGE, |out| put_change(out, change));
        }
        out
    }
}

fn put_optional(out: &mut Vec<u8>, tag: u64, n: Option<u64>) {
    if let Some(n) = n {
        put_number(out, tag, n);
    }
}

fn put_cause(out: &mut Vec<u8>, cause: Cause) {
    put_number(out, cause_tag::CODE, code(cause));
    match cause {
        Cause::Compaction { from, to, score_percent } => {
            put_levels(out, from, to);
            put_number(out, cause_tag::SCORE_PERCENT, u64::from(score_percent));
        }
        Cause::TrivialMove { from, to } => put_levels(out, from, to),
        Cause::Create
        | Cause::Open
        | Cause::CreateKeyspace
        | Cause::DropKeyspace
        | Cause::Flush
        | Cause::Manual
        | Cause::Expiry
        | Cause::Recovery
        | Cause::Snapshot => {}
    }
}

fn put_levels(out: &mut Vec<u8>, from: Level, to: Level) {
    put_number(out, cause_tag::FROM, u64::from(from.0));
    put_number(out, cause_tag::TO, u64::from(to.0));
}

const fn code(cause: Cause) -> u64 {
    match cause {
        Cause::Create => cause_code::CREATE,
        Cause::Open => cause_code::OPEN,
        Cause::CreateKeyspace => cause_code::CREATE_KEYSPACE,
        Cause::DropKeyspace => cause_code::DROP_KEYSPACE,
        Cause::Flush => cause_code::FLUSH,
        Cause::Compaction { .. } => cause_code::COMPACTION,
        Cause::TrivialMove { .. } => cause_code::TRIVIAL_MOVE,
        Cause::Manual => cause_code::MANUAL,
        Cause::Expiry => cause_code::EXPIRY,
        Cause::Recovery => cause_code::RECOVERY,
        Cause::Snapshot => cause_code::SNAPSHOT,
    }
}

fn put_created(out: &mut Vec<u8>, keyspace: &(KeyspaceId, String, Bytes), created_at: Seq) {
    let (id, name, options) = keyspace;
    put_number(out, keyspace_tag::ID, u64::from(id.0));
    put_bytes(out, keyspace_tag::NAME, name.as_bytes());
    put_bytes(out, keyspace_tag::OPTIONS, options);
    put_number(out, keyspace_tag::CREATED_AT, created_at.get());
}

fn put_change(out: &mut Vec<u8>, change: &KeyspaceChange) {
    put_number(out, change_tag::KEYSPACE, u64::from(change.keyspace.0));
    put_optional(out, change_tag::FLUSHED, change.flushed.map(Seq::get));
    for (level, number) in &change.removed {
        put_nested(out, change_tag::REMOVED, |out| put_place(out, *level, *number));
    }
    for (level, table) in &change.added {
        put_nested(out, change_tag::ADDED, |out| put_table(out, *level, table));
    }
}

fn put_place(out: &mut Vec<u8>, level: Level, number: FileNumber) {
    put_number(out, table_tag::LEVEL, u64::from(level.0));
    put_number(out, table_tag::NUMBER, number.0);
}

fn put_table(out: &mut Vec<u8>, level: Level, table: &TableMeta) {
    put_place(out, level, table.number);
    put_number(out, table_tag::SIZE_BYTES, table.size_bytes);
    put_number(out, table_tag::ENTRY_COUNT, table.entry_count);
    put_number(out, table_tag::TOMBSTONE_COUNT, table.tombstone_count);
    put_number(out, table_tag::EXPIRING_COUNT, table.expiring_count);
    put_optional(out, table_tag::EARLIEST_EXPIRY_MS, table.earliest_expiry_ms);
    put_optional(out, table_tag::LATEST_EXPIRY_MS, table.latest_expiry_ms);
    put_bytes(out, table_tag::SMALLEST, &table.smallest);
    put_bytes(out, table_tag::LARGEST, &table.largest);
    put_number(out, table_tag::SMALLEST_SEQ, table.smallest_seq.get());
    put_number(out, table_tag::LARGEST_SEQ, table.largest_seq.get());
    put_number(out, table_tag::RAW_KEY_BYTES, table.raw_key_bytes);
    put_number(out, table_tag::RAW_VALUE_BYTES, table.raw_value_bytes);
    put_number(out, table_tag::CREATED_MS, table.created_ms);
}
