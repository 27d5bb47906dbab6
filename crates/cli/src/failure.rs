//! What went wrong, as a message for a person and an exit code for a script.
//!
//! | code | meaning |
//! |---:|---|
//! | 0 | it worked, or nobody reads the output any more |
//! | 1 | it failed: the message says why |
//! | 2 | the call makes no sense: the message says what would |
//! | 3 | the key has no value |
//! | 4 | a file is damaged: the message names file and offset |

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use alluvium::ErrorKind;

/// A failure that is the command's own, not the engine's.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call makes no sense.
    Usage(String),
    /// The key has no value.
    KeyMissing(String),
    /// What was to be imported makes no sense.
    Data(String),
    /// Files are damaged.
    Damaged(String),
    /// A repair could not save all, or cannot be sure of it.
    Incomplete(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message)
            | Self::KeyMissing(message)
            | Self::Data(message)
            | Self::Damaged(message)
            | Self::Incomplete(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

/// A call that makes no sense; `message` says what would.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Failure::Usage(message.into()).into()
}

/// Says what went wrong on standard error; answers the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    say(format_args!("error: {}", message(error)));
    if kind_of(error) == Some(ErrorKind::Corrupt) {
        say(format_args!(
            "hint: `alluvium check --deep` lists all damage; restore the file from a checkpoint or \
             backup, or save what can be read with `alluvium repair FROM TO`"
        ));
    }
    ExitCode::from(code(error))
}

/// The error and its causes, each said once: many an error already quotes its cause.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let is_bare_io = error.chain().len() == 1 && error.is::<io::Error>();
    // All other errors of files name the file.
    let mut said = String::from(if is_bare_io { "cannot write the output" } else { "" });
    for cause in error.chain() {
        let cause = cause.to_string();
        if said.ends_with(&cause) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&cause);
    }
    said
}

/// Writes one line to standard error.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    // Nobody is left to be told when standard error itself is gone.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Whether it failed only because nobody reads the output any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn kind_of(error: &anyhow::Error) -> Option<ErrorKind> {
    error.downcast_ref::<alluvium::Error>().map(alluvium::Error::kind)
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(_)) => return 2,
        Some(Failure::KeyMissing(_)) => return 3,
        Some(Failure::Data(_) | Failure::Incomplete(_)) => return 1,
        Some(Failure::Damaged(_)) => return 4,
        None => {}
    }
    match kind_of(error) {
        Some(ErrorKind::Invalid) => 2,
        Some(ErrorKind::Corrupt) => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn codes_follow_the_kind_of_the_error_through_its_context() {
        let corrupt: anyhow::Error = alluvium::Error::corrupt("a.table", 7, "checksum").into();
        assert_eq!(code(&corrupt.context("while scanning")), 4);
        assert_eq!(code(&alluvium::Error::invalid("key too long").into()), 2);
        assert_eq!(code(&alluvium::Error::Closed("closed".into()).into()), 1);
        assert_eq!(code(&usage("what?")), 2);
        assert_eq!(code(&Failure::KeyMissing("a".into()).into()), 3);
        let io: Result<(), _> = Err(io::Error::other("disk on fire"));
        assert_eq!(code(&io.context("cannot write").unwrap_err()), 1);
    }

    #[test]
    fn causes_are_said_once() {
        let full = || io::Error::other("disk full");
        let engine = alluvium::Error::io("write", "a.wal", full());
        let error = anyhow::Error::from(engine).context("line 3");
        assert_eq!(message(&error), "line 3: cannot write a.wal: disk full");
        assert_eq!(message(&full().into()), "cannot write the output: disk full");
    }

    #[test]
    fn only_a_closed_pipe_is_quiet() {
        assert!(is_closed_pipe(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!is_closed_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
