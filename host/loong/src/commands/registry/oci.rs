//! `loong registry push` and `pull`: repositories of components in OCI registries.

use std::path::{Path, PathBuf};

use loong_manifest::{Code, Digest};
use loong_repository::{Folder, Oci, Pushed};
use loong_trust::file;
use serde_json::json;

use super::keep::now;
use crate::commands::plugins::counted;
use crate::error::CommandError;
use crate::host;
use crate::locate;
use crate::places::Places;
use crate::registries;
use crate::ui::Ui;

/// Serve a published repository from an OCI registry
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry push ./components oci://ghcr.io/acme/components
  loong registry connect acme oci://ghcr.io/acme/components --root root.json     for those who install

Each component is NAME/PUBLISHER/PLUGIN:VERSION, an artifact that wkg and oras can pull too, with its signatures as
referrers. Pushing again sends what is new; a push that stops half way leaves what was served before. The login is
that of `docker login` or `oras login` ($DOCKER_CONFIG/config.json).")]
pub struct PushArgs {
    /// The folder of the repository
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The repository in the registry
    #[arg(value_name = "oci://HOST/NAME")]
    to: String,
}

/// Bring one component and its signatures from an OCI registry to a file
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry pull oci://ghcr.io/acme/components/acme/weather:1.2.0
  loong registry pull oci://ghcr.io/acme/weather@sha256:… weather.wasm && loong plugins check weather.wasm

Nothing vouches for a tag: what was pulled is verified when it is loaded, as any file is. `loong plugins install`
from a connected registry is the way that is verified from end to end.")]
pub struct PullArgs {
    /// The component
    #[arg(value_name = "oci://HOST/NAME:TAG")]
    from: String,
    /// Where to [default: NAME.wasm]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn push(ui: &mut Ui, places: &Places, args: &PushArgs) -> Result<(), CommandError> {
    let pushed = push_to(ui, places, &args.folder, &args.to)?;
    if ui.json() {
        ui.document("loong.registry.push/1", &json!({ "to": args.to, "pushed": pushed }));
    } else {
        ui.line(format!(
            "{} in {}: {} sent, {} there already; timestamp version {}",
            counted(pushed.entries, "entry", "entries"),
            args.to,
            counted(pushed.blobs, "blob", "blobs"),
            pushed.there,
            pushed.version
        ));
    }
    Ok(())
}

/// Pushes a repository, with a sign of life.
pub fn push_to(ui: &Ui, places: &Places, path: &Path, to: &str) -> Result<Pushed, CommandError> {
    let folder = Folder::open(path)?;
    let oci = open(to, places)?;
    let spinner = ui.spinner();
    spinner.set_message(format!("pushing to {to}"));
    let pushed = host::wait(oci.push(&folder, path, now()))?;
    spinner.finish_and_clear();
    Ok(pushed?)
}

pub(super) fn pull(ui: &mut Ui, places: &Places, args: &PullArgs) -> Result<(), CommandError> {
    let (repository, reference) = parts(&args.from)?;
    let name = repository.rsplit('/').next().unwrap_or_default();
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.wasm")));
    let pulled = host::wait(open(repository, places)?.pull(reference))??;
    // The signatures first: a component that came without them would be one that nobody signed.
    let places = locate::bundle_paths(&path);
    for (place, bundle) in places.iter().zip(&pulled.bundles) {
        file::write_atomically(place, bundle, 0o644)?;
    }
    for stale in places.iter().skip(pulled.bundles.len()).filter(|place| place.exists()) {
        std::fs::remove_file(stale)
            .map_err(|error| CommandError::file(Code::FileUnwritable, "remove", stale, &error))?;
    }
    file::write_atomically(&path, &pulled.component, 0o644)?;
    let digest = Digest::of(&pulled.component);
    if ui.json() {
        let value = json!({
            "path": path, "digest": digest, "manifest": pulled.manifest, "signatures": pulled.bundles.len(),
        });
        ui.document("loong.registry.pull/1", &value);
    } else {
        ui.line(format!(
            "{} {digest}, {}",
            path.display(),
            counted(pulled.bundles.len(), "signature", "signatures")
        ));
        ui.note(format!("next: `loong plugins check {}`", path.display()));
    }
    Ok(())
}

fn open(location: &str, places: &Places) -> Result<Oci, CommandError> {
    let access = registries::access(location, places)?;
    Ok(Oci::new(location, access.certificates, access.login)?)
}

/// A repository, and the tag or digest behind it.
fn parts(from: &str) -> Result<(&str, &str), CommandError> {
    let wrong = || {
        CommandError::new(Code::CommandLineInvalid, format!("`{from}` names no component in a registry"))
            .hint("write oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:DIGEST")
    };
    if let Some((repository, digest)) = from.split_once('@') {
        return digest.parse::<Digest>().map(|_| (repository, digest)).map_err(|_| wrong());
    }
    let (repository, tag) = from.rsplit_once(':').ok_or_else(wrong)?;
    // The port of a host is no tag.
    if tag.contains('/') || tag.is_empty() { Err(wrong()) } else { Ok((repository, tag)) }
}
