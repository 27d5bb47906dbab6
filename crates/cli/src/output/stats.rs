//! The figures of a database, as tables for people or as JSON.

use std::io::Write;

use alluvium::{KeyspaceStats, MemoryStats, StallCause, Stats};
use anyhow::Result;
use comfy_table::Table;

use super::Output;
use super::size::{Count, Size, counted};
use super::table::of_numbers;

/// Writes all of `stats`.
pub(crate) fn write(stats: &Stats, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.json(stats);
    }
    for keyspace in &stats.keyspaces {
        write_keyspace(keyspace, output)?;
    }
    writeln!(output, "{}", whole_database(stats))?;
    if let Some(cause) = &stats.poisoned {
        writeln!(output, "writes are refused: {cause}")?;
    }
    if let Some(failure) = &stats.background_failure {
        writeln!(output, "background work fails: {failure}")?;
    }
    Ok(())
}

fn write_keyspace(keyspace: &KeyspaceStats, output: &mut Output) -> Result<()> {
    writeln!(
        output,
        "keyspace {}: {} in {}, {} of tables, {} of index and filters in memory",
        keyspace.name,
        Size(keyspace.memtable_bytes),
        counted(keyspace.memtables as u64, "memtable"),
        Size(keyspace.table_bytes),
        Size(keyspace.index_and_filter_bytes),
    )?;
    writeln!(
        output,
        "  read amplification {}, space amplification {:.2}, compaction debt {}",
        keyspace.read_amplification,
        keyspace.space_amplification,
        Size(keyspace.compaction_debt_bytes),
    )?;
    if keyspace.table_bytes > 0 {
        writeln!(output, "{}", levels(keyspace))?;
    }
    Ok(())
}

fn levels(keyspace: &KeyspaceStats) -> Table {
    let mut table = of_numbers(["level", "tables", "entries", "size", "target", "score"]);
    for level in keyspace.levels.iter().filter(|level| !level.tables.is_empty()) {
        let target = match level.target_bytes {
            0 => "-".to_owned(),
            bytes => Size(bytes).to_string(),
        };
        table.add_row([
            format!("L{}", level.level),
            Count(level.tables.len() as u64).to_string(),
            Count(level.entries).to_string(),
            Size(level.bytes).to_string(),
            target,
            format!("{:.2}", level.score),
        ]);
    }
    table
}

fn whole_database(stats: &Stats) -> Table {
    let Stats { writes, log, cache, .. } = stats;
    let mut table = of_numbers(["since it was opened", ""]);
    let looked_up = cache.hits + cache.misses;
    let hit_percent = if looked_up == 0 {
        "-".to_owned()
    } else {
        format!("{:.1} %", 100.0 * cache.hits as f64 / looked_up as f64)
    };
    let rows = [
        ("entries written", Count(writes.entries).to_string()),
        ("batches written", Count(writes.batches).to_string()),
        ("bytes written by the user", Size(writes.user_bytes).to_string()),
        ("bytes written by flushes", Size(writes.flushed_bytes).to_string()),
        ("bytes written by compactions", Size(writes.compacted_bytes).to_string()),
        ("write amplification", format!("{:.2}", writes.amplification)),
        ("log", format!("{}, {}", log.mode, counted(log.segments as u64, "segment"))),
        ("log size", Size(log.live_bytes).to_string()),
        ("log syncs", Count(log.syncs).to_string()),
        ("memory held", memory_held(&stats.memory)),
        ("cache used", format!("{} of {}", Size(cache.used_bytes), Size(cache.budget_bytes))),
        ("cache hits", hit_percent),
        ("snapshots held", Count(stats.snapshots as u64).to_string()),
    ];
    for (name, figure) in rows {
        table.add_row([name.to_owned(), figure]);
    }
    for stall in stats.stalls.iter().filter(|stall| stall.writes > 0) {
        let held = format!("{} for {} ms", counted(stall.writes, "write"), stall.micros / 1000);
        table.add_row([format!("held back by {}", cause(stall.cause)), held]);
    }
    table
}

fn memory_held(memory: &MemoryStats) -> String {
    let held = Size(memory.held_bytes());
    memory.budget_bytes.map_or(held.to_string(), |budget| format!("{held} of {}", Size(budget)))
}

fn cause(cause: StallCause) -> &'static str {
    match cause {
        StallCause::Memtables => "full memtables",
        StallCause::L0Tables => "tables in L0",
        StallCause::Debt => "compaction debt",
        StallCause::Sync => "syncs of others",
    }
}
