//! An index: what has to come of building the sources beside it. `loong registry index` writes one, and
//! `loong registry verify` holds the sources against it.

use std::path::{Path, PathBuf};

use loong_manifest::{Code, Manifest, Tier};
use loong_repository::check::{Finding, Level};
use loong_repository::{Built, Index, IndexEntry};
use loong_trust::file;
use serde_json::json;

use super::rebuild::{CleanCopy, Rebuilt, compare, plain};
use super::verify::{Line, Report};
use crate::commands::plugins::counted;
use crate::error::CommandError;
use crate::locate;
use crate::places::Places;
use crate::ui::Ui;

/// The name of an index in its folder.
const FILE_NAME: &str = "index.json";
/// Largest index.
const INDEX_BYTES_MAX: u64 = 8 << 20;
/// Largest manifest in a project.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Build projects from what git tracks, and write down what comes of it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong registry index components/* --output registry/index
  loong registry verify registry/index --rebuild .          does the same come of it here?

An index holds no signatures: whoever has the sources can find out by themselves whether it is true.")]
pub struct IndexArgs {
    /// The folders of the projects, below the root of the checkout; those without a manifest are passed over
    #[arg(required = true, value_name = "PROJECT")]
    projects: Vec<String>,
    /// The root of the checkout
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    checkout: PathBuf,
    /// The folder that gets `index.json`
    #[arg(long, short, value_name = "FOLDER")]
    output: PathBuf,
}

pub(super) fn write(ui: &mut Ui, places: &Places, args: &IndexArgs) -> Result<(), CommandError> {
    let copy = CleanCopy::of(&args.checkout, places)?;
    let progress = ui.spinner();
    let mut entries = Vec::new();
    for project in &args.projects {
        let project = project.trim_end_matches('/');
        if !args.checkout.join(plain(project)?).join("loong.plugin.json").is_file() {
            continue;
        }
        progress.set_message(format!("building {project}"));
        let built = Built { source: project.to_owned(), toolchain: copy.toolchain().to_owned() };
        entries.push(IndexEntry::of(copy.build(project)?, built)?);
    }
    progress.finish_and_clear();
    if entries.is_empty() {
        return Err(CommandError::new(Code::FileUnreadable, "none of the folders holds a loong.plugin.json")
            .hint("name the folders of projects, below the root of the checkout"));
    }
    let index = Index::new(entries);
    let path = args.output.join(FILE_NAME);
    file::write_atomically(&path, index.to_json().as_bytes(), 0o644)?;
    if ui.json() {
        ui.document("loong.registry.index/1", &json!({ "path": path, "entries": index.entries.len() }));
    } else {
        ui.line(format!("{} in {}", counted(index.entries.len(), "entry", "entries"), path.display()));
    }
    Ok(())
}

/// The index at a location, if there is one.
pub(super) fn at(location: &str) -> Option<PathBuf> {
    let path = Path::new(location).join(FILE_NAME);
    (!location.contains("://") && path.is_file()).then_some(path)
}

/// Holds sources against an index: their manifests, and with a checkout to build from the bytes.
pub(super) fn verify(
    ui: &Ui,
    places: &Places,
    path: &Path,
    checkout: Option<&Path>,
) -> Result<Report, CommandError> {
    let index = Index::read(&locate::read_bounded(path, INDEX_BYTES_MAX)?)?;
    let copy = checkout.map(|checkout| CleanCopy::of(checkout, places)).transpose()?;
    let progress = ui.spinner();
    let mut report = Report::of_index(path.display().to_string());
    for entry in &index.entries {
        let subject = format!("{} {}", entry.id, entry.version);
        progress.set_message(format!("building {subject}"));
        let mut found = Vec::new();
        if let (Some(copy), Some(checkout)) = (&copy, checkout) {
            found.extend(manifest_differs(entry, checkout, &subject)?);
            let rebuilt = compare(copy, &entry.built.source, &entry.built.toolchain, entry.digest);
            found.extend(finding(rebuilt, &subject, &entry.built.toolchain));
        }
        let errors = found.iter().filter(|finding| finding.level == Level::Error).count();
        report.entries.push(Line {
            id: entry.id.clone(),
            version: entry.version.clone(),
            tier: Tier::Unverified,
            digest: entry.digest,
            size_bytes: entry.size_bytes,
            yanked: false,
            errors,
            warnings: found.len() - errors,
        });
        report.findings.append(&mut found);
    }
    progress.finish_and_clear();
    report.ok = report.findings.iter().all(|finding| finding.level != Level::Error);
    Ok(report)
}

/// What building an entry again says of it.
pub(super) fn finding(rebuilt: Rebuilt, subject: &str, toolchain: &str) -> Option<Finding> {
    let (level, code, message) = match rebuilt {
        Rebuilt::Same => return None,
        Rebuilt::Differs(digest) => {
            (Level::Error, Code::RepositoryMismatch, format!("built again it is {}", digest.short()))
        }
        Rebuilt::OtherCompiler => {
            let message = format!("it was built with `{toolchain}`, which is not here: not compared");
            (Level::Warning, Code::ToolFailed, message)
        }
        Rebuilt::Failed(error) => {
            let details = error.details.join("; ");
            (Level::Error, error.code, format!("{}: {details}", error.headline))
        }
    };
    Some(Finding { rule: "rebuild", level, code: Some(code), subject: subject.to_owned(), message })
}

/// The manifest of a project that the index says something else of.
fn manifest_differs(
    entry: &IndexEntry,
    checkout: &Path,
    subject: &str,
) -> Result<Option<Finding>, CommandError> {
    let path = checkout.join(plain(&entry.built.source)?).join("loong.plugin.json");
    let manifest = Manifest::read(&locate::read_bounded(&path, MANIFEST_BYTES_MAX)?)?;
    let differs = (&manifest.id, &manifest.version) != (&entry.id, &entry.version);
    Ok(differs.then(|| Finding {
        rule: "manifest",
        level: Level::Error,
        code: Some(Code::ManifestMismatch),
        subject: subject.to_owned(),
        message: format!("its sources are `{}` {}", manifest.id, manifest.version),
    }))
}
