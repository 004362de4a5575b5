//! `loong audit verify`: whether the log is as it was written.

use std::path::PathBuf;

use loong_kernel::checkpoint::VerifierKey;
use loong_manifest::Code;
use loong_store::{Against, AuditReader, Broken, StoreError, Verified, VerifyError, Witness};
use loong_trust::UtcTime;
use serde_json::json;

use crate::audit_key::{self, Corner};
use crate::error::CommandError;
use crate::locate::read_bounded;
use crate::places::Places;
use crate::settings::{AuditSettings, Settings};
use crate::ui::Ui;

/// Check that nothing in the log was changed, removed, cut off or put back
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit verify
  loong audit verify --json
  loong audit verify --checkpoint /media/stick/log.checkpoint

Every record is held against its predecessor, the Merkle tree over them against the signed checkpoints. What is kept
beside the audit key, in the configuration folder, shows that the log is the one that was signed last; a checkpoint
that somebody else keeps (`loong audit checkpoint`, or `checkpoint_file` in loong.toml) shows it even to somebody
who trusts neither. The exit code is 3 if anything is not as it was written.")]
pub struct VerifyArgs {
    /// A checkpoint that was kept elsewhere; may be repeated
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The key that the log has to be signed with, instead of the one that is kept beside the audit key
    #[arg(long, value_name = "NAME+ID+KEY")]
    key: Option<String>,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, args: &VerifyArgs) -> Result<(), CommandError> {
    let settings = Settings::read(&places.settings())?;
    let mut against = against(places, &settings.audit)?;
    if let Some(key) = &args.key {
        against.key = Some(parse_key(key)?);
    }
    for path in &args.checkpoint {
        against.witnesses.push(Witness { place: format!("`{}`", path.display()), note: note(path)? });
    }
    let database = places.database();
    match check(ui, places, &against)? {
        Ok(verified) => {
            if ui.json() {
                let value = json!({
                    "ok": true, "path": database, "first": verified.first, "records": verified.records,
                    "head": verified.head, "root": verified.root, "origin": verified.origin,
                    "key": verified.key.as_ref().map(ToString::to_string), "signed": verified.signed,
                    "signed_ms": verified.signed_ms, "witnesses": against.witnesses.len(),
                });
                ui.document("loong.audit.verify/1", &value);
            } else {
                describe(ui, &verified, &against);
            }
            Ok(())
        }
        Err(broken) => {
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
            .hint("keep the file as evidence; `loong audit accept` says how to begin anew"))
        }
    }
}

fn describe(ui: &mut Ui, verified: &Verified, against: &Against) {
    ui.line(format!("{} records, head {}", verified.records, verified.head));
    if verified.first > 0 {
        ui.line(format!("those before {} were removed by policy", verified.first));
    }
    match (&verified.key, verified.signed_ms) {
        (Some(key), Some(signed_ms)) => {
            let signed = if verified.signed < verified.records {
                format!("{} of them", verified.signed)
            } else {
                "all".to_owned()
            };
            ui.line(format!("{signed} signed until {}", UtcTime::from_unix_s(signed_ms / 1_000)));
            ui.line(format!("key {key}"));
        }
        _ => ui.line("not signed yet"),
    }
    if against.witnesses.is_empty() {
        ui.note(
            "note: no checkpoint is kept outside the database, so an older copy of it would not be found",
        );
    }
}

/// What is kept outside the database.
pub fn against(places: &Places, settings: &AuditSettings) -> Result<Against, CommandError> {
    let key = Corner::of(places).key()?;
    Ok(Against { key, witnesses: audit_key::witnesses(places, settings)? })
}

/// Verifies the log, or says where it is not good.
pub fn check(ui: &Ui, places: &Places, against: &Against) -> Result<Result<Verified, Broken>, CommandError> {
    let database = places.database();
    let reader = match AuditReader::open_read_only(&database) {
        Ok(reader) => reader,
        Err(error @ StoreError::Missing { .. }) if !against.witnesses.is_empty() => {
            return Err(CommandError::new(Code::AuditBroken, format!("the audit log is gone: {error}"))
                .detail(format!(
                    "a checkpoint of it is kept in {}",
                    against
                        .witnesses
                        .iter()
                        .map(|witness| witness.place.as_str())
                        .collect::<Vec<_>>()
                        .join(", ")
                ))
                .hint("put it back; `loong audit accept` says how to begin anew"));
        }
        Err(error) => return Err(error.into()),
    };
    let spinner = ui.spinner();
    let verified = reader.verify_against(against, &mut |records| {
        spinner.set_message(format!("{records} records are good so far"));
        spinner.tick();
    });
    spinner.finish_and_clear();
    match verified {
        Ok(verified) => Ok(Ok(verified)),
        Err(VerifyError::Broken(broken)) => Ok(Err(broken)),
        Err(VerifyError::Unreadable(error)) => Err(error.into()),
    }
}

/// A key of the command line.
pub fn parse_key(text: &str) -> Result<VerifierKey, CommandError> {
    text.trim().parse().map_err(|error| {
        CommandError::new(Code::CommandLineInvalid, format!("`{text}` is no verifier key: {error}"))
            .hint("`loong audit verify` prints the key of this log")
    })
}

/// A checkpoint's file.
fn note(path: &std::path::Path) -> Result<String, CommandError> {
    let bytes = read_bounded(path, loong_kernel::checkpoint::NOTE_BYTES_MAX as u64)?;
    String::from_utf8(bytes).map_err(|_| {
        CommandError::new(Code::CheckpointInvalid, format!("`{}` is no checkpoint", path.display()))
    })
}
