//! What the kernel asks of whoever keeps how plugins stand, over the end of a process and for several of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use loong_manifest::{Digest, OperationName, PluginId};
use tokio::sync::Notify;

use crate::breaker::{Breaker, Change};
use crate::executor::Boxed;
use crate::{LedgerError, Usage};

/// What came of noting how a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// How the plugin stands now.
    pub breaker: Breaker,
    /// What changed by it.
    pub change: Change,
    /// The version that took its place again, if one did.
    pub back_to: Option<Digest>,
}

/// Keeps how plugins stand.
pub trait Standings: Send + Sync + 'static {
    /// How every component stands of which there is something to remember.
    fn all(&self) -> Boxed<'_, Result<BTreeMap<Digest, Breaker>, LedgerError>>;

    /// Notes that a call ended well, or how it failed; in one step with what other processes note. Where the version
    /// before has to come back, it is the chosen one from then on.
    fn note<'a>(
        &'a self,
        plugin: &'a PluginId,
        digest: &'a Digest,
        failure: Option<&'a str>,
    ) -> Boxed<'a, Result<Noted, LedgerError>>;
}

/// The most that calls of one operation used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peak {
    /// How many there were.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// The most of each.
    pub most: Usage,
}

/// The most that was used, by component and operation.
pub type Peaks = BTreeMap<Digest, BTreeMap<OperationName, Peak>>;

impl Peak {
    /// Adds a call.
    pub fn add(&mut self, usage: &Usage, failed: bool) {
        self.calls += 1;
        self.failures += u64::from(failed);
        let most = &mut self.most;
        most.duration_us = most.duration_us.max(usage.duration_us);
        most.fuel = most.fuel.max(usage.fuel);
        most.cpu_us = most.cpu_us.max(usage.cpu_us);
        most.memory_peak_bytes = most.memory_peak_bytes.max(usage.memory_peak_bytes);
        most.output_bytes = most.output_bytes.max(usage.output_bytes);
    }
}

/// The calls of one plugin that are under way.
#[derive(Debug, Default)]
pub struct Traffic {
    open: AtomicU64,
    /// How often everything that was under way was ended.
    stops: AtomicU64,
    changed: Notify,
}

/// One call under way.
pub(crate) struct UnderWay<'a> {
    traffic: &'a Traffic,
    stops: u64,
}

impl Traffic {
    /// How many there are.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }

    /// Ends those that are under way now.
    pub(crate) fn stop(&self) {
        self.stops.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    pub(crate) fn enter(&self) -> UnderWay<'_> {
        self.open.fetch_add(1, Ordering::AcqRel);
        UnderWay { traffic: self, stops: self.stops.load(Ordering::Acquire) }
    }

    /// Waits until there are none.
    pub(crate) async fn empty(&self) {
        self.wait(|| self.open() == 0).await;
    }

    async fn wait(&self, over: impl Fn() -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Heard of from here on, so that what changes before the next line is not missed.
            changed.as_mut().enable();
            if over() {
                return;
            }
            changed.await;
        }
    }
}

impl UnderWay<'_> {
    /// Waits until it has to end.
    pub(crate) async fn stopped(&self) {
        self.traffic.wait(|| self.traffic.stops.load(Ordering::Acquire) != self.stops).await;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.traffic.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.traffic.changed.notify_waiters();
        }
    }
}
