//! `loong plugins info`: what a component says of itself, who vouches for it, and what it would be granted.

use std::path::PathBuf;

use loong_manifest::{Manifest, Meter};
use loong_policy::{Asked, Outcome, Preview};
use loong_trust::Verified;
use serde_json::json;

use super::check_list::standing_text;
use super::{bytes_text, weighing};
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::host;
use crate::locate::{self, PluginPath};
use crate::places::Places;
use crate::ui::Ui;

/// Show what a component is, asks for, and would be granted
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins info word-count.wasm
  loong plugins info core:git
  loong plugins info core:git --policy strict --json")]
pub struct InfoArgs {
    /// A component file, or the id of one that `loong plugins list` shows
    #[arg(value_name = "FILE|ID")]
    plugin: String,
    /// Look in this folder too, before the installed ones (may be repeated)
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &InfoArgs) -> Result<(), CommandError> {
    let path = PluginPath::new(&args.plugins, places.plugins()).find(&args.plugin)?;
    let root = host::trust_root(places)?;
    let verified = loong_trust::verify(locate::candidate(&path)?, &root, host::now_ms() / 1000)
        .map_err(|error| CommandError::from(error).detail(format!("in `{}`", path.display())))?;
    let (policy, offer) = weighing(&args.grants, places, &verified)?;
    let preview = loong_policy::preview(&policy, &verified, &offer);
    if ui.json() {
        let contents = verified.contents();
        let value = json!({
            "path": path,
            "id": verified.id(),
            "version": verified.version(),
            "digest": verified.digest(),
            "bytes": verified.bytes().len(),
            "tier": verified.tier(),
            "signer": verified.signer().map(|signer| json!({ "key_id": signer.key_id, "label": signer.label })),
            "manifest": verified.manifest(),
            "imports": contents.imports.iter().map(|import| &import.name).collect::<Vec<_>>(),
            "exports": contents.exports.iter().map(|export| &export.name).collect::<Vec<_>>(),
            "operations": verified.operations().iter().map(|operation| json!({
                "name": operation.name, "risk": operation.risk, "tool": operation.is_tool, "doc": operation.doc,
                "input": operation.input, "output": operation.output,
            })).collect::<Vec<_>>(),
            "not_callable": contents.skipped.iter().map(|skipped| json!({ "name": skipped.name, "why": skipped.why })).collect::<Vec<_>>(),
            "admission": preview,
        });
        ui.document("loong.plugins.info/1", &value);
        return Ok(());
    }
    head(ui, &path, &verified, &preview);
    asked(ui, &preview);
    operations(ui, &verified);
    limits(ui, &preview);
    Ok(())
}

fn section(ui: &mut Ui, title: &str, rows: &[Vec<String>]) {
    if !rows.is_empty() {
        ui.line(format!("\n{title}"));
        ui.table(2, rows);
    }
}

fn head(ui: &mut Ui, path: &std::path::Path, verified: &Verified, preview: &Preview) {
    let manifest = verified.manifest();
    ui.line(format!("{} {}", verified.id(), verified.version()));
    if let Some(Manifest { summary, .. }) = manifest {
        ui.line(summary);
    }
    let mut rows = vec![
        ("file", format!("{} ({})", path.display(), bytes_text(verified.bytes().len() as u64))),
        ("digest", verified.digest().to_string()),
        ("signed", standing_text(verified.standing())),
        ("tier", verified.tier().to_string()),
    ];
    if let Some(manifest) = manifest {
        rows.push(("kind", manifest.kind.as_str().to_owned()));
        let more =
            [("tags", manifest.tags.join(", ")), ("licence", manifest.licence.clone().unwrap_or_default())];
        rows.extend(more.into_iter().filter(|(_, text)| !text.is_empty()));
    }
    rows.push(match preview.denials.first() {
        None => ("loading", format!("admitted, runs {}", preview.execution_tier)),
        Some(denial) => ("loading", format!("refused: {denial}")),
    });
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect();
    ui.line("");
    ui.table(0, &rows);
    let imports: Vec<Vec<String>> =
        verified.contents().imports.iter().map(|import| vec![import.name.clone()]).collect();
    section(ui, "imports", &imports);
}

fn asked(ui: &mut Ui, preview: &Preview) {
    let rows: Vec<Vec<String>> = preview.asked.iter().map(asked_row).collect();
    section(ui, "asks for", &rows);
}

fn asked_row(asked: &Asked) -> Vec<String> {
    let outcome = match &asked.outcome {
        Outcome::Granted { narrowed: None, .. } => "granted".to_owned(),
        Outcome::Granted { narrowed: Some(narrowed), .. } => format!("granted ({narrowed})"),
        Outcome::Refused(denial) => format!("refused [{}]", denial.code()),
    };
    vec![asked.capability.to_owned(), asked.scope.clone(), outcome, format!("“{}”", asked.reason)]
}

fn operations(ui: &mut Ui, verified: &Verified) {
    let rows: Vec<Vec<String>> = verified
        .operations()
        .iter()
        .map(|operation| {
            let doc = first_sentence(operation.doc.as_deref().unwrap_or_default());
            vec![operation.name.to_string(), operation.risk.as_str().to_owned(), doc]
        })
        .collect();
    section(ui, "operations", &rows);
    let skipped: Vec<Vec<String>> = verified
        .contents()
        .skipped
        .iter()
        .map(|skipped| vec![skipped.name.clone(), skipped.why.to_owned()])
        .collect();
    section(ui, "functions that cannot be called", &skipped);
}

/// The first sentence of a text, on one line.
fn first_sentence(text: &str) -> String {
    let paragraph =
        text.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    match paragraph.find(". ") {
        Some(end) => paragraph.get(..=end).unwrap_or_default().to_owned(),
        None => paragraph,
    }
}

fn limits(ui: &mut Ui, preview: &Preview) {
    let limits = &preview.limits;
    let mut rows = vec![
        ("deadline", format!("{} ms", limits.deadline_ms)),
        ("memory", bytes_text(limits.memory_bytes_max)),
        ("output", bytes_text(limits.output_bytes_max)),
        ("processes", limits.processes_max.to_string()),
    ];
    if preview.meter == Meter::EpochAndFuel {
        rows.push(("fuel", limits.fuel_max.to_string()));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect();
    section(ui, "limits of one call", &rows);
}

#[cfg(test)]
mod tests {
    use super::first_sentence;

    #[test]
    fn a_sentence_ends_at_its_period_or_with_its_paragraph() {
        assert_eq!(first_sentence("Reads 2.5 lines\nof a file. More."), "Reads 2.5 lines of a file.");
        assert_eq!(first_sentence("Reads\n\nMore"), "Reads");
        assert_eq!(first_sentence(""), "");
    }
}
