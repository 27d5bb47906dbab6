//! The queue of callbacks in every interleaving: `cargo xtask concurrency loom`.
//!
//! What the models were seen to find, when a line was broken by hand:
//!
//! | broken | found by |
//! |---|---|
//! | `add` does not notify | `a_callback_waits_for_nothing_but_its_sync`: a deadlock |
//! | `stop` does not notify | both: a deadlock |
//! | `stop` sets its flag after it has notified | both: a deadlock |
//! | `serve` looks at the queue without the lock that `add` holds, then waits | both: a deadlock |
//! | `serve` ends when it is told to, whatever is left | `every_callback_is_called_once_and_in_order` |
//! | `serve` takes the last one first | `every_callback_is_called_once_and_in_order` |

use std::sync::Arc;

use alluvium_base::sync::atomic::{AtomicU64, Ordering};
use alluvium_base::sync::{explore, thread};

use super::*;

/// Every callback is called once, in the order of the writes, and after its write was synced, be the
/// database closed meanwhile or not.
#[test]
fn every_callback_is_called_once_and_in_order() {
    explore("every_callback_is_called_once_and_in_order", || {
        let queue = Arc::new(DurabilityQueue::default());
        let synced = Arc::new(AtomicU64::new(0));
        // What a callback finds is judged at the end: its panic would be caught.
        let called = Arc::new(Mutex::new(Vec::new()));
        let server = {
            let (queue, synced) = (Arc::clone(&queue), Arc::clone(&synced));
            thread::spawn(move || {
                queue.serve(|_, end| {
                    synced.store(end.0, Ordering::Relaxed);
                    Ok(())
                });
            })
        };
        for at in 1..=2 {
            let (synced, called) = (Arc::clone(&synced), Arc::clone(&called));
            let callback = Box::new(move |result: Result<()>| {
                let is_durable = result.is_ok() && synced.load(Ordering::Relaxed) >= at;
                called.lock().push((at, is_durable));
            });
            queue.add(Seq::new(at), LogEnd(at), callback);
        }
        queue.stop();
        server.join().unwrap();
        assert_eq!(*called.lock(), [(1, true), (2, true)]);
    });
}

/// A callback is called though nothing else happens: no later write, no close.
#[test]
fn a_callback_waits_for_nothing_but_its_sync() {
    explore("a_callback_waits_for_nothing_but_its_sync", || {
        let queue = Arc::new(DurabilityQueue::default());
        let queue_served = Arc::clone(&queue);
        let server = thread::spawn(move || queue_served.serve(|_, _| Ok(())));
        let called = Arc::new((Mutex::new(false), Condvar::new()));
        let calls = Arc::clone(&called);
        let callback = Box::new(move |_: Result<()>| {
            *calls.0.lock() = true;
            calls.1.notify_all();
        });
        queue.add(Seq::new(1), LogEnd(1), callback);
        let mut is_called = called.0.lock();
        while !*is_called {
            called.1.wait(&mut is_called);
        }
        drop(is_called);
        queue.stop();
        server.join().unwrap();
    });
}

/// A database that is closed at once does not wait for callbacks that never come.
#[test]
fn an_idle_queue_stops() {
    explore("an_idle_queue_stops", || {
        let queue = Arc::new(DurabilityQueue::default());
        let queue_served = Arc::clone(&queue);
        let server = thread::spawn(move || queue_served.serve(|_, _| Ok(())));
        queue.stop();
        server.join().unwrap();
    });
}
