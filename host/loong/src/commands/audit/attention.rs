//! What a person should look at: in one line, with what to do about it and the command that comes next.

use loong_kernel::{Event, Severity, Triage};
use loong_manifest::{Code, escape};
use loong_store::Record;
use schemars::JsonSchema;
use serde::Serialize;

use super::describe::{time_text, what};
use crate::ui::Ui;

/// A record that a person should look at.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// The record's place in the log.
    pub index: u64,
    /// Its time, in UTC.
    pub time: String,
    /// Why a person should look at it.
    pub label: Triage,
    /// How soon.
    pub severity: Severity,
    /// What happened.
    pub summary: String,
    /// What to do about it.
    pub hint: &'static str,
    /// A command that shows more, as a shell takes it.
    pub next: String,
}

impl Attention {
    /// Of a record, if a person should look at it.
    pub fn of(record: &Record) -> Option<Self> {
        let label = record.event.facets().triage?;
        let next = next(record, label);
        Some(Self {
            index: record.index,
            time: time_text(record.time_ms),
            label,
            severity: label.severity(),
            summary: summary(&record.event, label),
            hint: hint(label),
            next: next.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        })
    }

    /// Shows it below an answer.
    pub fn show(&self, ui: &mut Ui, indent: usize) {
        let severity = self.severity.as_str();
        let rows = [
            ["look at".to_owned(), format!("{} ({severity}): {}", self.label, self.summary)],
            ["hint".to_owned(), self.hint.to_owned()],
            ["next".to_owned(), self.next.clone()],
        ];
        ui.table(indent, &rows.map(|row| row.to_vec()));
    }
}

/// The label's meaning, what it was about and with which code.
fn summary(event: &Event, label: Triage) -> String {
    let (what, _, code) = what(event);
    let code = code.map(|code: Code| format!(" [{code}]")).unwrap_or_default();
    escape(&format!("{}: {what}{code}", label.meaning()))
}

const fn hint(label: Triage) -> &'static str {
    match label {
        Triage::ApprovalDenied => "nothing, if the person meant it; ask again by running it again",
        Triage::ApprovalLapsed => "run it again if it is still wanted; a new request is made",
        Triage::ApprovalNeeded => {
            "see what decides; run it where a person can approve, or grant it in advance"
        }
        Triage::ApprovalWaiting => "read what exactly is asked for, then approve or deny it",
        Triage::AuthorizationDenied => "see which policy denies it; allow it there if it should be allowed",
        Triage::ClockWentBack => {
            "set the clock of the machine right; records kept their order and the later time"
        }
        Triage::ConfigChanged => "compare the settings with what you expect if you did not change them",
        Triage::EffectDenied => "see what the plugin reached for; grant it in the policy only if it needs it",
        Triage::ExtensionDenied => "read the extension's reason in the record; it may have failed itself",
        Triage::HostFailed => "check the disk and the data folder; report it if they are in order",
        Triage::LimitHit => "see what was used; a manifest can ask for more, up to what the tier allows",
        Triage::PluginFailed => "look at the call; run it again with `--verbose` to see what the plugin logs",
        Triage::PluginRefused => "read the reason; build or fetch the component again",
        Triage::PluginTrustBlocked => {
            "do not run it before you know where the file comes from and who signed it"
        }
        Triage::PolicyChanged => "check the policies in force if you did not change them",
        Triage::SecurityScanBlocked => "read the findings; do not run it where they are not explained",
        Triage::SecurityScanFindings => "read the findings, and decide whether to keep the component",
        Triage::SinkFailing => "see whether the receiver answers; records wait and are delivered later",
        Triage::TokenRefused => "see what the token was used for; revoke the session if you do not know why",
        Triage::TokensRevoked => "nothing, if you revoked them; calls with them are refused from here on",
        Triage::ToolSearchTrustConflict => "see what was searched for, and which tiers it was given",
        Triage::ToolSearchTrustEmpty => {
            "see what was left out; ask for a lower tier or install a signed tool"
        }
    }
}

/// The command that shows more, as words.
fn next(record: &Record, label: Triage) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| escape(word)).collect::<Vec<String>>();
    let show = || words(&["loong", "audit", "show", &record.index.to_string()]);
    let facets = record.event.facets();
    let next = match (label, &record.event) {
        (Triage::AuthorizationDenied | Triage::ApprovalNeeded, Event::Decision { operation, caller, .. }) => {
            let mut next = words(&["loong", "policy", "explain", operation]);
            if caller != "person" {
                next.extend(words(&["--caller", caller]));
            }
            next
        }
        (Triage::ApprovalWaiting | Triage::ApprovalDenied | Triage::ApprovalLapsed, _) => {
            words(&["loong", "approvals", "show", facets.approval.unwrap_or_default()])
        }
        (Triage::TokenRefused | Triage::TokensRevoked, _) if facets.token.is_some() => {
            words(&["loong", "audit", "token-trail", facets.token.unwrap_or_default()])
        }
        (Triage::SinkFailing, Event::SinkState { plugin, .. }) => {
            words(&["loong", "audit", "recent", "--kind", "sink_state", "--plugin", &plugin.to_string()])
        }
        (Triage::ToolSearchTrustConflict | Triage::ToolSearchTrustEmpty, _) => {
            words(&["loong", "audit", "discovery", "--run", facets.run.unwrap_or_default()])
        }
        (Triage::HostFailed | Triage::ConfigChanged, _) => words(&["loong", "doctor"]),
        (Triage::PolicyChanged, _) => words(&["loong", "policy", "check"]),
        _ => show(),
    };
    // What begins with `-` would be taken for an option, and what is empty for nothing.
    let odd = next
        .iter()
        .skip(3)
        .any(|word| word.is_empty() || word.starts_with('-') && !OPTIONS.contains(&word.as_str()));
    if odd { show() } else { next }
}

/// Options that the commands above are given.
const OPTIONS: [&str; 4] = ["--caller", "--kind", "--plugin", "--run"];

/// A word as a shell takes it for itself.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
