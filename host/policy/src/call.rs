//! Whether one call is allowed: facts in, a verdict out.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use loong_manifest::{Code, Digest, OperationName, PluginId, Risk, Tier};
use serde::Serialize;

use crate::PolicySet;

/// What policies may know of the arguments of a call. A fact of any other name denies the call.
pub const FACTS: [&str; 3] = ["command", "host", "path"];
/// Most decisions that are remembered.
const DECISIONS_MAX: usize = 1024;
/// Calls with longer facts than this, in bytes, are decided each time.
const FACTS_BYTES_MAX: usize = 1024;

/// Who calls. The host says who it is, never the caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A person at the command line.
    Person,
    /// A component.
    Component {
        /// Its id. Of an unverified component it is only what the component claims.
        plugin: PluginId,
        /// Its bytes.
        digest: Digest,
        /// How far its signer is trusted.
        tier: Tier,
    },
}

/// Everything that a decision about a call depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallFacts {
    /// Who calls.
    pub caller: Principal,
    /// What is called.
    pub operation: OperationName,
    /// The plugin that offers it. Its namespace is its publisher.
    pub callee: PluginId,
    /// How far the signer of that plugin is trusted.
    pub callee_tier: Tier,
    /// Whether that plugin holds no grant but `log` ([`crate::Grants::is_pure`]).
    pub callee_pure: bool,
    /// What its manifest says that the operation can break ([`crate::Admitted::declared_risk`]). None if no
    /// manifest says anything; policies then see the worst and `declared == false`.
    pub risk: Option<Risk>,
    /// How many calls are above this one: 0 for what a person called.
    pub depth: u32,
    /// What the host read from the arguments, by the names in [`FACTS`].
    pub facts: BTreeMap<String, String>,
}

/// The outcome of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is not done.
    Deny,
    /// It is done once a person approved it.
    NeedsApproval,
    /// It is done.
    Allow,
}

impl Verdict {
    /// The verdict as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::NeedsApproval => "needs-approval",
            Self::Allow => "allow",
        }
    }
}

/// A verdict and the policies that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What may happen.
    pub verdict: Verdict,
    /// The policies that decided, as `FILE:ID`, sorted. None where nothing permits the call.
    pub policies: Vec<String>,
    /// Why, as a phrase that is safe to print.
    pub reason: String,
}

impl Decision {
    /// The public code of a call that is not done; none if it is allowed.
    pub const fn code(&self) -> Option<Code> {
        match self.verdict {
            Verdict::Allow => None,
            Verdict::NeedsApproval => Some(Code::ApprovalRequired),
            Verdict::Deny => Some(Code::PolicyDenied),
        }
    }
}

impl PolicySet {
    /// Decides a call. Policies are asked twice: what is denied now, and permitted once `context.approved`
    /// is true, needs a person. The same facts get the same decision, from memory.
    pub fn decide(&self, facts: &CallFacts) -> Decision {
        if let Some(decision) = self.remembered().get(facts) {
            return decision.clone();
        }
        let decision = self.decide_afresh(facts);
        let bytes: usize = facts.facts.values().map(String::len).sum();
        if bytes <= FACTS_BYTES_MAX {
            let mut remembered = self.remembered();
            if remembered.len() >= DECISIONS_MAX {
                remembered.clear();
            }
            remembered.insert(facts.clone(), decision.clone());
        }
        decision
    }

    /// Decides a call that a person has approved: what is still not permitted is denied.
    pub fn decide_approved(&self, facts: &CallFacts) -> Decision {
        let answer = self.asker.call(facts, true);
        let (verdict, reason) = if answer.allowed {
            (Verdict::Allow, format!("permitted by {}", answer.named()))
        } else {
            (Verdict::Deny, answer.refusal())
        };
        Decision { verdict, policies: answer.policies, reason }
    }

    /// Decides a call without looking at earlier decisions.
    pub(crate) fn decide_afresh(&self, facts: &CallFacts) -> Decision {
        let now = self.asker.call(facts, false);
        if now.allowed {
            let reason = format!("permitted by {}", now.named());
            return Decision { verdict: Verdict::Allow, policies: now.policies, reason };
        }
        if now.failed.is_some() {
            let reason = now.refusal();
            return Decision { verdict: Verdict::Deny, policies: now.policies, reason };
        }
        let approved = self.asker.call(facts, true);
        if approved.allowed {
            let reason = format!("permitted by {} once a person approves it", approved.named());
            return Decision { verdict: Verdict::NeedsApproval, policies: approved.policies, reason };
        }
        let reason = approved.refusal();
        Decision { verdict: Verdict::Deny, policies: approved.policies, reason }
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<CallFacts, Decision>> {
        // An entry is inserted whole or not at all, so a panic elsewhere leaves nothing half-done.
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
