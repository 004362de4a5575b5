//! Who runs now. Calls that take long take turns on all threads but one, so that a short one finds a thread at once,
//! however many of the others there are.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// CPU time after which a call takes long, in microseconds: one slice of a guest.
const LONG_US: u64 = 5_000;
/// Calls that take long at once; further ones are refused. Their instances come on top of those of the short ones.
pub(crate) const LONG_MAX: usize = 128;

/// The turns of all calls that take long.
pub(crate) struct Turns {
    places: Arc<Semaphore>,
    threads: OnceLock<Arc<Semaphore>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LONG_MAX)), threads: OnceLock::new() }
    }
}

type Waiting = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// One call.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    used_us: u64,
    /// Its place among those that take long, once it is one of them.
    place: Option<OwnedSemaphorePermit>,
    waiting: Option<Waiting>,
}

/// There are too many calls that take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Turns {
    pub(crate) const fn begin(&self) -> Turn<'_> {
        Turn { turns: self, used_us: 0, place: None, waiting: None }
    }

    /// One turn for each thread but one; one where there is only one.
    fn threads(&self) -> &Arc<Semaphore> {
        self.threads.get_or_init(|| {
            let workers = tokio::runtime::Handle::current().metrics().num_workers();
            Arc::new(Semaphore::new(workers.saturating_sub(1).max(1)))
        })
    }
}

impl Turn<'_> {
    /// Waits for a turn, if the call takes long. It is over when what this gives is dropped.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<OwnedSemaphorePermit>> {
        if self.place.is_none() {
            return Poll::Ready(None);
        }
        let threads = Arc::clone(self.turns.threads());
        let waiting =
            self.waiting.get_or_insert_with(|| Box::pin(async { threads.acquire_owned().await.ok() }));
        let turn = waiting.as_mut().poll(context);
        if turn.is_ready() {
            self.waiting = None;
        }
        turn
    }

    /// Counts what the call used. True when it takes long from now on.
    pub(crate) fn used(&mut self, us: u64) -> Result<bool, Full> {
        self.used_us = self.used_us.saturating_add(us);
        if self.place.is_some() || self.used_us < LONG_US {
            return Ok(false);
        }
        self.place = Some(Arc::clone(&self.turns.places).try_acquire_owned().map_err(|_| Full)?);
        Ok(true)
    }
}
