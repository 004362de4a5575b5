//! Policy extensions: components that look at what policy allows, and can only be stricter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loong_manifest::{Code, OperationName, PluginId, Risk, Tier};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Kernel;
use crate::{Active, Durability, Egress, Event, Executor, Fault, Job, Ledger, Outcome, Reach, Review, Run};

/// The interface that an extension exports.
const INTERFACE: &str = "loong:policy/extension";
/// How long one review may take, whatever the extension's own limit says.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longest reason of an extension that is kept, in characters.
const REASON_MAX: usize = 300;

/// A plugin that reviews.
pub(super) struct Extension<P> {
    plugin: Arc<Active<P>>,
    operation: OperationName,
    /// One review at a time.
    turn: Mutex<()>,
}

impl<P> Extension<P> {
    pub(super) fn of(plugin: Active<P>) -> Result<Self, Fault> {
        let operation = plugin.operations.iter().map(|offered| &offered.name).find(|name| {
            name.function == "review"
                && name.interface.as_ref().is_some_and(|interface| interface.path() == INTERFACE)
        });
        match operation.cloned() {
            Some(operation) => Ok(Self { plugin: Arc::new(plugin), operation, turn: Mutex::new(()) }),
            None => Err(Fault::Denied {
                code: Code::ExtensionFailed,
                reason: format!("`{}` does not export `{INTERFACE}`", plugin.id),
                policies: Vec::new(),
            }),
        }
    }

    pub(super) const fn plugin(&self) -> &Arc<Active<P>> {
        &self.plugin
    }
}

/// What is looked at, as `wit/policy` has it.
pub(super) enum Subject {
    Operation { name: String, plugin: String, tier: Tier, risk: Risk, depth: u32 },
    Egress { reach: Reach, so_far: Egress },
}

impl Subject {
    fn json(&self) -> Value {
        match self {
            Self::Operation { name, plugin, tier, risk, depth } => json!({ "operation": {
                "name": name, "plugin": plugin, "tier": tier.as_str(), "risk": risk.as_str(), "depth": depth,
            } }),
            Self::Egress { reach, so_far } => json!({ "egress": {
                "capability": reach.capability, "action": reach.action, "host": reach.host, "port": reach.port,
                "bytes": reach.bytes, "requests-so-far": so_far.requests, "bytes-so-far": so_far.bytes,
            } }),
        }
    }
}

/// What one extension said, unless it abstained.
pub(super) struct Said {
    pub(super) said: Review,
    /// Whether it said nothing, because it failed; then it denies.
    pub(super) failed: bool,
}

impl std::ops::Deref for Said {
    type Target = Review;

    fn deref(&self) -> &Review {
        &self.said
    }
}

/// The strictest of several outcomes; extensions can only make a verdict stricter.
pub(super) fn strictest(policy: Outcome, reviews: impl IntoIterator<Item = Outcome>) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Allow => 0,
        Outcome::NeedsApproval => 1,
        Outcome::Deny => 2,
    };
    reviews.into_iter().chain([policy]).max_by_key(rank).unwrap_or(Outcome::Deny)
}

impl<L: Ledger, E: Executor> Kernel<L, E> {
    pub(super) fn has_extensions(&self) -> bool {
        !self.extensions.load().is_empty()
    }

    /// Asks every extension, in the order of their ids, until one denies.
    #[expect(clippy::too_many_arguments, reason = "everything that an extension is told")]
    pub(super) async fn review(
        self: &Arc<Self>,
        run: &Arc<Run>,
        call: &str,
        pack: Option<&PluginId>,
        caller: &str,
        tier: Option<Tier>,
        subject: &Subject,
        deadline: Option<Instant>,
    ) -> Vec<Said> {
        let question = json!({ "question": {
            "run": run.id().as_str(), "pack": pack.map(ToString::to_string),
            "caller": { "name": caller, "tier": tier.map(Tier::as_str) }, "subject": subject.json(),
        } });
        let mut reviews = Vec::new();
        for extension in self.extensions.load_full().iter() {
            let answer = self.ask_extension(extension, run, call, question.clone(), deadline).await;
            let (outcome, reason, failed) = match answer {
                Ok(None) => continue,
                Ok(Some((outcome, reason))) => (outcome, reason, false),
                Err(fault) => (Outcome::Deny, format!("it failed: {fault}"), true),
            };
            let reason = loong_manifest::escape(&reason.chars().take(REASON_MAX).collect::<String>());
            let plugin = extension.plugin.id.clone();
            reviews.push(Said { said: Review { plugin, outcome, reason }, failed });
            if outcome == Outcome::Deny {
                break;
            }
        }
        reviews
    }

    /// One review, in a fresh instance under the extension's own limits. It can call nothing.
    async fn ask_extension(
        self: &Arc<Self>,
        extension: &Extension<E::Plugin>,
        run: &Arc<Run>,
        call: &str,
        question: Value,
        callers: Option<Instant>,
    ) -> Result<Option<(Outcome, String)>, Fault> {
        let _turn = extension.turn.lock().await;
        let plugin = &extension.plugin;
        if self.revoked.key(plugin.key.as_deref()) {
            let reason = "the key that signed it was revoked".to_owned();
            return Err(Fault::Denied { code: Code::TokenRevoked, reason, policies: Vec::new() });
        }
        let own = Instant::now() + DEADLINE.min(Duration::from_millis(plugin.limits.deadline_ms));
        let deadline = callers.map_or(own, |callers| callers.min(own));
        let nested = self.apart(plugin, run, format!("{call}.review"), deadline);
        let job = Job {
            plugin: Arc::clone(plugin),
            operation: extension.operation.clone(),
            arguments: self.executor().arguments_of(question),
            deadline,
            nested,
        };
        let output = self.executor().execute(job).await.result?;
        let json = self.executor().output_json(&plugin.plugin, &extension.operation, &output)?;
        verdict(&json).ok_or_else(|| Fault::Result { problem: "it is no verdict".to_owned() })
    }

    /// Asks about a way to another machine, and writes it down. A request cannot wait for a person.
    pub(super) async fn reviewed_reach(
        self: Arc<Self>,
        within: crate::executor::Within<E>,
        reach: Reach,
        so_far: Egress,
        durability: Durability,
    ) -> Result<(), Fault> {
        let plugin = &within.plugin;
        let (capability, target) = (reach.capability, reach.target.clone());
        let subject = Subject::Egress { reach, so_far };
        let (pack, name) = (Some(&*within.pack), plugin.id.to_string());
        let reviews =
            self.review(&within.run, &within.call, pack, &name, Some(plugin.tier), &subject, None).await;
        let outcome = strictest(Outcome::Allow, reviews.iter().map(|review| review.outcome));
        let refused = (outcome != Outcome::Allow).then(|| {
            let failed = reviews.iter().any(|review| review.failed);
            if failed { Code::ExtensionFailed } else { Code::ExtensionDenied }
        });
        if refused.is_some() {
            within.run.may_be_refused()?;
            within.run.count_denied();
        }
        let reason =
            reviews.first().map(|review| format!("`{}` denies it: {}", review.plugin, review.reason));
        let event = Event::Effect {
            run: within.run.id().to_string(),
            call: within.call.clone(),
            plugin: plugin.id.clone(),
            capability: capability.to_owned(),
            target,
            outcome: if refused.is_some() { Outcome::Deny } else { Outcome::Allow },
            code: refused,
            reviews: reviews.into_iter().map(|review| review.said).collect(),
            confinement: None,
        };
        self.append(event, durability).await?;
        match (refused, reason) {
            (Some(code), Some(reason)) => Err(Fault::Denied { code, reason, policies: Vec::new() }),
            _ => Ok(()),
        }
    }
}

/// A verdict as the interface writes it. The outer `None` is something else than a verdict.
fn verdict(json: &Value) -> Option<Option<(Outcome, String)>> {
    if json == "abstain" {
        return Some(None);
    }
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(reason) = text("deny") {
        return Some(Some((Outcome::Deny, reason)));
    }
    text("require-approval").map(|reason| Some((Outcome::NeedsApproval, reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_can_only_tighten() {
        use Outcome::{Allow, Deny, NeedsApproval};
        const ALL: [Outcome; 3] = [Allow, NeedsApproval, Deny];
        let rank = |outcome: Outcome| ALL.iter().position(|other| *other == outcome);
        for policy in ALL {
            assert_eq!(strictest(policy, []), policy);
            for first in ALL {
                for second in ALL {
                    let all = strictest(policy, [first, second]);
                    for one in [policy, first, second] {
                        assert!(rank(all) >= rank(one), "{policy:?} {first:?} {second:?} gave {all:?}");
                    }
                    assert_eq!(all, strictest(policy, [second, first]));
                    assert!([policy, first, second].contains(&all));
                }
            }
        }
    }

    #[test]
    fn reads_verdicts_and_nothing_else() {
        assert_eq!(verdict(&json!("abstain")), Some(None));
        assert_eq!(verdict(&json!({ "deny": "spent" })), Some(Some((Outcome::Deny, "spent".into()))));
        let asks = Some(Some((Outcome::NeedsApproval, "large".into())));
        assert_eq!(verdict(&json!({ "require-approval": "large" })), asks);
        for other in [json!("allow"), json!({ "allow": "x" }), json!(null), json!({ "deny": 1 })] {
            assert_eq!(verdict(&other), None, "{other}");
        }
    }
}
