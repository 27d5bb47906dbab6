//! Tables full of garbage: expired values and tombstones.
//!
//! Nobody reads them, so no score rises for them, and without help they would keep their space for
//! ever. A table is worth cleaning out when half of its entries or more are garbage:
//!
//! - with nothing below its range, it is rewritten where it is, and the garbage is gone;
//! - otherwise it goes one level down, where it meets what its garbage hides.
//!
//! This ends. Going down ends at the bottom. Rewriting in place leaves no expired value (what must
//! still hide something from somebody becomes a tombstone), and is done for tombstones only once
//! every snapshot sees them all, so that all of them vanish. Level 0 is never rewritten in place:
//! its order hangs on the sequence numbers that a rewrite may drop.

use alluvium_base::Seq;
use alluvium_manifest::{Level, TableMeta, Version};

use super::inputs::Growth;
use super::{Moving, Pick, Picker, Reason};

/// How long a level 0 table is left alone, in milliseconds. Under writes it goes soon anyway, with
/// others, for a quarter of the price; without any, its garbage is to go in the end.
const L0_PATIENCE_MS: u64 = 60_000;

/// The first moment after `now_ms`, in milliseconds since the Unix epoch, at which time alone gives
/// [`pick`](super::pick) a new reason: when a worker with nothing to do is to look again.
pub fn next_due_ms(version: &Version, now_ms: u64) -> Option<u64> {
    let reasons = [Reason::Expired, Reason::Tombstones];
    let due = version.tables().flat_map(|(level, table)| {
        reasons.into_iter().filter_map(move |reason| due_ms(reason, level, table))
    });
    due.filter(|&due| due > now_ms).min()
}

/// The first table found that can be cleaned out now, deepest level first: there, garbage is gone
/// for good.
pub(super) fn pick_garbage(
    picker: &Picker<'_>,
    now_ms: u64,
    oldest_snapshot: Option<Seq>,
) -> Option<Pick> {
    for reason in [Reason::Expired, Reason::Tombstones] {
        for level in Level::all().rev() {
            for (seed, table) in picker.version.level(level).iter().enumerate() {
                if due_ms(reason, level, table).is_some_and(|due| due <= now_ms) {
                    let found = clean(picker, reason, level, seed, oldest_snapshot);
                    if found.is_some() {
                        return found;
                    }
                }
            }
        }
    }
    None
}

/// How the table at `seed` is cleaned out, if that can be done now.
fn clean(
    picker: &Picker<'_>,
    reason: Reason,
    level: Level,
    seed: usize,
    oldest_snapshot: Option<Seq>,
) -> Option<Pick> {
    let table = &picker.version.level(level)[seed];
    let inputs = if level == Level::ZERO {
        picker.l0_inputs(seed)?
    } else if picker.has_below(level, &table.smallest, &table.largest) {
        picker.run_inputs(level, seed, Growth::Free)?
    } else {
        // A tombstone that some snapshot does not see stays, and rewriting would not end.
        let all_seen = oldest_snapshot.is_none_or(|oldest| table.largest_seq <= oldest);
        if reason == Reason::Tombstones && !all_seen {
            return None;
        }
        picker.inputs_in_place(level, seed)?
    };
    // Where nothing is left to hide, the garbage goes on arrival, unless the table merely moves.
    let hides_more = picker.has_below(inputs.to, &inputs.smallest, &inputs.largest);
    let moving = if hides_more { Moving::Allowed } else { Moving::Forbidden };
    Some(picker.decide(reason, inputs, moving))
}

/// From when on half of the table's entries count as garbage of this sort; `None` for never.
fn due_ms(reason: Reason, level: Level, table: &TableMeta) -> Option<u64> {
    let due = match reason {
        Reason::Expired => half_expired_ms(table)?,
        Reason::Tombstones => (table.entry_count > 0
            && table.tombstone_count >= table.entry_count.div_ceil(2))
        .then_some(0)?,
        Reason::Size | Reason::L0Files | Reason::Reads | Reason::Manual => return None,
    };
    let patience =
        if level == Level::ZERO { table.created_ms.saturating_add(L0_PATIENCE_MS) } else { 0 };
    Some(due.max(patience))
}

/// When half of all entries have expired, taking expiries as evenly spread between the first and
/// the last. Never before the first: a rewrite always drops something.
fn half_expired_ms(table: &TableMeta) -> Option<u64> {
    let (first, last) = (table.earliest_expiry_ms?, table.latest_expiry_ms?);
    if table.expiring_count == 0 || table.expiring_count < table.entry_count.div_ceil(2) {
        return None;
    }
    let spread = u128::from(last.saturating_sub(first));
    let wait = (spread * u128::from(table.entry_count))
        .div_ceil(2 * u128::from(table.expiring_count))
        .min(spread);
    Some(first + wait as u64)
}

#[cfg(test)]
mod tests;
