//! Threads that give way to others, as long as nobody waits for them.
//!
//! Where more threads want to run than there are processors, work in the background takes its time from
//! those it is done for. So it asks for little (the *nice value* of POSIX, which Linux keeps for each
//! thread), and for as much as anybody once somebody waits for its end. Not every process may raise what
//! was lowered: where this one may not, its thread is lowered by little.
//!
//! All of this is a hint: on other systems than Linux, and where the system refuses, nothing changes.

use crate::sync::Mutex;

/// Nearly nothing beside others: a sixtieth of what they get.
const LOWEST: i32 = 19;
/// A third of what others get.
const LOW: i32 = 5;

/// The priority of one thread in the background.
#[derive(Debug, Default)]
pub struct PoliteThread(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The thread, while it runs and if it can be raised again.
    thread: Option<os::Thread>,
    /// How many wait for it.
    waiting: usize,
    /// Whether its work is urgent though nobody waits.
    is_urgent: bool,
}

impl State {
    /// Brings the thread to the priority that it should have after `change`.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let was_hurried = self.is_hurried();
        change(self);
        let Some(thread) = &self.thread else { return };
        match (was_hurried, self.is_hurried()) {
            (false, true) => thread.raise(),
            (true, false) => thread.lower(),
            (false, false) | (true, true) => {}
        }
    }

    const fn is_hurried(&self) -> bool {
        self.waiting > 0 || self.is_urgent
    }
}

/// Somebody waits for the thread, as long as this lives.
#[derive(Debug)]
pub struct Hurry<'a>(&'a PoliteThread);

/// The thread is the one that is meant, as long as this lives: kept by the thread itself.
#[derive(Debug)]
pub struct Begun<'a>(&'a PoliteThread);

impl PoliteThread {
    /// Makes the calling thread the one that is meant until what this returns is dropped, and lowers it.
    pub fn begin(&self) -> Begun<'_> {
        let mut state = self.0.lock();
        state.thread = os::lower_self();
        if let (Some(thread), true) = (&state.thread, state.is_hurried()) {
            thread.raise();
        }
        Begun(self)
    }

    /// Has the thread run like any other until what this returns is dropped.
    pub fn hurry(&self) -> Hurry<'_> {
        self.0.lock().change(|state| state.waiting += 1);
        Hurry(self)
    }

    /// Has the thread run like any other until it is told to [relax](Self::relax): for work that somebody will
    /// wait for if it takes long.
    pub fn press(&self) {
        self.0.lock().change(|state| state.is_urgent = true);
    }

    /// What was urgent is done.
    pub fn relax(&self) {
        self.0.lock().change(|state| state.is_urgent = false);
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.0.lock().change(|state| state.waiting -= 1);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        // Its number may be another thread's from here on.
        self.0.0.lock().thread = None;
    }
}

#[cfg(all(target_os = "linux", not(any(loom, shuttle, miri))))]
mod os {
    use rustix::process::{Pid, getpriority_process, setpriority_process};
    use rustix::thread::gettid;

    use super::{LOW, LOWEST};

    /// A thread that was lowered and can be raised again.
    #[derive(Debug)]
    pub(super) struct Thread {
        id: Pid,
        usual: i32,
    }

    impl Thread {
        pub(super) fn raise(&self) {
            setpriority_process(Some(self.id), self.usual).unwrap_or_default();
        }

        pub(super) fn lower(&self) {
            setpriority_process(Some(self.id), LOWEST).unwrap_or_default();
        }
    }

    /// Lowers the calling thread; `None` if it cannot be raised again.
    pub(super) fn lower_self() -> Option<Thread> {
        let id = gettid();
        let usual = getpriority_process(Some(id)).ok()?;
        // As low as it may stay.
        let lowered = usual.saturating_add(LOW).min(LOWEST);
        setpriority_process(Some(id), lowered).ok()?;
        // Whether it may be raised again is seen by trying.
        setpriority_process(Some(id), usual).ok()?;
        setpriority_process(Some(id), LOWEST).ok()?;
        Some(Thread { id, usual })
    }
}

#[cfg(not(all(target_os = "linux", not(any(loom, shuttle, miri)))))]
mod os {
    #[derive(Debug)]
    pub(super) enum Thread {}

    impl Thread {
        pub(super) fn raise(&self) {
            match *self {}
        }

        pub(super) fn lower(&self) {
            match *self {}
        }
    }

    pub(super) fn lower_self() -> Option<Thread> {
        None
    }
}

#[cfg(all(test, target_os = "linux", not(any(loom, shuttle, miri))))]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use rustix::process::getpriority_process;
    use rustix::thread::gettid;

    use super::*;

    #[test]
    fn a_thread_is_raised_while_somebody_waits_for_it() {
        let polite = PoliteThread::default();
        let usual = getpriority_process(Some(gettid())).expect("a thread has a priority");
        thread::scope(|scope| {
            let ((tell, told), (end, ended)) = (channel(), channel::<()>());
            let polite = &polite;
            scope.spawn(move || {
                let _begun = polite.begin();
                tell.send(gettid()).expect("the test waits");
                ended.recv().unwrap_err();
            });
            let id = told.recv().expect("the thread tells its number");
            let now = || getpriority_process(Some(id)).expect("it runs");
            let (lowered, first) = (now(), polite.hurry());
            assert!(lowered > usual || usual == LOWEST);
            let is_raised = now() == usual;
            assert!(is_raised || now() == lowered, "where it may not be raised it stays as it is");
            let second = polite.hurry();
            drop(first);
            assert_eq!(now() == usual, is_raised, "one still waits");
            drop(second);
            assert_eq!(now(), lowered);
            polite.press();
            drop(polite.hurry());
            assert_eq!(now() == usual, is_raised, "it is urgent");
            polite.relax();
            assert_eq!(now(), lowered);
            drop(end);
        });
    }
}
