//! What a person is told for each label, and that the command that comes next is one.

use clap::Parser as _;
use loong_manifest::Digest;
use serde_json::{Value, json};

use super::*;

const RUN: &str = "4f9a2c417d0e4f9a2c417d0e4f9a2c41";
const DIGEST: &str = "sha256:6985ca1f4daa5a584a28eae043a239cb96689af1337ea13afb63e00c2bf512fa";

fn attention(event: Value) -> Attention {
    let event: Event = serde_json::from_value(event).unwrap();
    let record = Record { index: 123, time_ms: 0, event, hash: Digest::of(b"") };
    Attention::of(&record).unwrap()
}

fn decision(changes: &Value) -> Value {
    let mut event = json!({"kind": "decision", "run": RUN, "call": format!("{RUN}.2"), "parent": null,
        "token": "deadbeef", "caller": "acme:pack", "caller_digest": null, "operation": "core:git/git@0.1.0#push",
        "plugin": "core:git", "digest": DIGEST, "tier": "official", "risk": "write", "outcome": "deny",
        "code": "policy_denied", "policies": [], "depth": 1});
    for (member, value) in changes.as_object().unwrap() {
        event[member] = value.clone();
    }
    event
}

fn effect(code: &str) -> Value {
    json!({"kind": "effect", "run": RUN, "call": format!("{RUN}.2"), "plugin": "core:git", "capability": "process",
        "target": "git push", "outcome": "deny", "code": code})
}

fn finished(code: &str) -> Value {
    json!({"kind": "call_finished", "run": RUN, "call": format!("{RUN}.2"), "operation": "core:git/git@0.1.0#log",
        "code": code, "usage": {"duration_us": 1500, "fuel": 0, "memory_peak_bytes": 0, "output_bytes": 0}})
}

fn refused(code: &str) -> Value {
    json!({"kind": "plugin_refused", "run": null, "plugin": "evil.wasm", "digest": null, "code": code, "reason": "no"})
}

fn scan(blocked: bool) -> Value {
    json!({"kind": "scan_evaluated", "run": null, "plugin": "acme:evil", "digest": DIGEST, "tier": "unverified",
        "high": 2, "medium": 1, "low": 0, "blocked": blocked, "categories": [], "findings": []})
}

fn search(requested: &[&str]) -> Value {
    json!({"kind": "search_evaluated", "run": RUN, "call": null, "caller": "acme:pack", "query": "git",
        "tiers_requested": requested, "tiers_effective": ["official"], "returned": 0, "filtered": 3, "top": []})
}

/// An event with each label, what is said of it, and the command that comes next.
fn cases() -> Vec<(Triage, Value, &'static str, &'static str)> {
    use Triage::*;
    let show = "loong audit show 123";
    vec![
        (
            ApprovalDenied,
            json!({"kind": "approval_decided", "run": RUN, "approval": "a1b2", "outcome": "deny", "scope": "once", "by": "terminal"}),
            "a person denied what was asked for: a1b2 by terminal, once",
            "loong approvals show a1b2",
        ),
        (
            ApprovalLapsed,
            json!({"kind": "approval_expired", "run": RUN, "approval": "a1b2", "reason": "stale"}),
            "an approval ended before it was decided or used up: a1b2",
            "loong approvals show a1b2",
        ),
        (
            ApprovalNeeded,
            decision(&json!({"outcome": "needs_approval", "code": "approval_required", "caller": "person"})),
            "a call was refused that a person could have approved: person → core:git/git@0.1.0#push [approval_required]",
            "loong policy explain 'core:git/git@0.1.0#push'",
        ),
        (
            ApprovalWaiting,
            json!({"kind": "approval_requested", "run": RUN, "call": format!("{RUN}.2"), "approval": "a1b2",
                "operation": "core:git/git@0.1.0#push", "plugin": "core:git", "digest": DIGEST, "tier": "official",
                "caller": "acme:pack", "risk": "write", "binding": DIGEST, "expires_ms": 1}),
            "a call waits for a person: a1b2: acme:pack → core:git/git@0.1.0#push",
            "loong approvals show a1b2",
        ),
        (
            AuthorizationDenied,
            decision(&json!({})),
            "policy denied a call: acme:pack → core:git/git@0.1.0#push [policy_denied]",
            "loong policy explain 'core:git/git@0.1.0#push' --caller acme:pack",
        ),
        (
            ClockWentBack,
            json!({"kind": "clock_went_back", "before_ms": 5, "now_ms": 1}),
            "the clock of the machine went backwards: by 4 ms",
            show,
        ),
        (
            ConfigChanged,
            json!({"kind": "config_changed", "before": DIGEST, "after": DIGEST}),
            "other settings are in force than before: settings 6985ca1f4daa",
            "loong doctor",
        ),
        (
            EffectDenied,
            effect("capability_denied"),
            "a plugin was refused something outside: core:git process: git push [capability_denied]",
            show,
        ),
        (
            ExtensionDenied,
            effect("extension_denied"),
            "a policy extension denied a call or an effect: core:git process: git push [extension_denied]",
            show,
        ),
        (
            HostFailed,
            finished("host_failed"),
            "the host itself failed: core:git/git@0.1.0#log (1.500 ms) [host_failed]",
            "loong doctor",
        ),
        (
            LimitHit,
            finished("deadline"),
            "a plugin used more than one of its limits allows: core:git/git@0.1.0#log (1.500 ms) [deadline]",
            show,
        ),
        (
            PluginFailed,
            finished("trap"),
            "a plugin failed in its own code: core:git/git@0.1.0#log (1.500 ms) [trap]",
            show,
        ),
        (PluginRefused, refused("not_wasm"), "a component was not usable: evil.wasm: no [not_wasm]", show),
        (
            PluginTrustBlocked,
            refused("signature_other_bytes"),
            "a component was refused because of who signed it, or nobody did: evil.wasm: no [signature_other_bytes]",
            show,
        ),
        (
            PolicyChanged,
            json!({"kind": "policy_changed", "before": DIGEST, "after": DIGEST}),
            "other policies are in force than before: policies 6985ca1f4daa",
            "loong policy check",
        ),
        (
            SecurityScanBlocked,
            scan(true),
            "a component was refused because of what the scan found: acme:evil: 2 high, 1 medium, 0 low",
            show,
        ),
        (
            SecurityScanFindings,
            scan(false),
            "the scan found something of high severity and did not block it: acme:evil: 2 high, 1 medium, 0 low",
            show,
        ),
        (
            SinkFailing,
            json!({"kind": "sink_state", "plugin": "core:sink-http", "state": "retrying", "next": 7, "problem": "status 503"}),
            "the audit log is not delivered to one of its sinks: core:sink-http at record 7: status 503",
            "loong audit recent --kind sink_state --plugin core:sink-http",
        ),
        (
            TokenRefused,
            decision(&json!({"code": "token_revoked"})),
            "a call showed a token that is expired, revoked or not its own: acme:pack → core:git/git@0.1.0#push [token_revoked]",
            "loong audit token-trail deadbeef",
        ),
        (
            TokensRevoked,
            json!({"kind": "token_revoked", "run": null, "token": null, "generation": 3, "key": null, "reason": "asked"}),
            "tokens were revoked: tokens before generation 3: asked",
            show,
        ),
        (
            ToolSearchTrustConflict,
            search(&["official", "unverified"]),
            "a search asked for a tier that it was not given: acme:pack: `git`, 0 found, 3 left out by tier",
            "loong audit discovery --run 4f9a2c417d0e4f9a2c417d0e4f9a2c41",
        ),
        (
            ToolSearchTrustEmpty,
            search(&[]),
            "a search found nothing because of the tiers it asks for: acme:pack: `git`, 0 found, 3 left out by tier",
            "loong audit discovery --run 4f9a2c417d0e4f9a2c417d0e4f9a2c41",
        ),
    ]
}

#[test]
fn each_label_has_its_words_and_a_command() {
    let cases = cases();
    let labels: Vec<Triage> = cases.iter().map(|(label, ..)| *label).collect();
    assert_eq!(labels, Triage::ALL);
    for (label, event, summary, next) in cases {
        let found = attention(event);
        assert_eq!((found.label, found.summary.as_str(), found.next.as_str()), (label, summary, next));
        assert!(!found.hint.is_empty() && found.index == 123);
    }
}

#[test]
fn the_command_that_comes_next_is_one_of_loongs() {
    for (label, event, ..) in cases() {
        let event: Event = serde_json::from_value(event).unwrap();
        let words = next(&Record { index: 1, time_ms: 0, event, hash: Digest::of(b"") }, label);
        if !crate::description().get_subcommands().any(|command| command.get_name() == words[1]) {
            assert_eq!(words[1], "approvals", "{words:?}");
            continue;
        }
        let parsed = crate::Cli::try_parse_from(&words);
        assert!(parsed.is_ok(), "{words:?}: {}", parsed.err().unwrap());
    }
}

/// What a hostile name makes of the command.
#[track_caller]
fn check(operation: &str, expected: &str) {
    assert_eq!(attention(decision(&json!({"operation": operation, "caller": "person"}))).next, expected);
}

#[test]
fn a_hostile_name_is_one_word_and_never_an_option() {
    check("a b", "loong policy explain 'a b'");
    check("x'; rm -rf ~ #", r"loong policy explain 'x'\''; rm -rf ~ #'");
    check("$(id)`id`\"", "loong policy explain '$(id)`id`\"'");
    check("a\nloong\u{1b}[2J", r"loong policy explain 'a\nloong\u{1b}[2J'");
    check("--policy=strict", "loong audit show 123");
    check("", "loong audit show 123");
}
