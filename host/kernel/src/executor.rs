//! What the kernel asks of whoever runs components, and what it gives them to call back with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use loong_manifest::{Code, OperationName};
use loong_policy::Token;

use crate::{Active, Call, Caller, Durability, Event, Fault, Outcome, Run, ToolSummary, Usage};

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
    /// Tools that the caller may call.
    fn search(&self, query: &str, caller: &Active<E::Plugin>) -> Vec<ToolSummary>;
    /// Writes an event down.
    fn record(&self, event: Event, durability: Durability) -> Boxed<'_, Result<(), Fault>>;
    /// Writes an effect down before it happens.
    fn effect<'a>(
        &'a self,
        nested: &'a Nested<E>,
        capability: &'static str,
        target: String,
        refused: Option<Code>,
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
    pub(crate) token: Token,
    pub(crate) depth: u32,
    pub(crate) deadline: Instant,
    pub(crate) durability: Durability,
}

impl<E: Executor> Nested<E> {
    /// The plugin that is running.
    pub const fn plugin(&self) -> &Arc<Active<E::Plugin>> {
        &self.plugin
    }

    /// The run it is running in.
    pub fn run(&self) -> &Run {
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
        let call = Call {
            run: Arc::clone(&self.run),
            caller: Caller::Plugin { plugin: Arc::clone(&self.plugin), call: self.call.clone() },
            token: self.token.clone(),
            operation: operation.to_owned(),
            arguments,
            deadline: Some(self.deadline),
            depth: self.depth + 1,
        };
        Arc::clone(&self.road).call(call)
    }

    /// Tools that the plugin that is running may call.
    pub fn search(&self, query: &str) -> Vec<ToolSummary> {
        self.road.search(query, &self.plugin)
    }

    /// Writes down, before it happens, that the plugin uses a capability on something outside. In a high-risk
    /// call it is on the disk when this returns.
    pub async fn effect(&self, capability: &'static str, target: String) -> Result<(), Fault> {
        let durability = self.durability.max(Durability::Written);
        self.road.effect(self, capability, target, None, durability).await
    }

    /// Asks to reach another machine, after the grants were looked at: policy extensions review it, and it is
    /// written down before it happens.
    pub async fn reach(&self, reach: &Reach) -> Result<(), Fault> {
        self.run.count_request(&reach.host)?;
        self.effect(reach.capability, reach.target.clone()).await
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
        self.road.effect(self, capability, target, Some(code), Durability::Queued).await
    }

    pub(crate) const fn outcome(refused: Option<Code>) -> Outcome {
        if refused.is_some() { Outcome::Deny } else { Outcome::Allow }
    }
}
