//! `Kernel::call`: the only way in which anything is executed.

mod decide;
mod membrane;
mod plugins;
mod review;
mod road;
mod supervise;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use loong_manifest::{Code, Digest, OperationName, PluginId};
use loong_policy::{CallFacts, PolicySet, Principal, Token};

pub use self::decide::APPROVALS_MAX;
use self::decide::Decided;
use self::review::Extension;
use self::supervise::Supervised;
use crate::executor::NestedToken;
use crate::journal::{self, Entry, Journal};
use crate::revoked::{Revocation, Revoked};
use crate::task::{Ended, InReply, Runnable, Task};
use crate::{
    Active, Approvals, Approver, Caller, Catalog, Durability, Event, Executor, Fault, Finished, Job, Ledger,
    LedgerError, Measure, Nested, Offered, ResolveError, Run, RunEnd, RunId, Standings, Usage,
};

/// How long a person's token lasts. A run that takes longer starts again.
const TOKEN_LIFE_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a request for an approval waits, unless the owner says otherwise.
const APPROVAL_LIFE_MS: u64 = 24 * 60 * 60 * 1000;
/// How long calls of a version that was replaced may go on, unless the owner says otherwise.
const DRAIN_MS: u64 = 30_000;
/// Longest arguments that are recorded as they are, in bytes of JSON. Of longer ones only the digest is.
const RECORDED_BYTES_MAX: usize = 64 << 10;

/// One call, before anything is known of it but who makes it.
pub struct Call<E: Executor> {
    /// The run.
    pub run: Arc<Run>,
    /// Who calls.
    pub caller: Caller<E::Plugin>,
    /// What the caller may do.
    pub token: Token,
    /// What is called, in any of the forms that [`Catalog::resolve`] knows.
    pub operation: String,
    /// The arguments.
    pub arguments: E::Arguments,
    /// When the caller itself must have ended.
    pub deadline: Option<Instant>,
    /// How many calls this one is nested in.
    pub depth: u32,
}

impl<E: Executor> Call<E> {
    fn journal(&self) -> &Arc<Journal> {
        match &self.caller {
            Caller::Person => self.run.journal(),
            Caller::Plugin { journal, .. } => journal,
        }
    }
}

/// Of which calls the arguments themselves are recorded. Their digest always is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordArguments {
    /// Of none.
    #[default]
    Never,
    /// Of those that change something.
    Changes,
    /// Of all.
    Always,
}

/// What a kernel is made of.
pub struct Parts<L, E> {
    /// The policies in force.
    pub policy: PolicySet,
    /// Whoever keeps the audit log.
    pub ledger: L,
    /// Whoever runs components.
    pub executor: E,
    /// Tells milliseconds since the Unix epoch.
    pub clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Whoever keeps approvals. Without it, what needs one is refused.
    pub approvals: Option<Arc<dyn Approvals>>,
    /// A person who is there to be asked.
    pub approver: Option<Arc<dyn Approver>>,
    /// How long a request for an approval waits, in milliseconds.
    pub approval_life_ms: u64,
    /// Of which calls the arguments are recorded.
    pub record_arguments: RecordArguments,
    /// Whoever keeps how plugins stand. Without it, a plugin that fails is called again all the same.
    pub standings: Option<Arc<dyn Standings>>,
    /// How long calls of a version that was replaced may go on, in milliseconds.
    pub drain_ms: u64,
}

impl<L, E> Parts<L, E> {
    /// Parts of a kernel that nobody is asked by and that records no arguments.
    pub fn new(policy: PolicySet, ledger: L, executor: E, clock: Box<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self {
            policy,
            ledger,
            executor,
            clock,
            approvals: None,
            approver: None,
            approval_life_ms: APPROVAL_LIFE_MS,
            record_arguments: RecordArguments::Never,
            standings: None,
            drain_ms: DRAIN_MS,
        }
    }
}

/// Decides, records, executes and records again.
pub struct Kernel<L, E: Executor> {
    parts: Parts<L, E>,
    catalog: ArcSwap<Catalog<E::Plugin>>,
    extensions: ArcSwap<Vec<Arc<Extension<E::Plugin>>>>,
    revoked: Revoked,
    supervised: Supervised<E::Plugin>,
}

/// A plugin, and the operation of it that a name leads to.
pub type Found<P> = (Arc<Active<P>>, Offered);

impl<L: Ledger, E: Executor> Kernel<L, E> {
    /// A kernel with no plugins, as [`Parts::new`] makes it.
    pub fn new(
        policy: PolicySet,
        ledger: L,
        executor: E,
        clock: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Arc<Self> {
        Self::of(Parts::new(policy, ledger, executor, clock))
    }

    /// A kernel with no plugins.
    pub fn of(parts: Parts<L, E>) -> Arc<Self> {
        Arc::new(Self {
            parts,
            catalog: ArcSwap::from_pointee(Catalog::default()),
            extensions: ArcSwap::from_pointee(Vec::new()),
            revoked: Revoked::default(),
            supervised: Supervised::default(),
        })
    }

    /// The policies in force.
    pub const fn policy(&self) -> &PolicySet {
        &self.parts.policy
    }

    /// Whoever runs components.
    pub const fn executor(&self) -> &E {
        &self.parts.executor
    }

    /// Whoever keeps the audit log.
    pub const fn ledger(&self) -> &L {
        &self.parts.ledger
    }

    /// The active plugins, as they are now.
    pub fn catalog(&self) -> Arc<Catalog<E::Plugin>> {
        self.catalog.load_full()
    }

    /// Writes down what happened to a component before it became a plugin.
    pub async fn note(&self, event: Event) -> Result<(), Fault> {
        self.append(event, Durability::Written).await
    }

    /// Takes over what was revoked and recorded by another process, or by an earlier one.
    pub fn revoke_again(&self, revocation: &Revocation) {
        self.revoked.revoke(revocation);
    }

    /// Begins a run: a person asks for something. Nothing happens in a run that could not be written down.
    pub async fn start(&self, id: RunId, request: String) -> Result<(Arc<Run>, Token), Fault> {
        let token = self.issue(&id).await?;
        let event = Event::RunStarted { run: id.to_string(), request, policy: self.policy().digest() };
        self.append(event, Durability::Written).await?;
        Ok((Arc::new(Run::new(id)), token))
    }

    /// Lets a run that stopped for an approval go on, after so many calls and with what it had done.
    pub async fn resume(
        &self,
        id: RunId,
        calls: u64,
        earlier: Vec<Entry>,
    ) -> Result<(Arc<Run>, Token), Fault> {
        let token = self.issue(&id).await?;
        let name = id.to_string();
        let run = Run::resuming(id, calls, earlier);
        let (policy, journaled) = (self.policy().digest(), run.journal().left());
        self.append(Event::RunResumed { run: name, policy, journaled }, Durability::Written).await?;
        Ok((Arc::new(run), token))
    }

    async fn issue(&self, run: &RunId) -> Result<Token, Fault> {
        let expires_ms = self.now_ms().saturating_add(TOKEN_LIFE_MS);
        let token = Token::issue(run.as_str(), self.revoked.generation(), expires_ms);
        self.append(issued(run.as_str(), &token, "person"), Durability::Queued).await?;
        Ok(token)
    }

    /// Ends a run.
    pub async fn finish(&self, run: &Run, end: RunEnd) -> Result<(), Fault> {
        let event = Event::RunFinished {
            run: run.id().to_string(),
            calls: run.calls(),
            denied: run.denied(),
            code: end.code,
        };
        self.append(event, Durability::Written).await
    }

    /// Decides what would happen to a call, without making it or writing it down.
    pub fn preview(&self, operation: &str) -> Result<(Found<E::Plugin>, CallFacts), ResolveError> {
        let (callee, offered) = self.catalog.load().resolve(operation)?;
        let facts = decide::facts(Principal::Person, &callee, &offered, offered.risk, 0);
        Ok(((callee, offered), facts))
    }

    /// Makes one call. See the module and `design.md` for the road it takes.
    pub async fn call(self: Arc<Self>, call: Call<E>) -> Result<E::Output, Fault> {
        let task = Task::new(call.run.next_call()?);
        let run = Arc::clone(&call.run);
        if let (Caller::Plugin { plugin, first: true, .. }, true) = (&call.caller, call.depth > 0) {
            let event = issued(run.id().as_str(), &call.token, &plugin.id.to_string());
            self.append(event, Durability::Queued).await?;
        }
        self.travel(call, task).await.into_result()
    }

    async fn travel(self: Arc<Self>, call: Call<E>, task: Task<Runnable>) -> Ended<E::Output> {
        let task = task.send();
        let measure = self.executor().measure(&call.arguments);
        let run = Arc::clone(&call.run);
        let refused = |fault: Fault| {
            run.count_denied();
            fault
        };
        let (callee, operation) = match self.find(&call, &task.id).await {
            Ok(found) => found,
            Err(fault) => return task.fault(refused(fault)).into(),
        };
        let key = key(&call, &callee, &operation.name, &measure);
        if let Some(outcome) = call.journal().outcome(&key) {
            // Nothing is executed: the run already has this outcome.
            return match self.replay(&call, task.sent(), &callee, &operation, &measure, outcome).await {
                Ok(ended) => ended,
                Err((task, fault)) => task.fault(fault).into(),
            };
        }
        let decided = match self.decide(&call, &task.id, callee, operation, &measure).await {
            Ok(decided) => decided,
            Err(fault) => return task.fault(refused(fault)).into(),
        };
        let started = Event::CallStarted {
            run: call.run.id().to_string(),
            call: task.id.clone(),
            operation: decided.operation.name.clone(),
            plugin: decided.callee.id.clone(),
            digest: decided.callee.digest,
            arguments: Some(measure.digest),
            arguments_json: decided.recorded.clone(),
        };
        // Of a high-risk call the decision is on the disk already.
        if let Err(fault) = self.append(started, Durability::Queued).await {
            return task.fault(fault).into();
        }
        self.execute(call, task.sent(), decided, key, measure).await
    }

    async fn execute(
        self: Arc<Self>,
        call: Call<E>,
        task: Task<InReply>,
        decided: Decided<E::Plugin>,
        key: Digest,
        measure: Measure,
    ) -> Ended<E::Output> {
        let Decided { callee, operation, durability, .. } = decided;
        let begun = Instant::now();
        let own = begun + Duration::from_millis(callee.limits.deadline_ms);
        // A callee can never outlive its caller.
        let deadline = call.deadline.map_or(own, |callers| callers.min(own));
        let callers = Arc::clone(call.journal());
        let journal = callers.nested(callers.opened(&key));
        let nested = Nested {
            road: Arc::<Self>::clone(&self),
            token: self.token_for(&call, &callee),
            run: Arc::clone(&call.run),
            plugin: Arc::clone(&callee),
            call: task.id.clone(),
            pack: call.pack(&callee),
            journal: Arc::clone(&journal),
            depth: call.depth,
            deadline,
            durability,
        };
        call.run.opened();
        let mut open = Open {
            kernel: &*self,
            run: &call.run,
            call: task.id.clone(),
            operation: operation.name.clone(),
            arguments: measure,
            begun,
            deadline,
            ended: false,
        };
        let job = Job {
            plugin: Arc::clone(&callee),
            operation: operation.name.clone(),
            arguments: call.arguments,
            deadline,
            nested,
        };
        let under_way = callee.traffic.enter();
        let mut finished = tokio::select! {
            biased;
            () = under_way.stopped() => Finished { result: Err(unloaded(&callee)), usage: Usage::default() },
            finished = self.executor().execute(job) => finished,
        };
        finished.usage.duration_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        finished.usage.arguments_bytes = measure.bytes;
        let result = finished.result.as_ref().ok().map(|output| self.executor().measure_output(output));
        finished.usage.result_bytes = result.map_or(0, |measure| measure.bytes);
        let code = finished.result.as_ref().err().map(Fault::code);
        let whole = deadline == own;
        self.used(&callee.digest, &operation.name, &finished.usage, code.is_some());
        match &finished.result {
            Err(Fault::NeedsApproval { .. }) => callers.stopped(key, &journal),
            result if durability > Durability::Queued => {
                self.keep(&callers, key, &callee, &operation, result);
            }
            _ => {}
        }
        let event = open.event(code, finished.usage, result.map(|measure| measure.digest));
        // The outcome of a high-risk call is as durable as its decision. A failed append is remembered by the
        // ledger; only one that was dropped while it waited is made up for.
        let appended = self.append(event, durability).await;
        open.ended = true;
        let appended = match appended {
            Ok(()) => self.watch(&callee, call.run.id(), finished.result.as_ref().err(), whole).await,
            failed => failed,
        };
        match appended.and(finished.result) {
            Ok(output) => Ended::Completed(task.complete(output)),
            Err(fault) => task.fault(fault).into(),
        }
    }

    /// Notes what came of a call that may have changed something. When its result cannot be kept, its run
    /// cannot go on once it has stopped.
    fn keep(
        &self,
        journal: &Journal,
        key: Digest,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        result: &Result<E::Output, Fault>,
    ) {
        match result {
            Err(fault) => journal.done(key, || journal::Outcome::Fault(fault.clone())),
            Ok(output) => match self.executor().output_json(&callee.plugin, &operation.name, output) {
                Ok(json) => journal.done(key, || journal::Outcome::Result(json)),
                Err(fault) => journal.cannot_repeat(|| format!("`{}`: {fault}", operation.name)),
            },
        }
    }

    /// Answers a call from the journal of its run.
    async fn replay(
        &self,
        call: &Call<E>,
        task: Task<InReply>,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        measure: &Measure,
        outcome: journal::Outcome,
    ) -> Result<Ended<E::Output>, (Task<InReply>, Fault)> {
        let result = match outcome {
            journal::Outcome::Result(json) => {
                self.executor().output_of(&callee.plugin, &operation.name, &json, &call.arguments)
            }
            journal::Outcome::Fault(fault) => Err(fault),
        };
        let event = Event::CallFinished {
            run: call.run.id().to_string(),
            call: task.id.clone(),
            operation: operation.name.clone(),
            code: result.as_ref().err().map(Fault::code),
            usage: Usage::default(),
            arguments: Some(measure.digest),
            result: result.as_ref().ok().map(|output| self.executor().measure_output(output).digest),
            journaled: true,
        };
        if let Err(fault) = self.append(event, Durability::Written).await {
            return Err((task, fault));
        }
        Ok(match result {
            Ok(output) => Ended::Completed(task.complete(output)),
            Err(fault) => task.fault(fault).into(),
        })
    }

    /// The token that a plugin makes its own calls with: its caller's, narrowed to what it was granted.
    fn token_for(&self, call: &Call<E>, callee: &Active<E::Plugin>) -> NestedToken {
        // A second more than the call may take, so that the deadline is what ends a call that is late.
        let expires_ms = self.now_ms().saturating_add(callee.limits.deadline_ms).saturating_add(1000);
        NestedToken { callers: call.token.clone(), expires_ms, own: std::sync::OnceLock::new() }
    }

    fn now_ms(&self) -> u64 {
        (self.parts.clock)()
    }

    async fn append(&self, event: Event, durability: Durability) -> Result<(), Fault> {
        self.ledger().append(event, durability).await.map_err(audit_fault)
    }
}

impl<E: Executor> Call<E> {
    /// What the person called first, on the way to this call.
    fn pack(&self, callee: &Active<E::Plugin>) -> Arc<PluginId> {
        match &self.caller {
            Caller::Person => Arc::new(callee.id.clone()),
            Caller::Plugin { pack, .. } => Arc::clone(pack),
        }
    }
}

fn unloaded<P>(callee: &Active<P>) -> Fault {
    let reason =
        format!("another version took the place of `{}`, and this call did not end in time", callee.id);
    Fault::Denied { code: Code::PluginUnloaded, reason, policies: Vec::new() }
}

fn audit_fault(error: LedgerError) -> Fault {
    Fault::Audit { problem: error.problem }
}

fn issued(run: &str, token: &Token, holder: &str) -> Event {
    Event::TokenIssued {
        run: run.to_owned(),
        token: token.id(),
        holder: holder.to_owned(),
        expires_ms: token.expires_ms(),
        generation: token.generation(),
    }
}

/// The name of a call in the journal of its caller: who calls what, of which bytes, with which arguments.
fn key<E: Executor>(
    call: &Call<E>,
    callee: &Active<E::Plugin>,
    operation: &OperationName,
    arguments: &Measure,
) -> Digest {
    let caller = match &call.caller {
        Caller::Person => None,
        Caller::Plugin { plugin, .. } => Some(plugin.digest),
    };
    crate::chain::fingerprint(&[
        b"loong.journal.call/1",
        caller.as_ref().map_or(&[][..], |digest| digest.as_bytes()),
        callee.digest.as_bytes(),
        operation.to_string().as_bytes(),
        arguments.digest.as_bytes(),
    ])
}

/// A call that was decided and is not yet written down as ended. When its future is dropped, because the
/// caller's own time is up or the run was interrupted, the end is still written down.
struct Open<'a, L: Ledger, E: Executor> {
    kernel: &'a Kernel<L, E>,
    run: &'a Run,
    call: String,
    operation: OperationName,
    arguments: Measure,
    begun: Instant,
    deadline: Instant,
    ended: bool,
}

impl<L: Ledger, E: Executor> Open<'_, L, E> {
    fn event(&self, code: Option<Code>, usage: Usage, result: Option<Digest>) -> Event {
        Event::CallFinished {
            run: self.run.id().to_string(),
            call: self.call.clone(),
            operation: self.operation.clone(),
            code,
            usage,
            arguments: Some(self.arguments.digest),
            result,
            journaled: false,
        }
    }
}

impl<L: Ledger, E: Executor> Drop for Open<'_, L, E> {
    fn drop(&mut self) {
        if !self.ended {
            let duration_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            let late = Instant::now() >= self.deadline;
            let code = if late { Code::Deadline } else { Code::Interrupted };
            let usage = Usage { duration_us, arguments_bytes: self.arguments.bytes, ..Usage::default() };
            let event = self.event(Some(code), usage, None);
            // A failed append is remembered by the ledger and refuses the next call.
            let _ = self.kernel.ledger().append_now(event);
        }
        self.run.closed();
    }
}

#[cfg(test)]
mod tests;
