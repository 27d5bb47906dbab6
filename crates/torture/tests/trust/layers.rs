//! A short form of every layer: the same cases, fewer of them.

use std::path::PathBuf;

use alluvium_torture::layer::Layer;
use alluvium_torture::run::{Limits, replay, run};
use alluvium_torture::{bytes, crash, fault, history, kill, metamorphic, model, power, threads};

/// Tries `cases` cases from `seed` on; there must be at least `least` of what the layer counts, or
/// the layer has shrunk.
fn short(layer: &Layer, seed: u64, cases: u64, least: u64) {
    let child = PathBuf::from(env!("CARGO_BIN_EXE_torture"));
    let limits = Limits { seed, time: None, cases: Some(cases), jobs: None, only: None, child };
    if let Err(missing) = (layer.needs)() {
        println!("{}: skipped, {missing}", layer.name);
        return;
    }
    let outcome = run(layer, &limits, &|_| {});
    println!("{}: {}", layer.name, outcome.summary());
    if let Some((seed, failure)) = &outcome.failure {
        panic!("{}\n  replay: {}", failure.what, replay(layer, *seed, failure));
    }
    let count = outcome.count(layer.unit);
    assert!(count >= least, "only {count} {}: the layer has shrunk", layer.unit);
}

#[test]
fn a_power_cut_at_any_operation_leaves_a_prefix() {
    short(&crash::LAYER, 0, 4, 25_000);
}

#[test]
fn every_fault_at_every_operation_is_survived() {
    short(&fault::LAYER, 0, 2, 2_000);
}

#[test]
fn random_operations_agree_with_the_oracle() {
    short(&model::LAYER, 0, 40, 800_000);
}

#[test]
fn every_set_of_options_answers_the_same() {
    short(&metamorphic::LAYER, 0, 10, 500_000);
}

#[test]
fn what_threads_do_at_once_has_one_order_that_explains_it() {
    short(&history::LAYER, 0, 40, 5_500);
}

#[test]
fn no_flipped_bit_and_no_truncation_goes_unnoticed() {
    short(&bytes::LAYER, 0, 4, 100_000);
}

#[test]
fn threads_at_once_see_whole_batches_and_lose_nothing() {
    short(&threads::LAYER, 0, 6, 500);
}

#[test]
fn a_process_killed_at_random_loses_nothing_it_acknowledged() {
    short(&kill::LAYER, u64::from(std::process::id()), 2, 20);
}

#[test]
fn a_real_power_cut_loses_nothing_that_was_synced() {
    short(&power::LAYER, u64::from(std::process::id()), 3, 120);
}

#[test]
fn a_real_disk_that_is_full_corrupts_nothing() {
    short(&power::FULL, 0, 3, 6);
}

#[test]
fn a_real_disk_that_fails_loses_nothing_that_was_synced() {
    short(&power::EIO, 0, 3, 12);
}

/// Write-back into fresh blocks failed, and the kernel marked the pages clean. The next process read
/// them, wrote the same bytes over them and synced, with success; the power cut took them all the
/// same: ext4 notes that a fresh block was written when its first write succeeds, and only then.
/// What such pages hold must go into another file.
#[test]
fn what_a_failed_write_back_dropped_is_durable_once_it_was_seen_again() {
    let child = PathBuf::from(env!("CARGO_BIN_EXE_torture"));
    let only = Some(power::OVER_CLEAN_PAGES.to_owned());
    let limits = Limits { seed: 1, time: None, cases: Some(4), jobs: None, only, child };
    if let Err(missing) = (power::EIO.needs)() {
        println!("{}: skipped, {missing}", power::EIO.name);
        return;
    }
    let outcome = run(&power::EIO, &limits, &|_| {});
    println!("{}: {}", power::EIO.name, outcome.summary());
    assert_eq!(outcome.failure.map(|(seed, failure)| (seed, failure.what)), None);
}
