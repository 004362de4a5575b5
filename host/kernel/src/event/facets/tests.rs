//! Which label each event gets, and what it is found by.

use serde_json::{Value, json};

use super::*;

const DIGEST: &str = "sha256:6985ca1f4daa5a584a28eae043a239cb96689af1337ea13afb63e00c2bf512fa";

/// The golden event of a kind, with some members changed.
fn event(kind: &str, changes: &Value) -> Event {
    let golden = include_str!("../golden.jsonl").lines();
    let mut events = golden.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut event = events.find(|event| event["kind"] == kind).unwrap();
    for (member, value) in changes.as_object().unwrap() {
        event[member] = value.clone();
    }
    serde_json::from_value(event).unwrap()
}

#[track_caller]
fn check(kind: &str, changes: &Value, expected: Option<Triage>) {
    assert_eq!(event(kind, changes).facets().triage, expected, "{kind} {changes}");
}

#[test]
fn each_label_is_given_to_what_it_is_for_and_to_nothing_beside_it() {
    use Triage::*;
    let cases = [
        ("run_started", json!({}), None),
        ("run_resumed", json!({}), None),
        ("run_finished", json!({"code": null}), None),
        ("run_finished", json!({"code": "trap"}), None),
        ("run_finished", json!({"code": "audit_unavailable"}), Some(HostFailed)),
        ("plugin_verified", json!({}), None),
        ("plugin_admitted", json!({}), None),
        ("plugin_loaded", json!({}), None),
        ("plugin_swapped", json!({}), None),
        ("plugin_unloaded", json!({}), None),
        ("scan_evaluated", json!({"blocked": true}), Some(SecurityScanBlocked)),
        ("scan_evaluated", json!({"blocked": true, "high": 0}), Some(SecurityScanBlocked)),
        ("scan_evaluated", json!({"blocked": false}), Some(SecurityScanFindings)),
        ("scan_evaluated", json!({"blocked": false, "high": 0}), None),
        ("plugin_refused", json!({"code": "tier_too_low"}), Some(PluginTrustBlocked)),
        ("plugin_refused", json!({"code": "signature_other_bytes"}), Some(PluginTrustBlocked)),
        ("plugin_refused", json!({"code": "not_wasm"}), Some(PluginRefused)),
        ("token_issued", json!({}), None),
        ("token_revoked", json!({}), Some(TokensRevoked)),
        ("decision", json!({"outcome": "allow", "code": null}), None),
        ("decision", json!({"outcome": "needs_approval"}), None),
        ("decision", json!({"outcome": "needs_approval", "approval": null}), Some(ApprovalNeeded)),
        ("decision", json!({"outcome": "deny", "code": "policy_denied"}), Some(AuthorizationDenied)),
        ("decision", json!({"outcome": "deny", "code": null}), Some(AuthorizationDenied)),
        ("decision", json!({"outcome": "deny", "code": "token_revoked"}), Some(TokenRefused)),
        ("decision", json!({"outcome": "deny", "code": "extension_failed"}), Some(ExtensionDenied)),
        ("decision", json!({"outcome": "deny", "code": "audit_unavailable"}), Some(HostFailed)),
        ("call_started", json!({}), None),
        ("call_finished", json!({"code": null}), None),
        ("call_finished", json!({"code": "deadline"}), Some(LimitHit)),
        ("call_finished", json!({"code": "limit_exceeded"}), Some(LimitHit)),
        ("call_finished", json!({"code": "trap"}), Some(PluginFailed)),
        ("call_finished", json!({"code": "host_failed"}), Some(HostFailed)),
        ("call_finished", json!({"code": "policy_denied"}), None),
        ("call_finished", json!({"code": "arguments_invalid"}), None),
        ("effect", json!({"outcome": "allow", "code": null}), None),
        ("effect", json!({"outcome": "deny"}), Some(EffectDenied)),
        ("effect", json!({"outcome": "deny", "code": "limit_exceeded"}), Some(LimitHit)),
        ("effect", json!({"outcome": "deny", "code": "extension_denied"}), Some(ExtensionDenied)),
        ("effect", json!({"outcome": "deny", "code": "store_unavailable"}), Some(HostFailed)),
        ("effect", json!({"outcome": "needs_approval"}), Some(ApprovalNeeded)),
        ("secret_used", json!({}), None),
        ("search_evaluated", json!({}), None),
        (
            "search_evaluated",
            json!({"tiers_requested": ["official", "unverified"]}),
            Some(ToolSearchTrustConflict),
        ),
        ("search_evaluated", json!({"returned": 0}), Some(ToolSearchTrustEmpty)),
        ("search_evaluated", json!({"returned": 0, "filtered": 0}), None),
        ("approval_requested", json!({}), Some(ApprovalWaiting)),
        ("approval_decided", json!({"outcome": "deny"}), Some(ApprovalDenied)),
        ("approval_decided", json!({"outcome": "allow"}), None),
        ("approval_used", json!({}), None),
        ("approval_expired", json!({"reason": "expired"}), Some(ApprovalLapsed)),
        ("approval_expired", json!({"reason": "stale"}), Some(ApprovalLapsed)),
        ("approval_expired", json!({"reason": "revoked"}), None),
        ("config_changed", json!({}), Some(ConfigChanged)),
        ("config_changed", json!({"before": null}), None),
        ("policy_changed", json!({"before": DIGEST}), Some(PolicyChanged)),
        ("policy_changed", json!({"before": null}), None),
        ("sink_state", json!({"state": "retrying"}), Some(SinkFailing)),
        ("sink_state", json!({"state": "stopped"}), Some(SinkFailing)),
        ("sink_state", json!({"state": "stopped", "problem": null}), None),
        ("sink_state", json!({"state": "delivering", "problem": null}), None),
        ("audit_pruned", json!({}), None),
        ("clock_went_back", json!({}), Some(ClockWentBack)),
    ];
    let mut given: Vec<Triage> = cases.iter().filter_map(|(_, _, expected)| *expected).collect();
    given.sort();
    given.dedup();
    assert_eq!(given, Triage::ALL, "a label that nothing gets");
    for (kind, changes, expected) in cases {
        check(kind, &changes, expected);
    }
}

#[test]
fn labels_are_in_order_and_said_as_they_are_serialised() {
    for pair in Triage::ALL.windows(2) {
        assert!(pair[0].as_str() < pair[1].as_str(), "{pair:?}");
    }
    for label in Triage::ALL {
        assert_eq!(serde_json::to_value(label).unwrap(), label.as_str());
        assert_eq!(serde_json::to_value(label.severity()).unwrap(), label.severity().as_str());
    }
}

#[test]
fn an_event_is_found_by_what_it_says() {
    let decision = event("decision", &json!({}));
    let facets = decision.facets();
    assert_eq!(facets.run, Some("4f9a2c417d0e4f9a2c417d0e4f9a2c41"));
    assert_eq!(facets.call, Some("4f9a2c417d0e4f9a2c417d0e4f9a2c41.2"));
    assert_eq!(facets.plugin.as_deref(), Some("core:git"));
    assert_eq!((facets.pack.as_deref(), facets.agent.as_deref()), (Some("acme:pack"), Some("acme:pack")));
    assert_eq!((facets.token, facets.approval), (Some("token"), Some("a1b2c3")));
    assert_eq!(facets.tiers, [Tier::Official]);
    assert_eq!((facets.outcome, facets.code), (Some(Outcome::NeedsApproval), Some(Code::ApprovalRequired)));
    let issued = event("token_issued", &json!({}));
    assert_eq!((issued.facets().agent.as_deref(), issued.facets().token), (Some("person"), Some("token")));
    let effect = event("effect", &json!({}));
    assert_eq!(effect.facets().agent.as_deref(), Some("core:git"));
    let search = event("search_evaluated", &json!({"tiers_requested": []}));
    assert!(search.facets().tiers_requested.is_empty());
    let verified = event("plugin_verified", &json!({}));
    assert_eq!(verified.facets().tiers_requested, [Tier::VerifiedCommunity]);
}

/// A facet that has the name of a member says what the member says, in every kind of event.
#[test]
fn facets_say_what_members_of_their_name_say() {
    for line in include_str!("../golden.jsonl").lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let event: Event = serde_json::from_value(value.clone()).unwrap();
        let facets = event.facets();
        let member = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        assert_eq!(facets.run.map(str::to_owned), member("run"), "{line}");
        assert_eq!(facets.call.map(str::to_owned), member("call"), "{line}");
        assert_eq!(facets.plugin.map(Cow::into_owned), member("plugin"), "{line}");
        assert_eq!(facets.pack.map(Cow::into_owned), member("pack"), "{line}");
        assert_eq!(facets.token.map(str::to_owned), member("token"), "{line}");
        assert_eq!(facets.approval.map(str::to_owned), member("approval"), "{line}");
        assert_eq!(
            facets.outcome.map(|outcome| serde_json::to_value(outcome).unwrap()),
            value.get("outcome").cloned()
        );
        assert_eq!(facets.code.map(|code| code.to_string()), member("code"), "{line}");
    }
}
