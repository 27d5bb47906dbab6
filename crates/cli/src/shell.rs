//! The shell: commands typed at a prompt, or piped in.
//!
//! ```text
//!   terminal ──► prompt, history, completion ──┐
//!                                              ├─► parse ──► session ──► output
//!   pipe ──────► one line after another ───────┘
//! ```
//!
//! At a prompt an error is told and the next line asked for. From a pipe the first error ends the
//! run with its exit code: what comes after it was meant for another state of things.

mod completion;
mod parse;
mod session;
mod terminal;

use std::io::{self, BufRead, BufReader, IsTerminal, Read};

use anyhow::{Context, Result};

use self::session::{Next, Session};
use crate::database::Target;
use crate::failure;
use crate::output::Output;

/// Longest line from a pipe, in bytes: the greatest value, every byte written as `\xNN`.
const MAX_LINE: u64 = 1 << 30;

/// Runs the shell until it is left.
pub(crate) fn run(target: &Target, output: &mut Output) -> Result<()> {
    let is_interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut session = Session::open(target)?;
    let outcome = if is_interactive {
        terminal::run(&mut session, output)
    } else {
        run_piped(&mut session, output)
    };
    let closed = session.close();
    outcome.and(closed)
}

fn run_piped(session: &mut Session, output: &mut Output) -> Result<()> {
    let mut input = BufReader::with_capacity(64 << 10, io::stdin().lock());
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        number += 1;
        let len = (&mut input)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .context("cannot read the commands")?;
        if len == 0 {
            return Ok(());
        }
        if len as u64 == MAX_LINE && line.last() != Some(&b'\n') {
            return Err(failure::usage(format!("line {number} is longer than 1 GiB")));
        }
        let outcome = session.execute(&line, output);
        // Whoever sends one command and waits for its answer must get it.
        if input.buffer().is_empty() || outcome.is_err() {
            output.finish()?;
        }
        match outcome {
            Ok(Next::Line) => {}
            Ok(Next::Leave) => return Ok(()),
            Err(error) if failure::is_closed_pipe(&error) => return Err(error),
            Err(error) => return Err(error.context(format!("line {number}"))),
        }
    }
}
