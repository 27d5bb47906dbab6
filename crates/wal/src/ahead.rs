//! Creates the next segment ahead of need, so that a rotation costs no more than an append; and has
//! the memory of a mapped one ready before records are put there.
//!
//! ```text
//!            ask             thread            take
//!   Idle ──────────► Asked ──────────► Making ──────► Ready ──────► Idle
//!     ▲                │                 │                            ▲
//!     │                │ take: make it   │ failed                     │
//!     │                ▼ right here      ▼          take: try again   │
//!     └──────────────────────────────  Failed ────────────────────────┘
//! ```
//!
//! Invariant: segments join the log in the order in which they are created. No number is taken for
//! a segment and then skipped: an attempt that failed is repeated with its number, over what it
//! left. Otherwise a file without records could stand between two of the log.

use std::ops::Range;
use std::sync::Arc;

use alluvium_base::fs::Populate;
use alluvium_base::sync::thread::{Builder, JoinHandle};
use alluvium_base::sync::{Condvar, Mutex};
use alluvium_base::{Error, FileNumber, Result};

use crate::segment::{Segment, SegmentMaker};

/// The thread that creates segments, and what it has created. Dropping it joins the thread.
#[derive(Debug)]
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The writer's half.
#[derive(Debug)]
pub(crate) struct NextSegment {
    shared: Arc<Shared>,
    creates_ahead: bool,
}

#[derive(Debug)]
struct Shared {
    maker: SegmentMaker,
    /// Never taken together with another lock; no I/O happens under it.
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug)]
struct Slot {
    state: State,
    /// Memory of the active segment that is wanted soon.
    window: Option<Window>,
    /// Segments that nobody writes to any more.
    garbage: Vec<Segment>,
    is_closed: bool,
}

/// A part of a segment that records will be put into.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) memory: Arc<dyn Populate>,
    pub(crate) range: Range<usize>,
}

/// The segment behind another one, to be made.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    active: FileNumber,
    /// How much of its beginning to have the memory ready of.
    populated: u64,
}

/// What the thread does next.
enum Work {
    Populate(Window),
    /// Unmapping takes its time.
    Drop(Vec<Segment>),
    Make(Wanted),
}

#[derive(Debug)]
enum State {
    Idle,
    Asked(Wanted),
    Making,
    Ready(Segment),
    /// Making the segment of this number failed. When it is needed, it is tried once more if the
    /// disk was full; any other failure is final, for a sync that succeeds after one that failed
    /// proves nothing.
    Failed(FileNumber, Error),
}

/// Both halves; starts the thread if there is to be one.
pub(crate) fn prepare(maker: SegmentMaker) -> Result<(Ahead, NextSegment)> {
    let creates_ahead = maker.options.create_ahead;
    let dir = maker.dir.clone();
    let slot = Mutex::new(Slot {
        state: State::Idle,
        window: None,
        garbage: Vec::new(),
        is_closed: false,
    });
    let shared = Arc::new(Shared { maker, slot, changed: Condvar::new() });
    let mut thread = None;
    if creates_ahead {
        let shared = shared.clone();
        let spawned = Builder::new().name("alluvium-log".into()).spawn(move || shared.run());
        thread = Some(spawned.map_err(|error| Error::io("start a thread for", dir, error))?);
    }
    Ok((
        Ahead { shared: shared.clone(), thread: Mutex::new(thread) },
        NextSegment { shared, creates_ahead },
    ))
}

impl NextSegment {
    /// Whether it is of use to [`ask`](Self::ask).
    pub(crate) const fn creates_ahead(&self) -> bool {
        self.creates_ahead
    }

    /// Says that the segment behind `active` will be needed, with the memory of its first `populated`
    /// bytes ready. Does not wait.
    pub(crate) fn ask(&self, active: FileNumber, populated: u64) {
        let mut slot = self.shared.slot.lock();
        if self.creates_ahead && matches!(slot.state, State::Idle) && !slot.is_closed {
            slot.state = State::Asked(Wanted { active, populated });
            self.shared.changed.notify_all();
        }
    }

    /// Says that records will soon be put into `window`. Does not wait.
    pub(crate) fn populate(&self, window: Window) {
        let mut slot = self.shared.slot.lock();
        if self.creates_ahead && !slot.is_closed {
            slot.window = Some(window);
            self.shared.changed.notify_all();
        }
    }

    /// Lets go of a segment that is full.
    pub(crate) fn give_back(&self, segment: Segment) {
        let mut slot = self.shared.slot.lock();
        if self.creates_ahead && !slot.is_closed {
            slot.garbage.push(segment);
            self.shared.changed.notify_all();
            return;
        }
        drop(slot);
        drop(segment);
    }

    /// The segment behind `active`, with room for `capacity` bytes at least: the one that was
    /// created ahead, or one created now.
    pub(crate) fn take(&self, active: FileNumber, capacity: u64) -> Result<Segment> {
        let maker = &self.shared.maker;
        match self.shared.take_state() {
            State::Ready(segment) => maker.enlarge(segment, capacity),
            State::Failed(_, error) if !error.is_disk_full() => Err(error),
            State::Failed(number, _) => maker.make_numbered(number, Some(active), capacity),
            State::Idle | State::Asked(_) | State::Making => maker.make(Some(active), capacity),
        }
    }
}

impl Shared {
    /// Waits for a segment that is being made, then empties the slot.
    fn take_state(&self) -> State {
        let mut slot = self.slot.lock();
        while matches!(slot.state, State::Making) {
            self.changed.wait(&mut slot);
        }
        std::mem::replace(&mut slot.state, State::Idle)
    }

    fn run(&self) {
        while let Some(work) = self.wait_for_work() {
            let wanted = match work {
                Work::Make(wanted) => wanted,
                Work::Drop(garbage) => {
                    drop(garbage);
                    continue;
                }
                Work::Populate(window) => {
                    window.memory.populate(window.range);
                    continue;
                }
            };
            let number = self.maker.numbers.take();
            let made = self.maker.make_numbered(number, Some(wanted.active), 0);
            let made = made.map(|segment| segment.populated(wanted.populated));
            let mut slot = self.slot.lock();
            slot.state = made.map_or_else(|error| State::Failed(number, error), State::Ready);
            self.changed.notify_all();
        }
    }

    /// Waits until a window is wanted, or a segment is asked for, which is marked as being made;
    /// `None` once closed.
    fn wait_for_work(&self) -> Option<Work> {
        let mut slot = self.slot.lock();
        loop {
            if slot.is_closed {
                return None;
            }
            // The window first: it is wanted within milliseconds.
            if let Some(window) = slot.window.take() {
                return Some(Work::Populate(window));
            }
            if let State::Asked(wanted) = slot.state {
                slot.state = State::Making;
                return Some(Work::Make(wanted));
            }
            if !slot.garbage.is_empty() {
                return Some(Work::Drop(std::mem::take(&mut slot.garbage)));
            }
            self.changed.wait(&mut slot);
        }
    }
}

impl Ahead {
    /// Ends the thread, and returns once it creates nothing any more.
    pub(crate) fn stop(&self) {
        self.shared.slot.lock().is_closed = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            // It reported its panic itself; there is nothing left to clean up.
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop();
    }
}
