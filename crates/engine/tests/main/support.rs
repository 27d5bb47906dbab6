//! What several tests need.

use std::path::Path;

use alluvium::{Background, Builder, Compression, Db, KeyspaceOptions, Read, Result};

/// Options so small that a few kilobytes make levels.
pub(crate) fn tiny() -> KeyspaceOptions {
    KeyspaceOptions {
        write_buffer_size: 8 << 10,
        block_size: 256,
        compression: vec![Compression::None, Compression::Lz4],
        l0_trigger: 2,
        level_base_bytes: 32 << 10,
        level_multiplier: 4,
        target_file_size: 8 << 10,
        ..KeyspaceOptions::default()
    }
}

pub(crate) fn tiny_builder(dir: &Path) -> Builder {
    Db::builder(dir).default_keyspace(tiny()).log_segment_size(64 << 10)
}

pub(crate) fn manual_in(dir: &Path) -> Db {
    tiny_builder(dir).background(Background::Manual).open().unwrap()
}

pub(crate) fn pairs(reader: &impl Read) -> Vec<(Vec<u8>, Vec<u8>)> {
    let all: Result<Vec<_>> = reader.iter().collect();
    all.unwrap().into_iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

pub(crate) fn keys(scan: impl Iterator<Item = Result<alluvium::KeyValue>>) -> Vec<String> {
    scan.map(|entry| String::from_utf8(entry.unwrap().0.to_vec()).unwrap()).collect()
}
