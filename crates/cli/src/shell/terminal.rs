//! The shell at a terminal: prompt, history, completion.
//!
//! The history is kept in `~/.alluvium_history`, readable by its owner alone. Ctrl-C gives up the
//! line, Ctrl-D leaves.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use rustyline::Config;
use rustyline::Editor;
use rustyline::config::CompletionType;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;

use super::completion::Completion;
use super::session::{Next, Session};
use crate::failure;
use crate::notation::Shown;
use crate::output::Output;

const HISTORY_FILE: &str = ".alluvium_history";
const HISTORY_LINES: usize = 10_000;

/// Asks for lines and does what they say until the shell is left.
pub(crate) fn run(session: &mut Session, output: &mut Output) -> Result<()> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)?
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .build();
    let mut editor: Editor<Completion, DefaultHistory> = Editor::with_config(config)?;
    let history = history_file();
    if let Some(history) = &history {
        // The first time there is none.
        drop(editor.load_history(history));
    }
    writeln!(
        output,
        "Alluvium {} on {}",
        env!("CARGO_PKG_VERSION"),
        session.db().path().display()
    )?;
    writeln!(output, "`help` lists the commands, Tab completes, Ctrl-D leaves.")?;
    let outcome = converse(&mut editor, session, output);
    if let Some(history) = &history
        && let Err(error) = editor.save_history(history)
    {
        failure::say(format_args!("note: the history could not be saved: {error}"));
    }
    outcome
}

fn converse(
    editor: &mut Editor<Completion, DefaultHistory>,
    session: &mut Session,
    output: &mut Output,
) -> Result<()> {
    loop {
        output.finish()?;
        editor.set_helper(Some(Completion::of(session)));
        let line = match editor.readline(&prompt(session)) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match session.execute(line.as_bytes(), output) {
            Ok(Next::Line) => {}
            Ok(Next::Leave) => return Ok(()),
            Err(error) if failure::is_closed_pipe(&error) => return Err(error),
            Err(error) => {
                output.finish()?;
                failure::say(format_args!("error: {}", failure::message(&error)));
            }
        }
    }
}

/// `alluvium> ` in the default keyspace, `alluvium:users> ` in another.
fn prompt(session: &Session) -> String {
    match session.name() {
        alluvium::DEFAULT_KEYSPACE => "alluvium> ".to_owned(),
        name => format!("alluvium:{}> ", Shown::key(name.as_bytes())),
    }
}

fn history_file() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(HISTORY_FILE))
}
