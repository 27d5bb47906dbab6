//! The machine a run happens on: its repository and its tools.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Verdict;

/// Where steps run, and what with.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) root: PathBuf,
}

impl Machine {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The `cargo` that runs us, in the repository's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        self.command(Command::new(cargo), arguments)
    }

    /// Nightly's `tool`, found through rustup.
    pub(crate) fn nightly(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool);
        command.arg("+nightly");
        // Ours name the toolchain that runs us; each tool finds its own.
        for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"] {
            command.env_remove(name);
        }
        self.command(command, arguments)
    }

    fn command(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// Whether `cargo +nightly <arguments>` works here.
    pub(crate) fn has_nightly(&self, arguments: &[&str]) -> bool {
        is_available(self.nightly("cargo", arguments))
    }

    /// Whether the `cargo` that runs us has this subcommand.
    pub(crate) fn has_cargo(&self, subcommand: &str) -> bool {
        is_available(self.cargo(&[subcommand, "--version"]))
    }
}

fn is_available(mut command: Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Prints the command, runs it with our output as its own, and judges its exit code.
pub(crate) fn judge(command: &mut Command) -> Result<Verdict> {
    let line = command_line(command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("starting `{line}`"))?;
    let failure = || Verdict::Failed(format!("`{line}`: {status}"));
    Ok(if status.success() { Verdict::Passed } else { failure() })
}

/// The command as one would type it, tools by their bare name.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let machine = Machine::new(Path::new("."));
        let nightly = machine.nightly("/opt/bin/cargo", &["miri", "test"]);
        assert_eq!(command_line(&nightly), "cargo +nightly miri test");
    }

    #[test]
    fn a_failing_command_fails_its_step() {
        assert_eq!(judge(&mut Command::new("true")).expect("runs"), Verdict::Passed);
        let verdict = judge(&mut Command::new("false")).expect("runs");
        assert_eq!(verdict, Verdict::Failed("`false`: exit status: 1".to_owned()));
        assert!(judge(&mut Command::new("no-such-program")).is_err());
    }

    #[test]
    fn a_tool_that_is_not_there_is_noticed() {
        let machine = Machine::new(Path::new("."));
        assert!(machine.has_cargo("clippy"));
        assert!(!machine.has_cargo("no-such-command"));
    }
}
