//! The plan of a change of what is installed: what, from where, signed by whom, what it asks for, what has to be set up.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use loong_manifest::{Code, Digest, PluginId, Slot, SlotMode, Tier, escape};
use loong_repository::{Lock, Locked};
use loong_trust::Verified;
use serde::Serialize;
use serde_json::json;

use super::install::PlanArgs;
use super::{bytes_text, counted};
use crate::error::CommandError;
use crate::ui::Ui;

/// Most characters of a scope in a plan.
const SCOPE_SHOWN_MAX: usize = 60;

/// Something of the plan.
#[derive(Serialize)]
pub(super) struct Item {
    pub(super) id: PluginId,
    pub(super) from: Option<semver::Version>,
    pub(super) to: semver::Version,
    pub(super) digest: Digest,
    pub(super) size_bytes: u64,
    pub(super) registry: String,
    pub(super) tier: Tier,
    pub(super) signed_by: Option<String>,
    pub(super) needed_by: Option<PluginId>,
    /// What it asks for: all of it for a new plugin, what is new for another version.
    pub(super) asks: Vec<Ask>,
    pub(super) setup: Vec<String>,
    /// The slots that it takes.
    pub(super) slots: Vec<Slot>,
    /// Plugins of the same or a higher tier that its name is easily taken for.
    pub(super) similar_to: Vec<PluginId>,
    /// Contracts of which it may need something that this host does not offer yet.
    pub(super) newer_contracts: Vec<String>,
    #[serde(skip)]
    pub(super) fetched: Fetched,
}

/// Something that a plugin asks for.
#[derive(Serialize)]
pub(super) struct Ask {
    pub(super) what: String,
    pub(super) scope: String,
    pub(super) reason: String,
}

pub(super) struct Fetched {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) locked: Locked,
}

/// What a person has to set up, from the manifest; nothing is run.
pub(super) fn setup(verified: &Verified) -> Vec<String> {
    let Some(setup) = verified.manifest().and_then(|manifest| manifest.setup.as_ref()) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let mut add = |what: &str, names: &[String]| {
        lines.extend(names.iter().map(|name| format!("{what} `{}`", escape(name))));
    };
    add("install", &setup.programs);
    add("set the variable", &setup.env);
    add("set in loong.toml", &setup.config);
    lines.extend(setup.docs_url.iter().map(|url| format!("read {}", escape(url))));
    lines.extend(setup.remediation.iter().map(|text| escape(text)));
    lines
}

pub(super) fn show(ui: &mut Ui, items: &[Item]) {
    let mut rows =
        vec![["PLUGIN", "VERSION", "TIER", "SIZE", "FROM", "SIGNED BY"].map(str::to_owned).to_vec()];
    rows.extend(items.iter().map(|item| {
        let version = match &item.from {
            Some(from) => format!("{from} → {}", item.to),
            None => item.to.to_string(),
        };
        vec![
            item.id.to_string(),
            version,
            item.tier.to_string(),
            bytes_text(item.size_bytes),
            item.registry.clone(),
            item.signed_by.clone().unwrap_or_else(|| "nobody you trust".to_owned()),
        ]
    }));
    ui.table(0, &rows);
    for item in items {
        if let Some(by) = &item.needed_by {
            ui.line(format!("{} is needed by {by}", item.id));
        }
        for Slot { interface, mode } in &item.slots {
            let how = match mode {
                SlotMode::Exclusive => "alone",
                SlotMode::Shared => "beside others",
            };
            ui.line(format!("{} takes the slot {interface}, {how}", item.id));
        }
        for other in &item.similar_to {
            ui.line(format!("! {} is easily taken for {other}: is it the one that you mean?", item.id));
        }
        for contract in &item.newer_contracts {
            ui.line(format!(
                "! {} is built for {contract}, which is newer than what this Loong offers",
                item.id
            ));
        }
        // A capability of many scopes is one line here; `--json` has them all.
        for (at, ask) in item.asks.iter().enumerate() {
            let same = |other: &&Ask| other.what == ask.what && other.reason == ask.reason;
            if item.asks.iter().position(|other| same(&other)) != Some(at) {
                continue;
            }
            let more = match item.asks.iter().filter(same).count() {
                0 | 1 => String::new(),
                count => format!(", and {} more", count - 1),
            };
            let short: String = ask.scope.chars().take(SCOPE_SHOWN_MAX).collect();
            let cut = if short.len() < ask.scope.len() { "…" } else { "" };
            let words = [ask.what.as_str(), short.as_str()].join(" ");
            let reason = if ask.reason.is_empty() { String::new() } else { format!(": {}", ask.reason) };
            ui.line(format!("! {} {}{cut}{more}{reason}", item.id, words.trim_end()));
        }
        for line in &item.setup {
            ui.line(format!("setup of {}: {line}", item.id));
        }
    }
}

/// Whether the plan may be carried out: what nobody vouches for only on purpose, what asks for something or is not
/// official only if a person says so.
pub(super) fn may(ui: &Ui, items: &[Item], args: &PlanArgs) -> Result<(), CommandError> {
    if let Some(item) = items.iter().find(|item| item.tier == Tier::Unverified && !args.allow_unverified) {
        return Err(CommandError::new(
            Code::TierTooLow,
            format!("`{}` {} is unverified: nobody whom you trust signed it", item.id, item.to),
        )
        .hint("`--allow-unverified` installs it all the same; it is loaded only when its file is named"));
    }
    if args.dry_run {
        return Ok(());
    }
    let asks = items
        .iter()
        .any(|item| !item.asks.is_empty() || !item.similar_to.is_empty() || item.tier < Tier::Official);
    let is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if asks && !args.yes && !is_there {
        return Err(CommandError::new(
            Code::ApprovalRequired,
            "a person has to say yes to this plan, and none is here",
        )
        .hint("look at it with `--dry-run`, then give `--yes`"));
    }
    ui.confirm(&format!("{} will be installed", counted(items.len(), "plugin", "plugins")), args.yes)
}

pub(super) fn answer(ui: &mut Ui, items: &[Item], lock: &Lock, done: bool) {
    ui.document(
        "loong.plugins.install/1",
        &json!({ "plan": items, "done": done, "generation": lock.generation }),
    );
}
