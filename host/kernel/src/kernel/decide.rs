//! The first half of the road: which operation, is it allowed, who has to be asked. Everything is written down,
//! whatever it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use loong_manifest::{Code, LimitName, OperationName, PluginId, Risk};
use loong_policy::{ApprovalRequest, CallFacts, Principal, Rendered, Subject, TokenUse, Verdict};

use super::{Call, Found, Kernel, RECORDED_BYTES_MAX, RecordArguments};
use crate::kernel::membrane::Hidden;
use crate::kernel::review::{Subject as Reviewed, strictest};
use crate::{
    Active, ApprovalEnd, Asked, Caller, Durability, Event, Executor, Fault, Ledger, Measure, Offered,
    Outcome, ResolveError, Review, Standing, Waiting,
};

/// How much of an operation's name is recorded or handed back where nothing has this name, in characters.
const NAME_MAX: usize = 300;

/// Most requests for approvals that wait at once, in all; of one run fewer.
pub const APPROVALS_MAX: u64 = 256;

/// What was found out about a call before it may be executed.
pub(super) struct Decided<P> {
    pub(super) callee: Arc<Active<P>>,
    pub(super) operation: Offered,
    pub(super) durability: Durability,
    /// The arguments, where they are recorded.
    pub(super) recorded: Option<String>,
}

/// A verdict, and everything that is recorded of how it came about.
struct Judged {
    outcome: Outcome,
    policies: Vec<String>,
    reviews: Vec<Review>,
    approval: Option<String>,
    fault: Option<Fault>,
}

impl Judged {
    const fn new(outcome: Outcome, policies: Vec<String>, fault: Option<Fault>) -> Self {
        Self { outcome, policies, reviews: Vec::new(), approval: None, fault }
    }

    fn denied(code: Code, reason: String, policies: Vec<String>) -> Self {
        let fault = Fault::Denied { code, reason, policies: policies.clone() };
        Self::new(Outcome::Deny, policies, Some(fault))
    }
}

impl<L: Ledger, E: Executor> Kernel<L, E> {
    /// Finds the operation. To a plugin, what is hidden from it and what does not exist look the same, and both
    /// take the same way.
    pub(super) async fn find(&self, call: &Call<E>, id: &str) -> Result<Found<E::Plugin>, Fault> {
        match self.resolve(call) {
            Ok(found) => Ok(found),
            Err((Hidden { code, policies }, fault)) => {
                let mut event = DecisionFacts::of(call, id);
                event.judged(Judged::new(Outcome::Deny, policies, None), Some(code));
                self.append(event.event, Durability::Queued).await?;
                Err(fault)
            }
        }
    }

    fn resolve(&self, call: &Call<E>) -> Result<Found<E::Plugin>, (Hidden, Fault)> {
        let name = || loong_manifest::escape(&call.operation.chars().take(NAME_MAX).collect::<String>());
        let unknown = || Fault::Unknown { operation: name() };
        let hidden = |code| Hidden { code, policies: Vec::new() };
        match &call.caller {
            Caller::Plugin { plugin, .. } => {
                self.found_by(plugin, &call.operation, call.depth).map_err(|hidden| (hidden, unknown()))
            }
            Caller::Person => self.catalog.load().resolve(&call.operation).map_err(|error| match error {
                ResolveError::Unknown => (hidden(Code::OperationUnknown), unknown()),
                ResolveError::Ambiguous(candidates) => {
                    (hidden(Code::OperationAmbiguous), Fault::Ambiguous { operation: name(), candidates })
                }
            }),
        }
    }

    /// Decides, and writes the decision down, whatever it is.
    pub(super) async fn decide(
        self: &Arc<Self>,
        call: &Call<E>,
        id: &str,
        callee: Arc<Active<E::Plugin>>,
        operation: Offered,
        measure: &Measure,
    ) -> Result<Decided<E::Plugin>, Fault> {
        let mut event = DecisionFacts::of(call, id);
        let (risk, judged) = match self.risk(call, &callee, &operation) {
            Ok((risk, raised)) => {
                event.callee(call, &callee, &operation, risk, raised.clone());
                let facts = &event;
                (risk, self.judge(call, id, &callee, &operation, risk, raised, measure, facts).await)
            }
            Err(fault) => {
                event.callee(call, &callee, &operation, operation.risk, Vec::new());
                (operation.risk, Err(fault))
            }
        };
        // A log that cannot be written is not written to; everything else that ends a decision is.
        let judged = match judged {
            Err(fault @ Fault::Audit { .. }) => return Err(fault),
            Err(fault) => Judged::new(Outcome::Deny, Vec::new(), Some(fault)),
            Ok(judged) => judged,
        };
        let durability = if risk.rank() > 0 { Durability::Durable } else { Durability::Queued };
        let fault = judged.fault.clone();
        event.judged(judged, fault.as_ref().map(Fault::code));
        self.append(event.event, if fault.is_none() { durability } else { Durability::Queued }).await?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let recorded = self.recorded(call, &callee, &operation, risk);
        Ok(Decided { callee, operation, durability, recorded })
    }

    /// The risk of a call: what the manifest says, or the worst where it says nothing; raised where the risk
    /// profile says so.
    fn risk(
        &self,
        call: &Call<E>,
        callee: &Active<E::Plugin>,
        operation: &Offered,
    ) -> Result<(Risk, Vec<String>), Fault> {
        let Some(profile) = self.policy().risk_profile().filter(|_| callee.declared) else {
            return Ok((operation.risk, Vec::new()));
        };
        let arguments = if profile.needs_arguments() {
            Some(self.executor().arguments_json(&callee.plugin, &operation.name, &call.arguments)?)
        } else {
            None
        };
        let raised = profile.raise(&operation.name, operation.risk, arguments.as_ref());
        Ok((raised.risk.max(operation.risk), raised.reasons))
    }

    /// The arguments, if this call is one of those whose arguments are recorded.
    fn recorded(
        &self,
        call: &Call<E>,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        risk: Risk,
    ) -> Option<String> {
        let wanted = match self.parts.record_arguments {
            RecordArguments::Never => false,
            RecordArguments::Changes => risk > Risk::Read,
            RecordArguments::Always => true,
        };
        let json =
            wanted.then(|| self.executor().arguments_json(&callee.plugin, &operation.name, &call.arguments));
        json?.ok().map(|json| json.to_string()).filter(|text| text.len() <= RECORDED_BYTES_MAX)
    }

    #[expect(clippy::too_many_arguments, reason = "everything that a verdict depends on")]
    async fn judge(
        self: &Arc<Self>,
        call: &Call<E>,
        id: &str,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        risk: Risk,
        raised: Vec<String>,
        measure: &Measure,
        facts_of: &DecisionFacts,
    ) -> Result<Judged, Fault> {
        if let Some(judged) = self.token_refuses(call, callee, operation, facts_of.token()) {
            return Ok(judged);
        }
        if let Some((code, reason)) = self.stands_aside(callee) {
            return Ok(Judged::denied(code, reason, Vec::new()));
        }
        let depth_max = callee.limits.depth_max;
        if call.depth > depth_max {
            let (limit, maximum, used) =
                (LimitName::Depth, u64::from(depth_max), Some(u64::from(call.depth)));
            let fault = Fault::Limit { limit, maximum, used };
            return Ok(Judged::new(Outcome::Deny, Vec::new(), Some(fault)));
        }
        let decision =
            self.policy().decide(&facts(principal(&call.caller), callee, operation, risk, call.depth));
        let allowed = match decision.verdict {
            Verdict::Deny => {
                return Ok(Judged::denied(Code::PolicyDenied, decision.reason, decision.policies));
            }
            Verdict::NeedsApproval => Outcome::NeedsApproval,
            Verdict::Allow => Outcome::Allow,
        };
        let reviews = self.review_call(call, id, callee, operation, risk).await;
        let outcome = strictest(allowed, reviews.iter().map(|review| review.outcome));
        let mut judged = Judged::new(outcome, decision.policies, None);
        if let Some(review) = reviews.iter().find(|review| review.outcome == Outcome::Deny) {
            judged.fault = Some(Fault::Denied {
                code: if review.failed { Code::ExtensionFailed } else { Code::ExtensionDenied },
                reason: format!("`{}` denies it: {}", review.plugin, review.reason),
                policies: judged.policies.clone(),
            });
        }
        let asks = reviews.iter().find(|review| review.outcome == Outcome::NeedsApproval);
        let why = asks.map(|review| format!("`{}` asks for it: {}", review.plugin, review.reason));
        let mut reasons = raised;
        reasons.extend(reviews.iter().map(|review| format!("`{}`: {}", review.plugin, review.reason)));
        judged.reviews = reviews.into_iter().map(|review| review.said).collect();
        if outcome == Outcome::NeedsApproval {
            if allowed == Outcome::NeedsApproval {
                reasons.insert(0, decision.reason.clone());
            }
            let why = why.filter(|_| allowed == Outcome::Allow).unwrap_or(decision.reason);
            self.ask(call, id, callee, operation, risk, reasons, why, measure, &mut judged).await?;
        }
        Ok(judged)
    }

    /// Whether the caller's token, or a revoked key, stands against the call.
    fn token_refuses(
        &self,
        call: &Call<E>,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        token: &str,
    ) -> Option<Judged> {
        let principal = principal(&call.caller);
        let (pack, key) = match &call.caller {
            Caller::Person => (None, None),
            Caller::Plugin { pack, plugin, .. } => (Some(&**pack), plugin.key.as_deref()),
        };
        let use_of = TokenUse {
            run: call.run.id().as_str(),
            holder: &principal,
            pack,
            operation: &operation.name,
            generation: self.revoked.generation(),
            now_ms: self.now_ms(),
        };
        if let Err(denial) = call.token.check(&use_of) {
            return Some(Judged::denied(denial.code(), denial.to_string(), Vec::new()));
        }
        let revoked = if self.revoked.token(token, &call.token) {
            "the token was revoked"
        } else if self.revoked.key(key) || self.revoked.key(callee.key.as_deref()) {
            "the key that signed a component of this call was revoked"
        } else {
            return None;
        };
        Some(Judged::denied(Code::TokenRevoked, revoked.to_owned(), Vec::new()))
    }

    /// Looks for an approval, and asks for one where there is none. What comes of it is left in `judged`.
    #[expect(clippy::too_many_arguments, reason = "everything that a person is shown")]
    async fn ask(
        &self,
        call: &Call<E>,
        id: &str,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        risk: Risk,
        reasons: Vec<String>,
        why: String,
        measure: &Measure,
        judged: &mut Judged,
    ) -> Result<(), Fault> {
        let needs = |approval: Option<String>, policies: &[String]| Fault::NeedsApproval {
            operation: Box::new(operation.name.clone()),
            reason: why,
            policies: policies.to_vec(),
            approval,
        };
        judged.outcome = Outcome::NeedsApproval;
        let Some(approvals) = &self.parts.approvals else {
            judged.fault = Some(needs(None, &judged.policies));
            return Ok(());
        };
        let request = self.request(call, id, callee, operation, risk, reasons, measure, &judged.policies)?;
        let mut standing = approvals.take(&request).await.map_err(super::audit_fault)?;
        if standing == Standing::Open {
            let Some(waiting) = approvals.ask(&request).await.map_err(super::audit_fault)? else {
                judged.outcome = Outcome::Deny;
                let limit = LimitName::WaitingApprovals;
                judged.fault = Some(Fault::Limit { limit, maximum: APPROVALS_MAX, used: None });
                return Ok(());
            };
            self.note_waiting(&request, &waiting).await?;
            judged.approval = Some(waiting.approval.clone());
            let answer = match &self.parts.approver {
                Some(approver) => approver.ask(&waiting.approval, &request).await,
                None => None,
            };
            let Some(allow) = answer else {
                judged.fault = Some(needs(Some(waiting.approval), &judged.policies));
                return Ok(());
            };
            approvals.decide(&waiting.approval, allow).await.map_err(super::audit_fault)?;
            let event = Event::ApprovalDecided {
                run: Some(request.run.clone()),
                approval: waiting.approval,
                outcome: if allow { Outcome::Allow } else { Outcome::Deny },
                scope: "once".to_owned(),
                by: "terminal".to_owned(),
            };
            self.append(event, Durability::Durable).await?;
            standing = approvals.take(&request).await.map_err(super::audit_fault)?;
        }
        match standing {
            Standing::Taken(taken) => {
                let event = Event::ApprovalUsed {
                    run: request.run,
                    call: id.to_owned(),
                    approval: taken.approval.clone(),
                    uses_left: taken.uses_left,
                };
                self.append(event, Durability::Durable).await?;
                judged.approval = Some(taken.approval);
                judged.outcome = Outcome::Allow;
            }
            Standing::Denied { approval } => {
                judged.outcome = Outcome::Deny;
                judged.fault = Some(Fault::Denied {
                    code: Code::ApprovalDenied,
                    reason: "a person denied it".to_owned(),
                    policies: judged.policies.clone(),
                });
                judged.approval = Some(approval);
            }
            // It ran out between the answer and its use.
            Standing::Open => {
                judged.fault = Some(Fault::Denied {
                    code: Code::ApprovalExpired,
                    reason: "the approval expired before it was used".to_owned(),
                    policies: judged.policies.clone(),
                });
                judged.outcome = Outcome::Deny;
            }
        }
        Ok(())
    }

    async fn note_waiting(&self, request: &ApprovalRequest, waiting: &Waiting) -> Result<(), Fault> {
        for (approval, reason) in &waiting.ended {
            let run = (*reason == ApprovalEnd::Stale).then(|| request.run.clone());
            let event = Event::ApprovalExpired { run, approval: approval.clone(), reason: *reason };
            self.append(event, Durability::Written).await?;
        }
        if !waiting.new {
            return Ok(());
        }
        let event = Event::ApprovalRequested {
            run: request.run.clone(),
            call: request.call.clone(),
            approval: waiting.approval.clone(),
            operation: request.operation.to_string(),
            plugin: request.plugin.clone(),
            digest: request.digest,
            tier: request.tier,
            caller: request.caller.clone(),
            risk: request.risk,
            binding: waiting.binding,
            expires_ms: request.expires_ms,
        };
        self.append(event, Durability::Written).await
    }

    /// What a person is asked. Arguments that do not fit the operation are refused here: nobody is asked about
    /// what could not be done.
    #[expect(clippy::too_many_arguments, reason = "everything that a person is shown")]
    fn request(
        &self,
        call: &Call<E>,
        id: &str,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        risk: Risk,
        reasons: Vec<String>,
        measure: &Measure,
        policies: &[String],
    ) -> Result<ApprovalRequest, Fault> {
        let arguments = self.executor().arguments_json(&callee.plugin, &operation.name, &call.arguments)?;
        let mut bytes = Vec::new();
        crate::chain::encode(&mut bytes, &arguments);
        // Both: what is shown, and the very form that is executed.
        let arguments_digest = crate::chain::fingerprint(&[&bytes, measure.digest.as_bytes()]);
        let principal = principal(&call.caller);
        let subject = Subject {
            run: call.run.id().as_str(),
            caller: &principal,
            operation: &operation.name,
            component: &callee.digest,
            arguments: &arguments_digest,
        };
        let now_ms = self.now_ms();
        let (caller_digest, caller_tier) = match &call.caller {
            Caller::Person => (None, None),
            Caller::Plugin { plugin, .. } => (Some(plugin.digest), Some(plugin.tier)),
        };
        Ok(ApprovalRequest {
            run: call.run.id().to_string(),
            call: id.to_owned(),
            pack: pack(call),
            caller: call.caller.name(),
            caller_digest,
            caller_tier,
            operation: operation.name.clone(),
            plugin: callee.id.clone(),
            version: callee.version.clone(),
            digest: callee.digest,
            tier: callee.tier,
            risk,
            reasons,
            policies: policies.to_vec(),
            arguments: Rendered::of(&arguments),
            arguments_digest,
            subject: subject.digest(),
            policy: self.policy().digest(),
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(self.parts.approval_life_ms),
        })
    }
}

/// What the person called first, on the way to a call that a plugin makes.
fn pack<E: Executor>(call: &Call<E>) -> Option<PluginId> {
    match &call.caller {
        Caller::Person => None,
        Caller::Plugin { pack, .. } => Some((**pack).clone()),
    }
}

fn principal<P>(caller: &Caller<P>) -> Principal {
    match caller {
        Caller::Person => Principal::Person,
        Caller::Plugin { plugin, .. } => plugin.principal(),
    }
}

/// What policies know of a call.
pub(super) fn facts<P>(
    caller: Principal,
    callee: &Active<P>,
    operation: &Offered,
    risk: Risk,
    depth: u32,
) -> CallFacts {
    CallFacts {
        caller,
        operation: operation.name.clone(),
        callee: callee.id.clone(),
        callee_tier: callee.tier,
        callee_pure: callee.grants.is_pure(),
        risk: callee.declared.then_some(risk),
        depth,
        facts: BTreeMap::new(),
    }
}

/// The event of a decision, filled in as it is made.
struct DecisionFacts {
    event: Event,
}

impl DecisionFacts {
    fn of<E: Executor>(call: &Call<E>, id: &str) -> Self {
        let (parent, caller_digest) = match &call.caller {
            Caller::Person => (None, None),
            Caller::Plugin { plugin, call, .. } => (Some(call.clone()), Some(plugin.digest)),
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
                pack: pack(call),
                raised: Vec::new(),
                reviews: Vec::new(),
                approval: None,
                asked: None,
            },
        }
    }

    fn token(&self) -> &str {
        if let Event::Decision { token, .. } = &self.event { token } else { "" }
    }

    fn callee<E: Executor>(
        &mut self,
        call: &Call<E>,
        callee: &Active<E::Plugin>,
        offered: &Offered,
        decided_risk: Risk,
        why: Vec<String>,
    ) {
        if let Event::Decision { operation, plugin, digest, tier, risk, raised, pack, asked, .. } =
            &mut self.event
        {
            *asked = Some(Asked::of(&call.caller, callee, offered));
            *operation = offered.name.to_string();
            *plugin = Some(callee.id.clone());
            *digest = Some(callee.digest);
            *tier = Some(callee.tier);
            *risk = Some(decided_risk);
            *raised = why;
            *pack = Some((*call.pack(callee)).clone());
        }
    }

    fn judged(&mut self, judged: Judged, why: Option<Code>) {
        if let Event::Decision { outcome, code, policies, reviews, approval, .. } = &mut self.event {
            *outcome = judged.outcome;
            *code = why;
            *policies = judged.policies;
            *reviews = judged.reviews;
            *approval = judged.approval;
        }
    }
}

impl Reviewed {
    /// A call as a policy extension sees it.
    fn operation(
        name: &OperationName,
        plugin: &PluginId,
        tier: loong_manifest::Tier,
        risk: Risk,
        depth: u32,
    ) -> Self {
        Self::Operation { name: name.to_string(), plugin: plugin.to_string(), tier, risk, depth }
    }
}

impl<L: Ledger, E: Executor> Kernel<L, E> {
    async fn review_call(
        self: &Arc<Self>,
        call: &Call<E>,
        id: &str,
        callee: &Active<E::Plugin>,
        operation: &Offered,
        risk: Risk,
    ) -> Vec<super::review::Said> {
        if !self.has_extensions() {
            return Vec::new();
        }
        let subject = Reviewed::operation(&operation.name, &callee.id, callee.tier, risk, call.depth);
        let tier = match &call.caller {
            Caller::Person => None,
            Caller::Plugin { plugin, .. } => Some(plugin.tier),
        };
        let pack = call.pack(callee);
        self.review(&call.run, id, Some(&pack), &call.caller.name(), tier, &subject, call.deadline).await
    }
}
