//! `loong plugins pin|unpin|history|undo`: what is installed, how it came about, and back.

use loong_manifest::{Code, PluginId};
use loong_repository::{Differences, Installed, Lock};
use serde_json::{Value, json};

use super::counted;
use super::install::{commit, take_over};
use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// Keep a plugin at the version that is installed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins pin acme:weather")]
pub struct PinArgs {
    /// The plugin
    id: PluginId,
}

/// Let updates take a plugin along again
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins unpin acme:weather")]
pub struct UnpinArgs {
    /// The plugin
    id: PluginId,
}

/// Show every change of what is installed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins history
  loong plugins history --json")]
pub struct HistoryArgs {}

/// Go back to what was installed before
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins undo
  loong plugins undo --to 3

Going back is a change too: another `undo` takes it back.")]
pub struct UndoArgs {
    /// The generation to go back to; the one before without it
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn pin(ui: &mut Ui, places: &Places, args: &PinArgs) -> Result<(), CommandError> {
    set_pinned(ui, places, &args.id, true)
}

pub(super) fn unpin(ui: &mut Ui, places: &Places, args: &UnpinArgs) -> Result<(), CommandError> {
    set_pinned(ui, places, &args.id, false)
}

fn set_pinned(ui: &mut Ui, places: &Places, id: &PluginId, pinned: bool) -> Result<(), CommandError> {
    let installed = Installed::new(places.installed());
    let change = installed.change()?;
    let mut plugins = change.before().plugins.clone();
    let plugin = plugins.get_mut(id).ok_or_else(|| {
        CommandError::new(Code::PluginUnknown, format!("`{id}` is not installed"))
            .hint("`loong plugins list` shows what is")
    })?;
    let (version, changed) = (plugin.version.clone(), plugin.pinned != pinned);
    plugin.pinned = pinned;
    let word = if pinned { "pin" } else { "unpin" };
    if changed {
        commit(places, change, plugins, &format!("{word} {id}"))?;
    }
    if ui.json() {
        ui.document("loong.plugins.pin/1", &json!({ "plugin": id, "version": version, "pinned": pinned }));
    } else {
        ui.line(format!("{id} {version} is {}", if pinned { "pinned" } else { "not pinned" }));
    }
    Ok(())
}

pub(super) fn history(ui: &mut Ui, places: &Places) -> Result<(), CommandError> {
    let generations = Installed::new(places.installed()).generations()?;
    let mut before = Lock::empty();
    let mut rows = Vec::new();
    let mut documents: Vec<Value> = Vec::new();
    for lock in generations {
        let differences = lock.differences(&before);
        if ui.json() {
            documents.push(json!({
                "generation": lock.generation, "changed": lock.changed, "command": lock.command,
                "plugins": lock.plugins.len(), "differences": differences,
            }));
        } else {
            rows.push(vec![
                lock.generation.to_string(),
                lock.changed.to_string(),
                lock.command.clone(),
                text(&differences),
            ]);
        }
        before = lock;
    }
    if ui.json() {
        ui.document("loong.plugins.history/1", &json!({ "generations": documents }));
    } else if rows.is_empty() {
        ui.note("nothing was installed yet");
    } else {
        ui.table(0, &rows);
    }
    Ok(())
}

pub(super) fn undo(ui: &mut Ui, places: &Places, args: &UndoArgs) -> Result<(), CommandError> {
    let installed = Installed::new(places.installed());
    let change = installed.change()?;
    let now = change.before().generation;
    let to = args.to.unwrap_or_else(|| now.saturating_sub(1));
    let plugins = match installed.generations()?.into_iter().find(|lock| lock.generation == to) {
        Some(lock) => lock.plugins,
        None if to == 0 && now > 0 => Lock::empty().plugins,
        None => {
            return Err(CommandError::new(
                Code::LockInvalid,
                format!("there is no generation {to} to go back to"),
            )
            .hint("`loong plugins history` shows those that there are"));
        }
    };
    let differences = Lock { plugins: plugins.clone(), ..Lock::empty() }.differences(change.before());
    ui.confirm(&format!("Generation {to} will be installed again: {}", text(&differences)), args.yes)?;
    let before = change.before().clone();
    let lock = commit(places, change, plugins, &format!("undo --to {to}"))?;
    take_over(ui, places, &installed, &before, &lock)?;
    if ui.json() {
        ui.document(
            "loong.plugins.undo/1",
            &json!({ "generation": lock.generation, "differences": differences }),
        );
    } else {
        show(ui, &differences);
        ui.line(format!("generation {} is generation {to} again", lock.generation));
    }
    Ok(())
}

fn text(differences: &Differences) -> String {
    let mut words: Vec<String> = differences.added.iter().map(|id| format!("+{id}")).collect();
    words.extend(differences.removed.iter().map(|id| format!("-{id}")));
    words.extend(differences.changed.iter().map(|id| format!("~{id}")));
    if words.is_empty() { "the same plugins".to_owned() } else { words.join(" ") }
}

pub(super) fn show(ui: &mut Ui, differences: &Differences) {
    let count = differences.added.len() + differences.removed.len() + differences.changed.len();
    ui.line(format!("{}: {}", counted(count, "plugin differs", "plugins differ"), text(differences)));
}
