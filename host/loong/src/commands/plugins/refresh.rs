//! `loong plugins refresh`: what the registries now say of the versions that are installed, and what is done about
//! those that were taken back.

use std::collections::{BTreeMap, BTreeSet};

use loong_kernel::PluginPhase;
use loong_kernel::breaker::State;
use loong_manifest::{Code, PluginId, Tier, escape};
use loong_repository::{Entry, Installed, Locked, Offered, Verdict, without};
use serde::Serialize;
use serde_json::json;

use super::install::commit;
use super::sources::{FILE, Sources};
use super::{judged, status};
use crate::error::CommandError;
use crate::host;
use crate::locate::PluginPath;
use crate::places::Places;
use crate::settings::{Settings, TakenBack};
use crate::ui::Ui;

/// Ask the registries about what is installed; flag, drain or remove what was taken back
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins refresh
  loong plugins refresh --json        for a timer; the exit code is 3 while something taken back may still run

What is done is said in loong.toml:
  [registries]
  taken_back = \"drain\"     # \"flag\": say so · \"drain\": no new calls · \"remove\": undo with `loong plugins undo`

A component whose key was revoked is refused at its next load in any case.")]
pub struct RefreshArgs {}

/// Why a version should not be used any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
enum Why {
    /// Its publisher took it back.
    Yanked { reason: String },
    /// It would not be loaded: its key was revoked, say.
    Refused { code: String, message: String },
    /// Those who vouched for it do not any more.
    TierFell { from: Tier, to: Tier },
    /// Its registry does not list it, or lists other bytes for it.
    Gone,
}

impl Why {
    fn text(&self) -> String {
        match self {
            Self::Yanked { reason } => format!("was taken back: {}", escape(reason)),
            Self::Refused { code, message } => format!("is refused: {message} [{code}]"),
            Self::TierFell { from, to } => format!("was {from} and is {to} now"),
            Self::Gone => "is not in its registry any more".to_owned(),
        }
    }

    /// Whether somebody said that it should not be used, as opposed to nobody saying anything any more.
    const fn is_taken_back(&self) -> bool {
        matches!(self, Self::Yanked { .. } | Self::Refused { .. } | Self::TierFell { .. })
    }
}

/// An installed version that was taken back, and what was done.
#[derive(Debug, Clone, Serialize)]
struct Found {
    id: PluginId,
    version: semver::Version,
    #[serde(flatten)]
    why: Why,
    done: &'static str,
}

pub(super) fn run(ui: &mut Ui, places: &Places) -> Result<(), CommandError> {
    let offered = Sources::open(ui, places)?.offered;
    let found = apply(ui, places, &offered, true)?;
    if ui.json() {
        ui.document("loong.plugins.refresh/1", &json!({ "taken_back": found }));
    } else if found.is_empty() {
        ui.line("nothing that is installed was taken back");
    } else {
        for one in &found {
            ui.line(format!("`{}` {} {}: {}", one.id, one.version, one.why.text(), one.done));
        }
    }
    let Some(runs) = found.iter().find(|one| one.done == "flagged" && one.why.is_taken_back()) else {
        return Ok(());
    };
    let problem = format!("`{}` {} {}", runs.id, runs.version, runs.why.text());
    Err(CommandError::new(Code::EntryYanked, problem)
        .hint("`loong plugins update` takes a newer version; `taken_back` in loong.toml drains or removes by itself"))
}

/// Says what was taken back, on the way to something else.
pub(super) fn warn(ui: &Ui, places: &Places, offered: &[Offered]) -> Result<(), CommandError> {
    for one in apply(ui, places, offered, false)? {
        ui.warning(format!("`{}` {} {}: {}", one.id, one.version, one.why.text(), one.done));
    }
    Ok(())
}

/// Finds what was taken back, and does what the settings say. Files are read `anew`, or those are verified that were
/// not before.
fn apply(ui: &Ui, places: &Places, offered: &[Offered], anew: bool) -> Result<Vec<Found>, CommandError> {
    let path = PluginPath::new(&[], places)?;
    let policy = Settings::read(&places.settings())?.registries.taken_back;
    let judged = judged::installed(ui, &path, &host::trust_root(places)?, &[], anew)?;
    let mut judged: BTreeMap<PluginId, Verdict> =
        judged.into_iter().map(|(row, verdict)| (row.id, verdict)).collect();
    let mut listed: BTreeMap<(&str, &PluginId), Vec<&Entry>> = BTreeMap::new();
    for Offered { registry, entry, .. } in offered {
        listed.entry((registry.as_str(), &entry.id)).or_default().push(entry);
    }
    // What came from a file is in no registry that could stop listing it.
    let registries = offered.iter().map(|offer| offer.registry.as_str()).filter(|name| *name != FILE);
    let answered: BTreeSet<&str> = registries.collect();
    let mut found = Vec::new();
    for (id, plugin) in path.listing().all()? {
        let Some(verdict) = judged.remove(&id) else { continue };
        let of_plugin = listed.get(&(plugin.registry.as_str(), &id));
        let same = of_plugin.and_then(|entries| entries.iter().find(|entry| entry.digest == plugin.digest));
        let is_gone = same.is_none() && answered.contains(plugin.registry.as_str());
        if let Some(why) = why(&plugin, same.copied(), is_gone, verdict) {
            let done = match policy {
                TakenBack::Drain if why.is_taken_back() => drain(places, &id, &plugin, &why)?,
                TakenBack::Remove if why.is_taken_back() => remove(places, &id, &plugin, &why)?,
                _ => "flagged",
            };
            found.push(Found { id, version: plugin.version, why, done });
        }
    }
    Ok(found)
}

/// What speaks against an installed plugin. A registry that did not answer says nothing of what it lists.
fn why(plugin: &Locked, listed: Option<&Entry>, is_gone: bool, verdict: Verdict) -> Option<Why> {
    if let Some(yanked) = listed.and_then(|entry| entry.facts.yanked.as_ref()) {
        return Some(Why::Yanked { reason: yanked.reason.clone() });
    }
    match verdict {
        Err(error) => {
            let error = judged::refused(&error);
            let text = |member: &str| {
                error.get(member).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
            };
            Some(Why::Refused { code: text("code"), message: text("message") })
        }
        Ok(tier) if tier < plugin.tier => Some(Why::TierFell { from: plugin.tier, to: tier }),
        Ok(_) if is_gone => Some(Why::Gone),
        Ok(_) => None,
    }
}

/// Lets nobody call it any more. Calls under way end by themselves.
fn drain(places: &Places, id: &PluginId, plugin: &Locked, why: &Why) -> Result<&'static str, CommandError> {
    let store = host::store(places)?;
    let standings = host::wait(store.standings())?.map_err(host::unwritten)?;
    let is_drained = standings
        .iter()
        .any(|row| row.digest == plugin.digest && matches!(row.breaker.state(), State::Quarantined));
    if is_drained {
        store.close()?;
        return Ok("drained already");
    }
    status::set_aside(&store, id, plugin.digest, PluginPhase::Quarantined, &why.text())?;
    store.close()?;
    Ok("drained")
}

fn remove(places: &Places, id: &PluginId, plugin: &Locked, why: &Why) -> Result<&'static str, CommandError> {
    let installed = Installed::new(places.installed());
    let change = installed.change()?;
    // What others need is not taken from under them.
    let Ok(left) = without(change.before(), std::slice::from_ref(id)) else {
        drop(change);
        return drain(places, id, plugin, why);
    };
    commit(places, change, left, &format!("refresh: {id} {}", why.text()))?;
    Ok("removed")
}
