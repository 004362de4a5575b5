//! What the kernel asks of whoever runs components, and what it gives them to call back with.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use loong_manifest::{Code, Confinement, Digest, OperationName, PluginId};
use loong_policy::Token;
use serde_json::Value;

use crate::journal::Journal;
use crate::{Active, Call, Caller, Durability, Egress, Event, Fault, Outcome, Run, ToolSummary, Usage};

/// Runs the code of plugins.
pub trait Executor: Send + Sync + Sized + 'static {
    /// A loaded plugin.
    type Plugin: Send + Sync + 'static;
    /// The arguments of a call.
    type Arguments: Send + Sync + 'static;
    /// The result of a call.
    type Output: Send + 'static;

    /// Runs one call in a fresh instance, under the limits of the job.
    fn execute(&self, job: Job<Self>) -> impl Future<Output = Finished<Self::Output>> + Send;

    /// Makes an instance of a plugin that nothing is asked of, under its limits, and drops it.
    fn instantiate(
        &self,
        plugin: Arc<Active<Self::Plugin>>,
        deadline: Instant,
        nested: Nested<Self>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Measures arguments in the form in which the caller has them.
    fn measure(&self, arguments: &Self::Arguments) -> Measure;

    /// Measures a result in the form in which it is handed on.
    fn measure_output(&self, output: &Self::Output) -> Measure;

    /// Arguments of this JSON object.
    fn arguments_of(&self, json: Value) -> Self::Arguments;

    /// The arguments as JSON, after they were held against the types of the operation: exactly what the plugin will
    /// be given, in one form whatever form they came in.
    fn arguments_json(
        &self,
        plugin: &Self::Plugin,
        operation: &OperationName,
        arguments: &Self::Arguments,
    ) -> Result<Value, Fault>;

    /// A result as JSON.
    fn output_json(
        &self,
        plugin: &Self::Plugin,
        operation: &OperationName,
        output: &Self::Output,
    ) -> Result<Value, Fault>;

    /// A result from its JSON, in the form that belongs to the arguments.
    fn output_of(
        &self,
        plugin: &Self::Plugin,
        operation: &OperationName,
        json: &Value,
        arguments: &Self::Arguments,
    ) -> Result<Self::Output, Fault>;
}

/// The digest and the size of arguments or of a result. Only the same value in the same form has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// The digest.
    pub digest: Digest,
    /// The size, in bytes.
    pub bytes: u64,
}

/// One call that was decided and recorded.
pub struct Job<E: Executor> {
    /// The plugin that is called.
    pub plugin: Arc<Active<E::Plugin>>,
    /// The function that is called.
    pub operation: OperationName,
    /// Its arguments.
    pub arguments: E::Arguments,
    /// When it must have ended.
    pub deadline: Instant,
    /// How the plugin makes calls of its own.
    pub nested: Nested<E>,
}

/// How an execution ended, and what it used.
pub struct Finished<O> {
    /// The result.
    pub result: Result<O, Fault>,
    /// What it used.
    pub usage: Usage,
}

/// A future that is boxed, because calls nest.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The kernel as an executor sees it, without the ledger's type.
pub trait Road<E: Executor>: Send + Sync {
    /// `Kernel::call`.
    fn call(self: Arc<Self>, call: Call<E>) -> Boxed<'static, Result<E::Output, Fault>>;
    /// Tools that the plugin may call.
    fn search<'a>(
        &'a self,
        nested: &'a Nested<E>,
        query: &'a str,
    ) -> Boxed<'a, Result<Vec<ToolSummary>, Fault>>;
    /// Asks policy extensions about a way to another machine, and writes it down.
    fn reach(
        self: Arc<Self>,
        nested: Within<E>,
        reach: Reach,
        so_far: Egress,
        durability: Durability,
    ) -> Boxed<'static, Result<(), Fault>>;
    /// Writes an event down.
    fn record(&self, event: Event, durability: Durability) -> Boxed<'_, Result<(), Fault>>;
    /// Writes an effect down before it happens.
    fn effect<'a>(
        &'a self,
        nested: &'a Nested<E>,
        capability: &'static str,
        target: String,
        refused: Option<Code>,
        confinement: Option<Confinement>,
        durability: Durability,
    ) -> Boxed<'a, Result<(), Fault>>;
}

/// What a plugin wants to reach on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The capability it uses: `http` or `tcp`.
    pub capability: &'static str,
    /// What it does there: an HTTP method, or `connect`.
    pub action: String,
    /// The host, as it was granted: a name in lower case or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What is recorded: never a query, a body or a secret.
    pub target: String,
    /// Bytes that it is about to send, where that is known.
    pub bytes: Option<u64>,
}

/// The one way in which a running plugin reaches anything else. It carries the plugin's identity, so a
/// guest cannot forge one.
pub struct Nested<E: Executor> {
    pub(crate) road: Arc<dyn Road<E>>,
    pub(crate) run: Arc<Run>,
    pub(crate) plugin: Arc<Active<E::Plugin>>,
    pub(crate) call: String,
    pub(crate) pack: Arc<PluginId>,
    pub(crate) token: NestedToken,
    pub(crate) journal: Arc<Journal>,
    pub(crate) depth: u32,
    pub(crate) deadline: Instant,
    pub(crate) durability: Durability,
}

/// The token of a plugin that is running, made when it is first needed: most plugins call nothing.
pub(crate) struct NestedToken {
    pub(crate) callers: Token,
    pub(crate) expires_ms: u64,
    pub(crate) own: OnceLock<Token>,
}

/// Who does something, for whoever is asked about it.
pub struct Within<E: Executor> {
    pub(crate) run: Arc<Run>,
    pub(crate) plugin: Arc<Active<E::Plugin>>,
    pub(crate) call: String,
    pub(crate) pack: Arc<PluginId>,
}

impl<E: Executor> Nested<E> {
    /// The plugin that is running.
    pub const fn plugin(&self) -> &Arc<Active<E::Plugin>> {
        &self.plugin
    }

    /// The run it is running in.
    pub const fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// The id of the call that is running.
    pub fn call_id(&self) -> &str {
        &self.call
    }

    /// How many calls the one that is running is nested in.
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// When the call that is running must have ended.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Calls another operation in the name of the plugin that is running.
    pub fn call(&self, operation: &str, arguments: E::Arguments) -> Boxed<'static, Result<E::Output, Fault>> {
        let mut first = false;
        let token = self.token.own.get_or_init(|| {
            first = true;
            let grants = &self.plugin.grants;
            self.token.callers.attenuate(&self.plugin.principal(), grants.operations(), self.token.expires_ms)
        });
        let caller = Caller::Plugin {
            plugin: Arc::clone(&self.plugin),
            call: self.call.clone(),
            pack: Arc::clone(&self.pack),
            journal: Arc::clone(&self.journal),
            first,
        };
        let call = Call {
            run: Arc::clone(&self.run),
            caller,
            token: token.clone(),
            operation: operation.to_owned(),
            arguments,
            deadline: Some(self.deadline),
            depth: self.depth.saturating_add(1),
        };
        Arc::clone(&self.road).call(call)
    }

    /// Tools that the plugin that is running may call.
    pub async fn search(&self, query: &str) -> Result<Vec<ToolSummary>, Fault> {
        self.road.search(self, query).await
    }

    /// What the call did so far that must not be done again when its run stops and goes on.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Whether the call can stop in the middle because a call that it makes needs an approval: it may call others.
    pub fn may_stop(&self) -> bool {
        !self.plugin.grants.operations().is_empty()
    }

    /// The name of an effect in the journal: everything that makes it this one.
    pub fn effect_key(&self, capability: &str, request: &[&[u8]]) -> Digest {
        let of: [&[u8]; 3] =
            [b"loong.journal.effect/1", self.plugin.digest.as_bytes(), capability.as_bytes()];
        crate::chain::fingerprint(&[&of, request].concat())
    }

    /// Writes down, before it runs, that the plugin starts a program, and what confines it. In a high-risk call it
    /// is on the disk when this returns.
    pub async fn effect(
        &self,
        capability: &'static str,
        target: String,
        confinement: Confinement,
    ) -> Result<(), Fault> {
        let durability = self.durability.max(Durability::Written);
        self.road.effect(self, capability, target, None, Some(confinement), durability).await
    }

    /// Writes down that the plugin was refused a program, because this machine cannot confine it.
    pub async fn unconfined(
        &self,
        capability: &'static str,
        target: String,
        confinement: Confinement,
    ) -> Result<(), Fault> {
        let code = Some(Code::ConfinementUnavailable);
        self.road.effect(self, capability, target, code, Some(confinement), Durability::Queued).await
    }

    /// Asks to reach another machine, after the grants were looked at: policy extensions review it, and it is
    /// written down before it happens.
    pub async fn reach(&self, reach: &Reach) -> Result<(), Fault> {
        let so_far = self.run.count_request(&reach.host)?;
        self.journal.cannot_repeat(|| format!("`{}` reached {}", self.plugin.id, reach.host));
        let within = Within {
            run: Arc::clone(&self.run),
            plugin: Arc::clone(&self.plugin),
            call: self.call.clone(),
            pack: Arc::clone(&self.pack),
        };
        let durability = self.durability.max(Durability::Written);
        Arc::clone(&self.road).reach(within, reach.clone(), so_far, durability).await
    }

    /// Counts bytes that were sent to or came from a host, in this run.
    pub fn reached(&self, host: &str, bytes: u64) {
        self.run.count_bytes(host, bytes);
    }

    /// Writes down, before it happens, that the host puts a secret into a request to another machine.
    pub async fn secret_used(&self, secret: &str, host: &str) -> Result<(), Fault> {
        let event = Event::SecretUsed {
            run: self.run.id().to_string(),
            call: self.call.clone(),
            plugin: self.plugin.id.clone(),
            secret: secret.to_owned(),
            host: host.to_owned(),
        };
        self.road.record(event, self.durability.max(Durability::Written)).await
    }

    /// Writes down that the plugin was refused something.
    pub async fn refused(&self, capability: &'static str, target: String, code: Code) -> Result<(), Fault> {
        self.road.effect(self, capability, target, Some(code), None, Durability::Queued).await
    }

    pub(crate) const fn outcome(refused: Option<Code>) -> Outcome {
        if refused.is_some() { Outcome::Deny } else { Outcome::Allow }
    }
}
