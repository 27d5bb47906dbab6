//! Seeded bugs: the layer that tries the other layers.
//!
//! ```text
//!   for each bug ─► child: `torture crash --bug NAME …`  ─► held? ─► the next layer
//!                                                        └► FAILED: caught by crash, after 2 s
//! ```
//!
//! A child plants one bug in itself and runs a layer's short form, the one that the tests of this
//! crate run as well: so what is caught here is caught there. The likeliest layer comes first; what
//! no short form catches is hunted for the rest of the minute with fresh seeds. A bug that nothing
//! catches is a hole in the harness, and fails the run.
//!
//! Invariant: a child that hangs or dies is caught only by the watchdog's own word for it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alluvium_base::seeded::{Bug, plant, planted};
use alluvium_base::{Clock, SystemClock};
use parking_lot::Mutex;

use crate::LAYERS;
use crate::report;

/// As the command line calls this layer.
pub const NAME: &str = "seeded";
/// How long a bug may stay undiscovered.
pub const BUDGET: Duration = Duration::from_mins(1);
/// How long after its time a child is taken for hung.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long each layer hunts with fresh seeds, once the short forms have found nothing.
const HUNT: Duration = Duration::from_secs(15);
/// How often a child is looked at.
const TICK: Duration = Duration::from_millis(5);
/// Between these the table of bugs stands in the page.
const BEGIN: &str = "<!-- seeded -->";
const END: &str = "<!-- end of seeded -->";
/// A child that is to plant a bug in itself finds its name here.
const PLANTED: &str = "ALLUVIUM_TORTURE_BUG";

/// The bug of this name.
pub fn find(name: &str) -> Option<Bug> {
    Bug::ALL.iter().copied().find(|bug| bug.name().eq_ignore_ascii_case(name))
}

/// Hands the planted bug on to a child of this child.
pub fn hand_on(command: &mut Command) {
    if let Some(bug) = planted() {
        command.env(PLANTED, bug.name());
    }
}

/// Plants what the parent handed on.
pub fn adopt() {
    plant(std::env::var(PLANTED).ok().as_deref().and_then(find));
}

/// Who caught a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The layer.
    pub layer: &'static str,
    /// Which of its forms.
    pub form: Form,
    /// What it said, in one line.
    pub said: String,
}

/// Which form of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The cases that the tests run.
    Short,
    /// Fresh seeds.
    Long,
}

/// What became of a bug.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The bug.
    pub bug: Bug,
    /// Who caught it, if anybody did.
    pub caught: Option<Catch>,
    /// How long that took, all layers together.
    pub after: Duration,
}

/// How bugs are hunted.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// This program.
    pub program: PathBuf,
    /// The bugs.
    pub bugs: Vec<Bug>,
    /// How long each may stay undiscovered.
    pub budget: Duration,
    /// How many are hunted at once.
    pub jobs: usize,
    /// The first of the fresh seeds.
    pub seed: u64,
}

impl Hunt {
    /// Hunts all of them; `progress` is handed a line for each.
    pub fn run(&self, progress: &(dyn Fn(&str) + Sync)) -> Vec<Verdict> {
        let queue = Mutex::new(self.bugs.iter().copied());
        let verdicts = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        // Bound first: the queue is not locked while a bug is hunted.
                        let next = queue.lock().next();
                        let Some(bug) = next else { return };
                        let verdict = self.hunt(bug);
                        progress(&verdict.line());
                        verdicts.lock().push(verdict);
                    }
                });
            }
        });
        let mut verdicts = verdicts.into_inner();
        verdicts.sort_by_key(|verdict| verdict.bug);
        verdicts
    }

    /// Plants one bug after the other layer until one of them notices.
    fn hunt(&self, bug: Bug) -> Verdict {
        let clock = SystemClock::new();
        let left = || self.budget.saturating_sub(clock.monotonic());
        let order = order(bug);
        let mut caught = None;
        // The likeliest with fresh seeds before the next ones, for what chance alone brings up.
        let long = order.iter().copied().cycle().map(|layer| (layer, Form::Long));
        let short = order.iter().copied().map(|layer| (layer, Form::Short));
        // Races come up by nothing but chance, and only there.
        let again = if order[0] == "threads" { 3 } else { 1 };
        let likeliest = std::iter::repeat_n((order[0], Form::Long), again);
        let attempts = short.clone().take(1).chain(likeliest).chain(short.skip(1));
        for (seed, (layer, form)) in (self.seed..).zip(attempts.chain(long)) {
            let said = match form {
                // No layer takes all there is: the next ones may catch it too.
                Form::Short => self.short(bug, layer, left().min(self.budget / 2)),
                Form::Long => self.attempt(bug, layer, seed, None, left().min(HUNT)),
            };
            caught = said.map(|said| Catch { layer, form, said });
            if caught.is_some() || left().is_zero() {
                break;
            }
        }
        Verdict { bug, caught, after: clock.monotonic() }
    }

    /// Runs the short form of a layer with the bug.
    fn short(&self, bug: Bug, layer: &str, time: Duration) -> Option<String> {
        let (seed, cases) = short_form(layer);
        self.attempt(bug, layer, seed, Some(cases), time)
    }

    /// Runs a layer with the bug; answers what it found.
    fn attempt(
        &self,
        bug: Bug,
        layer: &str,
        seed: u64,
        cases: Option<u64>,
        time: Duration,
    ) -> Option<String> {
        let mut command = Command::new(&self.program);
        let seconds = time.as_secs().max(1).to_string();
        command.args([layer, "--bug", bug.name(), "--jobs", "2", "--time", &seconds]);
        command.args(["--seed", &seed.to_string()]);
        if let Some(cases) = cases {
            command.args(["--cases", &cases.to_string()]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = child.spawn().expect("the program that runs now can be started");
        watch(child, time + PATIENCE)
    }
}

/// Runs a hunt and publishes what became of it, if it was for all bugs; answers whether all were
/// caught.
pub fn command(hunt: &Hunt, page: Option<&Path>) -> bool {
    println!("{NAME}: {} bugs planted, one after the other", hunt.bugs.len());
    let clock = SystemClock::new();
    let verdicts = hunt.run(&|line| println!("  {line}"));
    let caught = verdicts.iter().filter(|verdict| verdict.caught.is_some()).count();
    let seconds = clock.monotonic().as_secs_f64();
    println!("  {NAME}: {caught} of {} caught in {seconds:.0} s", verdicts.len());
    for verdict in verdicts.iter().filter(|verdict| verdict.caught.is_none()) {
        println!("FAILED {NAME}: nothing catches {}", verdict.bug.name());
        println!("  replay: cargo xtask torture {NAME} --only {}", verdict.bug.name());
    }
    if let Some(page) = page
        && let Err(error) = report::replace(page, BEGIN, END, &table(&verdicts))
    {
        println!("cannot add to {}: {error:#}", page.display());
        return false;
    }
    caught == verdicts.len()
}

/// Waits for a child; answers what it found, or what became of it.
fn watch(mut child: Child, longest: Duration) -> Option<String> {
    let mut stdout = child.stdout.take().expect("it was spawned with a pipe");
    let mut stderr = child.stderr.take().expect("it was spawned with a pipe");
    let out = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let err = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let clock = SystemClock::new();
    let status = loop {
        match child.try_wait().expect("it is our child") {
            Some(status) => break Some(status),
            None if clock.monotonic() > longest => {
                child.kill().expect("it is our child");
                child.wait().expect("it is our child");
                break None;
            }
            None => clock.sleep(TICK),
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    let failed = out.lines().find_map(|line| line.strip_prefix("FAILED "));
    match status {
        _ if failed.is_some() => failed.map(shortened),
        None => Some("hung: the watchdog killed it".to_owned()),
        Some(status) if status.success() => None,
        Some(status) => {
            let last = err.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
            Some(shortened(&format!("died: {status}: {last}")))
        }
    }
}

fn shortened(line: &str) -> String {
    const LONGEST: usize = 150;
    let line: String = line.chars().filter(|c| !c.is_control() && *c != '|').collect();
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

impl Verdict {
    fn line(&self) -> String {
        let (name, seconds) = (self.bug.name(), self.after.as_secs_f64());
        match &self.caught {
            Some(Catch { layer, form: Form::Short, said }) => {
                format!("{name:<28} caught by {layer:<11} after {seconds:>4.1} s  {said}")
            }
            Some(Catch { layer, form: Form::Long, said }) => {
                format!("{name:<28} caught by {layer}, long, after {seconds:>4.1} s  {said}")
            }
            None => format!("{name:<28} NOT CAUGHT in {seconds:.1} s: {}", self.bug.what()),
        }
    }

    /// Its row of the published table.
    fn row(&self) -> String {
        let Self { bug, caught, after } = self;
        let trap = bug.trap().map_or("own".to_owned(), |trap| trap.to_string());
        let seconds = after.as_secs_f64();
        let caught = match caught {
            Some(Catch { layer, form: Form::Short, .. }) => (*layer).to_owned(),
            Some(Catch { layer, form: Form::Long, .. }) => format!("{layer}, long form"),
            None => "**nothing**".to_owned(),
        };
        let (what, origin) = (bug.what().trim(), bug.origin());
        format!("| {trap} | {what} | {origin} | {caught} | {seconds:.1} |\n")
    }
}

/// The published table.
pub fn table(verdicts: &[Verdict]) -> String {
    let head = "| trap | what is done wrong | happened to | caught by | after (s) |\n\
                |---:|---|---|---|---:|\n";
    head.chars().chain(verdicts.iter().flat_map(|v| v.row().chars().collect::<Vec<_>>())).collect()
}

/// The short form of a layer: seed and cases.
fn short_form(layer: &str) -> (u64, u64) {
    match layer {
        "model" => (0, 40),
        "bytes" | "crash" => (0, 4),
        "threads" => (0, 6),
        _ => (0, 2),
    }
}

/// The layers in the order in which they hunt a bug: the likeliest first, then the quick ones.
fn order(bug: Bug) -> Vec<&'static str> {
    let likely = likely(bug);
    let mut order: Vec<_> = LAYERS.iter().map(|layer| layer.name).collect();
    // Real disks that are shut down need root, and nothing that only they would catch is planted.
    order.retain(|name| !matches!(*name, "power" | "full" | "eio"));
    let quick = ["threads", "model", "bytes"];
    order.sort_by_key(|name| (*name != likely, !quick.contains(name)));
    order
}

/// The layer that will most likely catch it.
fn likely(bug: Bug) -> &'static str {
    match bug {
        Bug::FileNumberReused
        | Bug::CurrentNameUnsynced
        | Bug::CurrentContentUnsynced
        | Bug::TableNameUnsynced
        | Bug::UnsyncedRotation
        | Bug::ReplayGoesOn
        | Bug::SealedBeforeRemoval
        | Bug::CheckpointUnsynced
        | Bug::SegmentNameUnsynced
        | Bug::FlushBeforeLogSync
        | Bug::CreateBeforeLogSync
        | Bug::InputsRemovedBeforeEdit
        | Bug::SyncedBeforeSettled
        | Bug::SealedTakenForDurable
        | Bug::GarbageSegmentsRead
        | Bug::LogReleasedTooFar => "crash",
        Bug::FailedEditTablesRemoved
        | Bug::ManifestGoesOnBehindGarbage
        | Bug::LogGoesOnBehindGarbage
        | Bug::FailedSeqReused
        | Bug::SyncResultIgnored
        | Bug::FailedSyncRetried
        | Bug::RenewedInPlace
        | Bug::InputErrorUnchecked => "fault",
        Bug::DamageTakenForTornTail
        | Bug::ChecksumWithoutHeader
        | Bug::UnverifiedLength
        | Bug::BlockUnverified => "bytes",
        Bug::FlushBeforeLastInsert
        | Bug::SeqBeforeView
        | Bug::RetryWithoutPause
        | Bug::CallbackBeforeSync
        | Bug::PublishBeforeInsert
        | Bug::DeadStretchNotCut
        | Bug::PublishOutOfOrder
        | Bug::ConditionNotRechecked => "threads",
        Bug::TombstonesDropped
        | Bug::VersionsSplit
        | Bug::FilterLeavesOutKey
        | Bug::DropNotLogged
        | Bug::ReplayFlushesForAll
        | Bug::WaitingMemtableForgotten
        | Bug::LargeBatchBehindOlder
        | Bug::MemtableFilterIncomplete
        | Bug::LockRemovedByLoser
        | Bug::MemtableOverwrites
        | Bug::SnapshotTooEarly
        | Bug::SnapshotsForgotten
        | Bug::ExpiryByTheWrongClock
        | Bug::SeqZeroedTooEarly
        | Bug::OlderL0LeftOut
        | Bug::MergePrefersOlder
        | Bug::LastEntrySkipped
        | Bug::BackwardSeekStops
        | Bug::WrongBlockCached
        | Bug::LastKeyOfTableMissed => "model",
    }
}
