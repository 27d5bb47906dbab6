//! The levels of a keyspace, drawn: each table is a box over the keys it holds.
//!
//! ```text
//! default: 5 tables, 9.4 MiB
//! L0  score 0.50, 2 tables, 1.2 MiB
//!     ┌─────────────────────────────┐
//!     │        12 · 0.6 MiB         │          L0 overlaps: a row for each table
//!     └─────────────────────────────┘
//!        ┌───────────────────────────┐
//!        │       11 · 0.6 MiB        │
//!        └───────────────────────────┘
//! L6  score 0.00, 3 tables, 8.2 MiB
//!     ┌──────────┐┌────────┐┌───────┐
//!     │ 7 · 2.9… ││ 8      ││ 9     │          one sorted run: one row
//!     └──────────┘└────────┘└───────┘
//!     aardvark                  zygote
//! ```
//!
//! The axis is the order of all first and last keys, each one step from the next: what is beside,
//! above and between is true, lengths are not. A level with more tables than fit as boxes becomes a
//! line of shades that tell how many tables lie there.

mod axis;
mod boxes;

use std::io::Write;

use alluvium::{KeyspaceStats, LevelStats, Stats};
use anyhow::Result;

use self::axis::Axis;
use super::Output;
use super::size::{Size, counted};
use super::table::terminal_width;
use crate::notation::Shown;

/// Columns left of the drawing, for the levels' names.
const MARGIN: usize = 4;
/// Rows of boxes that L0 may take before its tables are summed up.
const MOST_L0_ROWS: usize = 8;

/// Draws every keyspace of `stats`, as wide as the terminal unless `width` is given.
pub(crate) fn write(stats: &Stats, width: Option<u16>, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.json(&stats.keyspaces);
    }
    let width = usize::from(width.unwrap_or_else(terminal_width)).max(40);
    for keyspace in &stats.keyspaces {
        for line in draw(keyspace, width) {
            writeln!(output, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

/// The lines of one keyspace, none wider than `width`.
fn draw(keyspace: &KeyspaceStats, width: usize) -> Vec<String> {
    let tables: usize = keyspace.levels.iter().map(|level| level.tables.len()).sum();
    let mut lines = vec![format!(
        "{}: {}, {}, and {} in {}",
        Shown::key(keyspace.name.as_bytes()),
        counted(tables as u64, "table"),
        Size(keyspace.table_bytes),
        Size(keyspace.memtable_bytes),
        counted(keyspace.memtables as u64, "memtable"),
    )];
    if tables == 0 {
        return lines;
    }
    let axis = Axis::of(keyspace, width - MARGIN);
    for level in keyspace.levels.iter().filter(|level| !level.tables.is_empty()) {
        lines.push(title(level));
        let drawn = draw_level(level, &axis);
        lines.extend(drawn.into_iter().map(|line| format!("{:MARGIN$}{line}", "")));
    }
    lines.push(format!("{:MARGIN$}{}", "", axis.labels()));
    lines
}

fn title(level: &LevelStats) -> String {
    let target = match level.target_bytes {
        0 => String::new(),
        bytes => format!(" of {}", Size(bytes)),
    };
    format!(
        "{:MARGIN$}score {:.2}, {}, {}{target}",
        format!("L{}", level.level),
        level.score,
        counted(level.tables.len() as u64, "table"),
        Size(level.bytes),
    )
}

fn draw_level(level: &LevelStats, axis: &Axis) -> Vec<String> {
    if level.level > 0 {
        return boxes::row(&level.tables, axis)
            .unwrap_or_else(|| vec![boxes::shades(&level.tables, axis)]);
    }
    let each_fits = level.tables.len() <= MOST_L0_ROWS;
    let rows = each_fits.then(|| {
        level.tables.chunks(1).map(|table| boxes::row(table, axis)).collect::<Option<Vec<_>>>()
    });
    match rows.flatten() {
        Some(rows) => rows.concat(),
        None => vec![boxes::shades(&level.tables, axis)],
    }
}

#[cfg(test)]
mod tests;
