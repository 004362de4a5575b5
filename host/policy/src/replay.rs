//! Deciding again what was decided before, by other policies: what would have been different?

use loong_manifest::Risk;
use serde::Serialize;
use serde_json::Value;

use crate::{CallFacts, Decision, PolicySet, Raised, Verdict};

/// A decision that was written down, with all that it depended on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The facts. The risk is what the manifest declared, before any profile raised it.
    pub facts: CallFacts,
    /// The arguments, where they were recorded.
    pub arguments: Option<Value>,
    /// What was decided.
    pub verdict: Verdict,
    /// The policies that decided.
    pub policies: Vec<String>,
}

/// What other policies say to a recorded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "replayed", rename_all = "kebab-case")]
pub enum Replayed {
    /// The same.
    Same,
    /// They would let more happen than was decided.
    Loosened {
        /// What they decide.
        after: Decision,
        /// What raised the risk.
        raised: Vec<String>,
    },
    /// They would let less happen.
    Tightened {
        /// What they decide.
        after: Decision,
        /// What raised the risk.
        raised: Vec<String>,
    },
    /// Nobody can know: what they look at was not recorded.
    Undecidable {
        /// What is missing.
        why: String,
    },
}

impl PolicySet {
    /// Decides a recorded call again.
    pub fn replay(&self, recorded: &Recorded) -> Replayed {
        let mut facts = recorded.facts.clone();
        let mut raised = Vec::new();
        if let (Some(profile), Some(declared)) = (self.risk_profile(), facts.risk) {
            let arguments = recorded.arguments.as_ref();
            if profile.needs_arguments() && arguments.is_none() {
                // Names alone give the least that it can be. If even the worst decides alike, nothing is missing.
                let least = profile.raise_by_name(&facts.operation, declared);
                let verdict = |risk: Risk| {
                    let facts = CallFacts { risk: Some(risk), ..facts.clone() };
                    self.decide_afresh(&facts).verdict
                };
                let between = [Risk::Read, Risk::Write, Risk::Irreversible];
                let mut possible = between.into_iter().filter(|risk| *risk >= least.risk).map(verdict);
                let first = possible.next();
                if possible.any(|verdict| Some(verdict) != first) {
                    let why = "the risk profile looks at arguments, and they were not recorded".to_owned();
                    return Replayed::Undecidable { why };
                }
                facts.risk = Some(least.risk);
                raised = least.reasons;
            } else {
                let Raised { risk, reasons } = profile.raise(&facts.operation, declared, arguments);
                facts.risk = Some(risk);
                raised = reasons;
            }
        }
        let after = self.decide_afresh(&facts);
        match after.verdict.cmp(&recorded.verdict) {
            std::cmp::Ordering::Equal => Replayed::Same,
            std::cmp::Ordering::Greater => Replayed::Loosened { after, raised },
            std::cmp::Ordering::Less => Replayed::Tightened { after, raised },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::call::tests::{any_facts, facts, set};
    use crate::{Preset, RiskProfile};

    fn recorded(line: &str, verdict: Verdict) -> Recorded {
        Recorded { facts: facts(line), arguments: None, verdict, policies: Vec::new() }
    }

    #[track_caller]
    fn check(set: &PolicySet, recorded: &Recorded, expected: &str) {
        let said = match set.replay(recorded) {
            Replayed::Same => "same".to_owned(),
            Replayed::Loosened { after, raised } => {
                format!("loosened to {} {raised:?}", after.verdict.as_str())
            }
            Replayed::Tightened { after, raised } => {
                format!("tightened to {} {raised:?}", after.verdict.as_str())
            }
            Replayed::Undecidable { why } => why,
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn says_what_would_be_different() {
        let write = "person -> official core:file write";
        check(set(Preset::Default), &recorded(write, Verdict::Allow), "same");
        check(set(Preset::Strict), &recorded(write, Verdict::Allow), "tightened to needs-approval []");
        check(set(Preset::Default), &recorded(write, Verdict::NeedsApproval), "loosened to allow []");
        check(set(Preset::Default), &recorded(write, Verdict::Deny), "loosened to allow []");
    }

    #[test]
    fn never_guesses_what_a_profile_would_see() {
        let profile = || {
            let document = json!({
                "schema": "loong.risk-profile/1", "thresholds": { "write": 1, "irreversible": 2 },
                "keys": { "hits_max": 1, "rules": [{ "key": "force", "weight": 2 }] },
                "words": { "hits_max": 1, "rules": [{ "word": "push", "weight": 2 }] },
            });
            RiskProfile::read(document.to_string().as_bytes()).unwrap()
        };
        let set = PolicySet::builtin(Preset::Default).unwrap().with_risk_profile(profile());
        let mut call = recorded("person -> official core:git read", Verdict::Allow);
        check(&set, &call, "the risk profile looks at arguments, and they were not recorded");
        call.arguments = Some(json!({ "force": true }));
        check(&set, &call, "tightened to needs-approval [\"the argument `force` (+2)\"]");
        call.arguments = Some(json!({}));
        check(&set, &call, "same");
        // Whatever the arguments were, the answer is the same.
        call.arguments = None;
        call.facts.operation = "core:git/git#push".parse().unwrap();
        check(&set, &call, "tightened to needs-approval [\"the word `push` in its name (+2)\"]");
        check(&set, &recorded("community acme:pack -> community evil:git read", Verdict::Deny), "same");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_same_policies_decide_the_same_again(cases in prop::collection::vec(any_facts(), 16)) {
            for preset in Preset::ALL {
                let set = set(preset);
                for facts in &cases {
                    let decision = set.decide(facts);
                    let recorded = Recorded {
                        facts: facts.clone(),
                        arguments: None,
                        verdict: decision.verdict,
                        policies: decision.policies,
                    };
                    prop_assert_eq!(set.replay(&recorded), Replayed::Same);
                }
            }
        }

        #[test]
        fn the_same_profile_raises_the_same_again(cases in prop::collection::vec(any_facts(), 16), force: bool) {
            let profile = RiskProfile::builtin().unwrap();
            let set = PolicySet::builtin(Preset::Default).unwrap().with_risk_profile(profile);
            let arguments = json!({ "force": force });
            for facts in &cases {
                let mut raised = facts.clone();
                set.raise(&mut raised, Some(&arguments));
                let decision = set.decide(&raised);
                let recorded = Recorded {
                    facts: facts.clone(),
                    arguments: Some(arguments.clone()),
                    verdict: decision.verdict,
                    policies: decision.policies,
                };
                prop_assert_eq!(set.replay(&recorded), Replayed::Same);
            }
        }
    }
}
