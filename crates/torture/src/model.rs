//! The model test: random operations against an oracle.
//!
//! testkit generates operations from a seed; each is carried out on the database and on the oracle,
//! and every answer is compared. Besides those, this driver makes conditional writes, reads many
//! keys at once, keeps iterators alive across flushes and compactions, and opens checkpoints.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use alluvium::{
    Background, Bytes, Condition, Db, Depth, ErrorKind, Expiry, Keyspace, Persist, Put, Read,
    Result as DbResult, Scan, Snapshot, check,
};
use alluvium_base::fs::Fs;
use alluvium_testkit::{
    Choices, Content, Direction, Durability, GeneratorOptions, Op, OpGenerator, Oracle,
    SeededRandom, SimClock, SimFs, Survival, View, Weights, Write, key_of, keyspace_name,
};

use crate::layer::{Case, Failure, Layer, Threads, needs_nothing};
use crate::option_sets::{self, OptionSet};
use crate::run::said_by;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What is counted.
pub const OPERATIONS: &str = "operations checked";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "model",
    what: "random operations on every public method, with reopens, kills and power cuts, each \
           answer compared with an oracle's",
    unit: OPERATIONS,
    case,
    threads: Threads::AllCores,
    needs: needs_nothing,
};

/// Operations of one case.
const CASE_OPS: u64 = 20_000;

/// The seed chooses the set of options and every operation.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let sets = option_sets::all();
    let set = &sets[(case.seed % sets.len() as u64) as usize];
    run(case, set)
}

/// A scan that stays open while the database changes below it.
#[derive(Debug)]
struct LongScan {
    scan: Scan,
    slot: u8,
    at: usize,
    /// The moment that judges expiry: a snapshot's, or that of its beginning.
    at_ms: u64,
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

#[derive(Debug)]
struct Driver {
    random: SeededRandom,
    set: OptionSet,
    disk: SimFs,
    clock: SimClock,
    db: Option<Db>,
    oracle: Oracle,
    snapshots: BTreeMap<u8, (Snapshot, usize, u64)>,
    scans: Vec<LongScan>,
    checkpoints: u64,
}

fn read_content(db: &Db) -> DbResult<Content> {
    let mut content = Content::new();
    for name in db.keyspaces()? {
        let slot = name.strip_prefix("ks").map_or(0, |n| n.parse().expect("ours"));
        let keyspace = db.find_keyspace(&name)?.expect("it was just listed");
        let pairs: DbResult<Vec<_>> = keyspace.iter().collect();
        let pairs = pairs?.into_iter().map(|(k, v)| (k.to_vec(), v.to_vec()));
        content.insert(slot, pairs.collect());
    }
    Ok(content)
}

fn to_vecs(scan: impl Iterator<Item = DbResult<(Bytes, Bytes)>>) -> Pairs {
    scan.map(|entry| entry.expect("a sound disk")).map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

impl Driver {
    fn new(seed: u64, set: OptionSet) -> Self {
        let (disk, clock) = (SimFs::new(seed), SimClock::new(1_000_000));
        let db = Some(set.builder(&disk, &clock).open().unwrap());
        Self {
            random: SeededRandom::with_stream(seed, 1),
            set,
            disk,
            clock,
            db,
            oracle: Oracle::new(),
            snapshots: BTreeMap::new(),
            scans: Vec::new(),
            checkpoints: 0,
        }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("it is open")
    }

    fn keyspace(&self, slot: u8) -> Option<Keyspace> {
        let found = self.db().find_keyspace(&keyspace_name(slot)).unwrap();
        assert_eq!(found.is_some(), self.oracle.has_keyspace(slot), "keyspace {slot}");
        found
    }

    fn run(&mut self, op: &Op) {
        let now_ms = self.clock.now();
        if let Some((writes, durability)) = op.writes() {
            return self.write(&writes, durability);
        }
        match op {
            Op::Insert { .. } | Op::PutExpiring { .. } | Op::Remove { .. } | Op::Batch { .. } => {}
            Op::Get { keyspace, key, view } => self.get(*keyspace, key, *view),
            Op::Scan { keyspace, start, end, direction, view } => {
                self.scan(*keyspace, (start, end), *direction, *view);
            }
            Op::Snapshot { slot } => {
                let snapshot = self.db().snapshot();
                self.snapshots.insert(*slot, (snapshot, self.oracle.len(), now_ms));
            }
            Op::DropSnapshot { slot } => drop(self.snapshots.remove(slot)),
            Op::CreateKeyspace { keyspace } => {
                let options = self.set.keyspace.clone();
                self.db().keyspace(&keyspace_name(*keyspace), options).unwrap();
                self.oracle.create_keyspace(*keyspace);
            }
            Op::DropKeyspace { keyspace } => {
                let dropped = self.db().drop_keyspace(&keyspace_name(*keyspace));
                assert_eq!(dropped.is_ok(), self.oracle.has_keyspace(*keyspace), "{dropped:?}");
                self.oracle.drop_keyspace(*keyspace);
                self.scans.retain(|scan| scan.slot != *keyspace);
            }
            Op::Flush { keyspace } => {
                if let Some(keyspace) = self.keyspace(*keyspace) {
                    keyspace.flush().unwrap();
                }
            }
            Op::Compact { keyspace } => {
                if let Some(keyspace) = self.keyspace(*keyspace) {
                    keyspace.compact().unwrap();
                }
            }
            Op::Persist => {
                self.db().persist(Persist::Sync).unwrap();
                self.oracle.mark_durable();
            }
            Op::AdvanceClock { ms } => self.clock.advance_ms(*ms),
            Op::Reopen => self.reopen(),
            Op::Kill => {
                let next = self.disk.kill();
                self.restart(next);
                let expected = self.oracle.content(self.oracle.len(), self.clock.now());
                assert!(read_content(self.db()).unwrap() == expected, "killed: something is lost");
                self.oracle.mark_durable();
            }
            Op::Crash { seed } => {
                let next = self.disk.crash(Survival::Random(*seed));
                self.restart(next);
                let found = read_content(self.db()).unwrap();
                let prefixes = self.oracle.check_prefix(&found, self.clock.now());
                let prefixes = prefixes.unwrap_or_else(|mismatch| panic!("{mismatch}"));
                self.oracle.recover_to(prefixes[prefixes.len() - 1]);
            }
        }
    }

    /// The old machine goes off, and the database opens on what it left.
    fn restart(&mut self, next: SimFs) {
        self.disk.freeze();
        self.snapshots.clear();
        self.scans.clear();
        self.db = None;
        self.disk = next;
        self.db = Some(self.set.builder(&self.disk, &self.clock).open().unwrap());
    }

    fn reopen(&mut self) {
        // Scans outlive the database; snapshots keep it open.
        self.snapshots.clear();
        self.db.take().expect("it is open").close().unwrap();
        self.step_scans(1000);
        self.scans.clear();
        self.db = Some(self.set.builder(&self.disk, &self.clock).open().unwrap());
        self.oracle.mark_durable();
    }

    fn write(&mut self, writes: &[Write], durability: Durability) {
        let mut batch = self.db().batch();
        for write in writes {
            let Some(keyspace) = self.keyspace(write.keyspace()) else { continue };
            match write {
                Write::Put { key, value, .. } => batch.insert(&keyspace, key, value),
                Write::PutExpiring { key, value, ttl_ms, .. } => {
                    batch.insert_expiring(&keyspace, key, value, Duration::from_millis(*ttl_ms))
                }
                Write::Remove { key, .. } => batch.remove(&keyspace, key),
            };
        }
        let persist = match durability {
            Durability::Buffer => Persist::Buffer,
            Durability::Sync => Persist::Sync,
        };
        batch.commit(persist).unwrap();
        self.oracle.commit(writes, self.clock.now());
        if durability == Durability::Sync {
            self.oracle.mark_durable();
        }
    }

    /// The position and moment that a view reads at, and its snapshot.
    fn point(&self, view: View) -> (usize, u64, Option<Snapshot>) {
        if let View::Snapshot(slot) = view
            && let Some((snapshot, at, at_ms)) = self.snapshots.get(&slot)
        {
            return (*at, *at_ms, Some(snapshot.clone()));
        }
        (self.oracle.len(), self.clock.now(), None)
    }

    fn get(&self, slot: u8, key: &[u8], view: View) {
        let Some(keyspace) = self.keyspace(slot) else { return };
        let (at, at_ms, snapshot) = self.point(view);
        let expected = self.oracle.get(slot, key, at, at_ms);
        let (found, expiry) = match &snapshot {
            Some(snapshot) => {
                let view = snapshot.of(&keyspace);
                (view.get(key).unwrap(), view.expires_at(key).unwrap())
            }
            None => (keyspace.get(key).unwrap(), keyspace.expires_at(key).unwrap()),
        };
        assert_eq!(found.as_deref(), expected, "get of {:?}", key.escape_ascii().to_string());
        assert_eq!(expiry.is_some(), expected.is_some());
        assert!(!matches!(expiry, Some(Expiry::AtMs(gone)) if gone <= at_ms));
    }

    fn scan(
        &self,
        slot: u8,
        (start, end): (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        direction: Direction,
        view: View,
    ) {
        let Some(keyspace) = self.keyspace(slot) else { return };
        let (at, at_ms, snapshot) = self.point(view);
        let range = (start.clone(), end.clone());
        let mut scan = match &snapshot {
            Some(snapshot) => snapshot.of(&keyspace).range(range),
            None => keyspace.range(range),
        };
        let found = match direction {
            Direction::Forward => to_vecs(scan),
            Direction::Backward => to_vecs(scan.rev()),
            Direction::Alternating => {
                let mut found = Vec::new();
                while let Some(front) = scan.next() {
                    found.push(front);
                    found.extend(scan.next_back());
                }
                to_vecs(found.into_iter())
            }
        };
        let expected = self.oracle.scan(slot, (start, end), direction, at, at_ms);
        assert!(
            found.iter().map(|(k, v)| (&**k, &**v)).eq(expected.iter().copied()),
            "{direction:?} scan of {start:?} to {end:?}:\n{found:?}\n{expected:?}"
        );
    }

    /// What the generator does not know of.
    fn extra(&mut self) {
        let slot = self.random.below(4).saturating_sub(1) as u8;
        let Some(keyspace) = self.keyspace(slot) else { return };
        match self.random.below(400) {
            0..80 => self.put_if(slot, &keyspace),
            80..140 => self.get_many(slot, &keyspace),
            140..180 => self.ends_and_prefixes(slot, &keyspace),
            180..220 => self.start_scan(slot, &keyspace),
            220..380 => self.step_scans(2),
            380..385 => self.open_again(),
            385..399 => {
                if self.set.background == Background::Manual {
                    self.db().step().unwrap();
                }
            }
            _ => self.checkpoint(),
        }
    }

    /// The folder is taken, and stays so however often somebody asks.
    fn open_again(&self) {
        for attempt in 0..2 {
            let opened = self.set.builder(&self.disk, &self.clock).open();
            let kind = opened.map(drop).map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::Locked), "open a second time, attempt {attempt}");
        }
    }

    fn put_if(&mut self, slot: u8, keyspace: &Keyspace) {
        let now_ms = self.clock.now();
        let key = key_of(self.random.below(100) as u32);
        let old = self.oracle.get(slot, &key, self.oracle.len(), now_ms).map(<[u8]>::to_vec);
        let only_if = match (self.random.below(3), &old) {
            (0, _) => Condition::Absent,
            (1, _) => Condition::Present,
            (_, Some(old)) if self.random.chance(1, 2) => Condition::Equals(old.clone().into()),
            _ => Condition::Equals(Bytes::from_static(b"something else")),
        };
        let holds = match &only_if {
            Condition::Always => true,
            Condition::Absent => old.is_none(),
            Condition::Present => old.is_some(),
            Condition::Equals(value) => old.as_deref() == Some(&**value),
        };
        let value = format!("conditional {}", self.random.below(1000)).into_bytes();
        let ttl_ms = self.random.chance(1, 3).then(|| self.random.below(500));
        let put = Put { ttl: ttl_ms.map(Duration::from_millis), only_if };
        match keyspace.put(&key, &value, put) {
            Ok(()) => assert!(holds),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict);
                assert!(!holds);
                return;
            }
        }
        let write = match ttl_ms {
            Some(ttl_ms) => Write::PutExpiring { keyspace: slot, key, value, ttl_ms },
            None => Write::Put { keyspace: slot, key, value },
        };
        self.oracle.commit(&[write], now_ms);
    }

    fn get_many(&mut self, slot: u8, keyspace: &Keyspace) {
        let keys: Vec<_> = (0..6).map(|_| key_of(self.random.below(110) as u32)).collect();
        let (at, now_ms) = (self.oracle.len(), self.clock.now());
        let found = keyspace.get_many(&keys).unwrap();
        let expected = keys.iter().map(|key| self.oracle.get(slot, key, at, now_ms));
        assert!(found.iter().map(Option::as_deref).eq(expected));
    }

    fn ends_and_prefixes(&mut self, slot: u8, keyspace: &Keyspace) {
        let (at, now_ms) = (self.oracle.len(), self.clock.now());
        let all = (&Bound::Unbounded, &Bound::Unbounded);
        let expected = self.oracle.scan(slot, all, Direction::Forward, at, now_ms);
        let plain = |pair: Option<(Bytes, Bytes)>| pair.map(|(k, v)| (k.to_vec(), v.to_vec()));
        let owned = |pair: Option<&(&[u8], &[u8])>| pair.map(|(k, v)| (k.to_vec(), v.to_vec()));
        assert_eq!(plain(keyspace.first().unwrap()), owned(expected.first()));
        assert_eq!(plain(keyspace.last().unwrap()), owned(expected.last()));
        assert_eq!(keyspace.count().unwrap(), expected.len() as u64);
        let prefix = key_of(self.random.below(20) as u32);
        let with_prefix = expected.iter().filter(|(key, _)| key.starts_with(&prefix));
        let found = to_vecs(keyspace.prefix(&prefix).rev());
        assert!(found.iter().rev().map(|(k, v)| (&**k, &**v)).eq(with_prefix.copied()));
    }

    fn start_scan(&mut self, slot: u8, keyspace: &Keyspace) {
        let start = match self.random.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(key_of(self.random.below(100) as u32)),
            _ => Bound::Excluded(key_of(self.random.below(100) as u32)),
        };
        let end = match self.random.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(key_of(self.random.below(100) as u32)),
            _ => Bound::Excluded(key_of(self.random.below(100) as u32)),
        };
        let view = View::Snapshot(self.random.below(4) as u8);
        let (at, at_ms, snapshot) = self.point(view);
        let range = (start.clone(), end.clone());
        let scan = match &snapshot {
            Some(snapshot) => snapshot.of(keyspace).range(range),
            None => keyspace.range(range),
        };
        self.scans.push(LongScan { scan, slot, at, at_ms, start, end });
        if self.scans.len() > 6 {
            self.scans.remove(0);
        }
    }

    /// Steps every open scan from either end and compares with what it must see.
    fn step_scans(&mut self, steps: usize) {
        let mut scans = std::mem::take(&mut self.scans);
        scans.retain_mut(|long| (0..steps).all(|_| self.step_scan(long)));
        self.scans = scans;
    }

    /// Answers whether there is more.
    fn step_scan(&mut self, long: &mut LongScan) -> bool {
        let is_front = self.random.chance(1, 2);
        let step = if is_front { long.scan.next() } else { long.scan.next_back() };
        let found = step.map(|entry| entry.expect("a sound disk"));
        let bounds = (&long.start, &long.end);
        let left = self.oracle.scan(long.slot, bounds, Direction::Forward, long.at, long.at_ms);
        let expected = if is_front { left.first() } else { left.last() };
        assert_eq!(
            found.as_ref().map(|(k, v)| (&**k, &**v)),
            expected.copied(),
            "a scan that was begun after {} commits, of {}",
            long.at,
            self.oracle.len()
        );
        let Some((key, _)) = found else { return false };
        let bound = Bound::Excluded(key.to_vec());
        if is_front {
            long.start = bound;
        } else {
            long.end = bound;
        }
        true
    }

    fn checkpoint(&mut self) {
        let to = format!("copies/{}", self.checkpoints);
        self.checkpoints += 1;
        self.db().checkpoint(&to).unwrap();
        let fs: Arc<dyn Fs> = Arc::new(self.disk.clone());
        let report = check(Arc::clone(&fs), &to, Depth::Deep).unwrap();
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        let copy = Db::builder(&to).fs(Arc::clone(&fs)).clock(Arc::new(self.clock.clone()));
        let copy = copy.background(Background::Manual).log_segment_size(4096).open().unwrap();
        let expected = self.oracle.content(self.oracle.len(), self.clock.now());
        assert!(read_content(&copy).unwrap() == expected, "a checkpoint differs");
        drop(copy);
        for name in fs.list(to.as_ref()).unwrap() {
            fs.remove(std::path::Path::new(&to).join(name).as_ref()).unwrap();
        }
    }
}

/// Runs the operations of the case.
fn run(case: &Case<'_>, set: &OptionSet) -> Result<(), Failure> {
    let seed = case.seed;
    let weights = Weights {
        insert: 300,
        remove: 100,
        put_expiring: 60,
        batch: 120,
        get: 300,
        scan: 60,
        snapshot: 10,
        drop_snapshot: 10,
        create_keyspace: 6,
        drop_keyspace: 3,
        flush: 4,
        compact: 2,
        persist: 6,
        advance_clock: 30,
        reopen: 1,
        kill: 1,
        crash: 1,
    };
    let generator = OpGenerator::new(seed, GeneratorOptions { weights, ..Default::default() });
    let mut driver = Driver::new(seed, set.clone());
    let mut counted = 0;
    for (step, op) in generator.take(CASE_OPS as usize).enumerate() {
        let tried = catch_unwind(AssertUnwindSafe(|| {
            driver.run(&op);
            let more = driver.random.chance(1, 6);
            if more {
                driver.extra();
            }
            1 + u64::from(more)
        }));
        // What panicked said so itself; this says where it was.
        counted += tried.map_err(|panic| {
            Failure::from(format!("{} at step {step}, with {}: {op:?}", said_by(&*panic), set.name))
        })?;
        if counted >= 500 {
            case.count(OPERATIONS, std::mem::take(&mut counted));
            if case.is_over() {
                break;
            }
        }
    }
    case.count(OPERATIONS, counted);
    Ok(())
}
