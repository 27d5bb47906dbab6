//! Faults: which operation they hit, and what they do.

use super::*;

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.map(drop).expect_err("it must fail").kind()
}

#[test]
fn a_fault_hits_the_operation_of_its_number_once() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    fs.set_faults(FaultPlan::nth(fs.op_count() + 1, Fault::Eio));
    file.write_at(b"a", 0).expect("not yet");
    let error = file.write_at(b"b", 1).expect_err("now");
    assert_eq!(error.to_string(), "simulated Eio at operation 3: Write /f");
    file.write_at(b"c", 1).expect("no longer");
    assert_eq!(fs.read(path("/f")).as_deref(), Some(&b"ac"[..]));
    assert_eq!((fs.stats().faults, fs.op_count()), (1, 5));
}

#[test]
fn a_sticky_fault_stays_until_the_plan_is_replaced() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    fs.set_faults(FaultPlan::from_nth(0, Fault::Enospc));
    for _ in 0..3 {
        assert_eq!(kind(file.write_at(b"a", 0)), io::ErrorKind::StorageFull);
        assert_eq!(kind(fs.create(path("/g"))), io::ErrorKind::StorageFull);
        assert_eq!(file.read_at(&mut [0], 0).expect("a full disk can be read"), 0);
    }
    fs.set_faults(FaultPlan::none());
    file.write_at(b"a", 0).expect("there is room again");
}

#[test]
fn plans_can_be_narrowed_and_joined() {
    let fs = SimFs::new(1);
    let (wal, table) = (file(&fs, "/1.wal"), file(&fs, "/2.table"));
    let wal_syncs = FaultPlan::nth(0, Fault::Eio).only_on(&[OpClass::Sync]).only_paths_with("wal");
    let reads = FaultPlan::nth(0, Fault::Eio).only_on(&[OpClass::Read]);
    fs.set_faults(wal_syncs.skip(1).and(reads));
    wal.write_at(b"x", 0).expect("no sync");
    table.sync().expect("no wal");
    wal.sync().expect("the first is skipped");
    wal.sync().expect_err("the second is not");
    wal.sync().expect("and it was once");
    table.read_at(&mut [0], 0).expect_err("the other plan");
    assert_eq!(fs.stats().faults, 2);
}

#[test]
fn an_error_may_come_after_the_effect() {
    let fs = SimFs::new(1);
    fs.write(path("/a"), b"x");
    fs.set_faults(FaultPlan::from_nth(0, Fault::EioButDone));
    fs.rename(path("/a"), path("/b")).expect_err("it says");
    assert_eq!(fs.files(), [(PathBuf::from("/b"), b"x".to_vec())]);
    fs.sync_dir(path("/")).expect_err("it says");
    assert_eq!(left(&fs, "/b", Survival::None).as_deref(), Some(&b"x"[..]));
    fs.open(path("/b")).expect_err("it says");
    fs.lock(path("/LOCK")).expect_err("it says");
    fs.set_faults(FaultPlan::none());
    fs.lock(path("/LOCK")).expect("nobody has the lock");
}

#[test]
fn short_reads_and_writes_make_progress() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    let short = FaultPlan::from_nth(0, Fault::ShortWrite);
    fs.set_faults(short.and(FaultPlan::from_nth(0, Fault::ShortRead)));
    assert_eq!(file.write_at(b"12345", 0).expect("in part"), 3);
    file.write_all_at(b"a longer piece of text", 0).expect("in the end");
    let mut bytes = [0; 22];
    assert_eq!(file.read_at(&mut bytes, 0).expect("in part"), 11);
    file.read_exact_at(&mut bytes, 0).expect("in the end");
    assert_eq!(&bytes, b"a longer piece of text");
    assert_eq!(file.read_at(&mut bytes, 22).expect("the end"), 0);
}

#[test]
fn the_interrupted_get_through_when_they_try_again() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    fs.set_faults(FaultPlan::from_nth(0, Fault::Interrupted));
    assert_eq!(kind(file.write_at(b"x", 0)), io::ErrorKind::Interrupted);
    file.write_at(b"x", 0).expect("the second attempt");
    file.write_all_at(b"y", 0).expect("it tries again");
    file.read_exact_at(&mut [0], 0).expect("it tries again");
    file.sync().expect("does not apply");
}

#[test]
fn a_torn_write_leaves_half_and_says_so() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    fs.set_faults(FaultPlan::nth(0, Fault::TornWrite));
    file.write_at(b"123456", 0).expect_err("torn");
    assert_eq!(fs.read(path("/f")).as_deref(), Some(&b"123"[..]));
}

#[test]
fn a_flipped_read_is_one_bit_off_and_the_disk_is_not() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), &[0; 100]);
    let file = fs.open(path("/f")).expect("it is there");
    fs.set_faults(FaultPlan::nth(0, Fault::FlippedRead));
    let mut bytes = [0; 100];
    file.read_exact_at(&mut bytes, 0).expect("it succeeds");
    assert_eq!(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    file.read_exact_at(&mut bytes, 0).expect("it succeeds");
    assert_eq!(bytes, [0; 100]);
}

/// What Linux does, and why a sync must never be tried again and believed: the first sync fails,
/// the second succeeds, reads show the data, and a power cut loses it.
#[test]
fn after_a_failed_sync_the_next_succeeds_without_the_data() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.write_all_at(&[2; 600], 0).expect("no faults");
    file.sync().expect("no faults");
    file.write_all_at(&[1; 600], 0).expect("no faults");
    fs.set_faults(FaultPlan::nth(0, Fault::SyncFailsOnce));
    file.sync().expect_err("this one reports it");
    file.sync().expect("and this one succeeds");
    assert_eq!(fs.read(path("/f")), Some(vec![1; 600]), "reads still show the bytes");
    assert!(survivals().all(|survival| left(&fs, "/f", survival) == Some(vec![2; 600])));
    // Only writing the bytes again brings them to the disk: one sector of them here.
    file.write_all_at(&[1; 512], 0).expect("no faults");
    file.sync().expect("no faults");
    let bytes = left(&fs, "/f", Survival::None).expect("its name is durable");
    assert!(bytes[..512] == [1; 512] && bytes[512..] == [2; 88]);
}

#[test]
fn a_sector_whose_first_sync_failed_is_lost_until_it_is_cut_off() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.write_all_at(&[1; 600], 0).expect("no faults");
    fs.set_faults(FaultPlan::nth(0, Fault::SyncFailsOnce));
    file.sync().expect_err("this one reports it");
    for _ in 0..2 {
        file.write_all_at(&[1; 600], 0).expect("no faults");
        assert!(survivals().all(|survival| {
            left(&fs, "/f", survival).is_none_or(|bytes| bytes.iter().all(|&byte| byte == 0))
        }));
        file.sync().expect("it believes so");
    }
    assert_eq!(left(&fs, "/f", Survival::None), Some(vec![0; 600]));
    file.set_len(0).expect("no faults");
    file.write_all_at(&[1; 600], 0).expect("no faults");
    file.sync().expect("no faults");
    assert_eq!(left(&fs, "/f", Survival::None), Some(vec![1; 600]));
}

#[test]
fn a_failed_sync_of_a_folder_loses_its_names() {
    let fs = SimFs::new(1);
    fs.create(path("/f")).expect("no faults");
    fs.set_faults(FaultPlan::nth(0, Fault::SyncFailsOnce));
    fs.sync_dir(path("/")).expect_err("this one reports it");
    fs.sync_dir(path("/")).expect("and this one succeeds");
    assert!(fs.read(path("/f")).is_some());
    assert!(survivals().all(|survival| left(&fs, "/f", survival).is_none()));
}

#[test]
fn an_ordinary_sync_error_leaves_everything_unsynced() {
    for fault in [Fault::Eio, Fault::Enospc] {
        let fs = SimFs::new(1);
        let file = file(&fs, "/f");
        file.write_all_at(b"x", 0).expect("no faults");
        fs.set_faults(FaultPlan::nth(0, fault));
        file.sync().expect_err("it fails");
        assert_eq!(fs.unsynced_count(), 2);
        assert_eq!(left(&fs, "/f", Survival::None), Some(vec![]));
    }
}

#[test]
fn a_trace_tells_what_each_operation_was() {
    let fs = SimFs::new(1);
    assert_eq!(fs.trace(), []);
    file(&fs, "/before");
    fs.start_trace();
    let file = fs.open_writable(path("/before")).expect("it is there");
    fs.set_faults(FaultPlan::nth(0, Fault::Eio));
    file.sync().expect_err("it fails");
    let record = |op, class, fault| OpRecord { op, class, path: "/before".into(), fault };
    let expected = [record(2, OpClass::Open, None), record(3, OpClass::Sync, Some(Fault::Eio))];
    assert_eq!(fs.trace(), expected);
}

/// A sweep reaches every call that returns a result.
#[test]
fn every_class_of_operation_can_fail() {
    for class in OpClass::ALL {
        let fs = SimFs::new(1);
        fs.write(path("/f"), b"x");
        let file = fs.open_writable(path("/f")).expect("no faults yet");
        fs.set_faults(FaultPlan::nth(0, Fault::Eio).only_on(&[class]));
        let results = [
            fs.create(path("/g")).map(drop),
            fs.open(path("/f")).map(drop),
            fs.exists(path("/f")).map(drop),
            fs.list(path("/")).map(drop),
            fs.create_dir_all(path("/d")),
            fs.rename(path("/f"), path("/h")),
            fs.hard_link(path("/h"), path("/i")),
            fs.remove(path("/h")),
            fs.sync_dir(path("/")),
            fs.lock(path("/LOCK")).map(drop),
            file.read_at(&mut [0], 0).map(drop),
            file.write_at(b"x", 0).map(drop),
            file.sync(),
            file.len().map(drop),
            file.set_len(1),
            file.allocate(1),
            file.map(1).map(drop),
        ];
        assert_eq!(fs.stats().faults, 1, "{class:?}");
        assert!(results.iter().any(Result::is_err), "{class:?}");
    }
}
