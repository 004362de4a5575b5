//! `loong plugins build`: from a project to one file that carries its manifest, texts and schemas.

use std::path::{Path, PathBuf};

use loong_manifest::{Code, Manifest, OperationName};

use super::BYTES_MAX;
use super::pack::{self, Packing};
use super::project::{self, Project};
use super::script::Script;
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

A project without Cargo.toml is built from src/app.py by componentize-py, or from src/app.js by componentize-qjs.
Else it is cargo that builds, for wasm32-unknown-unknown unless Cargo.toml says otherwise:
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

/// A project that was built: its manifest with the texts of its WIT, the component without it, and its name.
pub(super) struct Built {
    pub(super) manifest: Manifest,
    pub(super) component: Vec<u8>,
    pub(super) name: String,
}

/// Builds the project in a folder.
pub(super) fn build(dir: &Path, quiet: bool) -> Result<Built, CommandError> {
    let manifest = pack::read_manifest(&dir.join("loong.plugin.json")).map_err(|error| match error.code {
        Code::FileUnreadable => {
            error.hint("give the folder of a project; `loong plugins init NAME` starts one")
        }
        _ => error,
    })?;
    if let Some(script) = Script::of(dir) {
        let wit = [dir.join("wit")];
        let offer = project::offer(&wit, None)?;
        let component = script.build(dir, &project::world_name(&wit)?, quiet)?;
        let name = manifest.id.name().to_owned();
        let manifest = pack::completed(manifest, &offer, &component)?;
        return Ok(Built { manifest, component, name });
    }
    let project = Project::open(dir)?;
    let built = project.build(quiet)?;
    let component = pack::componentize(locate::read_bounded(&built, BYTES_MAX)?)?;
    let offer = project.offer()?;
    let manifest = pack::completed(manifest, &offer, &component)?;
    let is_offered = |name: &OperationName| offer.operations.iter().any(|offered| offered.name == *name);
    if let Some(entry) =
        manifest.operations.iter().find(|entry| entry.input.is_some() && !is_offered(&entry.name))
    {
        return Err(pack::otherwise(&entry.name));
    }
    Ok(Built { manifest, component, name: project.name().to_owned() })
}

pub(super) fn run(ui: &mut Ui, args: &BuildArgs) -> Result<(), CommandError> {
    let Built { manifest, component, name } = build(&args.dir, ui.quiet())?;
    let default = args.dir.join("target/loong/");
    let output = args.output.as_deref().unwrap_or(&default);
    let document = "loong.plugins.build/1";
    pack::finish(ui, &Packing { verb: "built", document, manifest, component, name: &name, output })
}
