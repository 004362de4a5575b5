//! `loong plugins build`: from a cargo project to one file that carries its manifest, texts and schemas.

use std::path::{Path, PathBuf};

use loong_inspect::{Extern, Offer, without_descriptions};
use loong_manifest::{Authority, Code, Manifest, authority_of_import};
use loong_trust::{Candidate, TrustRoot, Verified, file};
use serde_json::json;

use super::project::Project;
use super::{BYTES_MAX, bytes_text, check_list, counted, sign};
use crate::error::CommandError;
use crate::locate;
use crate::ui::Ui;

/// Build a project into one component file that carries its manifest
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins build                        build the project in this folder
  loong plugins build tools/word-count       writes tools/word-count/target/loong/word-count.wasm
  loong plugins build -o dist/               writes dist/NAME.wasm

It is cargo that builds, for wasm32-unknown-unknown unless Cargo.toml says otherwise:
  [package.metadata.loong]
  target = \"wasm32-wasip2\"           # for what needs the standard library's files or clocks
  wit = [\"../../wit/host\", \"wit\"]    # if not all is below wit/; the own folder last
  world = \"plugin\"                   # if there is more than one")]
pub struct BuildArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where to write the component: a file, or a folder [default: DIR/target/loong/NAME.wasm]
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,
}

pub(super) fn run(ui: &mut Ui, args: &BuildArgs) -> Result<(), CommandError> {
    let manifest = read_manifest(&args.dir)?;
    let project = Project::open(&args.dir)?;
    let built = project.build(ui.quiet())?;
    let component = componentize(locate::read_bounded(&built, BYTES_MAX)?)?;
    let manifest = completed(manifest, &project.offer()?, &component)?;
    let packed = loong_inspect::with_manifest(&component, manifest.to_json().as_bytes())?;
    let verified = check(packed, project.name())?;
    let path = destination(args, project.name())?;
    let unsigned = write(&path, verified.bytes())?;
    report(ui, &path, &verified, unsigned);
    Ok(())
}

fn read_manifest(dir: &Path) -> Result<Manifest, CommandError> {
    let path = dir.join("loong.plugin.json");
    let bytes = locate::read_bounded(&path, loong_manifest::strict::DOCUMENT_BYTES_MAX as u64)
        .map_err(|error| error.hint("give the folder of a project; `loong plugins init NAME` starts one"))?;
    Manifest::read(&bytes)
        .map_err(|error| CommandError::from(error).detail(format!("in `{}`", path.display())))
}

/// A component as it is; a core module as the component that its bindings describe.
fn componentize(bytes: Vec<u8>) -> Result<Vec<u8>, CommandError> {
    if bytes.get(4..8) != Some(&[1, 0, 0, 0]) {
        return Ok(bytes);
    }
    let encoded = wit_component::ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| {
        let problem = format!("{error:#}");
        let hint = if problem.contains("wasi_snapshot_preview1") {
            "it uses WASI: set `target = \"wasm32-wasip2\"` in `[package.metadata.loong]` of its Cargo.toml"
        } else {
            "its bindings have to be made by `wit_bindgen::generate!` and exported with `export!`"
        };
        CommandError::new(Code::ComponentInvalid, "cargo made a core module that is no component")
            .detail(problem)
            .hint(hint)
    })
}

/// The manifest with the texts and schemas of every operation.
fn completed(mut manifest: Manifest, offer: &Offer, component: &[u8]) -> Result<Manifest, CommandError> {
    let contents = loong_inspect::inspect(component)?;
    let missing: Vec<_> =
        contents.operations.iter().filter(|found| manifest.operation(&found.name).is_none()).collect();
    if !missing.is_empty() {
        let count = counted(missing.len(), "operation", "operations");
        let error = CommandError::new(
            Code::ManifestUnderdeclared,
            format!("`loong.plugin.json` lacks {count} that the component exports"),
        )
        .hint(
            "add each of these lines to `operations`, with the risk that it has: read, write or irreversible",
        );
        return Err(missing
            .iter()
            .fold(error, |error, found| error.detail(line_to_add(&found.name.to_string()))));
    }
    for entry in &mut manifest.operations {
        let Some(found) = contents.operations.iter().find(|found| found.name == entry.name) else { continue };
        let source = offer.operations.iter().find(|offered| {
            offered.name == entry.name
                && without_descriptions(&offered.input) == without_descriptions(&found.input)
                && without_descriptions(&offered.output) == without_descriptions(&found.output)
        });
        let source = source.ok_or_else(|| {
            CommandError::new(Code::ManifestMismatch, format!("the WIT of the project describes `{}` otherwise than the component", entry.name))
                .hint("the component is built from other WIT than `wit` and `world` in `[package.metadata.loong]` name")
        })?;
        if source.doc.is_some() {
            entry.doc.clone_from(&source.doc);
        }
        entry.input = Some(source.input.clone());
        entry.output = Some(source.output.clone());
    }
    Ok(manifest)
}

/// What an author writes into `operations`.
pub(super) fn line_to_add(operation: &str) -> String {
    format!("{{ \"name\": \"{operation}\", \"risk\": \"read\" }}")
}

/// Everything that can be checked before anybody signs.
fn check(packed: Vec<u8>, name: &str) -> Result<Verified, CommandError> {
    let candidate = Candidate::read(packed, None, name)?;
    loong_trust::verify(candidate, &TrustRoot::empty(), 0).map_err(|error| {
        let remedy = check_list::remedy(&error);
        let error = CommandError::from(error);
        match remedy {
            Some(remedy) => error.hint(remedy),
            None => error,
        }
    })
}

fn destination(args: &BuildArgs, name: &str) -> Result<PathBuf, CommandError> {
    let file_name = format!("{name}.wasm");
    let path = match &args.output {
        None => args.dir.join("target/loong").join(file_name),
        Some(out) if out.is_dir() || out.to_string_lossy().ends_with('/') => out.join(file_name),
        Some(out) => out.clone(),
    };
    let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| CommandError::file(Code::FileUnwritable, "make the folder", folder, &error))?;
    }
    Ok(path)
}

/// Writes the component. A signature of what was there before goes first: beside the new file it would make
/// one that nobody can load. Says whether there was one.
fn write(path: &Path, bytes: &[u8]) -> Result<bool, CommandError> {
    let bundle = sign::bundle_path(path);
    let stale = bundle.exists() && std::fs::read(path).ok().as_deref() != Some(bytes);
    if stale {
        std::fs::remove_file(&bundle).map_err(|error| {
            CommandError::file(Code::FileUnwritable, "remove the old signature", &bundle, &error)
        })?;
    }
    file::write_atomically(path, bytes, 0o644)?;
    Ok(stale)
}

/// The imports that ask for something, by name, and how many others there are.
fn imports_text(imports: &[Extern]) -> String {
    let asks = |import: &&Extern| {
        import.interface.as_ref().is_none_or(|interface| authority_of_import(interface) != Authority::None)
    };
    let mut parts: Vec<String> = imports.iter().filter(asks).map(|import| import.name.clone()).collect();
    match imports.len() - parts.len() {
        0 => {}
        others => parts.push(format!("{others} that reach nothing outside")),
    }
    parts.join(", ")
}

fn report(ui: &mut Ui, path: &Path, verified: &Verified, unsigned: bool) {
    let operations: Vec<_> =
        verified.operations().iter().map(|operation| operation.name.to_string()).collect();
    let imports = &verified.contents().imports;
    if ui.json() {
        let imports: Vec<_> = imports.iter().map(|import| import.name.as_str()).collect();
        let value = json!({
            "id": verified.id(), "version": verified.version(), "path": path, "bytes": verified.bytes().len(),
            "digest": verified.digest(), "operations": operations, "imports": imports, "signature_removed": unsigned,
        });
        ui.document("loong.plugins.build/1", &value);
        return;
    }
    let size = bytes_text(verified.bytes().len() as u64);
    ui.line(format!("built `{}` {}: {} ({size})", verified.id(), verified.version(), path.display()));
    let rows: Vec<Vec<String>> = [
        ("operations", operations.join(", ")),
        ("imports", imports_text(imports)),
        ("digest", verified.digest().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| vec![name.to_owned(), if value.is_empty() { "none".to_owned() } else { value }])
    .collect();
    ui.table(2, &rows);
    if unsigned {
        ui.note("note: the signature of the earlier build was removed; sign the new one with `loong plugins sign`");
    }
}
