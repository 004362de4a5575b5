//! `loong plugins sign`: a signature file beside each component.

use std::path::{Path, PathBuf};

use loong_manifest::{Code, Tier};
use loong_trust::{BUNDLE_BYTES_MAX, Candidate, SigningKey, Standing, TrustError, TrustRoot, Verified, file};
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
  loong plugins sign dist/weather.wasm --key bob --add     one signer more

The signature is over the exact bytes, in a Sigstore bundle beside it: NAME.wasm.sigstore.json, and with --add
NAME.wasm.sigstore.2.json and so on.
All files are checked before the first signature is written.")]
pub struct SignArgs {
    /// Component files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which of your keys to sign with
    #[arg(long, value_name = "NAME", default_value = "local")]
    key: String,
    /// Sign beside those who signed already, instead of in their place
    #[arg(long)]
    add: bool,
}

/// A signature that is not yet written.
struct Signed {
    file: PathBuf,
    path: PathBuf,
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
        args.files.iter().map(|path| signature(path, &key, &root, args.add)).collect::<Result<_, _>>()?;
    for one in &signed {
        file::write_atomically(&one.path, &one.bundle, 0o644)?;
    }
    if ui.json() {
        let all: Vec<_> = signed
            .iter()
            .map(|one| json!({ "path": one.file, "bundle": one.path, "id": one.id, "digest": one.digest, "tier": one.tier }))
            .collect();
        ui.document("loong.plugins.sign/1", &json!({ "key_id": key.key_id(), "signed": all }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = signed
        .iter()
        .map(|one| vec![format!("signed `{}`", one.id), one.tier.to_string(), one.path.display().to_string()])
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

/// Signs one component in the place of those who signed before, and writes that down.
pub(super) fn write(component: &Path, key: &SigningKey, root: &TrustRoot) -> Result<(), CommandError> {
    let signed = signature(component, key, root, false)?;
    Ok(file::write_atomically(&signed.path, &signed.bundle, 0o644)?)
}

/// Signs one component, and holds the signature against the trust root as loading would.
fn signature(path: &Path, key: &SigningKey, root: &TrustRoot, add: bool) -> Result<Signed, CommandError> {
    let in_file = |error: CommandError| error.detail(format!("in `{}`", path.display()));
    let bytes = locate::read_bounded(path, BYTES_MAX)?;
    let stem = stem(path);
    let read = |bundles: Vec<Vec<u8>>| {
        Candidate::read(bytes.clone(), bundles, &stem).map_err(|error| in_file(error.into()))
    };
    let candidate = read(Vec::new())?;
    let bundle = loong_trust::sign(key, &candidate).map_err(|error| in_file(error.into()))?;
    let (place, others) = place(path, &bundle, add)?;
    let all = others.into_iter().chain([bundle.clone()]).collect();
    let now = host::now_ms() / 1000;
    let verified = match loong_trust::verify(read(all)?, root, now) {
        // The others have yet to sign; alone it has to hold.
        Err(TrustError::Threshold { .. }) => None,
        other => Some(other.map_err(|error| in_file(error.into()))?),
    };
    let tier = verified.as_ref().map_or(Tier::Unverified, Verified::tier);
    let known = verified.is_none_or(|verified| matches!(verified.standing(), Standing::Signed { .. }));
    Ok(Signed {
        file: path.to_owned(),
        path: place,
        bundle,
        id: candidate.id().to_string(),
        digest: candidate.digest().to_string(),
        tier,
        known,
    })
}

/// Where a signature goes, and what lies in the other places: into the first place, or the first free one. The same
/// signature takes its own place again.
fn place(component: &Path, bundle: &[u8], add: bool) -> Result<(PathBuf, Vec<Vec<u8>>), CommandError> {
    let (mut place, mut others) = ((!add).then(|| bundle_path(component)), Vec::new());
    let mut free = None;
    for path in locate::bundle_paths(component) {
        if place.as_ref().is_some_and(|place| *place == path) {
            continue;
        }
        if !path.exists() {
            free = free.or(Some(path));
            continue;
        }
        let there = locate::read_bounded(&path, BUNDLE_BYTES_MAX as u64)?;
        if add && there == bundle {
            place = Some(path);
        } else {
            others.push(there);
        }
    }
    let place = place.or(free).ok_or_else(|| {
        CommandError::new(Code::FileUnwritable, format!("`{}` has too many signatures", component.display()))
    })?;
    Ok((place, others))
}

/// The signature file of a component.
pub(super) fn bundle_path(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sigstore.json");
    path.into()
}
