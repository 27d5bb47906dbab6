//! The manifest on a disk that stops, fails or fills up at every operation in turn.

use std::sync::Arc;

use alluvium_base::{
    Bytes, Error, ErrorKind, FileName, FileNumber, FileNumbers, Fs, KeyspaceId, Result,
};
use alluvium_manifest::{Cause, Manifest, ManifestOptions, State, VersionEdit};

use crate::crash_fs::{ALL_SURVIVALS, CrashFs, Fault, Survives};
use crate::database::{closed, compaction, dir, fill, flush, is_same_tree, numbers, reopen};

/// Opens what a crash left, checks that it is one of `expected`, and that it can be written to.
fn check_image(fs: &CrashFs, survives: Survives, expected: &[&State], when: &str) {
    let image: Arc<dyn Fs> = fs.image(survives);
    let (mut manifest, numbers) = match reopen(&image) {
        Ok(opened) => opened,
        Err(error) => panic!("{when}, {survives:?}: {error}"),
    };
    let is_expected = expected.iter().any(|state| is_same_tree(manifest.state(), state));
    assert!(is_expected, "{when}, {survives:?}: {:?}", manifest.state());
    let highest = expected.iter().map(|state| state.last_seq).max();
    if Some(manifest.state().last_seq) == highest {
        manifest.apply(flush(manifest.state(), &numbers)).unwrap();
        let recovered = Manifest::recover(image, dir()).unwrap();
        assert_eq!(&recovered.state, manifest.state(), "{when}, {survives:?}");
    }
}

/// Does `work` with a strike at every operation in turn, and calls `check` after each. Returns at
/// how many.
fn sweep<T>(
    fault: Fault,
    mut prepare: impl FnMut() -> (Arc<CrashFs>, T),
    mut check: impl FnMut(&Arc<CrashFs>, T, &str) -> bool,
) -> usize {
    for at in 0.. {
        let (fs, prepared) = prepare();
        fs.strike(at, fault);
        let is_done = check(&fs, prepared, &format!("{fault:?} at operation {at}"));
        if is_done && fs.operations() <= at {
            return at;
        }
    }
    unreachable!("there are more operations than numbers")
}

#[test]
fn a_crash_while_creating_leaves_no_database_or_an_empty_one() {
    let steps = sweep(
        Fault::Crash,
        || (Arc::new(CrashFs::default()), ()),
        |fs, (), when| {
            let created =
                Manifest::create(fs.clone(), dir(), numbers(1), 1_000, ManifestOptions::default());
            for survives in ALL_SURVIVALS {
                let image: Arc<dyn Fs> = fs.image(survives);
                if created.is_err() && !image.exists(&FileName::Current.in_dir(dir())).unwrap() {
                    // Never acknowledged: creating it again must not be held up by leftovers.
                    Manifest::create(
                        image.clone(),
                        dir(),
                        numbers(1),
                        1_000,
                        ManifestOptions::default(),
                    )
                    .unwrap();
                }
                let recovered = Manifest::recover(image, dir());
                assert!(recovered.is_ok(), "{when}, {survives:?}: {recovered:?}");
            }
            created.is_ok()
        },
    );
    assert!(steps >= 9, "{steps} operations");
}

/// A database that is closed, with its state.
fn closed_on_crash_fs() -> (Arc<CrashFs>, State) {
    let (fs, state) = closed();
    (Arc::new(CrashFs::holding(&fs, dir())), state)
}

#[test]
fn a_crash_while_starting_changes_nothing() {
    let steps = sweep(Fault::Crash, closed_on_crash_fs, |fs, state, when| {
        let started = reopen(&(fs.clone() as Arc<dyn Fs>));
        for survives in ALL_SURVIVALS {
            check_image(fs, survives, &[&state], when);
        }
        started.is_ok()
    });
    assert!(steps >= 9, "{steps} operations");
}

/// A database that is open, and its numbers.
fn open_on_crash_fs() -> (Arc<CrashFs>, (Manifest, Arc<FileNumbers>)) {
    let (fs, _) = closed_on_crash_fs();
    let opened = reopen(&(fs.clone() as Arc<dyn Fs>)).unwrap();
    (fs, opened)
}

/// Applies a compaction, whose removed tables must not be lost nor come back halfway.
fn compact(manifest: &mut Manifest, numbers: &FileNumbers) -> (State, State, Result<()>) {
    let before = manifest.state().clone();
    let edit = compaction(&before, numbers);
    let after = before.apply(&before.record(edit.clone(), numbers.peek())).unwrap();
    let applied = manifest.apply(edit);
    (before, after, applied)
}

#[test]
fn a_crash_while_applying_loses_nothing_acknowledged() {
    for fault in [Fault::Crash, Fault::FailAfter, Fault::FailBefore, Fault::Full] {
        sweep(fault, open_on_crash_fs, |fs, (mut manifest, numbers), when| {
            let (before, after, applied) = compact(&mut manifest, &numbers);
            let state = if applied.is_ok() { &after } else { &before };
            assert!(is_same_tree(manifest.state(), state), "{when}");
            for survives in ALL_SURVIVALS {
                match applied {
                    Ok(()) => check_image(fs, survives, &[&after], when),
                    Err(_) => check_image(fs, survives, &[&before, &after], when),
                }
            }
            applied.is_ok()
        });
    }
}

/// Traps 1 and 3: behind a record whose fate is unknown nothing is ever written, no table that it
/// names may go, and the next open decides once and for all.
#[test]
fn a_failed_sync_poisons_and_reopening_decides() {
    for fault in [Fault::FailAfter, Fault::FailBefore, Fault::Full] {
        sweep(fault, open_on_crash_fs, |fs, (mut manifest, numbers), when| {
            let (_, _, applied) = compact(&mut manifest, &numbers);
            let Err(first) = applied else { return true };
            assert_eq!(first.kind(), ErrorKind::Io, "{when}: {first}");
            let bytes = manifest.file_bytes();
            let second = manifest.apply(flush(manifest.state(), &numbers)).unwrap_err();
            let Error::Poisoned { cause } = &second else { panic!("{when}: {second}") };
            assert_eq!(cause.to_string(), first.to_string(), "{when}");
            assert_eq!(manifest.rewrite(1).unwrap_err().kind(), ErrorKind::Poisoned);
            assert_eq!(manifest.file_bytes(), bytes, "{when}");
            assert!(!manifest.is_obsolete(FileNumber(1)), "{when}");
            drop(manifest);
            // Reopened without a crash, the record may turn up. Whatever is found then stays so,
            // though a crash follows.
            let fs_dyn: Arc<dyn Fs> = fs.clone();
            let (manifest, _) = reopen(&fs_dyn).unwrap();
            for survives in ALL_SURVIVALS {
                check_image(fs, survives, &[manifest.state()], when);
            }
            false
        });
    }
}

/// Trap 2: the number of a table in a failed edit is not handed out again, found or not.
#[test]
fn a_number_in_a_failed_edit_is_never_used_again() {
    sweep(Fault::FailBefore, open_on_crash_fs, |fs, (mut manifest, numbers), when| {
        let edit = flush(manifest.state(), &numbers);
        let number = edit.changes[0].added[0].1.number;
        // The table itself was durable before the edit that names it.
        fs.strike(usize::MAX, Fault::Crash);
        fs.create(&FileName::Table(number).in_dir(dir())).unwrap();
        fs.sync_dir(dir()).unwrap();
        let at = when.rsplit(' ').next().unwrap().parse().unwrap();
        fs.strike(at, Fault::FailBefore);
        let applied = manifest.apply(edit);
        for survives in ALL_SURVIVALS {
            let image: Arc<dyn Fs> = fs.image(survives);
            let (manifest, numbers) = reopen(&image).unwrap();
            assert!(manifest.number() > number && numbers.peek() > number, "{when}");
        }
        applied.is_ok()
    });
}

#[test]
fn a_crash_while_rewriting_changes_nothing() {
    for fault in [Fault::Crash, Fault::FailAfter, Fault::FailBefore] {
        let steps = sweep(fault, open_on_crash_fs, |fs, (mut manifest, numbers), when| {
            let state = manifest.state().clone();
            let old = manifest.number();
            let rewritten = manifest.rewrite(5_000);
            for survives in ALL_SURVIVALS {
                check_image(fs, survives, &[&state], when);
            }
            if rewritten.is_err() {
                let next = manifest.apply(flush(manifest.state(), &numbers)).unwrap_err();
                assert_eq!(next.kind(), ErrorKind::Poisoned, "{when}");
                assert_eq!(manifest.number(), old);
            } else {
                assert!(manifest.number() > old && manifest.is_obsolete(old));
            }
            rewritten.is_ok()
        });
        assert!(steps >= 9, "{steps} operations");
    }
}

/// A disk too full for a second manifest is no reason to stop using the first.
#[test]
fn a_full_disk_while_rewriting_loses_nothing() {
    let mut survived = 0;
    sweep(Fault::Full, open_on_crash_fs, |fs, (mut manifest, numbers), when| {
        let rewritten = manifest.rewrite(5_000);
        if let Err(error) = &rewritten {
            assert!(error.is_disk_full(), "{when}: {error}");
        }
        let before = manifest.state().clone();
        let edit = flush(&before, &numbers);
        let after = before.apply(&before.record(edit.clone(), numbers.peek())).unwrap();
        let applied = manifest.apply(edit);
        survived += usize::from(rewritten.is_err() && applied.is_ok());
        for survives in ALL_SURVIVALS {
            match applied {
                Ok(()) => check_image(fs, survives, &[&after], when),
                Err(_) => check_image(fs, survives, &[&before, &after], when),
            }
        }
        rewritten.is_ok() && applied.is_ok()
    });
    assert!(survived >= 4, "went on after {survived} full disks");
}

/// An edit is acknowledged if it is durable, even when the rewriting behind it fails.
#[test]
fn an_edit_that_ends_in_a_failed_rewrite_is_still_made() {
    let prepare = || {
        let fs = Arc::new(CrashFs::default());
        let numbers = numbers(1);
        let mut manifest =
            Manifest::create(fs.clone(), dir(), numbers.clone(), 1_000, ManifestOptions::default())
                .unwrap();
        fill(&mut manifest, &numbers, 0);
        (fs, (manifest, numbers))
    };
    for fault in [Fault::Crash, Fault::FailAfter] {
        sweep(fault, prepare, |fs, (mut manifest, _), when| {
            let before = manifest.state().clone();
            let number = manifest.number();
            let mut edit = VersionEdit::new(Cause::Manual, 1_000);
            // Enough for the rewriting to follow at once.
            let options = Bytes::from(vec![3; 5 << 20]);
            edit.options.push((KeyspaceId::DEFAULT, options.clone()));
            let mut after = before.clone();
            after.keyspaces.get_mut(&KeyspaceId::DEFAULT).unwrap().options = options;
            let applied = manifest.apply(edit);
            for survives in [Survives::Nothing, Survives::Everything] {
                match applied {
                    Ok(()) => check_image(fs, survives, &[&after], when),
                    Err(_) => check_image(fs, survives, &[&before, &after], when),
                }
            }
            applied.is_ok() && manifest.number() > number
        });
    }
}
