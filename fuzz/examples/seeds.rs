//! Writes `fuzz/seeds`: one folder a target, made from real files.

use std::fs;
use std::path::Path;

use alluvium_base::{FileName, KeyspaceId, WriteBatch};
use alluvium_fuzz::input::put_piece;
use alluvium_fuzz::{folder, samples, table_bytes};
use alluvium_table::Compression;
use alluvium_table::fuzzing::build_filter;
use alluvium_testkit::SeededRandom;

const FOOTER_BYTES: usize = 96;
const RAW: u8 = 0;
const RESEALED: u8 = 1;
const ASSEMBLED: u8 = 2;

/// In logs that are written and then damaged: they are mapped, and it is a power cut.
const MAPPED: u8 = 8;
const TORN: u8 = 16;

/// Longer seeds make every input slow.
const LONGEST: usize = 12 << 10;

fn main() -> std::io::Result<()> {
    samples::check_formats();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let dir = root.join(target);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(name), bytes)
    };
    for (filter, name) in samples::FILTERS.into_iter().zip(["plain", "blocked", "standard"]) {
        for (compression, packed) in [(Compression::None, ""), (Compression::Lz4, "-lz4")] {
            let table = samples::table(filter, compression);
            let (body, footer) = table.split_at(table.len() - FOOTER_BYTES);
            let name = format!("{name}{packed}");
            write("table_read", &format!("{name}-raw"), &[&[RAW], &table[..]].concat())?;
            write("table_read", &format!("{name}-sealed"), &[&[RESEALED], &table[..]].concat())?;
            let parts = table_bytes::take_apart(&table);
            write("table_read", &format!("{name}-parts"), &[&[ASSEMBLED], &parts[..]].concat())?;
            write("footer_open", &name, &[&[RESEALED], footer, body].concat())?;
        }
        let hashes: Vec<u64> = (1..20u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        if let Some(block) = build_filter(filter, &hashes) {
            let kind = (block[0] - 1) << 2;
            write("filter_decode", &format!("{name}-block"), &[&[kind, 9], &block[..]].concat())?;
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
            let built = [&[kind | ASSEMBLED, 9], &bytes[..]].concat();
            write("filter_decode", &format!("{name}-hashes"), &built)?;
        }
    }
    for (at, block) in blocks().iter().enumerate() {
        write("block_decode", &format!("block-{at}"), block)?;
    }
    for (name, bytes) in batches() {
        write("batch_decode", name, &bytes)?;
    }
    logs(&write)?;
    for seed in 0..24 {
        let mut bytes = vec![0; 40 << (seed % 5)];
        SeededRandom::new(seed).fill(&mut bytes);
        // Every fault has its seeds, and so has none at all.
        bytes[2] = if seed < 16 { seed as u8 } else { seed as u8 - 16 + 32 };
        bytes[4] = 0;
        write("db_ops", &format!("random-{seed:02}"), &bytes)?;
        write("table_roundtrip", &format!("random-{seed:02}"), &bytes[..bytes.len().min(160)])?;
    }
    real_folders(&write)
}

/// The files of whole databases, each for the target that reads its kind; and for the target that
/// opens folders, one edit of each kind to each file.
fn real_folders(write: WriteSeed<'_>) -> std::io::Result<()> {
    for (kind, files) in folder::originals().iter().enumerate() {
        let sealed = (kind as u8) << 1;
        write("db_open", &format!("untouched-{kind}"), &[sealed])?;
        let mut tables = 0;
        for (index, (name, bytes)) in files.iter().enumerate() {
            let (target, seed) = match FileName::parse(name) {
                // A few tell as much as all.
                Some(FileName::Table(_)) if tables == 2 => continue,
                Some(FileName::Table(_)) => {
                    tables += 1;
                    let parts = table_bytes::take_apart(bytes);
                    ("table_read", [&[ASSEMBLED], &parts[..]].concat())
                }
                Some(FileName::Wal(_)) => ("wal_replay", [&[RESEALED], &bytes[..]].concat()),
                Some(FileName::Manifest(_)) => {
                    ("manifest_replay", [&[RESEALED], &bytes[..]].concat())
                }
                Some(_) | None => ("", Vec::new()),
            };
            if !target.is_empty() && seed.len() <= LONGEST {
                write(target, &format!("real-{kind}-{name}"), &seed)?;
            }
            let at = (bytes.len() as u16 / 2).to_le_bytes();
            let edit = [sealed, index as u8, index as u8 % 7, at[0], at[1], 5, 0, 1, 2, 3];
            write("db_open", &format!("edit-{kind}-{name}"), &edit)?;
        }
    }
    Ok(())
}

/// The data blocks of a table that is not compressed.
fn blocks() -> Vec<Vec<u8>> {
    let table = samples::table(samples::FILTERS[0], Compression::None);
    let parts = table_bytes::take_apart(&table);
    let mut input = alluvium_fuzz::input::Input::new(&parts);
    let (_properties, _filter) = (input.piece(), input.piece());
    let mut blocks = Vec::new();
    while !input.is_empty() {
        let (_separator, _trailer) = (input.piece(), input.bytes(5));
        blocks.push(input.piece().to_vec());
    }
    blocks
}

fn batches() -> Vec<(&'static str, Vec<u8>)> {
    const GOOD: &str = "within the limits";
    let mut mixed = WriteBatch::new();
    mixed.put(KeyspaceId(0), b"river", b"rhine").expect(GOOD);
    mixed.delete(KeyspaceId(300), b"lake").expect(GOOD);
    mixed.put_expiring(KeyspaceId(2), b"", b"soon", 77).expect(GOOD);
    let mut long = WriteBatch::new();
    for n in 0..20 {
        long.put(KeyspaceId(n), &[n as u8; 12], &[7; 200]).expect(GOOD);
    }
    let bytes = |batch: WriteBatch| batch.into_bytes().to_vec();
    vec![("empty", bytes(WriteBatch::new())), ("mixed", bytes(mixed)), ("long", bytes(long))]
}

/// Writes a seed, given its target and name.
type WriteSeed<'a> = &'a dyn Fn(&str, &str, &[u8]) -> std::io::Result<()>;

/// Segments and a manifest: as they are, resealed, and taken apart.
fn logs(write: WriteSeed<'_>) -> std::io::Result<()> {
    let segments = samples::log_segments();
    let count = segments.len().min(4);
    for (mode, name) in [(RAW, "raw"), (RESEALED, "sealed")] {
        let mut bytes = vec![mode | ((count - 1) as u8) << 2];
        for segment in &segments[..count - 1] {
            put_piece(&mut bytes, segment);
        }
        bytes.extend_from_slice(&segments[count - 1]);
        write("wal_replay", &format!("segments-{name}"), &bytes)?;
        write("wal_replay", &format!("one-{name}"), &[&[mode], &segments[0][..]].concat())?;
    }
    for (flags, name) in [(0, "damaged"), (MAPPED, "damaged-mapped"), (TORN, "torn")] {
        for changes in 0..4u8 {
            let mapped_too = if flags == TORN && changes > 1 { MAPPED } else { 0 };
            let mut bytes = vec![ASSEMBLED | (changes | flags | mapped_too) << 2, 30];
            bytes.extend((0..30).map(|n| n * 8 + n % 4));
            bytes.extend((0..changes).flat_map(|n| [n, 100 + 30 * n, n, 4]));
            write("wal_replay", &format!("{name}-{changes}"), &bytes)?;
        }
    }
    let manifest = samples::manifest();
    write("manifest_replay", "raw", &[&[RAW], &manifest[..]].concat())?;
    write("manifest_replay", "sealed", &[&[RESEALED], &manifest[..]].concat())?;
    let mut with_current = vec![RAW | 1 << 2];
    put_piece(
        &mut with_current,
        alluvium_manifest::current::encode_current(alluvium_base::FileNumber(1)).as_bytes(),
    );
    with_current.extend_from_slice(&manifest);
    write("manifest_replay", "current", &with_current)?;
    write("manifest_replay", "records", &[&[ASSEMBLED], &records(&manifest)[..]].concat())
}

/// The payloads of the records of a good manifest, as pieces.
fn records(manifest: &[u8]) -> Vec<u8> {
    use alluvium_base::{FileNumber, Fs, MemFs};
    const GOOD: &str = "the manifest is a good one";
    let (fs, path) = (MemFs::new(), Path::new("MANIFEST-000001"));
    fs.create(path).and_then(|file| file.write_all_at(manifest, 0)).expect(GOOD);
    let mut pieces = Vec::new();
    alluvium_wal::replay_file(&fs, path, FileNumber(1), &mut |payload, _| {
        put_piece(&mut pieces, payload);
        Ok(())
    })
    .expect(GOOD);
    pieces
}
