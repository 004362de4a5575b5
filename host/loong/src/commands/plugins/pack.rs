//! `loong plugins pack`: from a component that any tool made to one file that carries its manifest, texts and
//! schemas. `loong plugins build` ends in it too.

use std::path::{Path, PathBuf};

use loong_inspect::{Extern, Offer, without_descriptions};
use loong_manifest::{Authority, Code, Compatibility, Manifest, OperationName, authority_of_import};
use loong_trust::{Candidate, TrustRoot, Verified, file};
use serde_json::json;

use super::{BYTES_MAX, bytes_text, check_list, compat, counted, project, stem};
use crate::error::CommandError;
use crate::locate;
use crate::ui::Ui;

/// Put the manifest into a component that any tool made
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins pack app.wasm --wit wit -o dist/greet.wasm
  loong plugins pack build/greet.wasm --manifest greet/loong.plugin.json -o dist/

FILE is what a tool such as componentize-py or clang made. What it exports and the manifest does not name is
an error. The texts of its functions are in its WIT, not in it: `--wit` puts them into the manifest.")]
pub struct PackArgs {
    /// The component, or a core module that holds its component type
    file: PathBuf,
    /// Its manifest
    #[arg(long, value_name = "FILE", default_value = "loong.plugin.json")]
    manifest: PathBuf,
    /// A folder of its WIT (may be repeated, its own last)
    #[arg(long, value_name = "DIR")]
    wit: Vec<PathBuf>,
    /// Its world, if its WIT has more than one
    #[arg(long, value_name = "NAME", requires = "wit")]
    world: Option<String>,
    /// Where to write the component: a file, or a folder
    #[arg(long, short, value_name = "OUT")]
    output: PathBuf,
}

pub(super) fn run(ui: &mut Ui, args: &PackArgs) -> Result<(), CommandError> {
    let manifest = read_manifest(&args.manifest)?;
    let component = componentize(locate::read_bounded(&args.file, BYTES_MAX)?)?;
    let offer = match args.wit.as_slice() {
        [] => Offer { operations: Vec::new(), skipped: Vec::new() },
        folders => project::offer(folders, args.world.as_deref()).map_err(|error| {
            error.hint("`--wit` lists the folders, the component's own last, and `--world` names its world")
        })?,
    };
    let manifest = completed(manifest, &offer, &component)?;
    let name = stem(&args.file);
    let document = "loong.plugins.pack/1";
    finish(ui, &Packing { verb: "packed", document, manifest, component, name: &name, output: &args.output })
}

/// The manifest in a file.
pub(super) fn read_manifest(path: &Path) -> Result<Manifest, CommandError> {
    let bytes = locate::read_bounded(path, loong_manifest::strict::DOCUMENT_BYTES_MAX as u64)?;
    Manifest::read(&bytes)
        .map_err(|error| CommandError::from(error).detail(format!("in `{}`", path.display())))
}

/// A component and the manifest that it is to carry.
pub(super) struct Packing<'a> {
    /// What was done, in the report for people.
    pub(super) verb: &'static str,
    /// The kind of the report for machines.
    pub(super) document: &'static str,
    pub(super) manifest: Manifest,
    pub(super) component: Vec<u8>,
    pub(super) name: &'a str,
    /// A file, or a folder that gets `NAME.wasm`.
    pub(super) output: &'a Path,
}

/// The component with the manifest in it, checked as loading checks it.
pub(super) fn packed(manifest: &Manifest, component: &[u8]) -> Result<Vec<u8>, CommandError> {
    let name = manifest.id.name().to_owned();
    let packed = loong_inspect::with_manifest(component, manifest.to_json().as_bytes())?;
    Ok(check(packed, &name)?.bytes().to_vec())
}

/// Writes the component with the manifest in it, and says where.
pub(super) fn write_packed(
    manifest: &Manifest,
    component: &[u8],
    name: &str,
    output: &Path,
) -> Result<PathBuf, CommandError> {
    let bytes = packed(manifest, component)?;
    let path = destination(output, &format!("{name}.wasm"))?;
    write(&path, &bytes)?;
    Ok(path)
}

/// Puts the manifest into the component, checks all that loading checks, writes it and says what it is.
pub(super) fn finish(ui: &mut Ui, packing: &Packing<'_>) -> Result<(), CommandError> {
    let packed = loong_inspect::with_manifest(&packing.component, packing.manifest.to_json().as_bytes())?;
    let verified = check(packed, packing.name)?;
    let path = destination(packing.output, &format!("{}.wasm", packing.name))?;
    let unsigned = write(&path, verified.bytes())?;
    report(ui, packing, &path, &verified, unsigned);
    Ok(())
}

/// A component as it is; a core module as the component that its bindings describe.
pub(super) fn componentize(bytes: Vec<u8>) -> Result<Vec<u8>, CommandError> {
    if bytes.get(4..8) != Some(&[1, 0, 0, 0]) {
        return Ok(bytes);
    }
    let encoded = wit_component::ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| {
        let problem = format!("{error:#}");
        let hint = if problem.contains("wasi_snapshot_preview1") {
            "it uses WASI: set `target = \"wasm32-wasip2\"` in `[package.metadata.loong]` of its Cargo.toml; from C, make it a component with an adapter first"
        } else {
            "its bindings have to be made by wit-bindgen: in Rust `wit_bindgen::generate!` and `export!`; in C its object file is linked too"
        };
        CommandError::new(Code::ComponentInvalid, "this is a core module that makes no component")
            .detail(problem)
            .hint(hint)
    })
}

/// The manifest with the texts and schemas of every operation, and the contracts that this Loong offers to it. What the WIT does not offer, such as what a tool
/// adds by itself, has no text.
pub(super) fn completed(
    mut manifest: Manifest,
    offer: &Offer,
    component: &[u8],
) -> Result<Manifest, CommandError> {
    let contents = loong_inspect::inspect(component)?;
    let missing: Vec<_> =
        contents.operations.iter().filter(|found| manifest.operation(&found.name).is_none()).collect();
    if !missing.is_empty() {
        let count = counted(missing.len(), "operation", "operations");
        let error = CommandError::new(
            Code::ManifestUnderdeclared,
            format!("the manifest lacks {count} that the component exports"),
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
        let source = offer.operations.iter().find(|offered| offered.name == entry.name).unwrap_or(found);
        if without_descriptions(&source.input) != without_descriptions(&found.input)
            || without_descriptions(&source.output) != without_descriptions(&found.output)
        {
            return Err(otherwise(&entry.name));
        }
        if source.doc.is_some() {
            entry.doc.clone_from(&source.doc);
        }
        entry.input = Some(source.input.clone());
        entry.output = Some(source.output.clone());
    }
    let mut said = manifest.compatibility.take().unwrap_or_default();
    if said.wit.is_empty() {
        said.wit = compat::offered_to(&contents);
    }
    manifest.compatibility = (said != Compatibility::default()).then_some(said);
    Ok(manifest)
}

/// The error for WIT that is not that of the component.
pub(super) fn otherwise(operation: &OperationName) -> CommandError {
    CommandError::new(
        Code::ManifestMismatch,
        format!("the WIT describes `{operation}` otherwise than the component"),
    )
    .hint("the component is built from other WIT than `wit` and `world` in `[package.metadata.loong]`, or `--wit` and `--world`, name")
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

/// The file to write: the one that was named, or one of this name in the folder that was named, which is made.
pub(super) fn destination(output: &Path, name: &str) -> Result<PathBuf, CommandError> {
    let is_folder = output.is_dir() || output.to_string_lossy().ends_with('/');
    let path = if is_folder { output.join(name) } else { output.to_owned() };
    let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| CommandError::file(Code::FileUnwritable, "make the folder", folder, &error))?;
    }
    Ok(path)
}

/// Writes the component. Signatures of what was there before go first: beside the new file they would make
/// one that nobody can load. Says whether there was one.
fn write(path: &Path, bytes: &[u8]) -> Result<bool, CommandError> {
    let others = std::fs::read(path).ok().as_deref() != Some(bytes);
    let mut stale = false;
    for bundle in locate::bundle_paths(path).into_iter().filter(|bundle| others && bundle.exists()) {
        stale = true;
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

fn report(ui: &mut Ui, packing: &Packing<'_>, path: &Path, verified: &Verified, unsigned: bool) {
    let operations: Vec<_> =
        verified.operations().iter().map(|operation| operation.name.to_string()).collect();
    let imports = &verified.contents().imports;
    if ui.json() {
        let imports: Vec<_> = imports.iter().map(|import| import.name.as_str()).collect();
        let value = json!({
            "id": verified.id(), "version": verified.version(), "path": path, "bytes": verified.bytes().len(),
            "digest": verified.digest(), "operations": operations, "imports": imports, "signature_removed": unsigned,
        });
        ui.document(packing.document, &value);
        return;
    }
    let size = bytes_text(verified.bytes().len() as u64);
    ui.line(format!(
        "{} `{}` {}: {} ({size})",
        packing.verb,
        verified.id(),
        verified.version(),
        path.display()
    ));
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
