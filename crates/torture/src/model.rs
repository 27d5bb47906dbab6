//! The model test: random actions, each answer compared with an oracle's.
//!
//! ```text
//!   seed ─► actions ─┬─► player: a database ─► answer ──┐
//!                    └─► reference: the oracle ─► answer ┴─► the same?
//! ```
//!
//! [`action`] makes actions from a seed: testkit's operations, and those that it does not know.
//! [`player`] carries them out, [`oracle`] knows what must come of it. [`crate::metamorphic`]
//! compares players with each other instead.

pub mod action;
pub mod oracle;
pub mod player;
mod point;
mod roundabout;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::layer::{Case, Failure, Layer, Threads, needs_nothing};
use crate::option_sets::{self, OptionSet};
use crate::run::said_by;
use action::{Actions, Cuts};
use oracle::Reference;
use player::{Habits, Player};

/// What is counted.
pub const OPERATIONS: &str = "operations checked";

/// The layer.
pub const LAYER: Layer = Layer {
    name: "model",
    what: "random operations on every public method, with reopens, kills and power cuts, each \
           answer compared with an oracle's",
    unit: OPERATIONS,
    case,
    threads: Threads::AllCores,
    needs: needs_nothing,
};

/// Actions of one case.
const CASE_ACTIONS: usize = 20_000;
/// So many are counted at a time.
const COUNTED: u64 = 500;

/// The seed chooses the set of options and every action.
fn case(case: &Case<'_>) -> Result<(), Failure> {
    let sets = option_sets::all();
    run(case, &sets[(case.seed % sets.len() as u64) as usize])
}

/// Plays the actions of the case.
fn run(case: &Case<'_>, set: &OptionSet) -> Result<(), Failure> {
    let mut player = Player::new(case.seed, set.clone(), Habits::Plain);
    let mut reference = Reference::new(player.clock().clone());
    let mut counted = 0;
    for (step, action) in Actions::new(case.seed, Cuts::Anywhere).take(CASE_ACTIONS).enumerate() {
        let compared = catch_unwind(AssertUnwindSafe(|| {
            let found = player.play(&action);
            let expected = reference.expect(&action, &found)?;
            if found == expected {
                return Ok(());
            }
            Err(format!("the answer is {found:?}\n  and should be {expected:?}"))
        }));
        // What panicked said so itself; this says where it was.
        let compared = compared.unwrap_or_else(|panic| Err(said_by(&*panic)));
        compared.map_err(|what| {
            Failure::from(format!("{what}\n  at step {step}, with {}: {action:?}", set.name))
        })?;
        counted += 1;
        if counted == COUNTED {
            case.count(OPERATIONS, std::mem::take(&mut counted));
            if case.is_over() {
                break;
            }
        }
    }
    case.count(OPERATIONS, counted);
    Ok(())
}
