//! The queue of callbacks in every interleaving: `cargo xtask concurrency loom`.
//!
//! What the models were seen to find, when a line was broken by hand:
//!
//! | broken | found by |
//! |---|---|
//! | `add` does not notify | `every_callback_is_called_once_and_in_order`: a deadlock |
//! | `stop` does not notify | both: a deadlock |
//! | `stop` sets its flag after it has notified | both: a deadlock |
//! | `serve` looks at the queue without the lock that `add` holds, then waits | both: a deadlock |
//! | `serve` ends when it is told to, whatever is left | `every_callback_is_called_once_and_in_order` |
//! | `serve` copies the queue instead of taking it | `every_callback_is_called_once_and_in_order` |

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
        let called = Arc::new(AtomicU64::new(0));
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
                assert!(result.is_ok() && synced.load(Ordering::Relaxed) >= at);
                assert_eq!(called.fetch_add(1, Ordering::Relaxed), at - 1, "once, and in order");
            });
            queue.add(Seq::new(at), LogEnd(at), callback);
        }
        queue.stop();
        server.join().unwrap();
        assert_eq!(called.load(Ordering::Relaxed), 2, "none is forgotten");
    });
}

/// A database that is closed at once does not wait for callbacks that never come.
#[test]
fn an_idle_queue_stops() {
    explore("an_idle_queue_stops", || {
        let queue = Arc::new(DurabilityQueue::default());
        let served = Arc::clone(&queue);
        let server = thread::spawn(move || served.serve(|_, _| Ok(())));
        queue.stop();
        server.join().unwrap();
    });
}
