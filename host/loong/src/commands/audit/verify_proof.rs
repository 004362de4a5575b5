//! `loong audit verify-proof`: checks a proof without the log.

use std::path::{Path, PathBuf};

use loong_kernel::chain;
use loong_manifest::Code;
use serde_json::{Value, json};

use super::proof::{Proof, SCHEMA};
use super::verify::parse_key;
use crate::audit_key::Corner;
use crate::error::CommandError;
use crate::locate::read_bounded;
use crate::places::Places;
use crate::ui::Ui;

/// Largest file that is read, in bytes.
const BYTES_MAX: u64 = 4 << 20;

/// Check a proof, without the log
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong audit verify-proof record.proof.json
  loong audit verify-proof record.proof.json --key 'loong/audit/…+…+…' --record record.json

The key must come from somebody you trust, not with the proof; without `--key` it is the one that this machine signs
its own log with. `--record` is a record as `loong audit recent --json` or `loong audit show --json` prints it. The
exit code is 3 if anything does not fit.")]
pub struct VerifyProofArgs {
    /// The proof, as `loong audit prove` printed it
    file: PathBuf,
    /// The key that has to have signed
    #[arg(long, value_name = "NAME+ID+KEY")]
    key: Option<String>,
    /// A record that the proof has to be of
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, args: &VerifyProofArgs) -> Result<(), CommandError> {
    let proof = read_proof(&args.file)?;
    let key = match &args.key {
        Some(key) => parse_key(key)?,
        None => Corner::of(places).key()?.ok_or_else(|| {
            CommandError::new(Code::CommandLineInvalid, "no key is known here")
                .hint("give the key of the log with `--key`, as somebody you trust told it to you")
        })?,
    };
    let checkpoint = proof.check(&key)?;
    if let Some(path) = &args.record {
        check_record(&proof, &read_json(path)?)?;
    }
    if ui.json() {
        let mut value = json!({
            "ok": true, "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root,
            "key": key.to_string(), "record": args.record.is_some(),
        });
        let what = match &proof {
            Proof::Inclusion { index, .. } => json!({ "index": index }),
            Proof::Consistency { from, from_root, .. } => json!({ "from": from, "from_root": from_root }),
        };
        if let (Some(value), Value::Object(what)) = (value.as_object_mut(), what) {
            value.extend(what);
        }
        ui.document("loong.audit.verify-proof/1", &value);
        return Ok(());
    }
    match &proof {
        Proof::Inclusion { index, .. } => {
            let of = if args.record.is_some() { "is this one and " } else { "" };
            ui.line(format!("record {index} {of}is in the log of {} records", checkpoint.size));
        }
        Proof::Consistency { from, from_root, from_checkpoint, .. } => {
            ui.line(format!(
                "the log of {from} records is the beginning of that of {} records",
                checkpoint.size
            ));
            if from_checkpoint.is_none() {
                ui.line(format!("the earlier one is not signed here: its root is {from_root}"));
            }
        }
    }
    ui.line(format!("signed by {key}"));
    Ok(())
}

fn read_json(path: &Path) -> Result<Value, CommandError> {
    serde_json::from_slice(&read_bounded(path, BYTES_MAX)?).map_err(|error| {
        CommandError::new(Code::ProofInvalid, format!("`{}` is no JSON: {error}", path.display()))
    })
}

fn read_proof(path: &Path) -> Result<Proof, CommandError> {
    let wrong = |problem: String| {
        CommandError::new(Code::ProofInvalid, format!("`{}` is no proof: {problem}", path.display()))
    };
    let mut document = read_json(path)?;
    let members = document.as_object_mut().ok_or_else(|| wrong("it is no JSON object".to_owned()))?;
    if members.remove("schema") != Some(SCHEMA.into()) {
        return Err(wrong(format!("its schema is not `{SCHEMA}`")));
    }
    // Whoever made the proof says which key it is; whoever checks it must know better.
    members.remove("key");
    serde_json::from_value(document).map_err(|error| wrong(error.to_string()))
}

/// Whether the record is the one that the proof is of.
fn check_record(proof: &Proof, document: &Value) -> Result<(), CommandError> {
    let Proof::Inclusion { index, record: Some(links), .. } = proof else {
        return Err(CommandError::new(
            Code::ProofInvalid,
            "the proof does not say what its record's hash is made of",
        ));
    };
    let at = |record: &Value| record.get("index").and_then(Value::as_u64) == Some(*index);
    let records = document.get("records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let record = std::iter::once(document)
        .chain(document.get("record"))
        .chain(records)
        .find(|record| at(record))
        .ok_or_else(|| CommandError::new(Code::ProofInvalid, format!("the file holds no record {index}")))?;
    let event = record.get("event").unwrap_or(&Value::Null);
    let hash = chain::hash(*index, links.time_ms, &links.previous, event);
    if hash != links.hash
        || record.get("time_ms").and_then(Value::as_u64).is_some_and(|time| time != links.time_ms)
    {
        return Err(CommandError::new(
            Code::ProofInvalid,
            format!("record {index} is another than the proof is of"),
        ));
    }
    Ok(())
}
