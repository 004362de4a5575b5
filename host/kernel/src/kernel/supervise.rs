//! Plugins that fail: left alone for some time, put aside, or replaced by the version before them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loong_manifest::{Code, Digest, LimitName, OperationName, PluginId};

use super::Kernel;
use crate::breaker::{Breaker, Change, Entry, State};
use crate::{Active, Durability, Event, Executor, Fault, Ledger, Peaks, PluginPhase, RunId, Usage};

/// What this process knows of how plugins stand.
pub(super) struct Supervised<P> {
    /// Whether there is anything to know. Looked at on every call, so nothing costs one load.
    any: AtomicBool,
    breakers: Mutex<BTreeMap<Digest, Breaker>>,
    peaks: Mutex<Peaks>,
    /// Versions that were replaced and can come back at once.
    before: Mutex<BTreeMap<PluginId, Arc<Active<P>>>>,
}

impl<P> Default for Supervised<P> {
    fn default() -> Self {
        Self {
            any: AtomicBool::new(false),
            breakers: Mutex::default(),
            peaks: Mutex::default(),
            before: Mutex::default(),
        }
    }
}

impl<P> Supervised<P> {
    fn breakers(&self) -> MutexGuard<'_, BTreeMap<Digest, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn before(&self) -> MutexGuard<'_, BTreeMap<PluginId, Arc<Active<P>>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, digest: &Digest, now_ms: u64) -> Entry {
        if !self.any.load(Ordering::Acquire) {
            return Entry::Pass;
        }
        self.breakers().get(digest).map_or(Entry::Pass, |breaker| breaker.entry(now_ms))
    }

    fn keep(&self, digest: Digest, breaker: Breaker) {
        self.breakers().insert(digest, breaker);
        self.any.store(true, Ordering::Release);
    }
}

impl<L: Ledger, E: Executor> Kernel<L, E> {
    /// What operations used since this was last asked.
    pub fn take_peaks(&self) -> Peaks {
        std::mem::take(&mut *self.supervised.peaks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds what a call used.
    pub(super) fn used(&self, digest: &Digest, operation: &OperationName, usage: &Usage, failed: bool) {
        let mut peaks = self.supervised.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        let operations = peaks.entry(*digest).or_default();
        match operations.get_mut(operation) {
            Some(peak) => peak.add(usage, failed),
            None => operations.entry(operation.clone()).or_default().add(usage, failed),
        }
    }

    /// Takes over how plugins stand from whoever keeps it: other processes call them too, and persons clear them.
    pub async fn hear_of_standings(&self) -> Result<(), Fault> {
        let Some(standings) = &self.parts.standings else { return Ok(()) };
        let all = standings.all().await.map_err(super::audit_fault)?;
        let any = !all.is_empty();
        *self.supervised.breakers() = all;
        self.supervised.any.store(any, Ordering::Release);
        Ok(())
    }

    /// Whether a component was put aside until a person clears it, as far as this process knows.
    pub fn is_quarantined(&self, component: &Digest) -> bool {
        self.supervised.entry(component, self.now_ms()) == Entry::Quarantined
    }

    /// Whether a component still has to prove itself, as far as this process knows.
    pub fn is_on_probation(&self, component: &Digest) -> bool {
        self.supervised.entry(component, self.now_ms()) == Entry::Watch
    }

    /// Why a plugin is not called now, if it is not.
    pub(super) fn stands_aside(&self, callee: &Active<E::Plugin>) -> Option<(Code, String)> {
        let now_ms = self.now_ms();
        let reason = || {
            let breakers = self.supervised.breakers();
            breakers.get(&callee.digest).and_then(Breaker::reason).unwrap_or("it failed").to_owned()
        };
        let id = &callee.id;
        match self.supervised.entry(&callee.digest, now_ms) {
            Entry::Pass | Entry::Watch | Entry::Probe => None,
            Entry::Open(until_ms) => {
                let seconds = until_ms.saturating_sub(now_ms).div_ceil(1000);
                let reason =
                    format!("`{id}` failed too often and is left alone for {seconds} s: {}", reason());
                Some((Code::CircuitOpen, reason))
            }
            Entry::Quarantined => {
                Some((Code::PluginQuarantined, format!("`{id}` is quarantined: {}", reason())))
            }
        }
    }

    /// Notes how a call ended, where that is worth noting. `whole` says whether the plugin had all its time.
    pub(super) async fn watch(
        self: &Arc<Self>,
        callee: &Arc<Active<E::Plugin>>,
        run: &RunId,
        fault: Option<&Fault>,
        whole: bool,
    ) -> Result<(), Fault> {
        let Some(standings) = &self.parts.standings else { return Ok(()) };
        let failure = fault.filter(|fault| is_failure(fault, whole)).map(ToString::to_string);
        let entry = self.supervised.entry(&callee.digest, self.now_ms());
        // What was refused says nothing of the plugin.
        if failure.is_none() && (fault.is_some() || entry == Entry::Pass) {
            return Ok(());
        }
        let noted = standings.note(&callee.id, &callee.digest, failure.as_deref());
        let noted = noted.await.map_err(super::audit_fault)?;
        let (reason, change) = (noted.breaker.reason().map(str::to_owned), noted.change);
        self.supervised.keep(callee.digest, noted.breaker);
        let state = match change {
            Change::None => return Ok(()),
            Change::State(State::Closed) => PluginPhase::Closed,
            Change::State(State::HalfOpen) => PluginPhase::HalfOpen,
            Change::State(State::Open { .. }) => PluginPhase::Open,
            Change::State(State::Quarantined) => PluginPhase::Quarantined,
            Change::RollBack => PluginPhase::RolledBack,
        };
        let run = Some(run.to_string());
        self.stands(run.clone(), callee, state, reason).await?;
        if let Some(back_to) = noted.back_to {
            self.roll_back(callee, &back_to, run).await?;
        }
        Ok(())
    }

    /// Writes down how a plugin stands.
    pub(super) async fn stands(
        &self,
        run: Option<String>,
        plugin: &Active<E::Plugin>,
        state: PluginPhase,
        reason: Option<String>,
    ) -> Result<(), Fault> {
        let (plugin, digest) = (plugin.id.clone(), plugin.digest);
        self.append(Event::PluginState { run, plugin, digest, state, reason }, Durability::Written).await
    }

    /// Lets the version before take its place again, if this process still has it.
    async fn roll_back(
        self: &Arc<Self>,
        bad: &Arc<Active<E::Plugin>>,
        back_to: &Digest,
        run: Option<String>,
    ) -> Result<(), Fault> {
        let before = self.supervised.before().remove(&bad.id).filter(|before| before.digest == *back_to);
        let active = self.catalog.load().plugin(&bad.id).map(|active| active.digest);
        match before {
            Some(before) if active == Some(bad.digest) => self.replace(before, run, false).await,
            // Another was made active meanwhile, or whoever follows the chosen versions loads it.
            _ => Ok(()),
        }
    }
}

/// Whether a fault is the plugin's own failing. What it answers, and what it is refused, is not.
fn is_failure(fault: &Fault, whole: bool) -> bool {
    match fault {
        Fault::Trap { .. } | Fault::Result { .. } => true,
        Fault::Limit { limit, .. } => !matches!(
            limit,
            // What others used, or the run as a whole.
            LimitName::Depth
                | LimitName::ConcurrentCalls
                | LimitName::Calls
                | LimitName::Refusals
                | LimitName::EgressHosts
                | LimitName::RunCpuMs
                | LimitName::MinuteCpuMs
        ),
        Fault::Deadline { .. } => whole,
        _ => false,
    }
}
