//! `loong plugins refresh`: what the registries now say of the versions that are installed, and what is done about
//! those that were taken back.

use loong_kernel::PluginPhase;
use loong_kernel::breaker::State;
use loong_manifest::{Code, PluginId, Tier, escape};
use loong_repository::{Installed, Locked, Offered, without};
use loong_trust::TrustRoot;
use serde::Serialize;
use serde_json::json;

use super::install::commit;
use super::sources::{Sources, now};
use super::status;
use crate::error::CommandError;
use crate::host;
use crate::locate;
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
    Refused { code: Code, message: String },
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
    let found = apply(places, &offered)?;
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
    for one in apply(places, offered)? {
        ui.warning(format!("`{}` {} {}: {}", one.id, one.version, one.why.text(), one.done));
    }
    Ok(())
}

/// Finds what was taken back, and does what the settings say.
fn apply(places: &Places, offered: &[Offered]) -> Result<Vec<Found>, CommandError> {
    let installed = Installed::new(places.installed());
    let root = host::trust_root(places)?;
    let policy = Settings::read(&places.settings())?.registries.taken_back;
    let mut found = Vec::new();
    for (id, plugin) in &installed.lock()?.plugins {
        if let Some(why) = why(&installed, id, plugin, offered, &root) {
            let done = match policy {
                TakenBack::Drain if why.is_taken_back() => drain(places, id, plugin, &why)?,
                TakenBack::Remove if why.is_taken_back() => remove(places, id, plugin, &why)?,
                _ => "flagged",
            };
            found.push(Found { id: id.clone(), version: plugin.version.clone(), why, done });
        }
    }
    Ok(found)
}

fn why(
    installed: &Installed,
    id: &PluginId,
    plugin: &Locked,
    offered: &[Offered],
    root: &TrustRoot,
) -> Option<Why> {
    let of_registry: Vec<&Offered> =
        offered.iter().filter(|offer| offer.entry.id == *id && offer.registry == plugin.registry).collect();
    let same = of_registry.iter().find(|offer| offer.entry.digest == plugin.digest);
    if let Some(yanked) = same.and_then(|offer| offer.entry.facts.yanked.as_ref()) {
        return Some(Why::Yanked { reason: yanked.reason.clone() });
    }
    let candidate = locate::candidate(&installed.component(id, &plugin.digest));
    let verified = candidate.and_then(|candidate| {
        loong_trust::verify(candidate, root, now().unix_s()).map_err(CommandError::from)
    });
    match verified {
        Err(error) => Some(Why::Refused { code: error.code, message: error.headline }),
        Ok(verified) if verified.tier() < plugin.tier => {
            Some(Why::TierFell { from: plugin.tier, to: verified.tier() })
        }
        // A registry that did not answer says nothing of what it lists.
        Ok(_) if same.is_none() && offered.iter().any(|offer| offer.registry == plugin.registry) => {
            Some(Why::Gone)
        }
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
