//! Bugs that were found, each with its story.

use alluvium::{LogMode, Persist, Read};
use alluvium_testkit::{SimClock, SimFs, Survival};

use crate::workload::builder;

/// A process made the folder and died before it could sync the folder's name. The next one found
/// the folder there, took it for durable, and acknowledged writes with `Sync`; the power cut took
/// them with the folder.
#[test]
fn a_folder_that_is_there_is_not_yet_durable() {
    let (disk, clock) = (SimFs::new(1), SimClock::new(0));
    alluvium::fs::Fs::create_dir_all(&disk, crate::workload::DIR.as_ref()).unwrap();
    let disk = disk.kill();
    let db = builder(&disk, &clock, LogMode::Mapped).open().unwrap();
    let mut batch = db.batch();
    batch.insert(&db.default_keyspace(), "k", "acknowledged");
    batch.commit(Persist::Sync).unwrap();
    let found = disk.crash(Survival::None);
    let reopened = builder(&found, &clock, LogMode::Mapped).open().unwrap();
    assert!(reopened.contains_key("k").unwrap());
}
