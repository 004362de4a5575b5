//! `loong plugins list`: what is on the plugin path, by manifest.

use std::path::PathBuf;

use serde::Serialize;

use super::judged::{self, Shown};
use crate::error::CommandError;
use crate::locate::{Entry, PluginPath};
use crate::places::Places;
use crate::ui::Ui;
use crate::{host, settings::Settings};

/// List the components that are found by their ids
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins list
  loong plugins list --plugins dist/ --json
  loong plugins list --verify                       every file read and verified anew

Only manifests are read and signatures verified; nothing is compiled or run. What was installed is verified again
when the trust root changes or a key begins or ends, at every load, and with `--verify`.")]
pub struct ListArgs {
    /// Look in this folder too, before the installed ones (may be repeated)
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// Read and verify every file anew
    #[arg(long)]
    verify: bool,
}

/// One component, and whether loading would get past its signature.
#[derive(Serialize)]
struct Row {
    id: String,
    version: String,
    kind: String,
    summary: String,
    tags: Vec<String>,
    path: PathBuf,
    operations: Vec<String>,
    #[serde(flatten)]
    judged: Shown,
}

#[derive(Serialize)]
struct Document {
    plugins: Vec<Row>,
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
    let in_folder = |entry: Entry| {
        let verdict = judged::verdict(&entry.path, &root, now_unix_s);
        let manifest = entry.manifest;
        Row {
            id: manifest.id.to_string(),
            version: manifest.version.to_string(),
            kind: manifest.kind.as_str().to_owned(),
            summary: manifest.summary,
            tags: manifest.tags,
            path: entry.path,
            operations: manifest.operations.iter().map(|operation| operation.name.to_string()).collect(),
            judged: Shown::of(&verdict),
        }
    };
    let mut rows: Vec<Row> = path.in_folders().into_iter().map(in_folder).collect();
    let installed = judged::installed(ui, &path, &root, &[], args.verify)?;
    rows.extend(installed.into_iter().map(|(row, verdict)| Row {
        path: path.component(&row.id, &row.digest),
        id: row.id.to_string(),
        version: row.version.to_string(),
        kind: row.kind,
        summary: row.summary,
        tags: row.tags,
        operations: row.operations,
        judged: Shown::of(&verdict),
    }));
    if ui.json() {
        ui.document("loong.plugins.list/1", &Document { plugins: rows });
        return Ok(());
    }
    if rows.is_empty() {
        ui.note(format!("no components in {}", places.plugins().display()));
        return Ok(());
    }
    let mut table = vec![["ID", "VERSION", "KIND", "TIER", "SUMMARY"].map(str::to_owned).to_vec()];
    table.extend(
        rows.into_iter().map(|row| vec![row.id, row.version, row.kind, row.judged.text(), row.summary]),
    );
    ui.table(0, &table);
    Ok(())
}
