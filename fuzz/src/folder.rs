//! Whole databases as files, with bytes changed under good checksums, and everything that one can
//! do with such a folder.
//!
//! ```text
//!   a real folder ─► edits ─► checksums made to agree ─► check ─► open ─► read, write, compact, reopen
//!                                                                      └─► repair ─► check, read
//! ```
//!
//! Invariants:
//! - Nothing panics, and memory is bounded, whatever the files say.
//! - What [`check`] finds no damage in can be opened and read; its content survives compaction.
//! - What [`repair`] writes is sound, and it changes nothing of what it is given.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use alluvium::{
    Background, Bytes, Db, Depth, Error, Persist, Read, RepairOptions, Result, check, repair,
};
use alluvium_base::checksum::crc32;
use alluvium_base::fs::read_file;
use alluvium_base::{FileName, Fs, MemFs};

use crate::input::Input;
use crate::{log_bytes, samples, table_bytes};

const DIR: &str = "/db";
const SAVED_DIR: &str = "/saved";
const MEMORY: &str = "memory has no way to fail";

/// Most edits of one input.
const MOST_EDITS: usize = 24;

/// Files by name.
pub type Files = Vec<(String, Vec<u8>)>;

/// What there is to read: a keyspace's name, and its keys and values.
type Content = Vec<(String, Vec<(Bytes, Bytes)>)>;

/// The folders that inputs begin with.
pub fn originals() -> &'static [Files] {
    static ORIGINALS: OnceLock<Vec<Files>> = OnceLock::new();
    ORIGINALS.get_or_init(samples::databases)
}

/// The folder that the input describes: which original, whether checksums are mended, and edits.
pub fn edited(input: &mut Input<'_>) -> Files {
    let originals = originals();
    let flags = input.byte();
    let mut files = originals[usize::from(flags >> 1) % originals.len()].clone();
    for _ in 0..MOST_EDITS {
        if input.is_empty() || files.is_empty() {
            break;
        }
        edit(input, &mut files);
    }
    if flags & 1 == 0 {
        for (name, bytes) in &mut files {
            reseal(name, bytes);
        }
    }
    files
}

/// One change to one file. Offsets count from the front or the back, so that a footer is as near as
/// a header.
fn edit(input: &mut Input<'_>, files: &mut Files) {
    let index = usize::from(input.byte()) % files.len();
    let (action, at) = (input.byte(), usize::from(input.short()));
    let bytes = &mut files[index].1;
    let at = at % (bytes.len() + 1);
    let at = if action & 128 == 0 { at } else { bytes.len() - at };
    match action % 8 {
        0 => overwrite(bytes, at, &[input.byte()]),
        1 => overwrite(bytes, at, &input.word().to_le_bytes()),
        2 => overwrite(bytes, at, &[input.byte(); 8]),
        3 => {
            let piece = input.piece();
            bytes.splice(at..at, piece.iter().copied());
        }
        4 => {
            let end = (at + usize::from(input.byte())).min(bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            // Bytes of the same file again, somewhere else.
            let from = usize::from(input.short()) % (bytes.len() + 1);
            let end = (from + usize::from(input.byte())).min(bytes.len());
            let piece = bytes[from..end].to_vec();
            overwrite(bytes, at, &piece);
        }
        6 => bytes.truncate(at),
        _ => {
            // Another file under this name, or none at all.
            let other = usize::from(input.byte());
            if other == 0 {
                files.remove(index);
            } else {
                files[index].1 = files[other % files.len()].1.clone();
            }
        }
    }
}

/// Writes over what is there, and no further.
fn overwrite(bytes: &mut [u8], at: usize, piece: &[u8]) {
    let place = bytes.iter_mut().skip(at);
    place.zip(piece).for_each(|(byte, new)| *byte = *new);
}

/// Makes the file's checksums agree with the rest of it.
pub fn reseal(name: &str, bytes: &mut Vec<u8>) {
    match FileName::parse(name) {
        Some(FileName::Table(number)) => table_bytes::reseal(bytes, number.0),
        Some(FileName::Wal(number) | FileName::Manifest(number)) => {
            log_bytes::reseal(bytes, number.0);
        }
        Some(FileName::Current) => {
            let end = bytes.iter().position(|&byte| byte == b' ').unwrap_or(bytes.len());
            bytes.truncate(end);
            let crc = crc32(bytes);
            bytes.extend_from_slice(format!(" {crc:08x}\n").as_bytes());
        }
        Some(FileName::Options) => {
            let end = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
            bytes.truncate(end);
            let crc = crc32(bytes);
            bytes.extend_from_slice(format!("crc32 {crc:08x}\n").as_bytes());
        }
        Some(
            FileName::CurrentTemporary
            | FileName::OptionsTemporary
            | FileName::WalTemporary(_)
            | FileName::Lock,
        )
        | None => {}
    }
}

/// The files as a disk.
fn disk(files: &Files) -> Arc<dyn Fs> {
    let fs = MemFs::new();
    for (name, bytes) in files {
        let path = Path::new(DIR).join(name);
        fs.create(&path).and_then(|file| file.write_all_at(bytes, 0)).expect(MEMORY);
    }
    Arc::new(fs)
}

/// All files of a folder.
pub fn files_of(fs: &dyn Fs, dir: &Path) -> Files {
    let mut names = fs.list(dir).expect(MEMORY);
    names.sort_unstable();
    let read = |name: String| {
        let bytes = read_file(fs, &dir.join(&name), 1 << 30).expect(MEMORY);
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

fn open(fs: &Arc<dyn Fs>, dir: &str) -> Result<Db> {
    let builder = Db::builder(dir).fs(Arc::clone(fs)).background(Background::Manual);
    let builder = builder.max_manifest_bytes(8 << 10);
    builder.log_segment_size(4096).max_log_bytes(16 << 10).cache_bytes(64 << 10).open()
}

/// Everything visible, read forwards; backwards must agree, and so must every key by itself.
fn content(db: &Db) -> Result<Content> {
    let mut content = Content::new();
    for name in db.keyspaces()? {
        let Some(keyspace) = db.find_keyspace(&name)? else { continue };
        let forward: Vec<_> = keyspace.iter().collect::<Result<_>>()?;
        let mut backward: Vec<_> = keyspace.iter().rev().collect::<Result<_>>()?;
        backward.reverse();
        if forward != backward {
            return Err(Error::invalid("forwards and backwards differ"));
        }
        for (key, value) in &forward {
            if keyspace.get(key)?.as_ref() != Some(value) {
                return Err(Error::invalid("a key that a scan finds is not there by itself"));
            }
        }
        content.push((name, forward));
    }
    Ok(content)
}

/// Writes, flushes, compacts, closes and opens again; gives back what is there then.
fn go_on(fs: &Arc<dyn Fs>, db: Db) -> Result<Content> {
    db.insert("\0new", "1")?;
    db.remove("\0new")?;
    db.persist(Persist::Sync)?;
    for name in db.keyspaces()? {
        if let Some(keyspace) = db.find_keyspace(&name)? {
            keyspace.flush()?;
            keyspace.compact()?;
        }
    }
    let _is_done = db.step()?;
    db.close()?;
    content(&open(fs, DIR)?)
}

/// What repair saves: a sound database, whatever the files say, which are left as they are.
fn repaired(files: &Files) -> Result<Content> {
    let fs = disk(files);
    let options = RepairOptions { memory_bytes: 64 << 10, ..RepairOptions::default() };
    let saved = repair(Arc::clone(&fs), DIR, SAVED_DIR, options);
    let mut left = files_of(&*fs, Path::new(DIR));
    left.retain(|(name, _)| name != "LOCK");
    let mut given = files.clone();
    given.retain(|(name, _)| name != "LOCK");
    given.sort_unstable();
    assert_eq!(left, given, "repair changed what it was given");
    saved?;
    let report = check(Arc::clone(&fs), SAVED_DIR, Depth::Deep).expect("it can be checked");
    assert!(report.damage.is_empty(), "repair wrote a damaged database: {:?}", report.damage);
    content(&open(&fs, SAVED_DIR)?)
}

/// Does all that one can do with a folder.
pub fn use_everything(files: &Files) {
    let is_sound = match check(disk(files), DIR, Depth::Deep) {
        Ok(report) => report.damage.is_empty(),
        Err(_) => false,
    };
    // What it saves of a sound database may differ: it believes every record of the log, whatever
    // the manifest says was flushed.
    drop(repaired(files));
    let fs = disk(files);
    let before = open(&fs, DIR).and_then(|db| Ok((content(&db)?, db)));
    let after = before.and_then(|(before, db)| Ok((before, go_on(&fs, db)?)));
    if is_sound {
        let (before, after) = after.expect("check found no damage");
        assert_eq!(before, after, "check found no damage, yet compaction changed what is there");
    }
}
