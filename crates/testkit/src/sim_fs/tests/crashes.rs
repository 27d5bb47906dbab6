//! Power cuts, deaths of the process, and the machine going off.

use std::collections::BTreeSet;

use alluvium_base::{Clock, SystemClock};

use super::*;
use crate::random::{Choices, SeededRandom};

#[test]
fn what_was_synced_survives_everything() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.write_all_at(&[7; 3_000], 0).expect("no faults");
    file.sync().expect("no faults");
    // The same sector as the last synced byte, and many others.
    file.write_all_at(&[9; 9_000], 3_000).expect("no faults");
    for survival in survivals() {
        let bytes = left(&fs, "/f", survival).expect("its name is durable");
        assert!(bytes.len() >= 3_000 && bytes[..3_000] == [7; 3_000], "{survival:?}");
    }
}

#[test]
fn unsynced_sectors_are_new_old_zeroes_or_garbage_each_for_itself() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), &[1; 512 * 8]);
    let file = fs.open_writable(path("/f")).expect("it is there");
    file.write_all_at(&[2; 512 * 8], 0).expect("no faults");
    let mut seen = [0; 4];
    let mut mixtures = BTreeSet::new();
    for seed in 0..300 {
        let bytes = left(&fs, "/f", Survival::Random(seed)).expect("its name is durable");
        let fates = bytes.chunks(512).map(|sector| {
            let is_all = |byte: u8| sector.iter().all(|&b| b == byte);
            [is_all(2), is_all(1), is_all(0), true].iter().position(|&is| is).unwrap_or(3)
        });
        let fates: Vec<usize> = fates.collect();
        for &fate in &fates {
            seen[fate] += 1;
        }
        mixtures.insert(fates);
    }
    assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
    assert!(mixtures.len() > 100);
}

#[test]
fn length_and_data_persist_apart() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.write_all_at(&[5; 512], 0).expect("no faults");
    // Item 0 is the length, item 1 the sector.
    assert_eq!(fs.unsynced_count(), 2);
    let found = |mask| left(&fs, "/f", Survival::Mask(mask)).expect("its name is durable");
    assert_eq!(found(0b00), vec![]);
    assert_eq!(found(0b01), vec![0; 512], "a length without its data");
    assert_eq!(found(0b10), vec![], "data without its length");
    assert_eq!(found(0b11), vec![5; 512]);
}

#[test]
fn masks_reach_every_combination() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), &[0; 2_048]);
    fs.open_writable(path("/f")).and_then(|f| f.write_all_at(&[1; 2_048], 0)).expect("no faults");
    fs.create(path("/g")).expect("no faults");
    assert_eq!(fs.unsynced_count(), 5);
    let states: BTreeSet<_> = (0..32).map(|mask| fs.crash(Survival::Mask(mask)).files()).collect();
    assert_eq!(states.len(), 32);
}

#[test]
fn a_sector_may_hold_what_it_held_between() {
    let fs = SimFs::new(3);
    let file = file(&fs, "/f");
    file.set_len(512).expect("no faults");
    file.sync().expect("no faults");
    for (offset, byte) in (1..=100).enumerate() {
        file.write_all_at(&[byte], offset as u64).expect("no faults");
    }
    let is_between = |seed: &u64| {
        let bytes = left(&fs, "/f", Survival::Random(*seed)).expect("its name is durable");
        let written = bytes.iter().take_while(|&&byte| byte > 0).count();
        (1..100).contains(&written) && bytes.iter().take(written).copied().eq(1..=written as u8)
    };
    assert!((0..300).any(|seed| is_between(&seed)), "some records are there, the later ones not");
}

#[test]
fn an_allocated_length_is_lost_unless_synced() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.allocate(1 << 20).expect("supported");
    assert_eq!(left(&fs, "/f", Survival::None), Some(vec![]));
    file.sync().expect("no faults");
    assert_eq!(left(&fs, "/f", Survival::None).map(|bytes| bytes.len()), Some(1 << 20));
}

#[test]
fn a_cut_that_was_not_synced_may_be_undone() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), &[1; 1_000]);
    let file = fs.open_writable(path("/f")).expect("it is there");
    file.set_len(10).expect("no faults");
    assert_eq!(left(&fs, "/f", Survival::None), Some(vec![1; 1_000]));
    assert_eq!(left(&fs, "/f", Survival::All), Some(vec![1; 10]));
    file.sync().expect("no faults");
    assert!(survivals().all(|survival| left(&fs, "/f", survival) == Some(vec![1; 10])));
}

#[test]
fn mapped_bytes_survive_a_kill_and_need_a_sync_for_a_crash() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.allocate(4_096).expect("supported");
    file.sync().expect("no faults");
    let mut mapping = file.map(4_096).expect("supported");
    mapping.write(0, b"record");
    let begins = |fs: &SimFs| fs.read(path("/f")).is_some_and(|bytes| bytes.starts_with(b"record"));
    let killed = fs.kill();
    assert!(begins(&killed), "the page cache is the kernel's");
    assert!(!begins(&fs.crash(Survival::None)) && !begins(&killed.crash(Survival::None)));
    file.sync().expect("no faults");
    assert!(survivals().all(|survival| begins(&fs.crash(survival))));
}

#[test]
fn a_killed_process_leaves_no_files_without_names() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    fs.remove(path("/f")).expect("it is there");
    fs.sync_dir(path("/")).expect("no faults");
    assert_eq!(fs.kill().shared.disk.lock().inodes.len(), 0);
    drop(file);
}

#[test]
fn images_are_independent() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), b"one");
    let file = fs.open_writable(path("/f")).expect("it is there");
    let (crashed, killed) = (fs.crash(Survival::All), fs.kill());
    file.write_all_at(b"two", 0).expect("the old disk goes on");
    crashed.open_writable(path("/f")).and_then(|f| f.write_all_at(b"six", 0)).expect("no faults");
    assert_eq!(fs.read(path("/f")).as_deref(), Some(&b"two"[..]));
    assert_eq!(crashed.read(path("/f")).as_deref(), Some(&b"six"[..]));
    assert_eq!(killed.read(path("/f")).as_deref(), Some(&b"one"[..]));
}

#[test]
fn a_machine_that_is_off_does_nothing() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.allocate(4_096).expect("supported");
    let mut mapping = file.map(4_096).expect("supported");
    fs.freeze_after(fs.op_count() + 1);
    file.write_all_at(b"a", 0).expect("one more operation");
    mapping.write(1, b"b");
    assert!(file.write_at(b"c", 2).is_err() && fs.is_frozen());
    mapping.write(3, b"d");
    assert!(file.sync().is_err() && file.len().is_err() && fs.open(path("/f")).is_err());
    assert!(fs.create(path("/g")).is_err() && fs.sync_dir(path("/")).is_err());
    let bytes = fs.read(path("/f")).expect("it is there");
    assert_eq!(&bytes[..4], b"ab\0\0");
    let after = fs.crash(Survival::All);
    assert_eq!(after.read(path("/f")), Some(bytes));
    after.create(path("/g")).expect("the new one is on");
}

#[test]
fn freezing_at_an_operation_that_has_been_takes_effect_at_once() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.allocate(4_096).expect("supported");
    let mut mapping = file.map(4_096).expect("supported");
    fs.freeze_after(0);
    mapping.write(0, b"x");
    assert_eq!(fs.read(path("/f")), Some(vec![0; 4_096]));
    fs.freeze_after(u64::MAX);
    mapping.write(0, b"x");
    assert!(!fs.is_frozen(), "it can be switched on again");
    fs.freeze();
    assert!(file.len().is_err());
}

/// Some work on some files: enough of everything to have many unsynced items.
fn work(fs: &SimFs, seed: u64) -> io::Result<()> {
    let mut random = SeededRandom::new(seed);
    fs.create_dir_all(path("/db"))?;
    for _ in 0..60 {
        let name = PathBuf::from(format!("/db/{}", random.below(5)));
        let other = PathBuf::from(format!("/db/{}", random.below(5)));
        match random.below(10) {
            0 if fs.exists(&name)? => fs.rename(&name, &other)?,
            1 if fs.exists(&name)? => fs.remove(&name)?,
            2 if fs.exists(&name)? && !fs.exists(&other)? => fs.hard_link(&name, &other)?,
            3 => fs.sync_dir(path("/db"))?,
            4 => fs.sync_dir(path("/"))?,
            5 if fs.exists(&name)? => fs.open_writable(&name)?.set_len(random.below(2_000))?,
            6 if fs.exists(&name)? => fs.open(&name)?.sync()?,
            _ => {
                let mut bytes = vec![0; random.below(2_000) as usize];
                random.fill(&mut bytes);
                fs.create(&name)?.write_all_at(&bytes, random.below(2_000))?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_same_seed_and_calls_give_the_same_disks() {
    for seed in 0..20 {
        let disks = [SimFs::new(seed), SimFs::new(seed)];
        for disk in &disks {
            work(disk, seed).expect("no faults");
        }
        assert_eq!(disks[0].stats(), disks[1].stats());
        for survival in survivals().take(20) {
            let [one, other] = disks.each_ref().map(|disk| disk.crash(survival).files());
            assert!(one == other, "seed {seed}, {survival:?}");
        }
        let all = |fs: &SimFs| fs.crash(Survival::All).files();
        assert_eq!(all(&disks[0]), disks[0].files(), "seed {seed}");
        assert_eq!(all(&disks[0]), all(&disks[0].kill()), "seed {seed}");
    }
}

#[test]
fn other_seeds_tear_otherwise() {
    let images: BTreeSet<_> = (0..20)
        .map(|seed| {
            let fs = SimFs::new(seed);
            work(&fs, 7).expect("no faults");
            fs.crash(Survival::Random(1)).files()
        })
        .collect();
    assert!(images.len() > 5, "the seed of the disk counts too: {}", images.len());
}

/// A crash at every operation of the work, each a valid disk that can be worked on and crash again.
#[test]
fn a_disk_can_crash_anywhere_and_again() {
    let whole = SimFs::new(5);
    work(&whole, 5).expect("no faults");
    for op in 0..whole.op_count() {
        let fs = SimFs::new(5);
        fs.freeze_after(op);
        assert!(work(&fs, 5).is_err(), "operation {op}");
        for seed in 0..5 {
            let after = fs.crash(Survival::Random(seed));
            assert_eq!(after.unsynced_count(), 0);
            assert_eq!(after.crash(Survival::None).files(), after.files());
            work(&after, seed).expect("no faults");
            drop(after.crash(Survival::Random(seed)));
        }
    }
}

/// The goal is a thousand images a second, of a database of a few hundred kilobytes.
#[test]
#[ignore = "a measurement, not a check"]
fn speed_of_an_image_of_a_small_database() {
    let fs = SimFs::new(1);
    for number in 0..10 {
        fs.write(path(&format!("/db/{number:06}.table")), &vec![7; 40_000]);
    }
    let log = file(&fs, "/log");
    log.allocate(64 << 20).expect("supported");
    log.sync().expect("no faults");
    log.write_all_at(&vec![1; 50_000], 0).expect("no faults");
    let clock = SystemClock::new();
    let count = 1_000;
    for seed in 0..count {
        drop(fs.crash(Survival::Random(seed)));
    }
    let each = clock.monotonic() / count as u32;
    println!("{each:?} per image");
}
