//! Thousands of random steps on trees without a disk: flushes, snapshots, expiry, and up to four
//! compactions at once that are committed in any order. After each, every reader must find what
//! history says.

mod model;

use alluvium_base::Seq;
use alluvium_manifest::Version;
use alluvium_testkit::Choices;

use crate::{CompactionOptions, ManualRange};
use model::{Model, Workload};

/// Small enough that a few hundred entries fill several levels.
fn small_options() -> CompactionOptions {
    CompactionOptions {
        l0_trigger: 4,
        level_base_bytes: 1_000,
        level_multiplier: 3,
        target_file_size: 250,
        max_compaction_bytes: 4_000,
    }
}

fn workload(seed: u64) -> Workload {
    Workload {
        keys: [30, 300, 3_000][seed as usize % 3],
        is_sequential: seed % 7 == 6,
        delete_percent: [0, 10, 60][(seed / 3) as usize % 3],
        expiring_percent: [0, 30, 100][(seed / 9) as usize % 3],
    }
}

/// `SEEDS=5000 cargo test -p alluvium-compaction --release` for the long form.
fn seed_count() -> u64 {
    std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(27)
}

fn step(model: &mut Model) {
    match model.random.below(16) {
        0..=2 => {
            let count = 1 + model.random.below(40);
            model.flush(count);
        }
        3 if model.snapshots.len() < 4 => model.snapshot(),
        4 if !model.snapshots.is_empty() => {
            let at = model.random.below(model.snapshots.len() as u64) as usize;
            model.snapshots.swap_remove(at);
        }
        5 => model.now_ms += model.random.below(40_000),
        6 => model.now_ms += model.random.below(100),
        7..=11 if model.running.len() < 4 => {
            if let Some(pick) = model.pick() {
                model.start(pick);
            }
        }
        12 if model.running.len() < 4 => {
            let (a, b) = (model.random.below(3_000) as u32, model.random.below(3_000) as u32);
            let (start, end) = (a.min(b).to_be_bytes(), a.max(b).to_be_bytes());
            let range = ManualRange {
                start: model.random.chance(3, 4).then_some(&start[..]),
                end: model.random.chance(3, 4).then_some(&end[..]),
                done_before: model.next_number(),
                written_by: model.last_seq(),
            };
            if let Some(pick) = model.pick_manual(&range) {
                model.start(pick);
            }
        }
        _ if !model.running.is_empty() => {
            let at = model.random.below(model.running.len() as u64) as usize;
            model.commit(at);
            model.check_reads(11);
        }
        _ => {}
    }
}

#[test]
fn compactions_at_once_never_conflict_and_never_change_an_answer() {
    for seed in 0..seed_count() {
        println!("seed {seed}: {:?}", workload(seed));
        let mut model = Model::new(seed, small_options(), workload(seed));
        for _ in 0..1_000 {
            step(&mut model);
        }
        model.check_reads(1);
        let picks = model.drain();
        model.check_reads(1);
        println!(
            "  {picks} picks to drain, {} bytes flushed, {} compacted\n{}",
            model.flushed_bytes,
            model.compacted_bytes,
            shape(&model.version)
        );
    }
}

/// After a full compaction without snapshots, exactly the live keys are left, once each, with
/// nothing to tell their age.
#[test]
fn a_manual_compaction_ends_and_leaves_only_what_lives() {
    for seed in 0..27 {
        println!("seed {seed}: {:?}", workload(seed));
        let mut model = Model::new(seed, small_options(), workload(seed));
        for _ in 0..400 {
            step(&mut model);
        }
        model.snapshots.clear();
        while !model.running.is_empty() {
            model.commit(0);
        }
        let range = ManualRange {
            start: None,
            end: None,
            done_before: model.next_number(),
            written_by: model.last_seq(),
        };
        let mut steps = 0;
        while let Some(pick) = model.pick_manual(&range) {
            model.run(pick);
            steps += 1;
            assert!(steps < 5_000, "no end\n{}", model.version);
        }
        model.check_reads(1);
        let (entries, live_keys) = model.entries_and_live_keys();
        assert_eq!(entries.len(), live_keys);
        assert!(entries.iter().all(|entry| entry.seq == Seq::ZERO));
    }
}

/// A manual compaction is over once what was there is at the bottom, though writes go on.
#[test]
fn a_manual_compaction_does_not_chase_later_writes() {
    for seed in [0, 1, 2, 6] {
        println!("seed {seed}");
        let mut model = Model::new(seed, small_options(), workload(seed));
        for _ in 0..60 {
            model.flush(30);
            while let Some(pick) = model.pick() {
                model.run(pick);
            }
        }
        let range = ManualRange {
            start: None,
            end: None,
            done_before: model.next_number(),
            written_by: model.last_seq(),
        };
        let mut steps = 0;
        while let Some(pick) = model.pick_manual(&range) {
            model.run(pick);
            steps += 1;
            assert!(steps < 2_000, "no end\n{}", model.version);
            model.flush(30);
            if let Some(pick) = model.pick() {
                model.run(pick);
            }
        }
        model.check_reads(1);
    }
}

/// Everything that expires is reclaimed by time alone, tombstones and all.
#[test]
fn a_tree_of_expired_values_empties_itself() {
    let all_expire =
        Workload { keys: 500, is_sequential: false, delete_percent: 0, expiring_percent: 100 };
    let mut model = Model::new(1, small_options(), all_expire);
    for _ in 0..50 {
        model.flush(40);
        model.drain();
    }
    assert!(model.version.total_bytes() > 0);
    model.snapshot();
    model.now_ms += 1_000_000;
    model.drain();
    assert!(model.version.total_bytes() > 0, "the snapshot still reads it");
    model.snapshots.clear();
    model.drain();
    assert_eq!(model.version.table_count(), 0, "{}", model.version);
}

/// The figure to watch when the rules of picking change.
#[test]
fn write_amplification_of_a_random_load_stays_in_bounds() {
    for (name, is_sequential, most) in [("random", false, 12.0), ("sequential", true, 0.01)] {
        let workload =
            Workload { keys: 40_000, is_sequential, delete_percent: 0, expiring_percent: 0 };
        let options = CompactionOptions {
            l0_trigger: 4,
            level_base_bytes: 24 * 1_024,
            level_multiplier: 10,
            target_file_size: 24 * 256,
            max_compaction_bytes: 25 * 24 * 256,
        };
        let mut model = Model::new(7, options, workload);
        for _ in 0..400 {
            model.flush(256);
            while let Some(pick) = model.pick() {
                model.run(pick);
            }
        }
        let amplification = model.compacted_bytes as f64 / model.flushed_bytes as f64;
        println!("{name}: compaction wrote {amplification:.2} bytes per byte flushed");
        println!("{}", shape(&model.version));
        assert!(amplification < most, "{name}: {amplification}");
    }
}

fn shape(version: &Version) -> String {
    let levels = version.levels().filter(|(_, tables)| !tables.is_empty());
    let line = levels.map(|(level, tables)| {
        format!("  {level}: {} tables, {} bytes", tables.len(), version.level_bytes(level))
    });
    line.collect::<Vec<_>>().join("\n")
}
