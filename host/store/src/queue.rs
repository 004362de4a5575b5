//! The bounded way from everyone who has something to write to the one thread that writes.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use loong_kernel::{Durability, Event, LedgerError};
use tokio::sync::{Semaphore, TryAcquireError, oneshot};

use crate::group::Writer;

/// Most events that wait to be written before `append` waits for room.
pub(crate) const EVENTS_MAX: usize = 4096;
/// Most events in all: destructors cannot wait for room, so they have some of their own.
const EVENTS_RESERVED_MAX: usize = EVENTS_MAX * 2;
/// How long the writer waits for company when nobody waits for it. A wake-up and a transaction for each
/// event would cost more than the event.
const LINGER: Duration = Duration::from_millis(2);

/// An event on its way to the log.
pub(crate) struct Append {
    pub(crate) event: Event,
    pub(crate) time_ms: u64,
    pub(crate) durability: Durability,
    /// Where somebody waits for it.
    pub(crate) reply: Option<oneshot::Sender<Result<(), LedgerError>>>,
}

/// Anything else that is done by the thread that writes, after the events that came before it.
pub(crate) type Work = Box<dyn FnOnce(&mut Writer) + Send>;

/// Everything that waits at one moment.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Append>,
    pub(crate) work: Vec<Work>,
    /// Events that hold a place in `room`.
    placed: usize,
}

/// What was in the queue.
pub(crate) enum Taken {
    /// Everything that waited, and whether it is the last.
    Batch(Batch, bool),
    /// Nothing came in time.
    Nothing,
    /// The queue is closed and empty.
    End,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// Somebody waits for an answer.
    urgent: bool,
    closed: bool,
}

/// The queue, and whether the log has failed.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    room: Semaphore,
    failed: OnceLock<LedgerError>,
    /// What is wrong, although the log goes on.
    problem: Mutex<Option<String>>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            room: Semaphore::new(EVENTS_MAX),
            failed: OnceLock::new(),
            problem: Mutex::default(),
        }
    }

    /// Why nothing can be appended any more, if so.
    pub(crate) fn failure(&self) -> Option<&LedgerError> {
        self.failed.get()
    }

    /// Notes what is wrong, although the log goes on; or that nothing is any longer.
    pub(crate) fn tell(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// What is wrong, although the log goes on.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails every later append. The first reason stays.
    pub(crate) fn fail(&self, error: LedgerError) -> LedgerError {
        self.failed.get_or_init(|| error).clone()
    }

    /// Waits until there is room for one more event. What is not pushed afterwards is never given back.
    pub(crate) async fn admit(&self) -> Result<(), LedgerError> {
        if let Some(error) = self.failure() {
            return Err(error.clone());
        }
        let place = match self.room.try_acquire() {
            Err(TryAcquireError::NoPermits) => self.room.acquire().await.ok(),
            other => other.ok(),
        };
        place.ok_or_else(closed)?.forget();
        Ok(())
    }

    /// Adds an event that was admitted.
    pub(crate) fn push(&self, append: Append) -> Result<(), LedgerError> {
        let mut state = self.lock();
        state.batch.placed += 1;
        self.enqueue(state, append)
    }

    /// Adds an event without waiting for room.
    pub(crate) fn push_now(&self, append: Append) -> Result<(), LedgerError> {
        let state = self.lock();
        if state.batch.events.len() >= EVENTS_RESERVED_MAX {
            // This event is lost, so nothing may come after it. What came before it is still written.
            let problem = format!("{EVENTS_RESERVED_MAX} events wait to be written already");
            return Err(self.fail(LedgerError { problem }));
        }
        self.enqueue(state, append)
    }

    fn enqueue(&self, mut state: MutexGuard<'_, State>, append: Append) -> Result<(), LedgerError> {
        if let Some(error) = self.failure() {
            return Err(error.clone());
        }
        if state.closed {
            return Err(closed());
        }
        let waking = state.is_idle() || append.reply.is_some();
        state.urgent |= append.reply.is_some();
        state.batch.events.push(append);
        drop(state);
        if waking {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Adds other work. Its bound is the caller's.
    pub(crate) fn push_work(&self, work: Work) -> Result<(), LedgerError> {
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        state.urgent = true;
        state.batch.work.push(work);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes everything that waits, and waits for something to take, but no longer than until a moment.
    pub(crate) fn take(&self, until: Option<Instant>) -> Taken {
        let waiting = self.lock();
        let idle = |state: &mut State| state.is_idle() && !state.closed;
        let waiting = match until {
            None => self.wake.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let rest = until.saturating_duration_since(Instant::now());
                let waited = self.wake.wait_timeout_while(waiting, rest, idle);
                let (waiting, time_is_up) = waited.unwrap_or_else(PoisonError::into_inner);
                if time_is_up.timed_out() && waiting.is_idle() && !waiting.closed {
                    return Taken::Nothing;
                }
                waiting
            }
        };
        let (mut state, _) = self
            .wake
            .wait_timeout_while(waiting, LINGER, |state| {
                !state.urgent && !state.closed && state.batch.events.len() < EVENTS_MAX / 2
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_idle() {
            return Taken::End;
        }
        state.urgent = false;
        let batch = std::mem::take(&mut state.batch);
        let closing = state.closed;
        drop(state);
        self.room.add_permits(batch.placed);
        Taken::Batch(batch, closing)
    }

    /// Lets nothing in any more. What is in already is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_idle(&self) -> bool {
        self.batch.events.is_empty() && self.batch.work.is_empty()
    }
}

/// The answer to whoever comes after the end.
pub(crate) fn closed() -> LedgerError {
    LedgerError { problem: "the audit log is closed".to_owned() }
}
