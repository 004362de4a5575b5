//! `loong audit sinks`: where the audit log is delivered to, and how far that has come.

use serde_json::json;

use super::describe::time_text;
use crate::error::CommandError;
use crate::places::Places;
use crate::settings::Settings;
use crate::sinks::{self, Standing};
use crate::ui::Ui;

/// List the sinks that the audit log is delivered to, and how far they have come
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit sinks
  loong audit sinks --json

Sinks are components, and named in loong.toml:

  [[sinks]]
  plugin = \"core:sink-file\"          an installed, signed component; or say where it is with `file`
  fail = \"closed\"                    no run begins before everything is delivered; \"open\" only warns
  folder = \"/var/log/loong\"          what the sink may write to
  kinds = [\"decision\", \"effect\"]     only these; batch_records and batch_bytes bound one delivery")]
pub struct SinksArgs {}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, _args: &SinksArgs) -> Result<(), CommandError> {
    let settings = Settings::read(&places.settings())?;
    let standings = sinks::standings(places, &settings)?;
    if ui.json() {
        ui.document("loong.audit.sinks/1", &json!({ "sinks": standings }));
        return Ok(());
    }
    if standings.is_empty() {
        ui.note("loong.toml names no sinks; `loong audit sinks --help` shows how");
    }
    let rows: Vec<Vec<String>> = standings.iter().map(cells).collect();
    ui.table(0, &rows);
    Ok(())
}

fn cells(standing: &Standing) -> Vec<String> {
    let last = standing.delivered_ms.map_or_else(|| "never".to_owned(), time_text);
    vec![
        standing.plugin.to_string(),
        format!("fail {}", standing.fail.as_str()),
        format!("last delivered {last}"),
        standing.words(),
    ]
}
