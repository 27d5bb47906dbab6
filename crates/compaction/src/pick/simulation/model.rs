//! A tree without a disk: tables are lists of entries, and every answer is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, InternalKey, Kind, Seq};
use alluvium_manifest::{Level, TableMeta, Version};
use alluvium_testkit::{Choices, SeededRandom};

use crate::gc::{Collector, EntryMeta};
use crate::output::Cutter;
use crate::{
    Below, CompactionOptions, GcContext, ManualRange, Pick, PickContext, debt_bytes, pick,
    pick_manual_range, scores,
};

/// One write, as tables hold it. `id` is the sequence it was written at, whatever became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: u32,
    pub(super) seq: Seq,
    pub(super) kind: Kind,
    pub(super) expiry_ms: Option<u64>,
    id: u64,
}

impl Entry {
    fn bytes(&self) -> u64 {
        if self.kind == Kind::Delete { 8 } else { 24 }
    }

    fn meta(&self) -> EntryMeta {
        EntryMeta { seq: self.seq, kind: self.kind, expiry_ms: self.expiry_ms }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    seq: Seq,
    now_ms: u64,
}

/// A pick that has done its work and waits to be committed.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pick: Pick,
    outputs: Vec<(TableMeta, Arc<[Entry]>)>,
}

/// What writers do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) keys: u64,
    pub(super) is_sequential: bool,
    pub(super) delete_percent: u64,
    pub(super) expiring_percent: u64,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) random: SeededRandom,
    pub(super) options: CompactionOptions,
    pub(super) workload: Workload,
    pub(super) version: Version,
    pub(super) running: Vec<Running>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) now_ms: u64,
    pub(super) flushed_bytes: u64,
    pub(super) compacted_bytes: u64,
    tables: BTreeMap<FileNumber, Arc<[Entry]>>,
    /// Every write ever made, by key, oldest first.
    history: BTreeMap<u32, Vec<Entry>>,
    last_seq: u64,
    next_key: u32,
    next_number: u64,
}

impl Model {
    pub(super) fn new(seed: u64, options: CompactionOptions, workload: Workload) -> Self {
        Self {
            random: SeededRandom::new(seed),
            options,
            workload,
            version: Version::default(),
            running: Vec::new(),
            snapshots: Vec::new(),
            now_ms: 1_000,
            flushed_bytes: 0,
            compacted_bytes: 0,
            tables: BTreeMap::new(),
            history: BTreeMap::new(),
            last_seq: 0,
            next_key: 0,
            next_number: 1,
        }
    }

    fn number(&mut self) -> FileNumber {
        self.next_number += 1;
        FileNumber(self.next_number - 1)
    }

    pub(super) fn next_number(&self) -> FileNumber {
        FileNumber(self.next_number)
    }

    pub(super) fn last_seq(&self) -> Seq {
        Seq::new(self.last_seq)
    }

    pub(super) fn snapshot(&mut self) {
        let (seq, now_ms) = (Seq::new(self.last_seq), self.now_ms);
        self.snapshots.push(Snapshot { seq, now_ms });
    }

    fn gc(&self) -> GcContext {
        let now_ms = self.snapshots.iter().map(|snapshot| snapshot.now_ms).min();
        let seqs = self.snapshots.iter().map(|snapshot| snapshot.seq).collect();
        GcContext::new(seqs, now_ms.unwrap_or(self.now_ms))
    }

    /// Writes a memtable's worth and flushes it.
    pub(super) fn flush(&mut self, count: u64) {
        let mut written = Vec::new();
        for _ in 0..count {
            self.last_seq += 1;
            let key = if self.workload.is_sequential {
                self.next_key += 1;
                self.next_key
            } else {
                self.random.below(self.workload.keys) as u32
            };
            let (mut kind, mut expiry_ms) = (Kind::Put, None);
            if self.random.chance(self.workload.delete_percent, 100) {
                kind = Kind::Delete;
            } else if self.random.chance(self.workload.expiring_percent, 100) {
                kind = Kind::PutExpiring;
                expiry_ms = Some(self.now_ms + self.random.below(2_000));
            }
            let entry =
                Entry { key, seq: Seq::new(self.last_seq), kind, expiry_ms, id: self.last_seq };
            self.history.entry(key).or_default().push(entry);
            written.push(entry);
        }
        let outputs = self.survivors(written, Below::everything(), &[], u64::MAX);
        self.flushed_bytes += outputs.iter().map(|(meta, _)| meta.size_bytes).sum::<u64>();
        self.install(&[], Level::ZERO, outputs);
    }

    pub(super) fn busy(&self) -> BTreeSet<FileNumber> {
        self.running.iter().flat_map(|running| running.pick.numbers()).collect()
    }

    pub(super) fn pick(&self) -> Option<Pick> {
        let gc = self.gc();
        let context = PickContext {
            busy: &self.busy(),
            now_ms: gc.now_ms(),
            oldest_snapshot: self.snapshots.iter().map(|snapshot| snapshot.seq).min(),
            relieves_reads: self.now_ms.is_multiple_of(3),
        };
        let found = pick(&self.version, &self.options, &context);
        assert_eq!(found, pick(&self.version, &self.options, &context), "picking is pure");
        found
    }

    pub(super) fn pick_manual(&self, range: &ManualRange<'_>) -> Option<Pick> {
        pick_manual_range(&self.version, &self.options, range, &self.busy())
    }

    /// Does the work of `pick` against the tree as it is now; it shows once committed.
    pub(super) fn start(&mut self, pick: Pick) {
        self.check_rules(&pick);
        let outputs = if pick.is_trivial_move {
            Vec::new()
        } else {
            let entries = pick.numbers().flat_map(|number| self.tables[&number].to_vec()).collect();
            let below = Below::of(&self.version, pick.to, &pick.inputs);
            let grandparents = pick.grandparents.clone();
            let target = self.options.target_file_size;
            self.survivors(entries, below, &grandparents, target)
        };
        self.running.push(Running { pick, outputs });
    }

    pub(super) fn commit(&mut self, at: usize) {
        let Running { pick, outputs } = self.running.swap_remove(at);
        let removed: Vec<_> =
            pick.inputs.iter().map(|(level, table)| (*level, table.number)).collect();
        if pick.is_trivial_move {
            let added = [(pick.to, pick.inputs[0].1.clone())];
            self.version = self.version.apply(&removed, &added).expect("a move fits");
            return;
        }
        self.compacted_bytes += outputs.iter().map(|(meta, _)| meta.size_bytes).sum::<u64>();
        self.install(&removed, pick.to, outputs);
        for (_, number) in removed {
            self.tables.remove(&number);
        }
    }

    /// Runs one pick from start to end.
    pub(super) fn run(&mut self, pick: Pick) {
        self.start(pick);
        self.commit(self.running.len() - 1);
    }

    /// The rules that keep picks out of each other's way, looked at from outside.
    fn check_rules(&self, pick: &Pick) {
        let busy = self.busy();
        assert!(pick.numbers().all(|number| !busy.contains(&number)), "busy: {pick:?}");
        let reach = |pick: &Pick| {
            let smallest = pick.inputs.iter().map(|(_, table)| table.smallest.clone()).min();
            let largest = pick.inputs.iter().map(|(_, table)| table.largest.clone()).max();
            smallest.zip(largest).expect("a pick has inputs")
        };
        let (smallest, largest) = reach(pick);
        for running in self.running.iter().filter(|running| running.pick.to == pick.to) {
            let (other_smallest, other_largest) = reach(&running.pick);
            assert!(
                largest < other_smallest || other_largest < smallest,
                "{pick:?} writes where {:?} does",
                running.pick
            );
        }
    }

    /// What `fate` and the cutter make of `entries`.
    fn survivors(
        &mut self,
        mut entries: Vec<Entry>,
        below: Below,
        grandparents: &[Arc<TableMeta>],
        target_bytes: u64,
    ) -> Vec<(TableMeta, Arc<[Entry]>)> {
        entries.sort_by(|a, b| a.key.cmp(&b.key).then(b.seq.cmp(&a.seq)));
        let gc = self.gc();
        let mut collector = Collector::new(&gc, below);
        let mut cutter = Cutter::new(grandparents, target_bytes);
        let mut tables: Vec<Vec<Entry>> = vec![Vec::new()];
        for entry in entries {
            let user_key = entry.key.to_be_bytes();
            let value = entry.expiry_ms.map_or_else(Vec::new, |ms| ms.to_le_bytes().to_vec());
            let key = InternalKey::new(&user_key, entry.seq, entry.kind);
            let begins_key = collector.begins_key(&user_key);
            let open = tables.last().expect("never empty");
            let bytes = open.iter().map(Entry::bytes).sum();
            if begins_key && cutter.is_cut_before(&user_key, bytes) {
                tables.push(Vec::new());
                cutter.begin_table();
            }
            let decided = collector.decide(key, &value, begins_key).expect("entries are sound");
            if let Some(survivor) = decided {
                let expiry_ms = entry.expiry_ms.filter(|_| survivor.kind == Kind::PutExpiring);
                let (seq, kind) = (survivor.seq, survivor.kind);
                let written = Entry { seq, kind, expiry_ms, ..entry };
                tables.last_mut().expect("never empty").push(written);
            }
        }
        tables.retain(|entries| !entries.is_empty());
        tables.into_iter().map(|entries| (self.describe(&entries), entries.into())).collect()
    }

    fn describe(&mut self, entries: &[Entry]) -> TableMeta {
        let key = |entry: &Entry| Bytes::copy_from_slice(&entry.key.to_be_bytes());
        let expiries = || entries.iter().filter_map(|entry| entry.expiry_ms);
        let seqs = || entries.iter().map(|entry| entry.seq);
        let tombstones = entries.iter().filter(|entry| entry.kind == Kind::Delete).count();
        TableMeta {
            number: self.number(),
            size_bytes: entries.iter().map(Entry::bytes).sum(),
            entry_count: entries.len() as u64,
            tombstone_count: tombstones as u64,
            expiring_count: expiries().count() as u64,
            earliest_expiry_ms: expiries().min(),
            latest_expiry_ms: expiries().max(),
            smallest: key(&entries[0]),
            largest: key(&entries[entries.len() - 1]),
            smallest_seq: seqs().min().expect("not empty"),
            largest_seq: seqs().max().expect("not empty"),
            raw_key_bytes: 0,
            raw_value_bytes: 0,
            created_ms: self.now_ms,
        }
    }

    fn install(
        &mut self,
        removed: &[(Level, FileNumber)],
        level: Level,
        outputs: Vec<(TableMeta, Arc<[Entry]>)>,
    ) {
        let mut added = Vec::new();
        for (meta, entries) in outputs {
            self.tables.insert(meta.number, entries);
            added.push((level, Arc::new(meta)));
        }
        self.version = self.version.apply(removed, &added).expect("levels stay disjoint");
    }

    /// What a reader finds in the tree: which write. As the engine reads: the first table that has
    /// a version decides.
    fn read(&self, key: u32, at: Seq, now_ms: u64) -> Option<u64> {
        let user_key = key.to_be_bytes();
        let mut hits = self.version.tables().filter_map(|(_, table)| {
            let entries = table.contains(&user_key).then(|| &self.tables[&table.number])?;
            let start = entries.partition_point(|e| (e.key, at) < (key, e.seq));
            entries.get(start).filter(|entry| entry.key == key)
        });
        hits.next().filter(|entry| !entry.meta().is_dead(now_ms)).map(|entry| entry.id)
    }

    /// What a reader should find.
    fn expected(&self, key: u32, at: Seq, now_ms: u64) -> Option<u64> {
        let versions = self.history.get(&key)?;
        let newest = versions.iter().rev().find(|entry| entry.seq <= at)?;
        Some(newest).filter(|entry| !entry.meta().is_dead(now_ms)).map(|entry| entry.id)
    }

    /// Compares every `stride`th key, as every reader there is sees it, with history.
    pub(super) fn check_reads(&mut self, stride: u64) {
        let first = self.random.below(stride) as usize;
        let mut readers = self.snapshots.clone();
        readers.push(Snapshot { seq: Seq::MAX, now_ms: self.now_ms });
        for &key in self.history.keys().skip(first).step_by(stride as usize) {
            for reader in &readers {
                let found = self.read(key, reader.seq, reader.now_ms);
                let expected = self.expected(key, reader.seq, reader.now_ms);
                assert_eq!(found, expected, "key {key} for {reader:?}\n{}", self.version);
            }
        }
    }

    /// All entries in the tree, and how many keys the latest reader finds.
    pub(super) fn entries_and_live_keys(&self) -> (Vec<Entry>, usize) {
        let entries = self.tables.values().flat_map(|entries| entries.to_vec()).collect();
        let live = self.history.keys();
        (entries, live.filter(|&&key| self.expected(key, Seq::MAX, self.now_ms).is_some()).count())
    }

    /// Runs picks until there is none; returns how many there were.
    pub(super) fn drain(&mut self) -> u64 {
        while !self.running.is_empty() {
            self.commit(0);
        }
        let mut picks = 0;
        let bound = 1_000 + 100 * self.version.table_count() as u64;
        while let Some(pick) = self.pick() {
            picks += 1;
            assert!(picks < bound, "{picks} picks and no end: {pick:?}");
            self.run(pick);
        }
        assert!(scores(&self.version, &self.options).iter().all(|score| *score < 1.0));
        assert_eq!(debt_bytes(&self.version, &self.options), 0);
        picks
    }
}
