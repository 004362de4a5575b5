//! `loong policy decide`: one call in, one verdict out, for the suites and tools of others. Nothing runs.

use std::collections::BTreeMap;
use std::io::Read as _;

use loong_manifest::{Code, Digest, OperationName, PluginId, Risk, Tier, strict};
use loong_policy::{CallFacts, Decision, PolicySet, Principal};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::places::Places;
use crate::policies;
use crate::settings::Settings;
use crate::ui::Ui;

/// The form of the document that is read.
const CALL_SCHEMA: &str = "loong.policy.call/1";

/// Decide about a call that is described on standard input
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"caller\": \"person\", \"operation\": \"core:file/file#write\",
         \"plugin\": \"core:file\", \"tier\": \"official\", \"risk\": \"write\"}' | loong policy decide --json

The call is one JSON object; nothing is loaded, run or recorded:
  caller      \"person\", or {\"plugin\": ID, \"tier\": TIER, \"digest\": \"sha256:...\"}
  operation   its full name; plugin, tier: who offers it
  risk        what its manifest declares: read, write or irreversible; absent if nothing does
  pure        whether the plugin holds no grant but log; default false
  depth       how many calls are above it; default 0 for a person, 1 for a component
  arguments   as JSON, for the risk profile; null for none
  facts       host, path, command: what the host read from the arguments
  approved    whether a person approved it; default false

The exit code is 0 whatever the verdict is: allow, deny or needs-approval.")]
pub struct DecideArgs {
    /// Policies to decide by: a preset or a folder; what is in force when it is left out
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
}

/// The call, as it is described.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallDocument {
    #[serde(default)]
    schema: Option<String>,
    caller: CallerDocument,
    operation: OperationName,
    plugin: PluginId,
    tier: Tier,
    #[serde(default)]
    risk: Option<Risk>,
    #[serde(default)]
    declared: Option<bool>,
    #[serde(default)]
    pure: bool,
    #[serde(default)]
    depth: Option<u32>,
    #[serde(default)]
    facts: BTreeMap<String, String>,
    // None if it is absent, null if it is null: not to be seen, and empty.
    #[serde(default, deserialize_with = "present")]
    arguments: Option<Value>,
    #[serde(default)]
    approved: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CallerDocument {
    Word(PersonDocument),
    Component(ComponentDocument),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PersonDocument {
    Person,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentDocument {
    plugin: PluginId,
    tier: Tier,
    #[serde(default)]
    digest: Option<Digest>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl CallDocument {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let document: Self = strict::read(bytes).map_err(|error| error.to_string())?;
        if document.schema.as_deref().is_some_and(|schema| schema != CALL_SCHEMA) {
            return Err(format!("`schema` is not `{CALL_SCHEMA}`"));
        }
        if document.declared.is_some_and(|declared| declared != document.risk.is_some()) {
            return Err(
                "`declared` does not fit `risk`: a risk is there exactly if it is declared".to_owned()
            );
        }
        Ok(document)
    }

    fn facts(&self) -> CallFacts {
        let caller = match &self.caller {
            CallerDocument::Word(PersonDocument::Person) => Principal::Person,
            CallerDocument::Component(ComponentDocument { plugin, tier, digest }) => Principal::Component {
                plugin: plugin.clone(),
                digest: digest.unwrap_or_else(|| Digest::of(&[])),
                tier: *tier,
            },
        };
        CallFacts {
            depth: self.depth.unwrap_or(u32::from(caller != Principal::Person)),
            caller,
            operation: self.operation.clone(),
            callee: self.plugin.clone(),
            callee_tier: self.tier,
            callee_pure: self.pure,
            risk: self.risk,
            facts: self.facts.clone(),
        }
    }
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &DecideArgs) -> Result<(), CommandError> {
    let settings = Settings::read(&places.settings())?;
    let set = policies::policy(args.policy.as_deref(), &settings, places)?;
    let mut bytes = Vec::new();
    let bound = strict::DOCUMENT_BYTES_MAX as u64 + 1;
    std::io::stdin().lock().take(bound).read_to_end(&mut bytes).map_err(|error| {
        CommandError::new(Code::FileUnreadable, format!("standard input cannot be read: {error}"))
    })?;
    let document = CallDocument::read(&bytes).map_err(|problem| {
        CommandError::new(
            Code::ArgumentsInvalid,
            format!("the call on standard input is not valid: {problem}"),
        )
        .hint("`loong policy decide --help` shows what it holds")
    })?;
    let answer = answer(&set, &document);
    if ui.json() {
        ui.document("loong.policy.decide/1", &answer);
    } else {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        ui.line(format!("{}: {}", text("verdict"), text("reason")));
    }
    Ok(())
}

fn answer(set: &PolicySet, document: &CallDocument) -> Value {
    let mut facts = document.facts();
    let raised = set.raise(&mut facts, document.arguments.as_ref());
    let decision: Decision = if document.approved { set.decide_approved(&facts) } else { set.decide(&facts) };
    json!({
        "verdict": decision.verdict, "code": decision.code(), "reason": decision.reason,
        "policies": decision.policies, "risk": facts.risk, "raised": raised, "policy": set.digest(),
    })
}

#[cfg(test)]
mod tests {
    use loong_policy::Preset;

    use super::*;

    #[track_caller]
    fn check(preset: Preset, call: &str, expected: &str) {
        let set = PolicySet::builtin(preset).unwrap();
        let set = preset.risk_profile().unwrap().into_iter().fold(set, PolicySet::with_risk_profile);
        let said = CallDocument::read(call.as_bytes()).map_or_else(
            |problem| problem,
            |document| {
                let answer = answer(&set, &document);
                format!("{} {}", answer["verdict"].as_str().unwrap(), answer["policies"])
            },
        );
        assert_eq!(said, expected);
    }

    const WRITE: &str =
        r#""operation": "core:file/file#write", "plugin": "core:file", "tier": "official", "risk": "write""#;

    #[test]
    fn decides_as_a_call_would_be() {
        let person = |more: &str| format!("{{\"caller\": \"person\", {WRITE}{more}}}");
        check(Preset::Default, &person(""), "allow [\"default.cedar:person-writes-through-official\"]");
        let both =
            "[\"default.cedar:person-approves-the-rest\",\"default.cedar:person-writes-through-official\"]";
        let seen = ", \"arguments\": {}";
        check(Preset::Strict, &person(seen), &format!("needs-approval {both}"));
        check(Preset::Strict, &person(", \"arguments\": null, \"approved\": true"), &format!("allow {both}"));
        check(Preset::Ci, &person(seen), "allow [\"default.cedar:person-writes-through-official\"]");
        // A profile that cannot look at the arguments takes the call for the worst.
        check(Preset::Ci, &person(""), "deny [\"ci.cedar:nothing-irreversible\"]");
        check(
            Preset::Ci,
            &person(", \"arguments\": {\"amount\": 1}"),
            "deny [\"ci.cedar:nothing-irreversible\"]",
        );
        let component = r#"{"caller": {"plugin": "acme:a", "tier": "verified-community"},
            "operation": "evil:b/c#d", "plugin": "evil:b", "tier": "unverified", "risk": "read", "approved": true}"#;
        check(Preset::Default, component, "deny [\"default.cedar:namespaces-are-closed\"]");
    }

    #[test]
    fn reads_calls_strictly() {
        let wrong = |more: &str, expected: &str| {
            check(Preset::Default, &format!("{{\"caller\": \"person\", {WRITE}{more}}}"), expected);
        };
        wrong(
            ", \"declared\": false",
            "`declared` does not fit `risk`: a risk is there exactly if it is declared",
        );
        wrong(", \"schema\": \"loong.policy.call/2\"", "`schema` is not `loong.policy.call/1`");
        wrong(", \"tier\": \"official\"", "line 1, column 124: duplicate key `tier`");
        assert!(CallDocument::read(b"{}").unwrap_err().contains("missing field `caller`"));
        assert!(CallDocument::read(format!("{{\"caller\": \"root\", {WRITE}}}").as_bytes()).is_err());
        assert!(
            CallDocument::read(
                format!("{{\"caller\": {{\"plugin\": \"a:b\", \"tier\": \"official\", \"x\": 1}}, {WRITE}}}")
                    .as_bytes()
            )
            .is_err()
        );
        wrong(", \"facts\": {\"colour\": \"red\"}", "deny []");
    }
}
