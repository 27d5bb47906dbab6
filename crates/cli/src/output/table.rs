//! Tables of text, all in one style.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};

/// Width for output that goes to no terminal, in columns.
const WIDTH_WITHOUT_TERMINAL: u16 = 100;

/// A table with these headings; all columns but the first hold numbers and stand to the right.
pub(crate) fn of_numbers<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Width of the terminal that standard output is, of what `COLUMNS` says, or a fixed one.
pub(crate) fn terminal_width() -> u16 {
    let from_environment = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    Table::new().width().or(from_environment).unwrap_or(WIDTH_WITHOUT_TERMINAL)
}
