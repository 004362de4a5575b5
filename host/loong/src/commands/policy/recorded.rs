//! Decisions of the audit log as calls that can be decided again.

use loong_kernel::{Event, Outcome};
use loong_manifest::Code;
use loong_policy::{CallFacts, Principal, Recorded, Verdict};

/// A recorded call.
#[derive(Debug)]
pub(super) struct Past {
    /// Its name in the log.
    pub(super) call: String,
    /// Who called: `person` or a plugin id.
    pub(super) caller: String,
    /// What was called.
    pub(super) operation: String,
    /// What policies decided then, or what is missing to say.
    pub(super) recorded: Result<Recorded, String>,
}

/// The decision in an event. None if it is none, or one for which policies were not asked.
pub(super) fn past(event: &Event) -> Option<Past> {
    let Event::Decision { call, caller, operation, plugin: Some(_), .. } = event else { return None };
    let verdict = verdict(event)?;
    let recorded = verdict.and_then(|verdict| recorded(event, verdict));
    Some(Past { call: call.clone(), caller: caller.clone(), operation: operation.clone(), recorded })
}

/// What policies decided, before extensions and approvals had their say.
fn verdict(event: &Event) -> Option<Result<Verdict, String>> {
    let Event::Decision { outcome, code, reviews, approval, .. } = event else { return None };
    let verdict = match (outcome, code) {
        (Outcome::Allow, _) if approval.is_none() => Verdict::Allow,
        (Outcome::Allow, _)
        | (Outcome::NeedsApproval, _)
        | (_, Some(Code::ApprovalDenied | Code::ApprovalExpired | Code::ApprovalStale)) => {
            // An extension may be what asked for the person.
            if !reviews.is_empty() {
                return Some(Err("a policy extension had a say in it".to_owned()));
            }
            Verdict::NeedsApproval
        }
        (Outcome::Deny, Some(Code::PolicyDenied)) => Verdict::Deny,
        (Outcome::Deny, Some(Code::ExtensionDenied | Code::ExtensionFailed)) => {
            return Some(Err("a policy extension had a say in it".to_owned()));
        }
        // Refused before policies were asked.
        (Outcome::Deny, _) => return None,
    };
    Some(Ok(verdict))
}

fn recorded(event: &Event, verdict: Verdict) -> Result<Recorded, String> {
    let Event::Decision { caller, caller_digest, operation, plugin, tier, policies, depth, asked, .. } =
        event
    else {
        return Err("it is no decision".to_owned());
    };
    let missing = |what: &str| format!("the record does not say {what}");
    let asked = asked.as_ref().ok_or_else(|| missing("what policies were asked by"))?;
    let caller = if caller == "person" {
        Principal::Person
    } else {
        Principal::Component {
            plugin: caller.parse().map_err(|_| missing("who called"))?,
            digest: caller_digest.ok_or_else(|| missing("the digest of the caller"))?,
            tier: asked.caller_tier.ok_or_else(|| missing("the tier of the caller"))?,
        }
    };
    let facts = CallFacts {
        caller,
        operation: operation.parse().map_err(|_| missing("what was called"))?,
        callee: plugin.clone().ok_or_else(|| missing("who offers it"))?,
        callee_tier: tier.ok_or_else(|| missing("the tier of the plugin"))?,
        callee_pure: asked.pure,
        risk: asked.declared,
        depth: *depth,
        facts: asked.facts.clone(),
    };
    Ok(Recorded { facts, arguments: None, verdict, policies: policies.clone() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "cases read better with the text in place")]
    fn check(members: Value, expected: &str) {
        let mut event = json!({
            "kind": "decision", "run": "r", "call": "r.1", "parent": null, "token": "t", "caller": "acme:pack",
            "caller_digest": format!("sha256:{}", "0".repeat(64)), "operation": "core:git/git@0.1.0#log",
            "plugin": "core:git", "digest": null, "tier": "official", "risk": "read", "outcome": "allow",
            "code": null, "policies": [], "depth": 1,
            "asked": { "caller_tier": "verified-community", "declared": "read", "pure": false },
        });
        event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let event: Event = serde_json::from_value(event).unwrap();
        let said = past(&event).map_or_else(
            || "nothing".to_owned(),
            |past| past.recorded.map_or_else(|why| why, |recorded| recorded.verdict.as_str().to_owned()),
        );
        assert_eq!(said, expected);
    }

    #[test]
    fn what_policies_said_is_taken_from_the_record_or_not_at_all() {
        check(json!({}), "allow");
        check(
            json!({ "caller": "person", "caller_digest": null, "asked": { "caller_tier": null, "declared": null, "pure": true } }),
            "allow",
        );
        check(json!({ "approval": "a1" }), "needs-approval");
        check(json!({ "outcome": "needs_approval", "code": "approval_required" }), "needs-approval");
        check(json!({ "outcome": "deny", "code": "approval_denied" }), "needs-approval");
        check(json!({ "outcome": "deny", "code": "policy_denied" }), "deny");
        check(json!({ "outcome": "deny", "code": "capability_denied" }), "nothing");
        check(json!({ "outcome": "deny", "code": "token_expired" }), "nothing");
        check(json!({ "plugin": null, "outcome": "deny", "code": "operation_unknown" }), "nothing");
        check(json!({ "asked": null }), "the record does not say what policies were asked by");
        check(json!({ "caller_digest": null }), "the record does not say the digest of the caller");
        check(json!({ "tier": null }), "the record does not say the tier of the plugin");
        check(json!({ "outcome": "deny", "code": "extension_denied" }), "a policy extension had a say in it");
        let review = json!([{ "plugin": "core:budget", "outcome": "needs_approval", "reason": "spent" }]);
        check(
            json!({ "outcome": "needs_approval", "code": "approval_required", "reviews": review }),
            "a policy extension had a say in it",
        );
    }
}
