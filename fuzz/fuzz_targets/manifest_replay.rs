//! A manifest, and a CURRENT, that may hold anything: recovered, told as history, and where they are
//! good, begun anew with the same result.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use alluvium_base::{FileNumber, FileNumbers, Fs, MemFs};
use alluvium_fuzz::input::{Input, Mode};
use alluvium_fuzz::memory::Budget;
use alluvium_fuzz::{log_bytes, samples};
use alluvium_manifest::current::encode_current;
use alluvium_manifest::{Manifest, ManifestOptions, Record};
use alluvium_wal::LogFileWriter;
use libfuzzer_sys::fuzz_target;

const MEMORY: &str = "memory has no way to fail";
const NUMBER: FileNumber = FileNumber(1);
const OPTIONS: ManifestOptions = ManifestOptions { rewrite_min_bytes: 4 << 10 };

/// The windows of a few log files, and each record as what it says.
const BUDGET: Budget = Budget { fixed_bytes: 2 << 20, bytes_per_byte: 256 };

fn write(fs: &MemFs, path: &Path, bytes: &[u8]) {
    fs.create(path).expect(MEMORY).write_all_at(bytes, 0).expect(MEMORY);
}

/// The folder of a database that the input describes.
fn folder(input: &mut Input<'_>) -> MemFs {
    let fs = MemFs::new();
    let (mode, flags) = input.mode();
    let (dir, manifest) = (Path::new("/db"), Path::new("/db/MANIFEST-000001"));
    let current = encode_current(NUMBER);
    let has_own_current = flags & 1 != 0;
    let current = if has_own_current { input.piece() } else { current.as_bytes() };
    write(&fs, &dir.join("CURRENT"), current);
    match mode {
        Mode::Raw => write(&fs, manifest, input.rest()),
        Mode::Resealed => {
            let mut file = input.rest().to_vec();
            log_bytes::reseal(&mut file, NUMBER.0);
            write(&fs, manifest, &file);
        }
        Mode::Assembled => {
            let mut log = LogFileWriter::create(&fs, manifest, NUMBER, 0).expect(MEMORY);
            while !input.is_empty() {
                let payload = input.piece();
                if let Ok(record) = Record::decode(payload) {
                    let again = Record::decode(&record.encode()).expect("just encoded");
                    assert_eq!(again, record);
                }
                log.append(payload).expect(MEMORY);
            }
            log.sync().expect(MEMORY);
        }
    }
    fs
}

fuzz_target!(init: samples::check_formats(), |data: &[u8]| {
    BUDGET.bound(data.len(), || {
        let fs: Arc<dyn Fs> = Arc::new(folder(&mut Input::new(data)));
        let dir = Path::new("/db");
        let Ok(recovered) = Manifest::recover(Arc::clone(&fs), dir) else {
            assert!(Manifest::history(&*fs, dir).is_err());
            return;
        };
        let history = Manifest::history(&*fs, dir).expect("it was just recovered");
        assert_eq!(history.len() as u64, recovered.records);
        let before = recovered.state.clone();
        let next = before.next_file.max(FileNumber(recovered.number.0 + 1));
        // Nobody runs out of these in a lifetime; a manifest that claims so is a forgery.
        if next.0 > u64::MAX / 2 {
            return;
        }
        let numbers = Arc::new(FileNumbers::starting_at(next));
        Manifest::start(Arc::clone(&fs), dir, recovered, numbers, 0, OPTIONS).expect("what was read can be written");
        let after = Manifest::recover(fs, dir).expect("just written").state;
        assert_eq!(after.keyspaces, before.keyspaces);
        assert_eq!((after.next_keyspace, after.last_seq), (before.next_keyspace, before.last_seq));
        assert!(after.next_file > next);
    });
});
