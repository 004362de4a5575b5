//! Which records are wanted, and how they are found without reading the others.

use loong_kernel::{Outcome, Triage};
use loong_manifest::{Code, Tier};
use rusqlite::types::Value;

use crate::record;

/// Which records are wanted. What is `None` or empty does not matter; everything else has to hold.
#[derive(Debug, Clone)]
pub struct AuditFilter {
    /// The record at this place.
    pub index: Option<u64>,
    /// The kind of the event, such as `decision`.
    pub kind: Option<String>,
    /// One of these triage labels.
    pub triage: Vec<Triage>,
    /// The run it belongs to.
    pub run: Option<String>,
    /// The plugin it names.
    pub plugin: Option<String>,
    /// The pack it names.
    pub pack: Option<String>,
    /// Who acted: `person` or a plugin id.
    pub agent: Option<String>,
    /// The token it names.
    pub token: Option<String>,
    /// A tier that was asked for.
    pub tier_requested: Option<Tier>,
    /// A tier that was found or used.
    pub tier: Option<Tier>,
    /// What was decided.
    pub outcome: Option<Outcome>,
    /// Why it was refused or failed.
    pub code: Option<Code>,
    /// The approval it names.
    pub approval: Option<String>,
    /// Not before this time, in milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Not after this time, in milliseconds since the Unix epoch.
    pub until_ms: Option<u64>,
    /// A text that is somewhere in the event, in upper or lower case. Records are read one by one for it.
    pub contains: Option<String>,
    /// Most records.
    pub limit: u32,
}

/// How the records are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// One by one, in their order.
    Rows,
    /// By the index of this column.
    Index(&'static str),
}

/// A part of a statement, with the values it is given.
pub(super) struct Where {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// Columns with an index, the most telling first.
const INDEXED: [&str; 11] =
    ["approval", "token", "run", "triage", "code", "pack", "agent", "plugin", "kind", "outcome", "tier"];
/// Columns that follow the first in the index of another.
const FOLLOWING: [&str; 3] = ["kind", "outcome", "triage"];

impl AuditFilter {
    /// At most so many records of any sort.
    pub const fn any(limit: u32) -> Self {
        Self {
            index: None,
            kind: None,
            triage: Vec::new(),
            run: None,
            plugin: None,
            pack: None,
            agent: None,
            token: None,
            tier_requested: None,
            tier: None,
            outcome: None,
            code: None,
            approval: None,
            since_ms: None,
            until_ms: None,
            contains: None,
            limit,
        }
    }

    /// The best way to the records that are wanted, if they are few among all.
    pub(super) fn way(&self) -> Way {
        let named = |column: &str| match column {
            "approval" => self.approval.is_some(),
            "token" => self.token.is_some(),
            "run" => self.run.is_some(),
            "triage" => !self.triage.is_empty(),
            "code" => self.code.is_some(),
            "pack" => self.pack.is_some(),
            "agent" => self.agent.is_some(),
            "plugin" => self.plugin.is_some(),
            "kind" => self.kind.is_some() || self.tier_requested.is_some() || self.outcome.is_some(),
            "tier" => self.tier.is_some(),
            _ => false,
        };
        INDEXED.into_iter().find(|column| named(column)).map_or(Way::Rows, Way::Index)
    }

    /// The conditions, each with ` AND ` before it. A `+` keeps the engine from using an index: without
    /// statistics it would not know which one leaves fewest.
    pub(super) fn conditions(&self, way: Way) -> Where {
        let mut all = Where { sql: String::new(), values: Vec::new() };
        let column = |name: &str| match way {
            Way::Index(lead) if lead == name => name.to_owned(),
            Way::Index("kind" | "triage" | "agent" | "pack" | "plugin" | "token")
                if FOLLOWING.contains(&name) =>
            {
                name.to_owned()
            }
            _ => format!("+{name}"),
        };
        let texts = [
            ("kind", self.kind.as_deref()),
            ("run", self.run.as_deref()),
            ("plugin", self.plugin.as_deref()),
            ("pack", self.pack.as_deref()),
            ("agent", self.agent.as_deref()),
            ("token", self.token.as_deref()),
            ("outcome", self.outcome.map(outcome_text)),
            ("code", self.code.map(Code::as_str)),
            ("approval", self.approval.as_deref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                all.and(&format!("{} = ?", column(name)), [Value::Text(text.to_owned())]);
            }
        }
        if self.outcome.is_some() && self.kind.is_none() && way == Way::Index("kind") {
            all.and("kind IN ('approval_decided', 'decision', 'effect')", []);
        }
        if !self.triage.is_empty() {
            let places = vec!["?"; self.triage.len()].join(", ");
            let labels = self.triage.iter().map(|label| Value::Text(label.as_str().to_owned()));
            all.and(&format!("{} IN ({places})", column("triage")), labels);
        }
        if let Some(tier) = self.tier {
            let several = "kind = 'search_evaluated' AND EXISTS (SELECT 1 FROM json_each(event, '$.tiers_effective') WHERE value = ?)";
            let several = if way == Way::Index("tier") { several.to_owned() } else { format!("+{several}") };
            all.and(&format!("({} = ? OR {several})", column("tier")), vec![tier_text(tier); 2]);
        }
        if let Some(tier) = self.tier_requested {
            let kinds = format!("{} IN ('plugin_verified', 'search_evaluated')", column("kind"));
            let said = "event ->> '$.tier_requested' = ?";
            let several = "EXISTS (SELECT 1 FROM json_each(event, '$.tiers_requested') WHERE value = ?)";
            all.and(&format!("{kinds} AND ({said} OR {several})"), vec![tier_text(tier); 2]);
        }
        if let Some(text) = &self.contains {
            all.and("event LIKE ? ESCAPE '\\'", [Value::Text(pattern(text))]);
        }
        all
    }
}

impl Where {
    pub(super) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }
}

const fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
        Outcome::NeedsApproval => "needs_approval",
    }
}

fn tier_text(tier: Tier) -> Value {
    Value::Text(tier.as_str().to_owned())
}

/// A pattern for the text as it stands in the event's JSON.
fn pattern(text: &str) -> String {
    let mut quoted = String::new();
    record::quote(&mut quoted, text);
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let mut pattern = String::from("%");
    for character in inner.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_looked_for_as_it_stands_in_json() {
        assert_eq!(pattern("Deploy"), "%Deploy%");
        assert_eq!(pattern("50%_"), "%50\\%\\_%");
        assert_eq!(pattern("say \"a\\b\""), "%say \\\\\"a\\\\\\\\b\\\\\"%");
    }

    #[test]
    fn outcomes_are_said_as_they_are_stored() {
        for outcome in [Outcome::Allow, Outcome::Deny, Outcome::NeedsApproval] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome_text(outcome));
        }
    }
}
