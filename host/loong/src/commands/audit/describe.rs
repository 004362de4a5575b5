//! Records in words.

use loong_kernel::{ApprovalEnd, Event, Outcome, SinkPhase};
use loong_manifest::Code;
use loong_store::Record;
use loong_trust::UtcTime;

/// Digits of a run's name that a person is shown.
pub const RUN_DIGITS: usize = 8;

/// A time as people read it: UTC, with milliseconds.
pub fn time_text(time_ms: u64) -> String {
    let seconds = UtcTime::from_unix_s(time_ms / 1_000).to_string();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), time_ms % 1_000)
}

/// Time, kind, run, what it was about, outcome and code.
pub fn cells(record: &Record) -> [String; 6] {
    let event = &record.event;
    let (what, outcome, code) = what(event);
    let run = event.run().unwrap_or_default().chars().take(RUN_DIGITS).collect();
    let code = code.map(|code| format!("[{code}]")).unwrap_or_default();
    [time_text(record.time_ms), event.kind().0.to_owned(), run, loong_manifest::escape(&what), outcome, code]
}

/// What it was about, how it came out, and with which code.
pub(super) fn what(event: &Event) -> (String, String, Option<Code>) {
    let said = |what: String, outcome: &str| (what, outcome.to_owned(), None);
    match event {
        Event::RunStarted { request, .. } => said(request.clone(), ""),
        Event::RunResumed { journaled, .. } => said(format!("{journaled} outcomes from its journal"), ""),
        Event::RunFinished { calls, denied, code, .. } => (
            format!("{calls} {}, {denied} denied", if *calls == 1 { "call" } else { "calls" }),
            ended(*code),
            *code,
        ),
        Event::PluginVerified { plugin, version, tier, .. } => {
            said(format!("{plugin} {version} {tier}"), "verified")
        }
        Event::PluginAdmitted { plugin, grants, .. } => {
            said(format!("{plugin}, granted: {}", listed(grants)), "admitted")
        }
        Event::PluginLoaded { plugin, version, tier, grants, .. } => {
            said(format!("{plugin} {version} {tier}, granted: {}", listed(grants)), "loaded")
        }
        Event::PluginSwapped { plugin, version, before, digest, .. } => {
            said(format!("{plugin} {version}: {} → {}", before.short(), digest.short()), "swapped")
        }
        Event::PluginUnloaded { plugin, reason, .. } => said(format!("{plugin}: {reason}"), "unloaded"),
        Event::PluginState { plugin, digest, state, reason, .. } => {
            let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            said(format!("{plugin} {}{reason}", digest.short()), &state.as_str().replace('_', " "))
        }
        Event::ScanEvaluated { plugin, high, medium, low, blocked, .. } => said(
            format!("{plugin}: {high} high, {medium} medium, {low} low"),
            if *blocked { "blocked" } else { "passed" },
        ),
        Event::PluginRefused { plugin, code, reason, .. } => {
            (format!("{plugin}: {reason}"), "refused".into(), Some(*code))
        }
        Event::TokenIssued { holder, .. } => said(format!("for {holder}"), "issued"),
        Event::TokenRevoked { run: Some(run), reason, .. } => {
            said(format!("run {}: {reason}", run.get(..12).unwrap_or(run)), "cancelled")
        }
        Event::TokenRevoked { token, generation, key, reason, .. } => {
            let which = match (token, generation, key) {
                (Some(token), _, _) => format!("token {token}"),
                (_, Some(generation), _) => format!("tokens before generation {generation}"),
                (_, _, Some(key)) => format!("tokens of what key {key} signed"),
                _ => String::new(),
            };
            said(format!("{which}: {reason}"), "revoked")
        }
        Event::Decision { caller, operation, outcome, code, .. } => {
            (format!("{caller} → {operation}"), decided(*outcome).into(), *code)
        }
        Event::CallStarted { operation, .. } => said(operation.to_string(), ""),
        Event::CallFinished { operation, code, usage, journaled, .. } => {
            let how = if *journaled {
                "from the journal".to_owned()
            } else {
                format!("{}.{:03} ms", usage.duration_us / 1_000, usage.duration_us % 1_000)
            };
            (format!("{operation} ({how})"), ended(*code), *code)
        }
        Event::Effect { plugin, capability, target, outcome, code, .. } => {
            (format!("{plugin} {capability}: {target}"), decided(*outcome).into(), *code)
        }
        Event::SecretUsed { plugin, secret, host, .. } => {
            said(format!("{plugin}: {secret} → {host}"), "used")
        }
        Event::SearchEvaluated { caller, query, returned, filtered, .. } => {
            said(format!("{caller}: `{query}`, {returned} found, {filtered} left out by tier"), "")
        }
        Event::ApprovalRequested { approval, caller, operation, .. } => {
            said(format!("{approval}: {caller} → {operation}"), "requested")
        }
        Event::ApprovalDecided { approval, outcome, scope, by, .. } => {
            said(format!("{approval} by {by}, {scope}"), decided(*outcome))
        }
        Event::ApprovalUsed { approval, uses_left, .. } => said(
            match uses_left {
                Some(left) => format!("{approval}, {left} left"),
                None => approval.clone(),
            },
            "used",
        ),
        Event::ApprovalExpired { approval, reason, .. } => said(
            approval.clone(),
            match reason {
                ApprovalEnd::Expired => "expired",
                ApprovalEnd::Stale => "stale",
                ApprovalEnd::Revoked => "revoked",
            },
        ),
        Event::ConfigChanged { after, .. } => said(format!("settings {}", after.short()), "changed"),
        Event::PolicyChanged { after, .. } => said(format!("policies {}", after.short()), "changed"),
        Event::CatalogChanged { generation, changes, .. } => {
            said(format!("generation {generation}: {}", changes.join(", ")), "installed")
        }
        Event::SinkState { plugin, state, next, problem, .. } => said(
            format!(
                "{plugin} at record {next}{}",
                problem.as_ref().map_or(String::new(), |text| format!(": {text}"))
            ),
            match state {
                SinkPhase::Delivering => "delivering",
                SinkPhase::Retrying => "retrying",
                SinkPhase::Stopped => "stopped",
            },
        ),
        Event::AuditPruned { from, until, .. } => {
            said(format!("records {from} to {}", until.saturating_sub(1)), "removed")
        }
        Event::ClockWentBack { before_ms, now_ms } => {
            said(format!("by {} ms", before_ms.saturating_sub(*now_ms)), "")
        }
    }
}

fn listed(grants: &[String]) -> String {
    if grants.is_empty() { "nothing".to_owned() } else { grants.join(", ") }
}

fn ended(code: Option<Code>) -> String {
    if code.is_some() { "failed" } else { "ok" }.to_owned()
}

const fn decided(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
        Outcome::NeedsApproval => "needs-approval",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line() {
        let digest = loong_manifest::Digest::of(b"");
        let run = || "0123456789abcdef".to_owned();
        let event = Event::RunStarted { run: run(), request: "a\u{1b}b".into(), policy: digest };
        let record = Record { index: 0, time_ms: 1_767_225_600_007, event, hash: digest };
        assert_eq!(
            cells(&record),
            ["2026-01-01T00:00:00.007Z", "run_started", "01234567", "a\\u{1b}b", "", ""]
        );
        let event = Event::Effect {
            run: run(),
            call: "c".into(),
            plugin: "core:git".parse().unwrap(),
            capability: "process".into(),
            target: "git push".into(),
            outcome: Outcome::Deny,
            code: Some(Code::CapabilityDenied),
            reviews: Vec::new(),
            confinement: None,
        };
        let record = Record { index: 1, time_ms: 0, event, hash: digest };
        assert_eq!(cells(&record)[3..], ["core:git process: git push", "deny", "[capability_denied]"]);
    }
}
