//! Why a call is decided as it is, and what would change that, in words.

use loong_manifest::{Risk, Tier};
use serde::Serialize;

use crate::{CallFacts, Decision, PolicySet, Principal, Verdict};

/// What the policies said to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether it is permitted.
    pub allowed: bool,
    /// The policies that decided: permits if it is permitted, forbids if not; none where nothing permits it.
    pub policies: Vec<String>,
    /// The failure that denied it: of a policy, or of the question itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Answer {
    /// The deciding policies, for people.
    pub(crate) fn named(&self) -> String {
        self.policies.join(", ")
    }

    /// Why it is not permitted.
    pub(crate) fn refusal(&self) -> String {
        match (&self.failed, self.policies.is_empty()) {
            (Some(failed), _) => format!("denied because a question to the policies failed: {failed}"),
            (None, true) => "no policy permits it".to_owned(),
            (None, false) => format!("forbidden by {}", self.named()),
        }
    }
}

/// A decision, the answers it was made of, and what would change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// What the policies say as things are.
    pub now: Answer,
    /// What they would say if a person had approved the call.
    pub approved: Answer,
    /// Single facts that would give a better verdict, the best first.
    pub changes: Vec<Change>,
}

/// A fact that would change the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The verdict it would give.
    pub verdict: Verdict,
    /// What would have to be so, as a phrase after "if".
    pub condition: String,
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = match self.verdict {
            Verdict::Allow => "allowed",
            Verdict::NeedsApproval => "open to approval",
            Verdict::Deny => "denied",
        };
        write!(formatter, "{verdict} if {}", self.condition)
    }
}

impl PolicySet {
    /// Explains the decision about a call.
    pub fn explain(&self, facts: &CallFacts) -> Explanation {
        let decision = self.decide_afresh(facts);
        let mut changes = Vec::new();
        if decision.verdict == Verdict::NeedsApproval {
            changes.push(Change { verdict: Verdict::Allow, condition: "a person approves it".to_owned() });
        }
        for (condition, facts) in alternatives(facts) {
            let verdict = self.decide_afresh(&facts).verdict;
            if verdict > decision.verdict {
                changes.push(Change { verdict, condition });
            }
        }
        changes.sort_by_key(|change| std::cmp::Reverse(change.verdict));
        Explanation {
            decision,
            now: self.asker.call(facts, false),
            approved: self.asker.call(facts, true),
            changes,
        }
    }
}

/// The same call with one fact changed.
fn alternatives(facts: &CallFacts) -> Vec<(String, CallFacts)> {
    let mut others = Vec::new();
    let mut add = |condition: String, change: &dyn Fn(&mut CallFacts)| {
        let mut other = facts.clone();
        change(&mut other);
        if other != *facts {
            others.push((condition, other));
        }
    };
    for tier in Tier::ALL.into_iter().filter(|tier| *tier > facts.callee_tier) {
        add(format!("{} were {tier}", facts.callee), &|other| other.callee_tier = tier);
    }
    if let Principal::Component { plugin, tier: current, .. } = &facts.caller {
        for raised in Tier::ALL.into_iter().filter(|tier| tier > current) {
            add(format!("the caller {plugin} were {raised}"), &|other| {
                if let Principal::Component { tier, .. } = &mut other.caller {
                    *tier = raised;
                }
            });
        }
        add("a person called it directly".to_owned(), &|other| {
            other.caller = Principal::Person;
            other.depth = 0;
        });
    }
    add(format!("{} held no grant but log", facts.callee), &|other| other.callee_pure = true);
    for risk in [Risk::Write, Risk::Read] {
        if facts.risk.is_none_or(|current| risk < current) {
            let condition = match facts.risk {
                Some(_) => format!("its risk were {}", risk.as_str()),
                None => format!("its manifest declared the risk {}", risk.as_str()),
            };
            add(condition, &|other| other.risk = Some(risk));
        }
    }
    others
}
