//! One top-level execution: who asked, what it has used so far.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loong_manifest::{Code, Digest, LimitName, PluginId};

use crate::journal::{Entry, Journal};
use crate::{Active, Fault};

/// Most calls in one run, nested ones included.
pub(crate) const CALLS_MAX: u64 = 100_000;
/// Most refusals in one run: each is written down at once, and asking again costs a plugin nothing.
pub(crate) const REFUSALS_MAX: u64 = 1000;

/// Most other machines that one run reaches; each is counted by itself.
pub(crate) const EGRESS_HOSTS_MAX: u64 = 256;

/// The name of a run: 128 random bits as 32 hexadecimal digits, chosen by whoever starts it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    /// Makes a run's name of 128 random bits.
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(bits.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Reads the name of a run that was made before.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Who makes a call. Supplied by the host, never read from arguments.
pub enum Caller<P> {
    /// The person who started the run.
    Person,
    /// A plugin, in the call of this id.
    Plugin {
        /// The plugin.
        plugin: Arc<Active<P>>,
        /// The call in which it makes this one.
        call: String,
        /// What the person called first, on the way to this call.
        pack: Arc<PluginId>,
        /// What that call did so far.
        journal: Arc<Journal>,
        /// Whether it is the first that the plugin makes in that call.
        first: bool,
    },
}

impl<P> Caller<P> {
    /// `person` or the plugin's id, as it is recorded.
    pub fn name(&self) -> String {
        match self {
            Self::Person => "person".to_owned(),
            Self::Plugin { plugin, .. } => plugin.id.to_string(),
        }
    }
}

/// What a run did with one other machine so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Egress {
    /// Requests and connections that were begun.
    pub requests: u64,
    /// Bytes sent and received.
    pub bytes: u64,
}

/// One top-level execution.
pub struct Run {
    id: RunId,
    journal: Arc<Journal>,
    egress: Mutex<BTreeMap<String, Egress>>,
    /// CPU time by component, in microseconds.
    cpu: Mutex<BTreeMap<Digest, u64>>,
    calls: AtomicU64,
    denied: AtomicU64,
    open: AtomicU64,
}

impl Run {
    pub(crate) fn new(id: RunId) -> Self {
        Self::resuming(id, 0, Vec::new())
    }

    /// A run that goes on after so many calls, with what it had done.
    pub(crate) fn resuming(id: RunId, calls: u64, earlier: Vec<Entry>) -> Self {
        Self {
            id,
            journal: Arc::new(Journal::resuming(earlier)),
            egress: Mutex::default(),
            cpu: Mutex::default(),
            calls: AtomicU64::new(calls),
            denied: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }

    /// The run's name.
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// What was done in it that must not be done again when it stops for an approval and goes on.
    pub const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Calls made so far, refused ones included.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls and effects refused so far.
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Counts a call and names it.
    pub(crate) fn next_call(&self) -> Result<String, Fault> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if number > CALLS_MAX {
            return Err(Fault::Limit { limit: LimitName::Calls, maximum: CALLS_MAX, used: Some(number) });
        }
        self.may_be_refused()?;
        Ok(format!("{}.{number}", self.id))
    }

    /// Calls that are executed now, nested ones included. A cancelled run may have some for a moment longer.
    pub fn open_calls(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// CPU time that calls of a component took in this run so far, in microseconds.
    pub fn cpu_us(&self, component: &Digest) -> u64 {
        let cpu = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
        cpu.get(component).copied().unwrap_or(0)
    }

    /// Adds CPU time that a call of a component took.
    pub fn count_cpu(&self, component: &Digest, cpu_us: u64) {
        let mut cpu = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = cpu.entry(*component).or_default();
        *sum = sum.saturating_add(cpu_us);
    }

    /// What the run did with a host so far.
    pub fn egress(&self, host: &str) -> Egress {
        self.hosts().get(host).copied().unwrap_or_default()
    }

    /// Counts a request to a host that is about to be made; says what there was before it.
    pub(crate) fn count_request(&self, host: &str) -> Result<Egress, Fault> {
        let mut hosts = self.hosts();
        let used = hosts.len() as u64 + 1;
        if used > EGRESS_HOSTS_MAX && !hosts.contains_key(host) {
            let limit = LimitName::EgressHosts;
            return Err(Fault::Limit { limit, maximum: EGRESS_HOSTS_MAX, used: Some(used) });
        }
        let egress = hosts.entry(host.to_owned()).or_default();
        let so_far = *egress;
        egress.requests += 1;
        Ok(so_far)
    }

    /// Counts bytes to or from a host that was asked before.
    pub(crate) fn count_bytes(&self, host: &str, bytes: u64) {
        if let Some(egress) = self.hosts().get_mut(host) {
            egress.bytes = egress.bytes.saturating_add(bytes);
        }
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Egress>> {
        // A count is changed whole or not at all, so a panic elsewhere leaves nothing half-done.
        self.egress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log has room for one more refusal of this run.
    pub(crate) fn may_be_refused(&self) -> Result<(), Fault> {
        let used = self.denied() + 1;
        if used > REFUSALS_MAX {
            let limit = LimitName::Refusals;
            return Err(Fault::Limit { limit, maximum: REFUSALS_MAX, used: Some(used) });
        }
        Ok(())
    }

    pub(crate) fn count_denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEnd {
    /// The code of the fault it ended with; none when it succeeded.
    pub code: Option<Code>,
}
