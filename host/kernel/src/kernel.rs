//! `Kernel::call`: the only way in which anything is executed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use loong_manifest::{Code, LimitName, OperationName};
use loong_policy::{CallFacts, PolicySet, Principal, Token, TokenUse, Verdict};

use crate::executor::{Boxed, Road};
use crate::{
    Active, Asked, Caller, Catalog, Durability, Event, Executor, Fault, Job, Ledger, LedgerError, Nested,
    Offered, Outcome, ResolveError, Run, RunEnd, RunId, ToolSummary, Usage,
};

/// How long a person's token lasts. A run that takes longer starts again.
const TOKEN_LIFE_MS: u64 = 24 * 60 * 60 * 1000;
/// How much of an operation's name is recorded or handed back where nothing has this name, in characters.
const NAME_MAX: usize = 300;

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

/// Decides, records, executes and records again.
pub struct Kernel<L, E: Executor> {
    policy: PolicySet,
    ledger: L,
    executor: E,
    catalog: ArcSwap<Catalog<E::Plugin>>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// The generation of tokens that is in force; raising it revokes all earlier ones.
    generation: AtomicU64,
}

/// A plugin, and the operation of it that a name leads to.
pub type Found<P> = (Arc<Active<P>>, Offered);

/// What was found out about a call before it may be executed.
struct Decided<P> {
    callee: Arc<Active<P>>,
    operation: Offered,
    durability: Durability,
}

impl<L: Ledger, E: Executor> Kernel<L, E> {
    /// A kernel with no plugins. `clock` tells milliseconds since the Unix epoch.
    pub fn new(
        policy: PolicySet,
        ledger: L,
        executor: E,
        clock: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Arc<Self> {
        let catalog = ArcSwap::from_pointee(Catalog::default());
        Arc::new(Self { policy, ledger, executor, catalog, clock, generation: AtomicU64::new(0) })
    }

    /// The policies in force.
    pub const fn policy(&self) -> &PolicySet {
        &self.policy
    }

    /// Whoever runs components.
    pub const fn executor(&self) -> &E {
        &self.executor
    }

    /// Whoever keeps the audit log.
    pub const fn ledger(&self) -> &L {
        &self.ledger
    }

    /// The active plugins, as they are now.
    pub fn catalog(&self) -> Arc<Catalog<E::Plugin>> {
        self.catalog.load_full()
    }

    /// Makes a plugin active, in place of an older version of itself. The load is written down first. The id of
    /// a plugin whose tier is lower is only its own claim, so it never takes the place of a better known one.
    pub async fn activate(
        &self,
        plugin: Active<E::Plugin>,
        key: Option<String>,
        run: Option<&Run>,
    ) -> Result<(), Fault> {
        if let Some(active) = self.catalog.load().plugin(&plugin.id)
            && active.tier > plugin.tier
        {
            return Err(Fault::Denied {
                code: Code::TierTooLow,
                reason: format!(
                    "`{}` is active at tier {}; this one is {}",
                    plugin.id, active.tier, plugin.tier
                ),
                policies: Vec::new(),
            });
        }
        let event = Event::PluginLoaded {
            run: run.map(|run| run.id().to_string()),
            plugin: plugin.id.clone(),
            version: plugin.version.clone(),
            digest: plugin.digest,
            tier: plugin.tier,
            key,
            grants: plugin.grants.names(),
        };
        self.append(event, Durability::Written).await?;
        let plugin = Arc::new(plugin);
        self.catalog.rcu(|catalog| catalog.with(Arc::clone(&plugin)));
        Ok(())
    }

    /// Writes down that a component was refused before it could become a plugin.
    pub async fn refuse(&self, event: Event) -> Result<(), Fault> {
        self.append(event, Durability::Written).await
    }

    /// Revokes every token issued so far. Calls under way end; none of them can make another.
    pub fn revoke_tokens(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Begins a run: a person asks for something. Nothing happens in a run that could not be written down.
    pub async fn start(&self, id: RunId, request: String) -> Result<(Arc<Run>, Token), Fault> {
        let now_ms = (self.clock)();
        let expires_ms = now_ms.saturating_add(TOKEN_LIFE_MS);
        let token = Token::issue(id.as_str(), self.generation.load(Ordering::Acquire), expires_ms);
        let run = id.to_string();
        self.append(
            Event::TokenIssued {
                run: run.clone(),
                token: token.id(),
                holder: "person".to_owned(),
                expires_ms,
                generation: self.generation.load(Ordering::Acquire),
            },
            Durability::Queued,
        )
        .await?;
        self.append(Event::RunStarted { run, request, policy: self.policy.digest() }, Durability::Written)
            .await?;
        Ok((Arc::new(Run::new(id)), token))
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
        let facts = facts(Principal::Person, &callee, &offered, 0);
        Ok(((callee, offered), facts))
    }

    /// Makes one call. See the module and `design.md` for the road it takes.
    pub async fn call(self: Arc<Self>, call: Call<E>) -> Result<E::Output, Fault> {
        let id = call.run.next_call()?;
        let decided = match self.decide(&call, &id).await {
            Ok(decided) => decided,
            Err(fault) => {
                call.run.count_denied();
                return Err(fault);
            }
        };
        self.execute(call, id, decided).await
    }

    /// Resolves and decides, and writes the decision down, whatever it is.
    async fn decide(&self, call: &Call<E>, id: &str) -> Result<Decided<E::Plugin>, Fault> {
        let resolved = self.resolve(call);
        let mut event = DecisionFacts::of(call, id);
        let (callee, operation) = match resolved {
            Ok(found) => found,
            Err((code, fault)) => {
                let event = event.finish(Outcome::Deny, Some(code), Vec::new());
                self.append(event, Durability::Queued).await?;
                return Err(fault);
            }
        };
        event.callee(&call.caller, &callee, &operation);
        let durability = if operation.risk.rank() > 0 { Durability::Durable } else { Durability::Queued };
        let (outcome, policies, fault) = self.verdict(call, &callee, &operation);
        let event = event.finish(outcome, fault.as_ref().map(Fault::code), policies);
        self.append(event, if fault.is_none() { durability } else { Durability::Queued }).await?;
        fault.map_or(Ok(Decided { callee, operation, durability }), Err)
    }

    /// Finds the operation. To a plugin, what it was not granted and what does not exist look the same.
    fn resolve(&self, call: &Call<E>) -> Result<Found<E::Plugin>, (Code, Fault)> {
        let name = || loong_manifest::escape(&call.operation.chars().take(NAME_MAX).collect::<String>());
        let unknown = || Fault::Unknown { operation: name() };
        let found = self.catalog.load().resolve(&call.operation);
        match (&call.caller, found) {
            (_, Err(ResolveError::Unknown)) => Err((Code::OperationUnknown, unknown())),
            (Caller::Plugin { plugin, .. }, Ok((_, operation)))
                if !plugin.grants.operation(&operation.name) =>
            {
                Err((Code::CapabilityDenied, unknown()))
            }
            (Caller::Plugin { .. }, Err(ResolveError::Ambiguous(_))) => {
                Err((Code::OperationAmbiguous, unknown()))
            }
            (Caller::Person, Err(ResolveError::Ambiguous(candidates))) => {
                Err((Code::OperationAmbiguous, Fault::Ambiguous { operation: name(), candidates }))
            }
            (_, Ok(found)) => Ok(found),
        }
    }

    fn verdict(
        &self,
        call: &Call<E>,
        callee: &Active<E::Plugin>,
        operation: &Offered,
    ) -> (Outcome, Vec<String>, Option<Fault>) {
        let principal = principal(&call.caller);
        let use_of = TokenUse {
            run: call.run.id().as_str(),
            holder: &principal,
            operation: &operation.name,
            generation: self.generation.load(Ordering::Acquire),
            now_ms: (self.clock)(),
        };
        if let Err(denial) = call.token.check(&use_of) {
            let fault =
                Fault::Denied { code: denial.code(), reason: denial.to_string(), policies: Vec::new() };
            return (Outcome::Deny, Vec::new(), Some(fault));
        }
        let depth_max = callee.limits.depth_max;
        if call.depth > depth_max {
            let fault = Fault::Limit {
                limit: LimitName::Depth,
                maximum: u64::from(depth_max),
                used: Some(u64::from(call.depth)),
            };
            return (Outcome::Deny, Vec::new(), Some(fault));
        }
        let decision = self.policy.decide(&facts(principal, callee, operation, call.depth));
        let policies = decision.policies.clone();
        match decision.verdict {
            Verdict::Allow => (Outcome::Allow, policies, None),
            Verdict::Deny => {
                let fault = Fault::Denied {
                    code: Code::PolicyDenied,
                    reason: decision.reason,
                    policies: decision.policies,
                };
                (Outcome::Deny, policies, Some(fault))
            }
            Verdict::NeedsApproval => {
                let fault = Fault::NeedsApproval {
                    operation: Box::new(operation.name.clone()),
                    reason: decision.reason,
                    policies: decision.policies,
                };
                (Outcome::NeedsApproval, policies, Some(fault))
            }
        }
    }

    async fn execute(
        self: Arc<Self>,
        call: Call<E>,
        id: String,
        decided: Decided<E::Plugin>,
    ) -> Result<E::Output, Fault> {
        let Decided { callee, operation, durability } = decided;
        let begun = Instant::now();
        let own = begun + Duration::from_millis(callee.limits.deadline_ms);
        // A callee can never outlive its caller.
        let deadline = call.deadline.map_or(own, |callers| callers.min(own));
        let nested = Nested {
            road: Arc::<Self>::clone(&self),
            token: self.token_for(&call, &callee),
            run: Arc::clone(&call.run),
            plugin: Arc::clone(&callee),
            call: id.clone(),
            depth: call.depth,
            deadline,
            durability,
        };
        call.run.opened();
        let mut open = Open {
            kernel: &*self,
            run: &call.run,
            call: id,
            operation: operation.name.clone(),
            begun,
            deadline,
            ended: false,
        };
        let job =
            Job { plugin: callee, operation: operation.name, arguments: call.arguments, deadline, nested };
        let mut finished = self.executor.execute(job).await;
        finished.usage.duration_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let event = open.event(finished.result.as_ref().err().map(Fault::code), finished.usage);
        // The outcome of a high-risk call is as durable as its decision. A failed append is remembered by the
        // ledger; only one that was dropped while it waited is made up for.
        let appended = self.append(event, durability).await;
        open.ended = true;
        appended?;
        finished.result
    }

    /// The token that a plugin makes its own calls with: its caller's, narrowed to what it was granted.
    fn token_for(&self, call: &Call<E>, callee: &Active<E::Plugin>) -> Token {
        // A second more than the call may take, so that the deadline is what ends a call that is late.
        let expires_ms = (self.clock)().saturating_add(callee.limits.deadline_ms).saturating_add(1000);
        call.token.attenuate(&component(callee), callee.grants.operations(), expires_ms)
    }

    async fn append(&self, event: Event, durability: Durability) -> Result<(), Fault> {
        self.ledger.append(event, durability).await.map_err(audit_fault)
    }
}

fn audit_fault(error: LedgerError) -> Fault {
    Fault::Audit { problem: error.problem }
}

fn component<P>(plugin: &Active<P>) -> Principal {
    Principal::Component { plugin: plugin.id.clone(), digest: plugin.digest, tier: plugin.tier }
}

fn principal<P>(caller: &Caller<P>) -> Principal {
    match caller {
        Caller::Person => Principal::Person,
        Caller::Plugin { plugin, .. } => component(plugin),
    }
}

fn facts<P>(caller: Principal, callee: &Active<P>, operation: &Offered, depth: u32) -> CallFacts {
    CallFacts {
        caller,
        operation: operation.name.clone(),
        callee: callee.id.clone(),
        callee_tier: callee.tier,
        callee_pure: callee.grants.is_pure(),
        risk: callee.declared.then_some(operation.risk),
        depth,
        facts: BTreeMap::new(),
    }
}

impl<L: Ledger, E: Executor> Road<E> for Kernel<L, E> {
    fn call(self: Arc<Self>, call: Call<E>) -> Boxed<'static, Result<E::Output, Fault>> {
        Box::pin(Self::call(self, call))
    }

    fn search(&self, query: &str, caller: &Active<E::Plugin>) -> Vec<ToolSummary> {
        self.catalog.load().search(query, |operation| caller.grants.operation(operation))
    }

    fn record(&self, event: Event, durability: Durability) -> Boxed<'_, Result<(), Fault>> {
        Box::pin(self.append(event, durability))
    }

    fn effect<'a>(
        &'a self,
        nested: &'a Nested<E>,
        capability: &'static str,
        target: String,
        refused: Option<Code>,
        durability: Durability,
    ) -> Boxed<'a, Result<(), Fault>> {
        if refused.is_some() {
            if let Err(fault) = nested.run.may_be_refused() {
                return Box::pin(std::future::ready(Err(fault)));
            }
            nested.run.count_denied();
        }
        let event = Event::Effect {
            run: nested.run.id().to_string(),
            call: nested.call.clone(),
            plugin: nested.plugin.id.clone(),
            capability: capability.to_owned(),
            target,
            outcome: Nested::<E>::outcome(refused),
            code: refused,
            reviews: Vec::new(),
        };
        Box::pin(self.append(event, durability))
    }
}

/// A call that was decided and is not yet written down as ended. When its future is dropped, because the
/// caller's own time is up or the run was interrupted, the end is still written down.
struct Open<'a, L: Ledger, E: Executor> {
    kernel: &'a Kernel<L, E>,
    run: &'a Run,
    call: String,
    operation: OperationName,
    begun: Instant,
    deadline: Instant,
    ended: bool,
}

impl<L: Ledger, E: Executor> Open<'_, L, E> {
    fn event(&self, code: Option<Code>, usage: Usage) -> Event {
        Event::CallFinished {
            run: self.run.id().to_string(),
            call: self.call.clone(),
            operation: self.operation.clone(),
            code,
            usage,
            arguments: None,
            result: None,
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
            let event = self.event(Some(code), Usage { duration_us, ..Usage::default() });
            // A failed append is remembered by the ledger and refuses the next call.
            let _ = self.kernel.ledger.append_now(event);
        }
        self.run.closed();
    }
}

/// The fields of a decision that are known before it is made.
struct DecisionFacts {
    event: Event,
}

impl DecisionFacts {
    fn of<E: Executor>(call: &Call<E>, id: &str) -> Self {
        let (parent, caller_digest) = match &call.caller {
            Caller::Person => (None, None),
            Caller::Plugin { plugin, call } => (Some(call.clone()), Some(plugin.digest)),
        };
        Self {
            event: Event::Decision {
                run: call.run.id().to_string(),
                call: id.to_owned(),
                parent,
                token: call.token.id(),
                caller: call.caller.name(),
                caller_digest,
                operation: loong_manifest::escape(&call.operation.chars().take(NAME_MAX).collect::<String>()),
                plugin: None,
                digest: None,
                tier: None,
                risk: None,
                outcome: Outcome::Deny,
                code: None,
                policies: Vec::new(),
                depth: call.depth,
                pack: None,
                raised: Vec::new(),
                reviews: Vec::new(),
                approval: None,
                asked: None,
            },
        }
    }

    fn callee<P>(&mut self, caller: &Caller<P>, callee: &Active<P>, offered: &Offered) {
        if let Event::Decision { operation, plugin, digest, tier, risk, asked, .. } = &mut self.event {
            *operation = offered.name.to_string();
            *plugin = Some(callee.id.clone());
            *digest = Some(callee.digest);
            *tier = Some(callee.tier);
            *risk = Some(offered.risk);
            *asked = Some(Asked::of(caller, callee, offered));
        }
    }

    fn finish(mut self, decided: Outcome, why: Option<Code>, by: Vec<String>) -> Event {
        if let Event::Decision { outcome, code, policies, .. } = &mut self.event {
            *outcome = decided;
            *code = why;
            *policies = by;
        }
        self.event
    }
}

#[cfg(test)]
mod tests;
