//! The child as its parent sees it: what it says, and how it ends.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use alluvium::{Clock, LogMode};
use alluvium_base::SystemClock;
use parking_lot::Mutex;

use super::load::{Load, now_ns};
use super::said::{Said, is_of_the_disk};
use crate::kill;
use crate::layer::Failure;

/// How often the parent looks.
const TICK: Duration = Duration::from_micros(100);
/// How long a child may take for anything, on however busy a machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// What the kernel does to a process that writes through a mapping of a disk that is gone.
const SIGBUS: i32 = 7;

/// A child under way.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    heard: Arc<Mutex<Heard>>,
    listener: Option<JoinHandle<()>>,
    clock: SystemClock,
}

#[derive(Debug, Default)]
struct Heard {
    said: Said,
    /// The disk has begun to fail: errors are no surprise any more.
    may_fail: bool,
    surprise: Option<String>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Of itself, after errors.
    OfItself,
    /// By the kernel, for writing through a mapping what the disk does not take.
    BySigbus,
}

impl Process {
    /// Starts `program`, or `program` under `tracer`, with `load`.
    pub(super) fn start(program: &Path, load: &Load, tracer: &[String]) -> Result<Self, Failure> {
        let (variable, value) = load.variable();
        let mut command = match tracer.split_first() {
            None => Command::new(program),
            Some((tracer, arguments)) => {
                let mut command = Command::new(tracer);
                command.args(arguments).arg(program);
                command
            }
        };
        let mut child = command.env(variable, value).stdout(Stdio::piped()).spawn()?;
        let lines = kill::lines(&mut child);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let listener = std::thread::spawn({
            let heard = heard.clone();
            move || {
                for line in lines {
                    let mut heard = heard.lock();
                    heard.said.hear(&line);
                    if !heard.may_fail && line.starts_with("error") {
                        heard.surprise.get_or_insert(line);
                    }
                }
            }
        });
        Ok(Self { child, heard, listener: Some(listener), clock: SystemClock::new() })
    }

    /// Waits until `is_so` of what the child said, or until it is dead.
    pub(super) fn wait_until(&mut self, is_so: impl Fn(&Said) -> bool) -> Result<(), Failure> {
        let begin = self.clock.monotonic();
        while !is_so(&self.heard.lock().said) && self.child.try_wait()?.is_none() {
            if self.clock.monotonic().saturating_sub(begin) > PATIENCE {
                return Err("the child hangs".to_owned().into());
            }
            self.clock.sleep(TICK);
        }
        Ok(())
    }

    /// Errors are no surprise from the beginning.
    pub(super) fn may_fail(&self) {
        self.heard.lock().may_fail = true;
    }

    /// Whether `is_so` of what the child said.
    pub(super) fn has(&self, is_so: impl Fn(&Said) -> bool) -> bool {
        is_so(&self.heard.lock().said)
    }

    /// From here on the disk may fail. Fails if something did before.
    pub(super) fn expect_failures(&mut self) -> Result<(), Failure> {
        let mut heard = self.heard.lock();
        heard.may_fail = true;
        if let Some(line) = heard.surprise.take() {
            return Err(format!("before anything was wrong with the disk: {line}").into());
        }
        drop(heard);
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the child ended by itself: {status}").into()),
        }
    }

    /// The power is cut next: what the child is told from now on may not be believed.
    pub(super) fn power_goes(&self) {
        self.heard.lock().said.power_went_ns = Some(now_ns());
    }

    /// Waits for the child to end by itself, and judges how it does.
    pub(super) fn end(mut self, log_mode: LogMode) -> Result<(Said, Ended), Failure> {
        self.wait_until(|_| false)?;
        let status = self.child.wait()?;
        let said = self.listen_to_the_end();
        if let Some(line) = self.heard.lock().surprise.take() {
            return Err(format!("before anything was wrong with the disk: {line}").into());
        }
        let blames_itself = said.errors.iter().find(|(kind, _)| !is_of_the_disk(kind));
        if let Some((kind, text)) = blames_itself {
            return Err(format!("a failing disk is no {kind}: {text}").into());
        }
        Ok((said, judge(status, log_mode)?))
    }

    /// As [`end`](Self::end), of a child that may have been unable to start.
    pub(super) fn end_however(self, log_mode: LogMode) -> Result<Said, Failure> {
        if self.has(|said| said.is_open || !said.errors.is_empty()) {
            return self.end(log_mode).map(|(said, _)| said);
        }
        let mut process = self;
        process.wait_until(|_| false)?;
        let said = process.listen_to_the_end();
        Ok(said)
    }

    /// Kills the child with SIGKILL.
    pub(super) fn kill(mut self) -> Result<Said, Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.listen_to_the_end())
    }

    fn listen_to_the_end(&mut self) -> Said {
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        self.heard.lock().said.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failure is on its way: the child must not outlive it. Killing the dead does no harm.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn judge(status: ExitStatus, log_mode: LogMode) -> Result<Ended, Failure> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(Ended::OfItself),
        (_, Some(SIGBUS)) if log_mode != LogMode::Buffered => Ok(Ended::BySigbus),
        // strace ends as its child did, or says so with a number.
        (Some(code), _) if code == 128 + SIGBUS && log_mode != LogMode::Buffered => {
            Ok(Ended::BySigbus)
        }
        _ => Err(format!("the child ended with {status}").into()),
    }
}
