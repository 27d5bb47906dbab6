//! The published figures: `docs/reliability.md` holds a row for each run, and their totals.
//!
//! Rows are only ever added; the totals are worked out anew from them each time, so that nobody has
//! to believe a sum.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use alluvium_base::{Clock, SystemClock};
use anyhow::{Context, Result};

use crate::layer::Layer;
use crate::run::{Limits, Outcome, grouped};

const RUNS_BEGIN: &str = "<!-- runs -->";
const RUNS_END: &str = "<!-- end of runs -->";
const TOTALS_BEGIN: &str = "<!-- totals -->";
const TOTALS_END: &str = "<!-- end of totals -->";
const RUNS_HEAD: &str = "| date | commit | layer | tried | minutes | seed | lost |\n\
                         |---|---|---|---|---:|---:|---|\n";
const TOTALS_HEAD: &str = "| layer | tried in all | minutes | lost |\n|---|---|---:|---:|\n";

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    date: String,
    commit: String,
    layer: String,
    tried: String,
    minutes: String,
    seed: String,
    lost: String,
}

impl Entry {
    /// What a run found.
    pub fn of(layer: &Layer, limits: &Limits, outcome: &Outcome) -> Self {
        let figures = outcome.figures.iter().map(|(unit, n)| format!("{} {unit}", grouped(*n)));
        Self {
            date: date_of(SystemClock::new().now_ms() / 86_400_000),
            commit: commit(),
            layer: layer.name.to_owned(),
            tried: figures.collect::<Vec<_>>().join(", "),
            minutes: format!("{:.1}", outcome.took.as_secs_f64() / 60.0),
            seed: limits.seed.to_string(),
            lost: outcome
                .failure
                .as_ref()
                .map_or("nothing".to_owned(), |(seed, _)| format!("**a failure at seed {seed}**")),
        }
    }

    /// What another program found, such as the fuzzers.
    pub fn noted(layer: &str, tried: &str, minutes: f64, seed: u64, findings: u64) -> Self {
        Self {
            date: date_of(SystemClock::new().now_ms() / 86_400_000),
            commit: commit(),
            layer: layer.to_owned(),
            tried: tried.to_owned(),
            minutes: format!("{minutes:.1}"),
            seed: seed.to_string(),
            lost: match findings {
                0 => "nothing".to_owned(),
                findings => format!("**{findings} findings**"),
            },
        }
    }

    fn row(&self) -> String {
        let Self { date, commit, layer, tried, minutes, seed, lost } = self;
        format!("| {date} | {commit} | {layer} | {tried} | {minutes} | {seed} | {lost} |\n")
    }

    fn parse(row: &str) -> Option<Self> {
        let cells: Vec<_> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [date, commit, layer, tried, minutes, seed, lost] = cells[..] else { return None };
        let owned = |text: &str| text.to_owned();
        Some(Self {
            date: owned(date),
            commit: owned(commit),
            layer: owned(layer),
            tried: owned(tried),
            minutes: owned(minutes),
            seed: owned(seed),
            lost: owned(lost),
        })
    }
}

/// Adds a row to the table in the file at `path`, and works out the totals.
pub fn add(path: &Path, entry: &Entry) -> Result<()> {
    rewrite(path, |page| with_entry(page, entry))
}

/// Replaces what stands between `begin` and `end` in the file at `path`.
pub fn replace(path: &Path, begin: &str, end: &str, text: &str) -> Result<()> {
    rewrite(path, |page| with_between(page, begin, end, text))
}

#[allow(clippy::disallowed_methods, reason = "a page of documentation, not a database's file")]
fn rewrite(path: &Path, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let page =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    std::fs::write(path, change(&page)?).with_context(|| format!("writing {}", path.display()))
}

/// The page with one more row.
fn with_entry(page: &str, entry: &Entry) -> Result<String> {
    let runs = between(page, RUNS_BEGIN, RUNS_END)?;
    let mut entries: Vec<_> = runs.lines().skip(3).filter_map(Entry::parse).collect();
    entries.push(entry.clone());
    let rows: String = entries.iter().map(Entry::row).collect();
    let page = with_between(page, RUNS_BEGIN, RUNS_END, &format!("{RUNS_HEAD}{rows}"))?;
    let totals = format!("{TOTALS_HEAD}{}", totals_of(&entries));
    with_between(&page, TOTALS_BEGIN, TOTALS_END, &totals)
}

/// The page with `text` between `begin` and `end`, whatever stood there.
fn with_between(page: &str, begin: &str, end: &str, text: &str) -> Result<String> {
    // By its markers: what stands there may be an empty line, of which there are others.
    let old = between(page, begin, end)?;
    Ok(page.replacen(&format!("{begin}{old}{end}"), &format!("{begin}\n{text}{end}"), 1))
}

fn between<'a>(page: &'a str, begin: &str, end: &str) -> Result<&'a str> {
    let (_, rest) = page.split_once(begin).with_context(|| format!("{begin} is missing"))?;
    let (inside, _) = rest.split_once(end).with_context(|| format!("{end} is missing"))?;
    Ok(inside)
}

/// A row for each layer: every unit summed up.
fn totals_of(entries: &[Entry]) -> String {
    let mut rows = String::new();
    let mut layers: Vec<&str> = Vec::new();
    for entry in entries {
        if !layers.contains(&&*entry.layer) {
            layers.push(&entry.layer);
        }
    }
    for layer in layers {
        let (mut sums, mut minutes, mut failures) = (BTreeMap::new(), 0.0, 0);
        for entry in entries.iter().filter(|entry| entry.layer == layer) {
            // Within a number the comma has no space behind it.
            for figure in entry.tried.split(", ") {
                if let Some((number, unit)) = figure.split_once(' ') {
                    let number: u64 = number.replace(',', "").parse().unwrap_or_default();
                    *sums.entry(unit).or_insert(0) += number;
                }
            }
            minutes += entry.minutes.parse::<f64>().unwrap_or_default();
            failures += u64::from(entry.lost != "nothing");
        }
        let sums = sums.iter().map(|(unit, n)| format!("{} {unit}", grouped(*n)));
        let sums = sums.collect::<Vec<_>>().join(", ");
        writeln!(rows, "| {layer} | {sums} | {minutes:.1} | {failures} |")
            .expect("text takes everything");
    }
    rows
}

/// The commit that is checked out, with a plus if files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "crates"]);
    if changed.is_some_and(|changed| !changed.is_empty()) { commit + "+" } else { commit }
}

/// The date of a day since 1970, as 2026-11-21 (H. Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn date_of(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(layer: &str, tried: &str, lost: &str) -> Entry {
        Entry {
            date: "2026-11-21".to_owned(),
            commit: "abc".to_owned(),
            layer: layer.to_owned(),
            tried: tried.to_owned(),
            minutes: "1.5".to_owned(),
            seed: "7".to_owned(),
            lost: lost.to_owned(),
        }
    }

    #[test]
    fn rows_are_added_and_totals_are_their_sums() {
        let page =
            format!("# A\n{TOTALS_BEGIN}\n{TOTALS_END}\ntext\n{RUNS_BEGIN}\n{RUNS_END}\nend\n");
        let page = with_entry(&page, &entry("crash", "1,200 images", "nothing")).unwrap();
        let page = with_entry(&page, &entry("kill", "10 kills, 5 writes", "nothing")).unwrap();
        let page = with_entry(&page, &entry("crash", "900 images", "**no**")).unwrap();
        assert!(page.contains("| crash | 2,100 images | 3.0 | 1 |\n"), "{page}");
        assert!(page.contains("| kill | 10 kills, 5 writes | 1.5 | 0 |\n"), "{page}");
        assert_eq!(page.matches("2026-11-21").count(), 3);
        assert!(page.ends_with("end\n"));
    }

    #[test]
    fn days_become_dates() {
        assert_eq!(date_of(0), "1970-01-01");
        assert_eq!(date_of(11_016), "2000-02-29");
        assert_eq!(date_of(20_778), "2026-11-21");
    }
}
