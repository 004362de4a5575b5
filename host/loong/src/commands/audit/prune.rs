//! `loong audit prune`: removes the oldest records, provably.

use loong_manifest::Code;
use loong_store::{AuditReader, Cut};
use serde_json::json;

use super::time_range;
use crate::audit_key;
use crate::error::CommandError;
use crate::host::now_ms;
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;

/// Remove the oldest records from the log
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit export > log-until-now.jsonl
  loong audit prune --keep 100000
  loong audit prune --before 90d --yes

Without `--yes` it only says what it would remove. Export first: what is removed is gone. The removal itself is
recorded and signed, what is left verifies from the cut on, and every proof that was made before still holds. To do it
by itself, set `keep_days` or `keep_records` under `[audit]` in loong.toml.")]
pub struct PruneArgs {
    /// Remove records that are older: `2026-07-26`, `90d`
    #[arg(long, value_name = "TIME", required_unless_present = "keep", conflicts_with = "keep")]
    before: Option<String>,
    /// Keep so many of the newest
    #[arg(long, value_name = "RECORDS")]
    keep: Option<u64>,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, args: &PruneArgs) -> Result<(), CommandError> {
    let cut = match (&args.before, args.keep) {
        (Some(time), _) => Cut::Since(*time_range(time, now_ms())?.start()),
        (None, Some(records)) => Cut::Keep(records),
        (None, None) => {
            return Err(CommandError::new(Code::CommandLineInvalid, "give `--before` or `--keep`"));
        }
    };
    let reader = AuditReader::open_read_only(&places.database())?;
    let planned = reader.prunable(cut)?;
    drop(reader);
    let Some(planned) = planned else {
        if ui.json() {
            ui.document(
                "loong.audit.prune/1",
                &json!({ "removed": false, "from": null, "until": null, "root": null }),
            );
        } else {
            ui.line("there is nothing to remove");
        }
        return Ok(());
    };
    let removed = if args.yes { remove(places, cut)? } else { None };
    let shown = removed.unwrap_or(planned);
    if ui.json() {
        let value = json!({ "removed": removed.is_some(), "from": shown.from, "until": shown.until, "root": shown.root });
        ui.document("loong.audit.prune/1", &value);
        return Ok(());
    }
    let records = shown.until - shown.from.min(shown.until);
    let range = format!("{records} records, {} to {}", shown.from, shown.until.saturating_sub(1));
    if removed.is_some() {
        ui.line(format!("removed {range}"));
    } else {
        ui.line(format!("would remove {range}"));
        ui.note("note: nothing was removed; export them first, then add `--yes`");
    }
    Ok(())
}

fn remove(places: &Places, cut: Cut) -> Result<Option<loong_store::Pruned>, CommandError> {
    let settings = Settings::read(&places.settings())?;
    let store = audit_key::open_store(places, &settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| {
        CommandError::new(Code::HostFailed, format!("threads cannot be started: {error}"))
    })?;
    let pruned = runtime.block_on(store.prune(cut));
    let closed = store.close();
    let pruned = pruned.map_err(|error| CommandError::new(error.code(), error.to_string()))?;
    closed?;
    Ok(pruned)
}
