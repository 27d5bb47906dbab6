//! Promise 7: files of another version are refused by name, and nothing is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alluvium::{Depth, Error, LogMode, Persist, check};
use alluvium_base::checksum::crc32;
use alluvium_testkit::{SimClock, SimFs};

use alluvium_torture::option_sets::OptionSet;
use alluvium_torture::workload::DIR;

/// A version that no release has.
const OTHER: u32 = 99;

/// Writes another version into a file and mends the checksum over it, as that release would.
type Patch = fn(&[u8]) -> Vec<u8>;

/// The header of a log file: version at 8, checksum over the first 60 bytes at 60.
fn patch_log_file(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[8..12].copy_from_slice(&OTHER.to_le_bytes());
    let crc = crc32(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The footer of a table, its last 96 bytes: version at 80, checksum over what is before it at 84.
fn patch_table(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let footer_at = bytes.len() - 96;
    let footer = &mut bytes[footer_at..];
    footer[80..84].copy_from_slice(&OTHER.to_le_bytes());
    let crc = crc32(&footer[..84]);
    footer[84..88].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// One line of JSON, and its checksum.
fn patch_options(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let line = text.lines().next().unwrap();
    let other = line.replace("\"format_version\":1,", &format!("\"format_version\":{OTHER},"));
    assert_ne!(other, line);
    let line = format!("{other}\n");
    format!("{line}crc32 {:08x}\n", crc32(line.as_bytes())).into_bytes()
}

/// All files but the lock's, which holds nothing.
fn files(disk: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = disk.files();
    files.retain(|(path, _)| !path.ends_with("LOCK"));
    files.sort();
    files
}

#[test]
fn files_of_another_version_are_refused_and_left_as_they_are() {
    let (disk, clock) = (SimFs::new(1), SimClock::new(0));
    let set = OptionSet::tiny(LogMode::Buffered);
    let db = set.builder(&disk, &clock).open().unwrap();
    for n in 0..60 {
        db.insert(format!("k{n:02}"), [7; 100]).unwrap();
    }
    db.persist(Persist::Sync).unwrap();
    db.close().unwrap();

    let kinds: [(&str, Patch); 4] = [
        ("MANIFEST", patch_log_file),
        (".wal", patch_log_file),
        (".table", patch_table),
        ("OPTIONS", patch_options),
    ];
    let mut refused = 0;
    for (path, bytes) in files(&disk) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some((_, patch)) = kinds.iter().find(|(kind, _)| name.contains(kind)) else {
            assert_eq!(name, "CURRENT");
            continue;
        };
        let disk = disk.kill();
        disk.write(&path, &patch(&bytes));
        let before = files(&disk);
        let error = set.builder(&disk, &clock).open().unwrap_err();
        assert!(is_refusal(&error, &path), "{name}: {error}");
        let text = error.to_string();
        assert!(text.contains(&name) && text.contains("99") && text.contains("use the"), "{text}");
        assert!(files(&disk) == before, "{name}: the refusal has changed files");
        let report = check(Arc::new(disk.clone()), DIR, Depth::Deep).unwrap();
        assert!(report.damage.iter().any(|damage| is_refusal(damage, &path)), "{report:?}");
        refused += 1;
    }
    assert!(refused > 5, "only {refused} files");
}

fn is_refusal(error: &Error, path: &Path) -> bool {
    matches!(error, Error::Version { file, found: OTHER, supported }
        if file == path && supported.contains('1'))
}
