//! Reading records that may hold anything.

use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, KeyspaceId, Seq};

use super::{Malformed, Record, cause_code, cause_tag, change_tag, keyspace_tag, table_tag, tag};
use crate::edit::{Cause, KeyspaceChange, VersionEdit};
use crate::fields::Fields;
use crate::level::Level;
use crate::state::check_name;
use crate::table_meta::TableMeta;

type Result<T> = std::result::Result<T, Malformed>;

impl Record {
    /// The format that a manifest's first record names, however strange the rest of the record is:
    /// `None` when it names none.
    pub fn decode_format_version(payload: &[u8]) -> Option<u32> {
        let first = Fields::new(payload, "record").next()?.ok()?;
        let version = first.number().ok().filter(|_| first.tag == tag::FORMAT_VERSION)?;
        // What exceeds 32 bits is a version that this program does not know, whichever it is.
        Some(u32::try_from(version).unwrap_or(u32::MAX))
    }

    /// Reads what [`Record::encode`] wrote.
    pub fn decode(payload: &[u8]) -> Result<Self> {
        let mut fields = Fields::new(payload, "record");
        let (mut format_version, mut next_file, mut next_keyspace) = (None, None, None);
        let (mut cause, mut at_ms, mut last_seq) = (None, None, None);
        let (mut log, mut log_first) = (None, None);
        let (mut created, mut created_at) = (Vec::new(), Vec::new());
        let (mut dropped, mut options, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(field) = fields.next().transpose()? {
            match field.tag {
                tag::FORMAT_VERSION => {
                    let version = u32::try_from(field.number()?);
                    let version = version.map_err(|_| field.malformed("it has 32 bits"))?;
                    field.once(&mut format_version, version)?;
                }
                tag::AT_MS => field.once(&mut at_ms, field.number()?)?,
                tag::CAUSE => field.once(&mut cause, decode_cause(field.nested("cause"))?)?,
                tag::NEXT_FILE => field.once(&mut next_file, field.file_number()?)?,
                tag::NEXT_KEYSPACE => field.once(&mut next_keyspace, field.keyspace()?)?,
                tag::LAST_SEQ => field.once(&mut last_seq, field.seq()?)?,
                tag::LOG => field.once(&mut log, field.file_number()?)?,
                tag::LOG_FIRST => field.once(&mut log_first, field.file_number()?)?,
                tag::DROPPED => dropped.push(field.keyspace()?),
                tag::CREATED => {
                    let (keyspace, at) = decode_created(field.nested("created keyspace"))?;
                    created.push(keyspace);
                    created_at.push(at);
                }
                tag::OPTIONS => options.push(decode_options(field.nested("new options"))?),
                tag::CHANGE => changes.push(decode_change(field.nested("keyspace change"))?),
                _ => field.unknown()?,
            }
        }
        let cause = fields.required(cause, "the cause")?;
        let at_ms = fields.required(at_ms, "the time")?;
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
        Ok(Self {
            format_version,
            next_file: fields.required(next_file, "the next file number")?,
            next_keyspace: fields.required(next_keyspace, "the next keyspace id")?,
            created_at,
            edit,
        })
    }
}

fn decode_cause(mut fields: Fields<'_>) -> Result<Cause> {
    let (mut code, mut from, mut to, mut score_percent) = (None, None, None, None);
    while let Some(field) = fields.next().transpose()? {
        match field.tag {
            cause_tag::CODE => field.once(&mut code, field.number()?)?,
            cause_tag::FROM => field.once(&mut from, field.level()?)?,
            cause_tag::TO => field.once(&mut to, field.level()?)?,
            cause_tag::SCORE_PERCENT => {
                let score = u32::try_from(field.number()?);
                let score = score.map_err(|_| field.malformed("a score has 32 bits"))?;
                field.once(&mut score_percent, score)?;
            }
            _ => field.unknown()?,
        }
    }
    let cause = match fields.required(code, "its code")? {
        cause_code::CREATE => Cause::Create,
        cause_code::OPEN => Cause::Open,
        cause_code::CREATE_KEYSPACE => Cause::CreateKeyspace,
        cause_code::DROP_KEYSPACE => Cause::DropKeyspace,
        cause_code::FLUSH => Cause::Flush,
        cause_code::COMPACTION => Cause::Compaction {
            from: fields.required(from, "its first level")?,
            to: fields.required(to, "its last level")?,
            score_percent: fields.required(score_percent, "its score")?,
        },
        cause_code::TRIVIAL_MOVE => Cause::TrivialMove {
            from: fields.required(from, "its first level")?,
            to: fields.required(to, "its last level")?,
        },
        cause_code::MANUAL => Cause::Manual,
        cause_code::EXPIRY => Cause::Expiry,
        cause_code::RECOVERY => Cause::Recovery,
        cause_code::SNAPSHOT => Cause::Snapshot,
        _ => return Err(fields.malformed("its code is unknown")),
    };
    Ok(cause)
}

fn decode_created(mut fields: Fields<'_>) -> Result<((KeyspaceId, String, Bytes), Seq)> {
    let (mut id, mut name, mut options, mut created_at) = (None, None, None, None);
    while let Some(field) = fields.next().transpose()? {
        match field.tag {
            keyspace_tag::ID => field.once(&mut id, field.keyspace()?)?,
            keyspace_tag::NAME => {
                let text = std::str::from_utf8(field.bytes);
                let text = text.map_err(|_| field.malformed("a name is UTF-8"))?;
                check_name(text).map_err(|what| field.malformed(&what))?;
                field.once(&mut name, text.to_owned())?;
            }
            keyspace_tag::OPTIONS => {
                field.once(&mut options, Bytes::copy_from_slice(field.bytes))?;
            }
            keyspace_tag::CREATED_AT => field.once(&mut created_at, field.seq()?)?,
            _ => field.unknown()?,
        }
    }
    let id = fields.required(id, "its id")?;
    let name = fields.required(name, "its name")?;
    let options = fields.required(options, "its options")?;
    Ok(((id, name, options), fields.required(created_at, "its beginning")?))
}

fn decode_options(mut fields: Fields<'_>) -> Result<(KeyspaceId, Bytes)> {
    let (mut id, mut options) = (None, None);
    while let Some(field) = fields.next().transpose()? {
        match field.tag {
            keyspace_tag::ID => field.once(&mut id, field.keyspace()?)?,
            keyspace_tag::OPTIONS => {
                field.once(&mut options, Bytes::copy_from_slice(field.bytes))?;
            }
            _ => field.unknown()?,
        }
    }
    Ok((fields.required(id, "the keyspace")?, fields.required(options, "the options")?))
}

fn decode_change(mut fields: Fields<'_>) -> Result<KeyspaceChange> {
    let (mut keyspace, mut flushed) = (None, None);
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    while let Some(field) = fields.next().transpose()? {
        match field.tag {
            change_tag::KEYSPACE => field.once(&mut keyspace, field.keyspace()?)?,
            change_tag::FLUSHED => field.once(&mut flushed, field.seq()?)?,
            change_tag::REMOVED => removed.push(decode_place(field.nested("removed table"))?),
            change_tag::ADDED => added.push(decode_table(field.nested("added table"))?),
            _ => field.unknown()?,
        }
    }
    let keyspace = fields.required(keyspace, "the keyspace")?;
    Ok(KeyspaceChange { keyspace, flushed, removed, added })
}

fn decode_place(mut fields: Fields<'_>) -> Result<(Level, FileNumber)> {
    let (mut level, mut number) = (None, None);
    while let Some(field) = fields.next().transpose()? {
        match field.tag {
            table_tag::LEVEL => field.once(&mut level, field.level()?)?,
            table_tag::NUMBER => field.once(&mut number, field.file_number()?)?,
            _ => field.unknown()?,
        }
    }
    Ok((fields.required(level, "its level")?, fields.required(number, "its number")?))
}

/// The fields of a table that have been met so far.
#[derive(Default)]
struct PartialTable {
    level: Option<Level>,
    number: Option<FileNumber>,
    size_bytes: Option<u64>,
    entry_count: Option<u64>,
    tombstone_count: Option<u64>,
    expiring_count: Option<u64>,
    earliest_expiry_ms: Option<u64>,
    latest_expiry_ms: Option<u64>,
    smallest: Option<Bytes>,
    largest: Option<Bytes>,
    smallest_seq: Option<Seq>,
    largest_seq: Option<Seq>,
    raw_key_bytes: Option<u64>,
    raw_value_bytes: Option<u64>,
    created_ms: Option<u64>,
}

fn decode_table(mut fields: Fields<'_>) -> Result<(Level, Arc<TableMeta>)> {
    let mut table = PartialTable::default();
    while let Some(field) = fields.next().transpose()? {
        let number = || field.number();
        let key = || Bytes::copy_from_slice(field.bytes);
        match field.tag {
            table_tag::LEVEL => field.once(&mut table.level, field.level()?)?,
            table_tag::NUMBER => field.once(&mut table.number, field.file_number()?)?,
            table_tag::SIZE_BYTES => field.once(&mut table.size_bytes, number()?)?,
            table_tag::ENTRY_COUNT => field.once(&mut table.entry_count, number()?)?,
            table_tag::TOMBSTONE_COUNT => field.once(&mut table.tombstone_count, number()?)?,
            table_tag::EXPIRING_COUNT => field.once(&mut table.expiring_count, number()?)?,
            table_tag::EARLIEST_EXPIRY_MS => {
                field.once(&mut table.earliest_expiry_ms, number()?)?;
            }
            table_tag::LATEST_EXPIRY_MS => field.once(&mut table.latest_expiry_ms, number()?)?,
            table_tag::SMALLEST => field.once(&mut table.smallest, key())?,
            table_tag::LARGEST => field.once(&mut table.largest, key())?,
            table_tag::SMALLEST_SEQ => field.once(&mut table.smallest_seq, field.seq()?)?,
            table_tag::LARGEST_SEQ => field.once(&mut table.largest_seq, field.seq()?)?,
            table_tag::RAW_KEY_BYTES => field.once(&mut table.raw_key_bytes, number()?)?,
            table_tag::RAW_VALUE_BYTES => field.once(&mut table.raw_value_bytes, number()?)?,
            table_tag::CREATED_MS => field.once(&mut table.created_ms, number()?)?,
            _ => field.unknown()?,
        }
    }
    finish_table(&fields, table)
}

fn finish_table(fields: &Fields<'_>, table: PartialTable) -> Result<(Level, Arc<TableMeta>)> {
    let meta = TableMeta {
        number: fields.required(table.number, "its number")?,
        size_bytes: fields.required(table.size_bytes, "its size")?,
        entry_count: fields.required(table.entry_count, "its entry count")?,
        tombstone_count: fields.required(table.tombstone_count, "its tombstone count")?,
        expiring_count: fields.required(table.expiring_count, "its expiring count")?,
        earliest_expiry_ms: table.earliest_expiry_ms,
        latest_expiry_ms: table.latest_expiry_ms,
        smallest: fields.required(table.smallest, "its smallest key")?,
        largest: fields.required(table.largest, "its largest key")?,
        smallest_seq: fields.required(table.smallest_seq, "its smallest sequence number")?,
        largest_seq: fields.required(table.largest_seq, "its largest sequence number")?,
        raw_key_bytes: fields.required(table.raw_key_bytes, "the size of its keys")?,
        raw_value_bytes: fields.required(table.raw_value_bytes, "the size of its values")?,
        created_ms: fields.required(table.created_ms, "its age")?,
    };
    meta.check().map_err(|what| fields.malformed(&what))?;
    Ok((fields.required(table.level, "its level")?, Arc::new(meta)))
}
