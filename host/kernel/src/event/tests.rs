//! The text of every kind of event, which must never change: logs that were written long ago are still read and
//! verified. A new member is optional and left out where it is empty. `BLESS=1` writes `golden.jsonl` anew.

use std::path::Path;

use loong_manifest::{Code, Digest, ExecutionTier, Risk, Tier};

use super::*;

fn text(text: &str) -> String {
    text.to_owned()
}

fn confinement(enforced: &[&str], missing: &[&str]) -> Confinement {
    let words = |words: &[&str]| words.iter().map(|&word| text(word)).collect();
    Confinement {
        execution_tier: ExecutionTier::Balanced,
        enforced: words(enforced),
        missing: words(missing),
    }
}

/// One event of each kind, every member set.
fn events() -> Vec<Event> {
    let run = || text("4f9a2c417d0e4f9a2c417d0e4f9a2c41");
    let call = || format!("{}.2", run());
    let plugin = || "core:git".parse().unwrap();
    let operation = || "core:git/git@0.1.0#log".parse().unwrap();
    let digest = Digest::of(b"component");
    let other = Digest::of(b"other");
    let review =
        || Review { plugin: "core:budget".parse().unwrap(), outcome: Outcome::Deny, reason: text("spent") };
    let usage = Usage {
        duration_us: 1,
        cpu_us: 1_200,
        fuel: 2,
        memory_peak_bytes: 3,
        output_bytes: 4,
        arguments_bytes: 5,
        result_bytes: 6,
        egress_bytes: 7,
    };
    vec![
        Event::RunStarted { run: run(), request: text("run pack.wasm"), policy: digest },
        Event::RunResumed { run: run(), policy: digest, journaled: 3 },
        Event::RunFinished { run: run(), calls: 2, denied: 1, code: Some(Code::PolicyDenied) },
        Event::PluginVerified {
            run: Some(run()),
            plugin: plugin(),
            version: text("0.1.0"),
            digest,
            tier: Tier::Official,
            tier_requested: Tier::VerifiedCommunity,
            key: Some(text("key")),
        },
        Event::PluginAdmitted {
            run: Some(run()),
            plugin: plugin(),
            digest,
            tier: Tier::Official,
            grants: vec![text("process")],
        },
        Event::PluginLoaded {
            run: Some(run()),
            plugin: plugin(),
            version: text("0.1.0"),
            digest,
            tier: Tier::Official,
            key: Some(text("key")),
            grants: vec![text("process")],
            confinement: Some(confinement(&["wasm", "memory", "epoch"], &[])),
        },
        Event::PluginSwapped {
            run: Some(run()),
            plugin: plugin(),
            version: text("0.2.0"),
            before: other,
            digest,
            tier: Tier::Official,
        },
        Event::PluginUnloaded {
            run: Some(run()),
            plugin: plugin(),
            digest,
            reason: text("its key was revoked"),
        },
        Event::PluginState {
            run: Some(run()),
            plugin: plugin(),
            digest,
            state: PluginPhase::RolledBack,
            reason: Some(text("it failed in half of its calls")),
        },
        Event::ScanEvaluated {
            run: Some(run()),
            plugin: plugin(),
            digest,
            tier: Tier::Unverified,
            high: 1,
            medium: 2,
            low: 3,
            blocked: true,
            categories: vec![text("import")],
            findings: vec![text("sf-1")],
        },
        Event::PluginRefused {
            run: Some(run()),
            plugin: text("core:git"),
            digest: Some(digest),
            code: Code::TierTooLow,
            reason: text("it is unverified"),
        },
        Event::TokenIssued {
            run: run(),
            token: text("token"),
            holder: text("person"),
            expires_ms: 1,
            generation: 2,
        },
        Event::TokenRevoked {
            run: Some(run()),
            token: Some(text("token")),
            generation: Some(2),
            key: Some(text("key")),
            reason: text("asked"),
        },
        Event::Decision {
            run: run(),
            call: call(),
            parent: Some(format!("{}.1", run())),
            token: text("token"),
            caller: text("acme:pack"),
            caller_digest: Some(other),
            operation: text("core:git/git@0.1.0#log"),
            plugin: Some(plugin()),
            digest: Some(digest),
            tier: Some(Tier::Official),
            risk: Some(Risk::Write),
            outcome: Outcome::NeedsApproval,
            code: Some(Code::ApprovalRequired),
            policies: vec![text("default.cedar:component-changes-when-approved")],
            depth: 1,
            pack: Some("acme:pack".parse().unwrap()),
            raised: vec![text("words: deploy")],
            reviews: vec![review()],
            approval: Some(text("a1b2c3")),
            asked: Some(Asked {
                caller_tier: Some(Tier::Official),
                declared: Some(Risk::Read),
                pure: true,
                facts: [(text("path"), text("/notes"))].into(),
            }),
        },
        Event::CallStarted {
            run: run(),
            call: call(),
            operation: operation(),
            plugin: plugin(),
            digest,
            arguments: Some(other),
            arguments_json: Some(text("{}")),
        },
        Event::CallFinished {
            run: run(),
            call: call(),
            operation: operation(),
            code: Some(Code::Deadline),
            usage,
            arguments: Some(other),
            result: Some(digest),
            journaled: true,
        },
        Event::Effect {
            run: run(),
            call: call(),
            plugin: plugin(),
            capability: text("process"),
            target: text("git log"),
            outcome: Outcome::Deny,
            code: Some(Code::CapabilityDenied),
            reviews: vec![review()],
            confinement: Some(confinement(&["rlimits", "no_new_privs"], &["landlock"])),
        },
        Event::SecretUsed {
            run: run(),
            call: call(),
            plugin: plugin(),
            secret: text("siem-token"),
            host: text("siem.example.com"),
        },
        Event::SearchEvaluated {
            run: run(),
            call: Some(call()),
            caller: text("acme:pack"),
            query: text("git tier:official"),
            tiers_requested: vec![Tier::Official],
            tiers_effective: vec![Tier::Official],
            returned: 1,
            filtered: 2,
            top: vec![text("core:git/git@0.1.0#log")],
        },
        Event::ApprovalRequested {
            run: run(),
            call: call(),
            approval: text("a1b2c3"),
            operation: text("core:git/git@0.1.0#log"),
            plugin: plugin(),
            digest,
            tier: Tier::Official,
            caller: text("acme:pack"),
            risk: Risk::Irreversible,
            binding: other,
            expires_ms: 1,
        },
        Event::ApprovalDecided {
            run: Some(run()),
            approval: text("a1b2c3"),
            outcome: Outcome::Allow,
            scope: text("once"),
            by: text("command"),
        },
        Event::ApprovalUsed { run: run(), call: call(), approval: text("a1b2c3"), uses_left: Some(0) },
        Event::ApprovalExpired { run: Some(run()), approval: text("a1b2c3"), reason: ApprovalEnd::Stale },
        Event::ConfigChanged { before: Some(other), after: digest },
        Event::PolicyChanged { before: Some(other), after: digest },
        Event::CatalogChanged {
            generation: 2,
            before: Some(other),
            after: digest,
            command: text("install acme:weather"),
            changes: vec![text("+acme:weather 1.0.0")],
        },
        Event::SinkState {
            plugin: "core:sink-http".parse().unwrap(),
            state: SinkPhase::Retrying,
            next: 7,
            problem: Some(text("status 503")),
        },
        Event::AuditPruned { from: 0, until: 7, root: digest },
        Event::ClockWentBack { before_ms: 2, now_ms: 1 },
    ]
}

#[test]
fn the_text_of_every_kind_is_what_it_always_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/event/golden.jsonl");
    let found: String =
        events().iter().map(|event| format!("{}\n", serde_json::to_value(event).unwrap())).collect();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told by its environment to rewrite what it expects"
    )]
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (found, expected) in found.lines().zip(golden.lines()) {
        let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(found), value(expected));
        assert_eq!(
            serde_json::to_value(serde_json::from_str::<Event>(expected).unwrap()).unwrap(),
            value(expected)
        );
    }
    assert_eq!(found.lines().count(), golden.lines().count());
}

#[test]
fn every_kind_is_tested_and_said_as_it_is_serialised() {
    let events = events();
    let kinds: Vec<EventKind> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, EventKind::ALL);
    for event in &events {
        assert_eq!(serde_json::to_value(event).unwrap()["kind"], event.kind().0);
        assert_eq!(
            event.run().is_none(),
            serde_json::to_value(event).unwrap().get("run").is_none(),
            "{event:?}"
        );
    }
}

#[test]
fn a_log_written_before_a_member_was_added_is_still_read() {
    for old in [
        r#"{"kind":"token_issued","run":"r","token":"t","holder":"person","expires_ms":1}"#,
        r#"{"kind":"call_finished","run":"r","call":"r.1","operation":"a:b/c#d","code":null,
            "usage":{"duration_us":1,"fuel":0,"memory_peak_bytes":0,"output_bytes":0}}"#,
        r#"{"kind":"effect","run":"r","call":"r.1","plugin":"a:b","capability":"kv","target":"k","outcome":"allow","code":null}"#,
    ] {
        serde_json::from_str::<Event>(old).unwrap();
    }
    assert!(
        serde_json::from_str::<Event>(
            r#"{"kind":"run_started","run":"r","request":"x","policy":"sha256:0"}"#
        )
        .is_err()
    );
}
