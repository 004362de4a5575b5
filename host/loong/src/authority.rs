//! What another version of a component may do that the one before may not. Pure.

use std::collections::BTreeMap;

use loong_manifest::Risk;
use loong_policy::Preview;
use loong_trust::{Operation, Verified};
use serde::Serialize;
use serde_json::Value;

/// One version.
pub struct Side {
    /// The component.
    pub verified: Verified,
    /// What it asks for and would be granted.
    pub preview: Preview,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What differs, such as `limit memory_bytes_max`.
    pub what: String,
    /// How it was; none where it was not there.
    pub before: Option<String>,
    /// How it is; none where it is there no longer.
    pub after: Option<String>,
    /// Whether it lets the component do more, or trusts somebody else.
    pub more: bool,
    /// Whether those who used it may no longer be able to.
    pub breaks: bool,
}

/// Everything that differs between two versions, in a fixed order.
pub fn differences(before: &Side, after: &Side) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut changed = |what: &str, before: String, after: String, more: bool| {
        if before != after {
            let (before, after) = (Some(before), Some(after));
            lines.push(Line { what: what.to_owned(), before, after, more, breaks: false });
        }
    };
    let (old, new) = (&before.verified, &after.verified);
    let signer = |side: &Verified| {
        side.signer().map_or_else(
            || "nobody".to_owned(),
            |signer| format!("{} {}", signer.label, signer.key_id.short()),
        )
    };
    changed("version", old.version().to_string(), new.version().to_string(), false);
    changed("tier", old.tier().to_string(), new.tier().to_string(), true);
    changed("signed by", signer(old), signer(new), true);
    let tier = |side: &Side| side.preview.execution_tier.to_string();
    changed("execution tier", tier(before), tier(after), true);
    lines.extend(set_lines(&asked(before), &asked(after)));
    lines.extend(limit_lines(before, after));
    lines.extend(operation_lines(old.operations(), new.operations()));
    lines
}

/// What is asked for, by capability and scope, with the reason.
fn asked(side: &Side) -> BTreeMap<String, String> {
    let line = |asked: &loong_policy::Asked| {
        (format!("{} {}", asked.capability, asked.scope).trim_end().to_owned(), asked.reason.clone())
    };
    side.preview.asked.iter().map(line).collect()
}

fn set_lines(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Line> {
    let gone = before.iter().filter(|(scope, _)| !after.contains_key(*scope)).map(|(scope, reason)| Line {
        what: format!("asks for {scope}"),
        before: Some(reason.clone()),
        after: None,
        more: false,
        breaks: false,
    });
    let new = after.iter().filter(|(scope, _)| !before.contains_key(*scope)).map(|(scope, reason)| Line {
        what: format!("asks for {scope}"),
        before: None,
        after: Some(reason.clone()),
        more: true,
        breaks: false,
    });
    gone.chain(new).collect()
}

fn limit_lines(before: &Side, after: &Side) -> Vec<Line> {
    let numbers = |side: &Side| -> BTreeMap<String, u64> {
        let limits = serde_json::to_value(&side.preview.limits).unwrap_or_default();
        let members = limits.as_object().cloned().unwrap_or_default();
        members.into_iter().filter_map(|(name, value)| Some((name, value.as_u64()?))).collect()
    };
    let (before, after) = (numbers(before), numbers(after));
    let line = |(name, new): (&String, &u64)| {
        let old = before.get(name)?;
        (old != new).then(|| Line {
            what: format!("limit {name}"),
            before: Some(old.to_string()),
            after: Some(new.to_string()),
            more: new > old,
            breaks: false,
        })
    };
    after.iter().filter_map(line).collect()
}

fn operation_lines(before: &[Operation], after: &[Operation]) -> Vec<Line> {
    let find = |all: &[Operation], one: &Operation| all.iter().find(|other| other.name == one.name).cloned();
    let mut lines = Vec::new();
    for old in before {
        let what = format!("operation {}", old.name);
        let Some(new) = find(after, old) else {
            let before = Some(old.risk.as_str().to_owned());
            lines.push(Line { what, before, after: None, more: false, breaks: true });
            continue;
        };
        if new.risk != old.risk {
            lines.push(Line {
                what: what.clone(),
                before: Some(old.risk.as_str().to_owned()),
                after: Some(new.risk.as_str().to_owned()),
                more: new.risk > old.risk,
                breaks: false,
            });
        }
        for (part, old, new) in [("arguments", &old.input, &new.input), ("result", &old.output, &new.output)]
        {
            if old != new {
                let text = |schema: &Option<Value>| schema.as_ref().map(Value::to_string);
                let (before, after) = (text(old), text(new));
                lines.push(Line { what: format!("{what} {part}"), before, after, more: false, breaks: true });
            }
        }
    }
    for new in after.iter().filter(|new| find(before, new).is_none()) {
        lines.push(Line {
            what: format!("operation {}", new.name),
            before: None,
            after: Some(new.risk.as_str().to_owned()),
            more: new.risk > Risk::Read,
            breaks: false,
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(name: &str, risk: Risk, input: &str) -> Operation {
        Operation {
            name: name.parse().unwrap(),
            risk,
            is_tool: true,
            doc: None,
            input: Some(Value::from(input)),
            output: None,
            examples: Vec::new(),
            defer_loading: false,
        }
    }

    /// Each line as `+` or `-` for what comes or goes, `~` for what changes, `!` where it is more, `x` where it breaks.
    #[track_caller]
    fn check(lines: &[Line], expected: &[&str]) {
        let text = |line: &Line| {
            let mark = match (&line.before, &line.after) {
                (None, _) => '+',
                (_, None) => '-',
                _ => '~',
            };
            let (more, breaks) = (if line.more { "!" } else { "" }, if line.breaks { "x" } else { "" });
            format!("{mark}{more}{breaks} {}", line.what)
        };
        assert_eq!(lines.iter().map(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn operations_that_come_go_and_change() {
        let old =
            [operation("a:b/c@0.1.0#read", Risk::Read, "x"), operation("a:b/c@0.1.0#old", Risk::Write, "x")];
        let new = [
            operation("a:b/c@0.1.0#read", Risk::Write, "y"),
            operation("a:b/c@0.1.0#look", Risk::Read, "x"),
            operation("a:b/c@0.1.0#burn", Risk::Irreversible, "x"),
        ];
        check(&operation_lines(&old, &old), &[]);
        check(
            &operation_lines(&old, &new),
            &[
                "~! operation a:b/c@0.1.0#read",
                "~x operation a:b/c@0.1.0#read arguments",
                "-x operation a:b/c@0.1.0#old",
                "+ operation a:b/c@0.1.0#look",
                "+! operation a:b/c@0.1.0#burn",
            ],
        );
    }

    #[test]
    fn scopes_that_come_and_go() {
        let scopes = |all: &[&str]| all.iter().map(|one| ((*one).to_owned(), "why".to_owned())).collect();
        let (before, after) = (scopes(&["kv", "http a.example"]), scopes(&["kv", "http b.example"]));
        check(&set_lines(&before, &after), &["- asks for http a.example", "+! asks for http b.example"]);
    }
}
