//! `loong audit accept`: a person says that the log that is here, or none, is the one to go on with.

use loong_store::{AuditReader, StoreError};
use serde_json::json;

use crate::audit_key::{self, Corner};
use crate::error::CommandError;
use crate::host::now_ms;
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;

/// Go on with the log that is here, although it is not the one that was signed last
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit accept
  loong audit accept --yes

When the database is gone, is an older copy, belongs to another log or is bound to another key, nothing runs: somebody
may have wanted to hide something. If you know why it is so, such as a backup that you put back, this makes the next
run begin anew with what is here. What was kept before stays beside it as evidence. Without `--yes` it only says what
it would do.")]
pub struct AcceptArgs {
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, args: &AcceptArgs) -> Result<(), CommandError> {
    let database = places.database();
    let records = match AuditReader::open_read_only(&database) {
        Ok(reader) => Some(reader.size()?),
        Err(StoreError::Missing { .. }) => None,
        Err(error) => {
            return Err(
                CommandError::from(error).hint("move the file away first; it can be kept as evidence")
            );
        }
    };
    let mut moved = Vec::new();
    if args.yes {
        moved = Corner::of(places).set_aside(now_ms())?;
        if records.is_some() {
            audit_key::rebind(places, &Settings::read(&places.settings())?)?;
        }
    }
    if ui.json() {
        let value = json!({ "accepted": args.yes, "path": database, "records": records, "set_aside": moved });
        ui.document("loong.audit.accept/1", &value);
        return Ok(());
    }
    let what = match records {
        Some(records) => format!("the log of {records} records in `{}`", database.display()),
        None => "a new log".to_owned(),
    };
    if !args.yes {
        ui.line(format!("would go on with {what}"));
        ui.note("note: nothing was changed; `--yes` does it");
        return Ok(());
    }
    ui.line(format!("goes on with {what}"));
    for path in moved {
        ui.line(format!("kept as evidence: {}", path.display()));
    }
    Ok(())
}
