//! `loong plugins list`: what is on the plugin path, by manifest.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::CommandError;
use crate::locate::{self, Entry, PluginPath};
use crate::places::Places;
use crate::ui::Ui;
use crate::{host, settings::Settings};

/// List the components that are found by their ids
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins list
  loong plugins list --plugins dist/ --json

Only manifests are read and signatures verified; nothing is compiled or run.")]
pub struct ListArgs {
    /// Look in this folder too, before the installed ones (may be repeated)
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
}

/// One component, and whether loading would get past its signature.
struct Row {
    entry: Entry,
    tier: Result<&'static str, CommandError>,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &ListArgs) -> Result<(), CommandError> {
    // A wrong settings file is reported by every command that would use it.
    Settings::read(&places.settings())?;
    for folder in &args.plugins {
        std::fs::read_dir(folder).map_err(|error| {
            CommandError::file(loong_manifest::Code::FileUnreadable, "look for components in", folder, &error)
        })?;
    }
    let root = host::trust_root(places)?;
    let path = PluginPath::new(&args.plugins, places)?;
    let now_unix_s = host::now_ms() / 1000;
    let rows: Vec<Row> = path
        .entries()
        .into_iter()
        .map(|entry| {
            let verified = locate::candidate(&entry.path)
                .and_then(|candidate| Ok(loong_trust::verify(candidate, &root, now_unix_s)?));
            Row { entry, tier: verified.map(|verified| verified.tier().as_str()) }
        })
        .collect();
    if ui.json() {
        let plugins: Vec<Value> = rows.iter().map(document).collect();
        ui.document("loong.plugins.list/1", &json!({ "plugins": plugins }));
        return Ok(());
    }
    if rows.is_empty() {
        ui.note(format!("no components in {}", places.plugins().display()));
        return Ok(());
    }
    let mut table = vec![["ID", "VERSION", "KIND", "TIER", "SUMMARY"].map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|Row { entry, tier }| {
        let manifest = &entry.manifest;
        let tier = match tier {
            Ok(tier) => (*tier).to_owned(),
            Err(error) => format!("refused: {}", error.code),
        };
        vec![
            manifest.id.to_string(),
            manifest.version.to_string(),
            manifest.kind.as_str().to_owned(),
            tier,
            manifest.summary.clone(),
        ]
    }));
    ui.table(0, &table);
    Ok(())
}

fn document(row: &Row) -> Value {
    let manifest = &row.entry.manifest;
    json!({
        "id": manifest.id,
        "version": manifest.version,
        "kind": manifest.kind,
        "summary": manifest.summary,
        "tags": manifest.tags,
        "path": row.entry.path,
        "operations": manifest.operations.iter().map(|operation| &operation.name).collect::<Vec<_>>(),
        "tier": row.tier.as_ref().ok(),
        "refused": row.tier.as_ref().err(),
    })
}
