//! `loong plugins package`: a component, its signatures and its texts as one file for whoever keeps a registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loong_manifest::Digest;
use loong_repository::{Package, package};
use loong_trust::file;
use serde_json::json;

use super::doctor::{self, Profile};
use super::{BYTES_MAX, bytes_text, counted, pack};
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::locate;
use crate::places::Places;
use crate::ui::Ui;

/// Put a component, its signatures and its texts into one file
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins package                       the project in this folder, built and signed before
  loong plugins package dist/weather.wasm -o dist/
  loong registry add acme-weather-1.2.0.tar --repository ./components     what its receiver does

The package is a plain tar archive. What `loong plugins doctor` says for a release has to hold first.")]
pub struct PackageArgs {
    /// A project's folder, or a component
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    what: PathBuf,
    /// Where to write the package: a file, or a folder [default: beside the component]
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &PackageArgs) -> Result<(), CommandError> {
    let profile = Profile::Release;
    let (component, all) = doctor::diagnose(ui, places, &args.what, profile, &GrantArgs::default())?;
    if let Some(error) = doctor::blocked(&all, profile) {
        let see = format!("`loong plugins doctor {}` shows all of it", args.what.display());
        return Err(error.detail(see));
    }
    let texts_of = if args.what.is_dir() { args.what.as_path() } else { folder(&component) };
    let bytes = locate::read_bounded(&component, BYTES_MAX)?;
    let package = Package::new(bytes, locate::bundles(&component)?, texts(texts_of)?)?;
    let archive = package.to_bytes()?;
    let path = match &args.output {
        Some(output) => pack::destination(output, &package.file_name())?,
        None => component.with_file_name(package.file_name()),
    };
    file::write_atomically(&path, &archive, 0o644)?;
    let digest = Digest::of(&archive);
    if ui.json() {
        let value = json!({
            "path": path, "id": package.id, "version": package.version, "digest": digest, "bytes": archive.len(),
            "signatures": package.bundles.len(), "texts": package.texts.keys().collect::<Vec<_>>(),
        });
        ui.document("loong.plugins.package/1", &value);
        return Ok(());
    }
    ui.line(format!(
        "packaged `{}` {}: {} ({}, {})",
        package.id,
        package.version,
        path.display(),
        bytes_text(archive.len() as u64),
        counted(package.bundles.len(), "signature", "signatures")
    ));
    ui.line(format!("  digest  {digest}"));
    ui.note(format!("next: `loong registry add {}` where the registry is kept", path.display()));
    Ok(())
}

/// The texts for people in a project's folder.
fn texts(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, CommandError> {
    let mut texts = BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if package::is_text(&name) && entry.path().is_file() {
            texts.insert(name, locate::read_bounded(&entry.path(), package::TEXT_BYTES_MAX as u64)?);
        }
    }
    Ok(texts)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
