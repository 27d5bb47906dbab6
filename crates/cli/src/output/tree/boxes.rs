//! Tables as boxes with their number and size inside, or as shades when they are too many.

use alluvium::TableStats;

use super::axis::Axis;
use crate::output::size::{Size, counted};

/// Narrowest box: two corners and a column between.
const LEAST_BOX: usize = 3;

/// The three lines of one row of boxes; `None` when one of them would be too narrow or they would
/// cover each other.
pub(super) fn row(tables: &[TableStats], axis: &Axis<'_>) -> Option<Vec<String>> {
    let [mut top, mut middle, mut bottom] = [const { String::new() }; 3];
    let mut at = 0;
    for table in tables {
        let (start, end) = axis.span(table);
        if start < at || end - start < LEAST_BOX {
            return None;
        }
        let (gap, inside) = (start - at, end - start - 2);
        top += &[" ".repeat(gap), "┌".into(), "─".repeat(inside), "┐".into()].concat();
        middle += &[" ".repeat(gap), "│".into(), label(table, inside), "│".into()].concat();
        bottom += &[" ".repeat(gap), "└".into(), "─".repeat(inside), "┘".into()].concat();
        at = end;
    }
    Some(vec![top, middle, bottom])
}

/// As much about the table as fits, in the middle of so many columns.
fn label(table: &TableStats, columns: usize) -> String {
    let number = table.number.to_string();
    let candidates = [
        format!(" {number} · {} · {} ", Size(table.bytes), counted(table.entries, "entry")),
        format!(" {number} · {} ", Size(table.bytes)),
        format!("{number} · {}", Size(table.bytes)),
        number,
    ];
    let fits = |label: &String| label.chars().count() <= columns;
    let label = candidates.into_iter().find(fits).unwrap_or_default();
    format!("{label:^columns$}")
}

/// One line: the darker a column, the more tables lie there.
pub(super) fn shades(tables: &[TableStats], axis: &Axis<'_>) -> String {
    let mut depth = vec![0_usize; axis.columns()];
    for table in tables {
        let (start, end) = axis.span(table);
        depth[start..end].iter_mut().for_each(|count| *count += 1);
    }
    depth.into_iter().map(shade).collect()
}

fn shade(tables: usize) -> char {
    match tables {
        0 => ' ',
        1 => '░',
        2..=3 => '▒',
        4..=7 => '▓',
        8.. => '█',
    }
}
