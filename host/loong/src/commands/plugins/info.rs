//! `loong plugins info`: what a component says of itself, who vouches for it, and what it would be granted.

use std::path::PathBuf;

use loong_kernel::{Peak, Usage};
use loong_manifest::{Digest, Manifest, Meter, OperationName};
use loong_policy::{Asked, Outcome, Preview};
use loong_trust::{Signer, Verified};
use serde_json::{Value, json};

use super::check_list::standing_text;
use super::subject::{Finder, Subject};
use super::{bytes_text, weighing};
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::host;
use crate::places::Places;
use crate::ui::Ui;

/// Show what a component is, asks for, and would be granted
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins info word-count.wasm
  loong plugins info core:git
  loong plugins info core:git --policy strict --json
  loong plugins info acme:weather@1.2.0               a version in a connected registry; nothing is installed")]
pub struct InfoArgs {
    /// A component file, the id of one that is here, or one in a connected registry
    #[arg(value_name = "FILE|ID[@VERSION]")]
    plugin: String,
    /// Look in this folder too, before the installed ones (may be repeated)
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &InfoArgs) -> Result<(), CommandError> {
    let subject = Finder::new(ui, places, &args.plugins)?.find(&args.plugin)?;
    let verified = &subject.verified;
    let (policy, offer) = weighing(&args.grants, places, verified)?;
    let preview = loong_policy::preview(&policy, verified, &offer);
    let peaks = peaks(places, verified.digest())?;
    if ui.json() {
        let contents = verified.contents();
        let value = json!({
            "path": subject.path,
            "registry": subject.offered.as_ref().map(|offered| &offered.registry),
            "entry": subject.offered.as_ref().map(|offered| &offered.entry),
            "id": verified.id(),
            "version": verified.version(),
            "digest": verified.digest(),
            "bytes": verified.bytes().len(),
            "tier": verified.tier(),
            "signer": verified.signer().map(signer_json),
            "signers": verified.signers().map(signer_json).collect::<Vec<_>>(),
            "provenance": verified.provenance().iter().map(|built| json!({
                "signer": signer_json(&built.signer), "builder": built.builder, "sources": built.sources,
            })).collect::<Vec<_>>(),
            "manifest": verified.manifest(),
            "imports": contents.imports.iter().map(|import| &import.name).collect::<Vec<_>>(),
            "exports": contents.exports.iter().map(|export| &export.name).collect::<Vec<_>>(),
            "operations": verified.operations().iter().map(|operation| json!({
                "name": operation.name, "risk": operation.risk, "tool": operation.is_tool, "doc": operation.doc,
                "input": operation.input, "output": operation.output,
            })).collect::<Vec<_>>(),
            "not_callable": contents.skipped.iter().map(|skipped| json!({ "name": skipped.name, "why": skipped.why })).collect::<Vec<_>>(),
            "admission": preview,
            "highest": peaks.iter().map(|(operation, peak)| json!({
                "operation": operation, "calls": peak.calls, "failures": peak.failures, "used": peak.most,
            })).collect::<Vec<_>>(),
        });
        ui.document("loong.plugins.info/1", &value);
        return Ok(());
    }
    head(ui, &subject, &preview);
    asked(ui, &preview);
    operations(ui, verified);
    limits(ui, verified, &preview, &peaks);
    Ok(())
}

fn signer_json(signer: &Signer) -> Value {
    let Signer { key_id, label, identity } = signer;
    let identity =
        identity.as_ref().map(|identity| json!({ "issuer": identity.issuer, "subject": identity.subject }));
    json!({ "key_id": key_id, "label": label, "identity": identity })
}

/// The most that each operation ever used. Nothing is made where nothing ever ran.
fn peaks(places: &Places, digest: &Digest) -> Result<Vec<(OperationName, Peak)>, CommandError> {
    if !places.database().exists() {
        return Ok(Vec::new());
    }
    let store = host::store(places)?;
    let peaks = host::wait(store.peaks(digest));
    store.close()?;
    peaks?.map_err(host::unwritten)
}

fn section(ui: &mut Ui, title: &str, rows: &[Vec<String>]) {
    if !rows.is_empty() {
        ui.line(format!("\n{title}"));
        ui.table(2, rows);
    }
}

fn head(ui: &mut Ui, subject: &Subject, preview: &Preview) {
    let verified = &subject.verified;
    let manifest = verified.manifest();
    ui.line(format!("{} {}", verified.id(), verified.version()));
    if let Some(Manifest { summary, .. }) = manifest {
        ui.line(summary);
    }
    let mut rows = vec![
        (
            if subject.path.is_some() { "file" } else { "from" },
            format!("{} ({})", subject.place(), bytes_text(verified.bytes().len() as u64)),
        ),
        ("digest", verified.digest().to_string()),
        ("signed", standing_text(verified.standing())),
        ("tier", verified.tier().to_string()),
    ];
    if let Some(offered) = &subject.offered {
        let facts = &offered.entry.facts;
        rows.push(("published", facts.published.to_string()));
        let yanked = facts.yanked.as_ref();
        rows.extend(yanked.map(|yanked| ("taken back", format!("on {}: {}", yanked.since, yanked.reason))));
    }
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

/// Each limit: what the manifest asks for, what policy allows, and the most that a call ever used.
fn limits(ui: &mut Ui, verified: &Verified, preview: &Preview, peaks: &[(OperationName, Peak)]) {
    let numbers = |value: serde_json::Result<Value>| match value {
        Ok(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    let asked = numbers(
        verified.manifest().map_or(Ok(Value::Null), |manifest| serde_json::to_value(&manifest.limits)),
    );
    let allowed = numbers(serde_json::to_value(&preview.limits));
    let most = |of: fn(&Usage) -> u64| peaks.iter().map(|(_, peak)| of(&peak.most)).max();
    let highest = |name: &str| match name {
        "deadline_ms" => most(|usage| usage.duration_us.div_ceil(1_000)),
        "fuel_max" => most(|usage| usage.fuel).filter(|fuel| *fuel > 0),
        "cpu_ms_max" => most(|usage| usage.cpu_us.div_ceil(1_000)),
        "memory_bytes_max" => most(|usage| usage.memory_peak_bytes),
        "output_bytes_max" => most(|usage| usage.output_bytes),
        _ => None,
    };
    let text = |name: &str, number: Option<u64>| match number {
        None => "–".to_owned(),
        Some(number) if name.ends_with("bytes_max") => bytes_text(number),
        Some(number) if name.ends_with("_ms_max") || name.ends_with("_ms") => format!("{number} ms"),
        Some(number) => number.to_string(),
    };
    let number =
        |members: &serde_json::Map<String, Value>, name: &str| members.get(name).and_then(Value::as_u64);
    let counted = |name: &&String| *name != "fuel_max" || preview.meter == Meter::EpochAndFuel;
    let mut rows = vec![["", "asked", "allowed", "highest so far"].map(str::to_owned).to_vec()];
    rows.extend(allowed.keys().filter(counted).map(|name| {
        let words = name.trim_end_matches("_max").trim_end_matches("_ms").replace('_', " ");
        let (asked, allowed) = (text(name, number(&asked, name)), text(name, number(&allowed, name)));
        vec![words, asked, allowed, text(name, highest(name))]
    }));
    section(ui, "limits", &rows);
    let calls: u64 = peaks.iter().map(|(_, peak)| peak.calls).sum();
    let failures: u64 = peaks.iter().map(|(_, peak)| peak.failures).sum();
    if calls > 0 {
        ui.line(format!("\n{calls} calls so far, {failures} of them failed"));
    }
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
