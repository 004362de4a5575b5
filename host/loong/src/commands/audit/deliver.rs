//! `loong audit deliver`: hands the audit log to its sinks, once or as it grows.

use std::time::Duration;

use loong_kernel::SinkPhase;
use loong_manifest::{Code, PluginId};
use serde_json::json;

use crate::error::CommandError;
use crate::places::Places;
use crate::sinks::Follower;
use crate::ui::Ui;

/// How often a log that is followed is looked at.
const PAUSE: Duration = Duration::from_millis(250);

/// Deliver the audit log to its sinks, from where each of them left off
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit deliver                       what is recorded now, to all sinks
  loong audit deliver core:sink-file
  loong audit deliver --follow              and what comes, until interrupted; for a service

Records come in order and at least once: a sink that was cut off gets the last ones again. After each run the
log is delivered too; `--follow` is for a log that other processes write to, and tries again what failed.")]
pub struct DeliverArgs {
    /// Keep delivering what is recorded, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// The sinks, by id; all of loong.toml when none is given
    sinks: Vec<PluginId>,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, args: &DeliverArgs) -> Result<(), CommandError> {
    let mut follower = Follower::open(ui, places)?;
    let result = deliver(ui, &mut follower, args);
    let closed = follower.close();
    result?;
    closed
}

fn deliver(ui: &mut Ui, follower: &mut Follower<'_>, args: &DeliverArgs) -> Result<(), CommandError> {
    let sinks = if args.sinks.is_empty() {
        follower.sinks().iter().map(|sink| sink.plugin.clone()).collect()
    } else {
        args.sinks.clone()
    };
    if sinks.is_empty() {
        return Err(CommandError::new(Code::ConfigInvalid, "loong.toml names no audit sink")
            .hint("`loong audit sinks --help` shows how a sink is named"));
    }
    if args.follow { follow(ui, follower, &sinks) } else { once(ui, follower, &sinks) }
}

/// Every sink gets its turn, also after one that failed.
fn once(ui: &mut Ui, follower: &mut Follower<'_>, sinks: &[PluginId]) -> Result<(), CommandError> {
    let mut first = Ok(());
    let mut outcomes = Vec::new();
    for plugin in sinks {
        match follower.catch_up(plugin) {
            Ok(delivered) => {
                outcomes.push(
                    json!({ "plugin": plugin, "delivered": delivered.records, "next": delivered.next }),
                );
                if !ui.json() {
                    let records = super::super::plugins::counted(
                        usize::try_from(delivered.records).unwrap_or(usize::MAX),
                        "record",
                        "records",
                    );
                    ui.line(format!("{plugin}  {records} delivered, next is {}", delivered.next));
                }
            }
            Err(error) if first.is_ok() => first = Err(error),
            Err(error) => ui.warning(format!(
                "{}: {} [{}]",
                error.headline,
                error.details.first().map_or("", String::as_str),
                error.code
            )),
        }
    }
    if ui.json() && first.is_ok() {
        ui.document("loong.audit.deliver/1", &json!({ "sinks": outcomes }));
    }
    first
}

/// Delivers what comes, and tries again what failed after a pause that grows. It ends when the person ends it,
/// or when the log itself fails.
fn follow(ui: &Ui, follower: &mut Follower<'_>, sinks: &[PluginId]) -> Result<(), CommandError> {
    for plugin in sinks {
        // What the settings do not name is refused before anything is written down of it.
        follower.due(plugin)?;
    }
    for plugin in sinks {
        follower.note(plugin, SinkPhase::Delivering, None)?;
    }
    let mut failing = vec![false; sinks.len()];
    let ended = 'following: loop {
        for (plugin, failing) in sinks.iter().zip(&mut failing) {
            if !follower.due(plugin)? {
                continue;
            }
            match follower.catch_up(plugin) {
                Ok(_) => {
                    if std::mem::take(failing) {
                        ui.note(format!("`{plugin}` takes records again"));
                    }
                }
                Err(error) if error.code == Code::SinkFailed => {
                    if !std::mem::replace(failing, true) {
                        let problem = error.details.first().map_or("", String::as_str);
                        ui.warning(format!(
                            "{}: {problem} [{}]; it is tried again",
                            error.headline, error.code
                        ));
                    }
                }
                Err(error) if error.code == Code::Interrupted => break 'following Ok(()),
                Err(error) => break 'following Err(error),
            }
        }
        if !follower.pause(PAUSE) {
            break Ok(());
        }
    };
    for plugin in sinks {
        follower.note(plugin, SinkPhase::Stopped, None)?;
    }
    ended
}
