//! Crash enumeration: the power cut at every single operation of the disk.
//!
//! The workload runs from its beginning up to operation *n* of the disk, for each *n*. There the
//! machine goes off, and the disk is looked at as many a power cut could have left it. Each of these
//! images is opened. What is found must be a state that the database was in, batches whole across
//! keyspaces, with everything that was acknowledged as durable; then it must take new writes and
//! keep them through the next crash, and what was dropped must not come back.
//!
//! To replay one image, set what the failure prints:
//! `ALLUVIUM_CRASH_LOG=mapped ALLUVIUM_CRASH_AT=123 ALLUVIUM_CRASH_MASK=random:7`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alluvium::{Clock, Db, LogMode, Persist};
use alluvium_base::SystemClock;
use alluvium_testkit::{SimClock, SimFs, Survival};

use crate::history::{Content, History, read_all, read_every_way};
use crate::workload::{DIR, Run, Step, builder, script};

/// What the workload's disk is made from; survival seeds are drawn per image.
const DISK_SEED: u64 = 20_261_121;

/// How often the workload goes round.
const ROUNDS: usize = 1;

/// Images of one crash point, besides [`Survival::All`] and [`Survival::None`].
const RANDOM_IMAGES: u64 = 5;

/// Which crash is looked at.
#[derive(Clone, Copy, Debug)]
struct CrashPoint {
    mode: LogMode,
    at: u64,
    survival: Survival,
    /// A second crash, at this operation of the recovery from the first.
    then: Option<(u64, Survival)>,
}

impl CrashPoint {
    /// The command that replays it.
    fn replay(&self) -> String {
        let name = |survival: Survival| match survival {
            Survival::All => "all".to_owned(),
            Survival::None => "none".to_owned(),
            Survival::Mask(mask) => format!("mask:{mask}"),
            Survival::Random(seed) => format!("random:{seed}"),
        };
        let mode = format!("{:?}", self.mode).to_lowercase();
        let mut command = format!(
            "ALLUVIUM_CRASH_LOG={mode} ALLUVIUM_CRASH_AT={} ALLUVIUM_CRASH_MASK={}",
            self.at,
            name(self.survival)
        );
        if let Some((at, survival)) = self.then {
            let mask = name(survival);
            command = format!("{command} ALLUVIUM_CRASH_THEN={at} ALLUVIUM_CRASH_THEN_MASK={mask}");
        }
        command + " cargo test -p alluvium --test trust crash::replay_one -- --ignored --nocapture"
    }
}

fn survival_of(text: &str) -> Survival {
    let number = |text: &str| text.parse().expect("a number follows the colon");
    match text.split_once(':') {
        None if text == "all" => Survival::All,
        None if text == "none" => Survival::None,
        Some(("mask", mask)) => Survival::Mask(number(mask)),
        Some(("random", seed)) => Survival::Random(number(seed)),
        None | Some(_) => panic!("all, none, mask:N or random:N, not {text}"),
    }
}

/// The survivals that crash point `at` is tried with: everything, nothing, every other item, one
/// item alone, one item missing, and chance.
fn survivals(at: u64) -> Vec<Survival> {
    let one = 1 << (at % 11);
    let mut all = vec![
        Survival::All,
        Survival::None,
        Survival::Mask(if at.is_multiple_of(2) {
            0xaaaa_aaaa_aaaa_aaaa
        } else {
            0x5555_5555_5555_5555
        }),
        Survival::Mask(one),
        Survival::Mask(!one),
    ];
    all.extend((0..RANDOM_IMAGES).map(|n| Survival::Random(at * RANDOM_IMAGES + n)));
    all
}

/// The workload, run until the machine goes off at operation `at`.
fn run_until(at: u64, mode: LogMode, script: &[Step]) -> (Run, bool) {
    let disk = SimFs::new(DISK_SEED);
    disk.set_mapping_supported(mode == LogMode::Mapped);
    disk.freeze_after(at);
    let mut run = Run::new(disk, mode);
    let is_done = run.go(script).is_ok();
    (run, is_done)
}

/// Opens an image and looks at what is there; then writes, crashes and looks again.
fn check_image(
    image: &SimFs,
    clock: &SimClock,
    mode: LogMode,
    history: &History,
    from: usize,
) -> Result<(), String> {
    let open = |disk: &SimFs| {
        builder(disk, clock, mode).open().map_err(|error| format!("it does not open: {error}"))
    };
    let read = |db: &Db| read_all(db).map_err(|error| format!("it cannot be read: {error}"));
    let db = open(image)?;
    let found = read(&db)?;
    history.find(&found, from, clock.now())?;

    let expected =
        write_more(&db, found).map_err(|error| format!("it cannot be written: {error}"))?;
    // The machine crashes while the database is open: no orderly end helps.
    let again = image.crash(Survival::None);
    drop(db);
    let found = read(&open(&again)?)?;
    if found != expected {
        let differences = crate::history::differences(&expected, &found);
        return Err(format!("after more writes and a second crash: {}", differences.join("; ")));
    }
    Ok(())
}

/// A batch across keyspaces and a single write, durable; answers what must be there then.
fn write_more(db: &Db, mut content: Content) -> alluvium::Result<Content> {
    db.insert("after", "the crash")?;
    let mut batch = db.batch();
    for (name, tree) in &mut content {
        let keyspace = db.find_keyspace(name)?.expect("it was just read");
        batch.insert(&keyspace, "k00", "after the crash");
        tree.insert(b"k00".to_vec(), b"after the crash".to_vec());
    }
    batch.commit(Persist::Sync)?;
    let default = content.get_mut("default").expect("it is always there");
    default.insert(b"after".to_vec(), b"the crash".to_vec());
    Ok(content)
}

/// Checkpoints that were acknowledged must open and hold their state, whatever became of the rest.
fn check_checkpoints(run: &Run, image: &SimFs) -> Result<(), String> {
    for (dir, state) in &run.checkpoints {
        let copy = Db::builder(dir)
            .fs(Arc::new(image.clone()))
            .clock(Arc::new(run.clock.clone()))
            .background(alluvium::Background::Manual)
            .create_if_missing(false)
            .log_segment_size(4096)
            .open()
            .map_err(|error| format!("the checkpoint does not open: {error}"))?;
        let found = read_all(&copy).map_err(|error| format!("the checkpoint: {error}"))?;
        if found != state.content(run.clock.now()) {
            return Err("the checkpoint does not hold what it was made of".to_owned());
        }
    }
    Ok(())
}

fn fail(point: &CrashPoint, what: &str) -> ! {
    panic!("{what}\n  replay: {}", point.replay())
}

/// Every crash point of the workload; answers how many images were looked at.
fn enumerate(mode: LogMode, rounds: usize) -> u64 {
    let script = script(rounds);
    let images = AtomicU64::new(0);
    for at in 0.. {
        let (run, is_done) = run_until(at, mode, &script);
        let unsynced = run.disk.unsynced_count();
        for (n, survival) in survivals(at).into_iter().enumerate() {
            if n > 0 && unsynced == 0 {
                break; // There is nothing to decide about.
            }
            let point = CrashPoint { mode, at, survival, then: None };
            let image = run.disk.crash(survival);
            let checked = check_checkpoints(&run, &image).and_then(|()| {
                check_image(&image, &run.clock, mode, &run.history, run.history.durable)
            });
            checked.unwrap_or_else(|what| fail(&point, &what));
            images.fetch_add(1, Ordering::Relaxed);
        }
        // The process dies: everything acknowledged is there.
        let killed = run.disk.kill();
        let checked =
            check_image(&killed, &run.clock, mode, &run.history, run.history.acknowledged);
        let point = CrashPoint { mode, at, survival: Survival::All, then: None };
        checked.unwrap_or_else(|what| fail(&point, &format!("killed: {what}")));
        images.fetch_add(1, Ordering::Relaxed);
        if is_done {
            break;
        }
    }
    images.into_inner()
}

/// Crashes inside the recovery from crashes: every operation of it, for some of the first crashes.
fn enumerate_recovery(mode: LogMode, rounds: usize, every: usize) -> u64 {
    let script = script(rounds);
    let mut images = 0;
    for at in (0..).step_by(every) {
        let (run, is_done) = run_until(at, mode, &script);
        // The last of each kind: half the sectors, and chance.
        let survival = if at.is_multiple_of(2) { Survival::Random(at) } else { Survival::All };
        let first = run.disk.crash(survival);
        for then in 0.. {
            let disk = first.crash(Survival::All);
            disk.freeze_after(then);
            let opened = builder(&disk, &run.clock, mode).open();
            let is_open = opened.is_ok() && !disk.is_frozen();
            let second = Survival::Random(then + at);
            for survival in [Survival::None, second, Survival::All] {
                let point = CrashPoint {
                    mode,
                    at,
                    survival: survival_of_first(at),
                    then: Some((then, survival)),
                };
                let image = disk.crash(survival);
                let checked =
                    check_image(&image, &run.clock, mode, &run.history, run.history.durable);
                checked.unwrap_or_else(|what| fail(&point, &what));
                images += 1;
            }
            if is_open {
                break;
            }
        }
        if is_done {
            break;
        }
    }
    images
}

fn survival_of_first(at: u64) -> Survival {
    if at.is_multiple_of(2) { Survival::Random(at) } else { Survival::All }
}

/// Runs `enumerate` and says how fast.
fn report(what: &str, least: u64, enumerate: impl FnOnce() -> u64) {
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let images = enumerate();
    let time = clock.monotonic().saturating_sub(start).max(Duration::from_millis(1));
    let rate = images as f64 / time.as_secs_f64();
    println!("{what}: {images} images in {time:.1?}, {rate:.0} a second, disk seed {DISK_SEED}");
    assert!(images >= least, "only {images} images: the workload has shrunk");
}

#[test]
fn a_power_cut_at_any_operation_leaves_a_prefix_with_the_mapped_log() {
    report("crashes, mapped log", 9_000, || enumerate(LogMode::Mapped, ROUNDS));
}

#[test]
fn a_power_cut_at_any_operation_leaves_a_prefix_with_the_buffered_log() {
    report("crashes, buffered log", 9_000, || enumerate(LogMode::Buffered, ROUNDS));
}

#[test]
fn a_crash_inside_recovery_is_recovered_from_like_any_other() {
    report("crashes in recovery, mapped log", 2_000, || {
        enumerate_recovery(LogMode::Mapped, ROUNDS, 97)
    });
    report("crashes in recovery, buffered log", 2_000, || {
        enumerate_recovery(LogMode::Buffered, ROUNDS, 89)
    });
}

/// Replays the one image that a failure printed.
#[test]
#[ignore = "only to replay a failure"]
fn replay_one() {
    let variable = |name: &str| std::env::var(name).ok();
    let mode = match variable("ALLUVIUM_CRASH_LOG").as_deref() {
        Some("buffered") => LogMode::Buffered,
        Some(_) | None => LogMode::Mapped,
    };
    let at = variable("ALLUVIUM_CRASH_AT").expect("ALLUVIUM_CRASH_AT says where");
    let at: u64 = at.parse().expect("the number of an operation");
    let survival = survival_of(variable("ALLUVIUM_CRASH_MASK").as_deref().unwrap_or("none"));
    let (run, _) = run_until(at, mode, &script(ROUNDS));
    println!("history: {} states, {} durable", run.history.len(), run.history.durable);
    let mut image = run.disk.crash(survival);
    if let Some(then) = variable("ALLUVIUM_CRASH_THEN") {
        image.freeze_after(then.parse().expect("the number of an operation"));
        let opened = builder(&image, &run.clock, mode).open().map(drop);
        println!("the recovery that crashes: {opened:?}");
        let second = variable("ALLUVIUM_CRASH_THEN_MASK");
        image = image.crash(survival_of(second.as_deref().unwrap_or("none")));
    }
    for (path, bytes) in image.files() {
        println!("  {:>7} {}", bytes.len(), path.display());
    }
    check_checkpoints(&run, &image).unwrap();
    let checked = check_image(&image, &run.clock, mode, &run.history, run.history.durable);
    checked.unwrap();
    assert!(image.files().iter().any(|(path, _)| path.starts_with(Path::new(DIR))));
}

/// The workload itself, without any crash, with every way to read.
#[test]
fn the_workload_reads_back_every_way() {
    for mode in [LogMode::Mapped, LogMode::Buffered] {
        let (run, is_done) = run_until(u64::MAX, mode, &script(3));
        assert!(is_done);
        let db = run.db.as_ref().expect("it is open");
        let found = read_every_way(db).unwrap();
        assert_eq!(found, run.history.latest().content(run.clock.now()));
        println!("{mode:?}: {} operations of the disk", run.disk.op_count());
    }
}
