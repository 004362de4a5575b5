//! `loong plugins sign`: a signature file beside each component.

use std::path::{Path, PathBuf};

use loong_manifest::Tier;
use loong_trust::{Candidate, SigningKey, Standing, TrustRoot, file};
use serde_json::json;

use super::{BYTES_MAX, stem};
use crate::commands::registry;
use crate::error::CommandError;
use crate::places::Places;
use crate::ui::Ui;
use crate::{host, locate};

/// Sign components with a key of yours
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins sign target/loong/word-count.wasm
  loong plugins sign dist/*.wasm --key release

The signature is over the exact bytes, in a Sigstore bundle beside it: NAME.wasm.sigstore.json.
All files are checked before the first signature is written.")]
pub struct SignArgs {
    /// Component files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which of your keys to sign with
    #[arg(long, value_name = "NAME", default_value = "local")]
    key: String,
}

/// A signature that is not yet written.
struct Signed {
    file: PathBuf,
    bundle: Vec<u8>,
    id: String,
    digest: String,
    tier: Tier,
    known: bool,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &SignArgs) -> Result<(), CommandError> {
    let key = registry::read_key(places, &args.key)?;
    let root = host::trust_root(places)?;
    let signed: Vec<Signed> =
        args.files.iter().map(|path| signature(path, &key, &root)).collect::<Result<_, CommandError>>()?;
    for one in &signed {
        file::write_atomically(&bundle_path(&one.file), &one.bundle, 0o644)?;
    }
    if ui.json() {
        let all: Vec<_> = signed
            .iter()
            .map(|one| json!({ "path": one.file, "bundle": bundle_path(&one.file), "id": one.id, "digest": one.digest, "tier": one.tier }))
            .collect();
        ui.document("loong.plugins.sign/1", &json!({ "key_id": key.key_id(), "signed": all }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = signed
        .iter()
        .map(|one| {
            vec![
                format!("signed `{}`", one.id),
                one.tier.to_string(),
                bundle_path(&one.file).display().to_string(),
            ]
        })
        .collect();
    ui.table(0, &rows);
    if signed.iter().any(|one| !one.known) {
        ui.note(format!(
            "note: your trust root does not name the key `{}`, so here its components stay unverified; see `loong registry keys list`",
            args.key
        ));
    }
    Ok(())
}

/// Signs one component, and holds the signature against the trust root as loading would.
fn signature(path: &Path, key: &SigningKey, root: &TrustRoot) -> Result<Signed, CommandError> {
    let in_file = |error: CommandError| error.detail(format!("in `{}`", path.display()));
    let bytes = locate::read_bounded(path, BYTES_MAX)?;
    let stem = stem(path);
    let read = |bundle: Option<Vec<u8>>| {
        Candidate::read(bytes.clone(), bundle, &stem).map_err(|error| in_file(error.into()))
    };
    let candidate = read(None)?;
    let bundle = loong_trust::sign(key, &candidate).map_err(|error| in_file(error.into()))?;
    let verified = loong_trust::verify(read(Some(bundle.clone()))?, root, host::now_ms() / 1000)
        .map_err(|error| in_file(error.into()))?;
    Ok(Signed {
        file: path.to_owned(),
        bundle,
        id: verified.id().to_string(),
        digest: verified.digest().to_string(),
        tier: verified.tier(),
        known: matches!(verified.standing(), Standing::Signed { .. }),
    })
}

/// The signature file of a component.
pub(super) fn bundle_path(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sigstore.json");
    path.into()
}
