//! `loong audit checkpoint`: the newest signed head of the log, for whoever keeps one.

use loong_kernel::checkpoint::Checkpoint;
use loong_manifest::Code;
use loong_store::AuditReader;
use serde_json::json;

use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;

/// Print the newest signed checkpoint of the log, for a witness to keep
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit checkpoint > /media/stick/log.checkpoint
  loong audit checkpoint --json

It is a signed note in the formats c2sp.org/tlog-checkpoint and c2sp.org/signed-note: whoever keeps it can show later
that records were changed, removed or cut off: `loong audit verify --checkpoint FILE`.")]
pub struct CheckpointArgs {}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, _: &CheckpointArgs) -> Result<(), CommandError> {
    let reader = AuditReader::open_read_only(&places.database())?;
    let key = reader.audit_key()?;
    let (Some((_, time_ms, note)), Some(key)) = (reader.checkpoint()?, key) else {
        return Err(CommandError::new(Code::CheckpointInvalid, "the log has no checkpoint yet")
            .hint("one is made whenever something was recorded"));
    };
    let checkpoint = Checkpoint::verified(&note, &key).map_err(|error| {
        CommandError::caused(error.code(), &error).detail("the newest checkpoint is not good")
    })?;
    if ui.json() {
        let value = json!({
            "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root,
            "time_ms": time_ms, "key": key.to_string(), "note": note,
        });
        ui.document("loong.audit.checkpoint/1", &value);
    } else {
        note.lines().for_each(|line| ui.line(line));
    }
    Ok(())
}
