//! Approvals: what exactly a person is asked, what an approval is bound to, and what a wider grant covers.

use loong_manifest::{Digest, OperationName, OperationPattern, PluginId, Risk, Tier, canonical};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Principal;

/// Longest rendering of arguments that is kept, in bytes. What is longer is cut; the digest binds all of it.
const RENDERED_BYTES_MAX: usize = 64 << 10;

/// Everything that an approval is bound to but the nonce: who wants to do what, with which bytes of code and which
/// arguments, in which run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The run; the session that a person looks at.
    pub run: &'a str,
    /// Who calls.
    pub caller: &'a Principal,
    /// What is called.
    pub operation: &'a OperationName,
    /// The component that offers it.
    pub component: &'a Digest,
    /// Digest of the canonical encoding of the arguments.
    pub arguments: &'a Digest,
}

impl Subject<'_> {
    /// One digest for all of it. Two subjects that differ in one byte have different ones.
    pub fn digest(&self) -> Digest {
        let caller = match self.caller {
            Principal::Person => "person".to_owned(),
            Principal::Component { plugin, digest, tier } => format!("{plugin} {digest} {tier}"),
        };
        let operation = self.operation.to_string();
        fingerprint(
            b"loong.approval.subject/1",
            &[
                self.run.as_bytes(),
                caller.as_bytes(),
                operation.as_bytes(),
                self.component.as_bytes(),
                self.arguments.as_bytes(),
            ],
        )
    }
}

/// What one request is bound to: its subject, and a nonce that makes it good for one time only.
pub fn binding(subject: &Digest, nonce: &[u8; 16]) -> Digest {
    fingerprint(b"loong.approval.binding/1", &[subject.as_bytes(), nonce])
}

fn fingerprint(domain: &[u8], parts: &[&[u8]]) -> Digest {
    let mut bytes = domain.to_vec();
    parts.iter().for_each(|part| canonical::part(&mut bytes, part));
    Digest::of(&bytes)
}

/// Arguments as the host shows them to a person: JSON, every character visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendered {
    /// The JSON, escaped; cut where it is very long.
    pub text: String,
    /// Bytes of the whole JSON.
    pub bytes: u64,
    /// Characters in it that a terminal would obey or a reader would not see.
    pub hidden: u64,
    /// Whether the text was cut.
    pub cut: bool,
}

impl Rendered {
    /// Renders arguments.
    pub fn of(arguments: &Value) -> Self {
        let text = format!("{arguments:#}");
        let safe = loong_manifest::escape_json(&text);
        let hidden = hidden(arguments);
        let mut end = safe.len().min(RENDERED_BYTES_MAX);
        while !safe.is_char_boundary(end) {
            end -= 1;
        }
        let cut = end < safe.len();
        let text = safe.get(..end).unwrap_or_default().to_owned();
        Self { text, bytes: arguments.to_string().len() as u64, hidden, cut }
    }
}

/// Hidden characters in all texts and keys.
fn hidden(value: &Value) -> u64 {
    match value {
        Value::String(text) => loong_manifest::hidden_characters(text),
        Value::Array(items) => items.iter().map(hidden).sum(),
        Value::Object(members) => {
            members.iter().map(|(key, member)| loong_manifest::hidden_characters(key) + hidden(member)).sum()
        }
        _ => 0,
    }
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The run that waits.
    pub run: String,
    /// The call that waits.
    pub call: String,
    /// What the person called first in the run: the pack, if it is one.
    pub pack: Option<PluginId>,
    /// `person` or the id of the plugin that calls.
    pub caller: String,
    /// Digest of that plugin.
    pub caller_digest: Option<Digest>,
    /// Tier of that plugin.
    pub caller_tier: Option<Tier>,
    /// What would be called.
    pub operation: OperationName,
    /// The plugin that offers it.
    pub plugin: PluginId,
    /// Its version.
    pub version: String,
    /// Digest of the component.
    pub digest: Digest,
    /// Its tier.
    pub tier: Tier,
    /// How much the operation can break.
    pub risk: Risk,
    /// Why the risk is above what the manifest says, and why a person is asked.
    pub reasons: Vec<String>,
    /// The policies that would allow it once approved.
    pub policies: Vec<String>,
    /// The exact arguments.
    pub arguments: Rendered,
    /// Digest of the canonical encoding of the arguments.
    pub arguments_digest: Digest,
    /// What the request is bound to, but the nonce ([`Subject::digest`]).
    pub subject: Digest,
    /// Digest of the policies that were in force.
    pub policy: Digest,
    /// When it was asked, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it can be approved and used no longer, in milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

/// What a person allows in advance: one use or several, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Which operations.
    pub operations: OperationPattern,
    /// Only of the component with exactly these bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Digest>,
    /// Only in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// How often; as often as wanted without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// Until when, in milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

impl Grant {
    /// Whether the grant reaches this use of an operation. That uses are left is for whoever counts them.
    pub fn covers(&self, operation: &OperationName, component: &Digest, run: &str, now_ms: u64) -> bool {
        now_ms < self.expires_ms
            && self.operations.covers(operation)
            && self.component.is_none_or(|wanted| wanted == *component)
            && self.run.as_deref().is_none_or(|wanted| wanted == run)
    }

    /// How far it reaches, in words.
    pub fn scope(&self) -> String {
        let mut words = vec![self.operations.as_str().to_owned()];
        words.extend(self.component.map(|digest| format!("component {}", digest.short())));
        words.extend(self.run.as_ref().map(|run| format!("run {}", run.get(..12).unwrap_or(run))));
        words.push(match self.uses {
            Some(1) => "1 use".to_owned(),
            Some(uses) => format!("{uses} uses"),
            None => "any number of uses".to_owned(),
        });
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn component(id: &str, tier: Tier) -> Principal {
        Principal::Component { plugin: id.parse().unwrap(), digest: Digest::of(id.as_bytes()), tier }
    }

    #[test]
    fn one_changed_byte_of_anything_is_another_subject() {
        let operation: OperationName = "core:file/file@0.1.0#write".parse().unwrap();
        let newer: OperationName = "core:file/file@0.1.1#write".parse().unwrap();
        let (person, pack) = (Principal::Person, component("acme:pack", Tier::Official));
        let lower = component("acme:pack", Tier::Unverified);
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let first =
            Subject { run: "r1", caller: &person, operation: &operation, component: &a, arguments: &b };
        let subjects = [
            first.clone(),
            Subject { run: "r2", ..first.clone() },
            Subject { caller: &pack, ..first.clone() },
            Subject { caller: &lower, ..first.clone() },
            Subject { operation: &newer, ..first.clone() },
            Subject { component: &b, ..first.clone() },
            Subject { arguments: &a, ..first.clone() },
        ];
        let digests: std::collections::BTreeSet<Digest> = subjects.iter().map(Subject::digest).collect();
        assert_eq!(digests.len(), subjects.len());
        assert_ne!(binding(&a, &[0; 16]), binding(&a, &[1; 16]));
        assert_ne!(binding(&a, &[0; 16]), binding(&b, &[0; 16]));
    }

    #[test]
    fn arguments_are_shown_whole_and_visible() {
        let rendered = Rendered::of(&json!({ "path": "a\u{202e}b\u{1b}[2J", "\u{200b}": ["\n"] }));
        assert!(rendered.text.contains("\\u202e") && rendered.text.contains("\\u001b"), "{}", rendered.text);
        assert!(rendered.text.contains("\\u200b"));
        // The line feed inside a text is hidden too: it could look like the host's own line.
        assert_eq!((rendered.hidden, rendered.cut), (4, false));
        let long = Rendered::of(&json!("ü".repeat(RENDERED_BYTES_MAX)));
        assert!(long.cut && long.text.len() <= RENDERED_BYTES_MAX);
        assert_eq!(long.bytes, 2 * RENDERED_BYTES_MAX as u64 + 2);
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Grant), expected: bool) {
        let operation: OperationName = "core:file/file@0.1.0#write".parse().unwrap();
        let mut grant = Grant {
            operations: "core:file/*".parse().unwrap(),
            component: None,
            run: None,
            uses: Some(2),
            expires_ms: 100,
        };
        change(&mut grant);
        assert_eq!(grant.covers(&operation, &Digest::of(b"file"), "r1", 99), expected, "{}", grant.scope());
    }

    #[test]
    fn a_grant_covers_what_it_says_and_no_more() {
        check(|_| {}, true);
        check(|grant| grant.expires_ms = 99, false);
        check(|grant| grant.operations = "core:git/*".parse().unwrap(), false);
        check(|grant| grant.component = Some(Digest::of(b"file")), true);
        check(|grant| grant.component = Some(Digest::of(b"other")), false);
        check(|grant| grant.run = Some("r1".into()), true);
        check(|grant| grant.run = Some("r2".into()), false);
    }

    proptest! {
        #[test]
        fn a_narrower_grant_covers_no_more(component in any::<Option<bool>>(), run in any::<Option<bool>>(), now in 0..200_u64) {
            let operation: OperationName = "core:file/file@0.1.0#write".parse().unwrap();
            let wide = Grant { operations: "*".parse().unwrap(), component: None, run: None, uses: None, expires_ms: 100 };
            let narrow = Grant {
                component: component.map(|same| Digest::of(if same { b"file" } else { b"else" })),
                run: run.map(|same| if same { "r1" } else { "r2" }.to_owned()),
                ..wide.clone()
            };
            let covers = |grant: &Grant| grant.covers(&operation, &Digest::of(b"file"), "r1", now);
            prop_assert!(!covers(&narrow) || covers(&wide));
            prop_assert_eq!(covers(&narrow), now < 100 && component != Some(false) && run != Some(false));
        }
    }
}
