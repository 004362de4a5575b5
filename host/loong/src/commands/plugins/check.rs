//! `loong plugins check`: every static check, nothing executed.

use std::path::PathBuf;

use loong_manifest::Code;
use serde_json::json;

use super::check_list::{CheckList, Status};
use super::{counted, weighing};
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::host;
use crate::places::Places;
use crate::scanning;
use crate::ui::Ui;

/// Check a component without running it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins check word-count.wasm
  loong plugins check word-count.wasm --policy strict
  loong plugins check word-count.wasm --json

The checks are those of loading: file, structure, manifest, imports and operations against the
manifest, signature, tier, the scan (see scan.toml), and what policy would say. The exit code is that of the first failure.")]
pub struct CheckArgs {
    /// The component
    file: PathBuf,
    #[command(flatten)]
    grants: GrantArgs,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &CheckArgs) -> Result<(), CommandError> {
    let root = host::trust_root(places)?;
    let list = CheckList::of(
        &args.file,
        &root,
        &scanning::rules(places)?.thorough(),
        host::now_ms() / 1000,
        |component| weighing(&args.grants, places, component),
    )?;
    let failure = list.failure();
    if ui.json() {
        let value = json!({
            "path": args.file,
            "ok": failure.is_none(),
            "id": list.verified.as_ref().map(|verified| verified.id()),
            "digest": list.verified.as_ref().map(|verified| verified.digest()),
            "tier": list.verified.as_ref().map(|verified| verified.tier()),
            "checks": list.checks,
            "scan": list.scan,
            "admission": list.preview,
        });
        ui.document("loong.plugins.check/1", &value);
    } else {
        let rows: Vec<Vec<String>> = list
            .checks
            .iter()
            .map(|check| {
                let code = check.code.map(|code| format!(" [{code}]")).unwrap_or_default();
                vec![
                    check.status.as_str().to_owned(),
                    check.name.to_owned(),
                    format!("{}{code}", check.found),
                ]
            })
            .collect();
        ui.table(0, &rows);
        for finding in list.scan.iter().flat_map(|report| &report.findings) {
            ui.line(format!("finding: {}", scanning::line(finding)));
        }
    }
    let Some(failure) = failure else { return Ok(()) };
    let failed = list.checks.iter().filter(|check| check.status == Status::Failed).count();
    let error = CommandError::new(
        failure.code.unwrap_or(Code::HostFailed),
        format!("`{}` fails {}", args.file.display(), counted(failed, "check", "checks")),
    )
    .detail(format!("{}: {}", failure.name, failure.found));
    Err(match &failure.hint {
        Some(hint) => error.hint(hint.clone()),
        None => error,
    })
}
