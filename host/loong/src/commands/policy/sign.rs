//! `loong policy sign`: a signature file beside a risk profile.

use std::path::PathBuf;

use loong_manifest::Digest;
use loong_policy::RiskProfile;
use loong_trust::{Document, file, sign_document, verify_document};
use serde_json::json;

use crate::commands::registry;
use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;
use crate::{host, risk};

/// Sign a risk profile with a key of yours
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong policy sign house.json
  loong policy sign house.json --key owner

The signature is over the exact bytes, in a Sigstore bundle beside it: FILE.sigstore.json. The key
must be official for some publisher in the trust root. The settings pin the file by its SHA-256:

  [risk]
  profile = \"house.json\"
  sha256 = \"...\"")]
pub struct SignArgs {
    /// The risk profile
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Which of your keys to sign with
    #[arg(long, value_name = "NAME", default_value = "local")]
    key: String,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &SignArgs) -> Result<(), CommandError> {
    let bytes = risk::read(&args.file)?;
    RiskProfile::read(&bytes)
        .map_err(|error| CommandError::from(error).hint("mend it before you sign it"))?;
    let key = registry::read_key(places, &args.key)?;
    let root = host::trust_root(places)?;
    let bundle = sign_document(&key, Document::RiskProfile, &bytes)?;
    let accepted =
        verify_document(Document::RiskProfile, &bytes, Some(&bundle), &root, host::now_ms() / 1000);
    let path = risk::signature_path(&args.file);
    file::write_atomically(&path, &bundle, 0o644)?;
    let digest = Digest::of(&bytes);
    if ui.json() {
        let value = json!({
            "path": args.file, "bundle": path, "key_id": key.key_id(), "digest": digest,
            "accepted": accepted.is_ok(), "problem": accepted.as_ref().err().map(ToString::to_string),
        });
        ui.document("loong.policy.sign/1", &value);
        return Ok(());
    }
    ui.line(format!("signed `{}` with key {}", args.file.display(), key.key_id().short()));
    ui.table(
        2,
        &[
            vec!["signature".to_owned(), path.display().to_string()],
            vec!["sha256".to_owned(), digest.to_hex()],
        ],
    );
    match accepted {
        Ok(_) => ui.note("note: it raises risks once the settings name it in `[risk]`, with this sha256"),
        Err(error) => ui.warning(format!("your own trust root does not accept it: {error}")),
    }
    Ok(())
}
