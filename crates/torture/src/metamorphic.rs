//! The metamorphic test: what cannot matter does not, for any set of options.
//!
//! ```text
//!   seed ─► actions ─┬─► the plainest set, done plainly ──► answers ─┐
//!                    ├─► another set, done restlessly ────► answers ─┤ all the same,
//!                    ├─► another set, done roundabout ────► answers ─┤ one by one?
//!                    └─► … every set …                               ┘
//! ```
//!
//! The same actions are played on a database of each set of options, by players whose habits differ
//! ([`crate::model::player`]): some flush, compact and reopen when nobody asked for it, some read
//! backwards, in pieces or through snapshots. No oracle takes part, so nothing that an oracle might
//! have wrong in the same way is believed. Power is cut only when everything is durable, so that the
//! answer does not depend on luck.
//!
//! Answers are kept as digests; the first difference is played again to show both sides.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::layer::{Case, Failure, Layer, Threads, needs_nothing};
use crate::model::action::{Action, Actions, Answer, Cuts};
use crate::model::player::{Habits, Player};
use crate::option_sets::{self, OptionSet};
use crate::run::said_by;

/// What is counted.
const OPERATIONS: &str = "operations compared";
/// How many databases that took.
const DATABASES: &str = "databases";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "metamorphic",
    what: "the same operations under every set of options, done plainly, restlessly and in \
           roundabout ways, give the same answers",
    unit: OPERATIONS,
    case,
    threads: Threads::AllCores,
    needs: needs_nothing,
};

/// Actions of one case, for each set.
const CASE_ACTIONS: usize = 1_500;

/// Someone who plays the actions.
#[derive(Clone, Debug)]
struct Seat {
    set: OptionSet,
    habits: Habits,
}

impl Seat {
    /// As `--only` takes it, and people read it.
    fn name(&self) -> String {
        format!("{}-{:?}", self.set.name.replace([' ', ','], "-"), self.habits).to_lowercase()
    }

    fn player(&self, seed: u64) -> Player {
        Player::new(seed, self.set.clone(), self.habits)
    }
}

/// The plainest set played plainly, and all others; habits go round from seed to seed.
fn seats(seed: u64) -> (Seat, Vec<Seat>) {
    const HABITS: [Habits; 3] = [Habits::Plain, Habits::Restless, Habits::Roundabout];
    let sets = option_sets::all();
    let first = Seat { set: sets[0].clone(), habits: Habits::Plain };
    let also = [Habits::Restless, Habits::Roundabout];
    let mut others = also.map(|habits| Seat { habits, ..first.clone() }).to_vec();
    others.extend(
        sets.into_iter()
            .skip(1)
            .zip(seed..)
            .map(|(set, turn)| Seat { set, habits: HABITS[(turn % 3) as usize] }),
    );
    (first, others)
}

/// Everything but the turns of background threads follows from the seed.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let actions: Vec<_> = Actions::new(case.seed, Cuts::OnceDurable).take(CASE_ACTIONS).collect();
    let (first, others) = seats(case.seed);
    let mut digests = Vec::with_capacity(actions.len());
    let mut player = first.player(case.seed);
    for (step, action) in actions.iter().enumerate() {
        let answer = play(&mut player, action).map_err(|what| {
            Failure::from(format!("{what}\n  at step {step}, {}: {action:?}", first.name()))
        })?;
        digests.push(answer.digest());
    }
    case.count(DATABASES, 1);
    for other in others.iter().filter(|other| case.wants(&other.name())) {
        if case.is_over() {
            break;
        }
        let compared = compare(case.seed, other, &actions, &digests);
        compared.map_err(|(step, answer)| {
            Failure::of(
                other.name(),
                describe(case.seed, &first, other, &actions[..=step], &answer),
            )
        })?;
        case.count(OPERATIONS, actions.len() as u64);
        case.count(DATABASES, 1);
    }
    Ok(())
}

/// Carries out an action; an error is what it panicked with.
fn play(player: &mut Player, action: &Action) -> Result<Answer, String> {
    catch_unwind(AssertUnwindSafe(|| player.play(action))).map_err(|panic| said_by(&*panic))
}

/// The first step whose answer has another digest, and the answer.
fn compare(
    seed: u64,
    seat: &Seat,
    actions: &[Action],
    digests: &[u64],
) -> Result<(), (usize, String)> {
    let mut player = seat.player(seed);
    for (step, (action, digest)) in actions.iter().zip(digests).enumerate() {
        let answer = play(&mut player, action).map_err(|panic| (step, panic))?;
        if answer.digest() != *digest {
            return Err((step, format!("{answer:?}")));
        }
    }
    Ok(())
}

/// Both sides of the last of these actions, and what led up to it.
fn describe(seed: u64, first: &Seat, other: &Seat, actions: &[Action], answer: &str) -> String {
    let mut player = first.player(seed);
    let answers = actions.iter().map(|action| play(&mut player, action));
    let expected = answers.last().map_or_else(String::new, |answer| format!("{answer:?}"));
    let step = actions.len() - 1;
    format!(
        "two sets of options differ at step {step}: {:?}\n  {}: {expected}\n  {}: {answer}",
        actions[step],
        first.name(),
        other.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_played_with_every_habit_before_long() {
        let played = |seed| seats(seed).1.into_iter().map(|seat| seat.name()).collect::<Vec<_>>();
        let mut names: Vec<_> = (0..3).flat_map(played).collect();
        names.sort();
        names.dedup();
        // The first set's plain player is who the others are compared with.
        assert_eq!(names.len(), option_sets::all().len() * 3 - 1);
    }
}
