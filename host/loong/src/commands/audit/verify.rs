//! `loong audit verify`: whether the log is as it was written.

use std::path::Path;

use loong_manifest::Code;
use loong_store::{AuditReader, VerifyError};
use serde_json::json;

use crate::error::CommandError;
use crate::ui::Ui;

/// Check that nothing in the log was changed, removed or reordered
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit verify
  loong audit verify --json

Keep the head that it prints somewhere else: it shows later whether this log was replaced or cut.")]
pub struct VerifyArgs {}

/// Runs the command.
pub fn run(ui: &mut Ui, database: &Path, _: &VerifyArgs) -> Result<(), CommandError> {
    let reader = AuditReader::open_read_only(database)?;
    let spinner = ui.spinner();
    let verified = reader.verify(&mut |records| {
        spinner.set_message(format!("{records} records are good so far"));
        spinner.tick();
    });
    spinner.finish_and_clear();
    match verified {
        Ok(verified) => {
            if ui.json() {
                let value = json!({ "ok": true, "path": database, "records": verified.records, "head": verified.head });
                ui.document("loong.audit.verify/1", &value);
            } else {
                ui.line(format!("{} records, head {}", verified.records, verified.head));
            }
            Ok(())
        }
        Err(VerifyError::Broken(broken)) => {
            if ui.json() {
                let value = json!({ "ok": false, "path": database, "first_bad_record": broken.index, "problem": broken.damage.to_string() });
                ui.document("loong.audit.verify/1", &value);
            }
            Err(CommandError::new(
                Code::AuditBroken,
                format!("the audit log is not as it was written, from record {} on", broken.index),
            )
            .detail(broken.to_string())
            .detail(format!("in `{}`", database.display()))
            .hint("keep the file as evidence; move it away to begin a new log"))
        }
        Err(VerifyError::Unreadable(error)) => Err(error.into()),
    }
}
