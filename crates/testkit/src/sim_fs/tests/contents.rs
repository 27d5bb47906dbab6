//! Reading, writing, mapping and limits, without crashes.

use proptest::prelude::*;

use super::*;

#[test]
fn bytes_come_back_and_holes_are_zeroes() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.write_all_at(b"end", 10_000).expect("no faults");
    file.write_all_at(b"begin", 0).expect("no faults");
    let mut expected = vec![0; 10_003];
    expected[..5].copy_from_slice(b"begin");
    expected[10_000..].copy_from_slice(b"end");
    assert_eq!(fs.read(path("/f")), Some(expected.clone()));
    let mut beyond = [0; 8];
    assert_eq!(file.read_at(&mut beyond, 10_001).expect("no faults"), 2);
    assert_eq!(file.read_at(&mut beyond, 10_003).expect("no faults"), 0);
    assert_eq!(file.read_at(&mut beyond, u64::MAX).expect("no faults"), 0);
    assert_eq!(fs.files(), [(PathBuf::from("/f"), expected)]);
}

#[test]
fn a_cut_file_grows_back_with_zeroes() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.write_all_at(&[7; 5_000], 0).expect("no faults");
    file.set_len(3).expect("no faults");
    file.set_len(5_000).expect("no faults");
    let bytes = fs.read(path("/f")).expect("it is there");
    assert!(bytes.len() == 5_000 && bytes[..3] == [7; 3] && bytes[3..].iter().all(|&b| b == 0));
}

#[test]
fn a_mapping_is_the_file() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.allocate(8_192).expect("supported");
    let ops = fs.op_count();
    let mut mapping = file.map(8_192).expect("supported");
    mapping.write(4_090, b"across pages");
    assert_eq!(fs.op_count(), ops + 1, "only mapping it was an operation");
    let mut bytes = [0; 12];
    file.read_exact_at(&mut bytes, 4_090).expect("no faults");
    assert_eq!(&bytes, b"across pages");
    assert_eq!((fs.stats().mapped_writes, fs.stats().mapped_bytes), (1, 12));
    file.allocate(100).expect("supported");
    assert_eq!(file.len().expect("no faults"), 8_192, "allocating never shrinks");
    assert!(file.map(8_193).is_err() && file.map(0).is_err());
}

#[test]
#[should_panic(expected = "SIGBUS")]
fn writing_to_a_mapping_of_a_cut_file_is_deadly() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.allocate(4_096).expect("supported");
    let mut mapping = file.map(4_096).expect("supported");
    file.set_len(10).expect("no faults");
    mapping.write(9, b"xx");
}

#[test]
#[should_panic(expected = "reach beyond a mapping")]
fn writing_beyond_a_mapping_panics() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    file.allocate(4_096).expect("supported");
    file.map(100).expect("supported").write(usize::MAX, b"x");
}

#[test]
fn mapping_can_be_switched_off() {
    let fs = SimFs::new(1);
    fs.set_mapping_supported(false);
    let file = file(&fs, "/f");
    let unsupported = io::ErrorKind::Unsupported;
    assert_eq!(file.allocate(1).expect_err("switched off").kind(), unsupported);
    assert_eq!(file.map(1).expect_err("switched off").kind(), unsupported);
    assert_eq!(file.len().expect("no faults"), 0);
    let after = fs.crash(Survival::All).open_writable(path("/f")).expect("it is there");
    assert_eq!(after.allocate(1).expect_err("still").kind(), unsupported);
}

#[test]
fn a_file_opened_for_reading_cannot_be_changed() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), b"x");
    let file = fs.open(path("/f")).expect("it is there");
    let denied = io::ErrorKind::PermissionDenied;
    assert_eq!(file.write_at(b"y", 0).expect_err("read only").kind(), denied);
    assert_eq!(file.set_len(0).expect_err("read only").kind(), denied);
    assert_eq!(file.allocate(9).expect_err("read only").kind(), denied);
    file.sync().expect("a reader may sync");
    assert_eq!(fs.read(path("/f")).as_deref(), Some(&b"x"[..]));
}

#[test]
fn a_full_disk_takes_what_fits_and_room_helps() {
    let fs = SimFs::new(1);
    fs.write(path("/other"), &[0; 60]);
    fs.set_capacity(Some(100));
    let file = file(&fs, "/f");
    let full = |result: io::Result<usize>| {
        assert_eq!(result.expect_err("it is full").kind(), io::ErrorKind::StorageFull);
    };
    assert_eq!(file.write_at(&[1; 50], 0).expect("in part"), 40);
    full(file.write_at(&[1; 10], 40));
    full(file.set_len(41).map(|()| 0));
    full(file.allocate(41).map(|()| 0));
    assert_eq!(file.write_at(&[2; 40], 0).expect("within the file"), 40);
    fs.hard_link(path("/f"), path("/g")).expect("takes no room");
    fs.remove(path("/other")).expect("it is there");
    assert_eq!(file.write_at(&[3; 100], 40).expect("in part"), 60, "two names, one file");
    fs.set_capacity(None);
    assert_eq!(file.write_at(&[3; 100], 100).expect("no limit"), 100);
}

#[test]
fn absurd_offsets_are_refused() {
    let fs = SimFs::new(1);
    let file = file(&fs, "/f");
    assert!(file.write_at(b"x", u64::MAX).is_err());
    assert!(file.write_at(b"x", 1 << 50).is_err());
    assert!(file.allocate(1 << 50).is_err());
    assert_eq!(file.len().expect("no faults"), 0);
}

#[test]
fn tampering_is_durable_and_no_operation() {
    let fs = SimFs::new(1);
    fs.write(path("/db/f"), &[0; 10]);
    fs.flip_bit(path("/db/f"), 9);
    fs.truncate(path("/db/f"), 3);
    fs.write(path("/db/g"), b"g");
    fs.remove_file_durably(path("/db/g"));
    fs.create_dir_durably(path("/x/y"));
    assert_eq!((fs.op_count(), fs.unsynced_count()), (0, 0));
    let after = fs.crash(Survival::None);
    assert_eq!(after.files(), [(PathBuf::from("/db/f"), vec![0, 2, 0])]);
    assert!(after.exists(path("/x/y")).expect("no faults"));
}

#[test]
fn overwriting_from_outside_reaches_open_handles() {
    let fs = SimFs::new(1);
    fs.write(path("/f"), b"one");
    let file = fs.open(path("/f")).expect("it is there");
    fs.write(path("/f"), b"other");
    assert_eq!(file.len().expect("no faults"), 5);
    drop(file);
    assert_eq!(fs.read(path("/f")).as_deref(), Some(&b"other"[..]));
}

/// One call on a file, for comparing with a plain vector of bytes.
#[derive(Clone, Debug)]
enum Call {
    Write(u16, Vec<u8>),
    SetLen(u16),
    Sync,
}

fn any_call() -> impl Strategy<Value = Call> {
    let bytes = proptest::collection::vec(1_u8.., 0..3_000);
    prop_oneof![
        4 => (0..12_000_u16, bytes).prop_map(|(offset, bytes)| Call::Write(offset, bytes)),
        1 => (0..15_000_u16).prop_map(Call::SetLen),
        1 => Just(Call::Sync),
    ]
}

proptest! {
    /// Live is the last state, durable the last synced one, and whatever a crash leaves, every
    /// byte that was synced and not written since is intact.
    #[test]
    fn a_file_is_two_vectors_of_bytes(
        calls in proptest::collection::vec(any_call(), 0..20),
        seed: u64,
    ) {
        let fs = SimFs::new(seed);
        let file = file(&fs, "/f");
        let (mut live, mut durable) = (Vec::new(), Vec::new());
        let mut is_touched = vec![false; 1 << 15];
        for call in calls {
            match call {
                Call::Write(offset, bytes) => {
                    file.write_all_at(&bytes, offset.into())?;
                    let end = usize::from(offset) + bytes.len();
                    is_touched[usize::from(offset)..end].fill(true);
                    if !bytes.is_empty() && live.len() < end {
                        live.resize(end, 0);
                    }
                    live.splice(usize::from(offset).min(live.len())..end.min(live.len()), bytes);
                }
                Call::SetLen(len) => {
                    file.set_len(len.into())?;
                    is_touched[usize::from(len)..].fill(true);
                    live.resize(len.into(), 0);
                }
                Call::Sync => {
                    file.sync()?;
                    durable.clone_from(&live);
                    is_touched.fill(false);
                }
            }
            prop_assert!(fs.read(path("/f")).as_ref() == Some(&live));
            prop_assert!(left(&fs, "/f", Survival::None).as_ref() == Some(&durable));
            prop_assert!(left(&fs, "/f", Survival::All).as_ref() == Some(&live));
            let crashed = left(&fs, "/f", Survival::Random(seed)).expect("its name is durable");
            let common = live.len().min(durable.len()).min(crashed.len());
            for at in 0..common {
                prop_assert!(is_touched[at] || crashed[at] == durable[at]);
            }
            prop_assert!(crashed.len() <= live.len().max(durable.len()));
        }
    }
}
