//! A project of the author's: what cargo knows of it and makes of it, and its WIT.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use loong_inspect::Offer;
use loong_manifest::Code;
use serde::Deserialize;
use wit_parser::{Resolve, WorldId};

use crate::error::CommandError;

/// What `plugins build` builds for unless the project says otherwise: without WASI, so that a component
/// imports nothing but what its author wrote.
const DEFAULT_TARGET: &str = "wasm32-unknown-unknown";

/// A cargo package that makes one component.
pub(super) struct Project {
    dir: PathBuf,
    package: Package,
    workspace_root: PathBuf,
}

/// The answer of `cargo metadata`, as far as it matters.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    #[serde(default)]
    metadata: Option<PackageMetadata>,
}

#[derive(Deserialize, Default)]
struct PackageMetadata {
    #[serde(default)]
    loong: LoongMetadata,
    #[serde(default)]
    component: ComponentMetadata,
}

/// `[package.metadata.loong]`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LoongMetadata {
    /// The target that is built for.
    target: Option<String>,
    /// WIT folders, relative to the package; the last one is the component's own.
    wit: Option<Vec<PathBuf>>,
    /// The world, where the component's package has several.
    world: Option<String>,
}

/// `[package.metadata.component]`, which `cargo component` reads.
#[derive(Deserialize, Default)]
struct ComponentMetadata {
    #[serde(default)]
    target: ComponentTarget,
}

#[derive(Deserialize, Default)]
struct ComponentTarget {
    world: Option<String>,
}

/// One line of what cargo says while it builds.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

impl Project {
    /// Asks cargo about the package in a folder.
    pub(super) fn open(dir: &Path) -> Result<Self, CommandError> {
        let manifest = dir.join("Cargo.toml");
        let manifest = manifest.canonicalize().map_err(|error| {
            CommandError::file(Code::FileUnreadable, "read", &manifest, &error)
                .hint("give the folder of a project; `loong plugins init NAME` starts one")
        })?;
        let output = cargo(dir)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stdout(Stdio::piped())
            .output()
            .map_err(|error| no_cargo(&error))?;
        if !output.status.success() {
            return Err(CommandError::new(
                Code::CompileFailed,
                format!("cargo does not understand the project in `{}`", dir.display()),
            ));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(|error| {
            CommandError::new(
                Code::ConfigInvalid,
                format!("what `{}` says of the component is wrong", manifest.display()),
            )
            .detail(error.to_string())
            .hint("`[package.metadata.loong]` may hold `target`, `wit` (a list of folders) and `world`")
        })?;
        let Metadata { packages, workspace_root } = metadata;
        let own = |package: &Package| package.manifest_path == manifest;
        let package = packages.into_iter().find(own).ok_or_else(|| {
            CommandError::new(Code::ConfigInvalid, format!("`{}` is no package", manifest.display()))
                .hint("give the folder of one package of the workspace")
        })?;
        Ok(Self { dir: dir.to_owned(), package, workspace_root })
    }

    /// The name of the cargo package.
    pub(super) fn name(&self) -> &str {
        &self.package.name
    }

    fn loong(&self) -> Option<&LoongMetadata> {
        self.package.metadata.as_ref().map(|metadata| &metadata.loong)
    }

    /// Builds the package and returns the WebAssembly that cargo made: a module, or a component.
    pub(super) fn build(&self, quiet: bool) -> Result<PathBuf, CommandError> {
        let target = self.loong().and_then(|loong| loong.target.as_deref()).unwrap_or(DEFAULT_TARGET);
        self.check_target(target)?;
        let mut build = cargo(&self.dir);
        build.args(["build", "--release", "--message-format=json-render-diagnostics", "--target", target]);
        if quiet {
            build.arg("--quiet");
        }
        self.add_flags(&mut build);
        let output = build.stdout(Stdio::piped()).output().map_err(|error| no_cargo(&error))?;
        if !output.status.success() {
            return Err(CommandError::new(
                Code::CompileFailed,
                format!("cargo could not build `{}`", self.package.name),
            )
            .hint("cargo says why above"));
        }
        let mut made: Vec<PathBuf> = output
            .stdout
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
            .filter(|message| message.reason == "compiler-artifact" && message.package_id == self.package.id)
            .flat_map(|message| message.filenames)
            .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        match (made.pop(), made.len()) {
            (Some(file), 0) => Ok(file),
            (None, _) => Err(CommandError::new(
                Code::CompileFailed,
                format!("`{}` makes no WebAssembly", self.package.name),
            )
            .hint("its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`")),
            (Some(_), _) => Err(CommandError::new(
                Code::CompileFailed,
                format!("`{}` makes more than one WebAssembly file", self.package.name),
            )
            .hint("one package makes one component; put the others into packages of their own")),
        }
    }

    /// Paths of this machine stay out of the component, so that two machines build the same bytes. Flags that
    /// the author set hold: ours are added to them where cargo lets them add up, and left out where not.
    fn add_flags(&self, build: &mut Command) {
        let mut ours = Vec::new();
        if let Some(home) = cargo_home() {
            ours.push(format!("--remap-path-prefix={}=/cargo", home.display()));
        }
        ours.push(format!("--remap-path-prefix={}=/src", self.workspace_root.display()));
        let theirs = match (variable("CARGO_ENCODED_RUSTFLAGS"), variable("RUSTFLAGS")) {
            (Some(encoded), _) => encoded.to_string_lossy().split('\u{1f}').map(str::to_owned).collect(),
            (None, Some(plain)) => plain.to_string_lossy().split_whitespace().map(str::to_owned).collect(),
            // Settings in cargo's own files add up with these; `target.*.rustflags` there takes their place.
            (None, None) => {
                let flags = toml::Value::from(ours).to_string();
                build.arg("--config").arg(format!("build.rustflags={flags}"));
                return;
            }
        };
        let all: Vec<String> = theirs;
        let all: Vec<String> = all.into_iter().filter(|flag| !flag.is_empty()).chain(ours).collect();
        build.env("CARGO_ENCODED_RUSTFLAGS", all.join("\u{1f}"));
    }

    fn check_target(&self, target: &str) -> Result<(), CommandError> {
        let output = Command::new("rustc")
            .args(["--print", "target-libdir", "--target", target])
            .current_dir(&self.dir)
            .output();
        let folder = output
            .ok()
            .filter(|output| output.status.success())
            .and_then(|output| String::from_utf8(output.stdout).ok());
        // Where rustc itself says nothing, cargo will say more than could be said here.
        let Some(folder) = folder else { return Ok(()) };
        if Path::new(folder.trim()).is_dir() {
            return Ok(());
        }
        Err(CommandError::new(
            Code::ToolFailed,
            format!("Rust cannot build for `{target}`: the target is not installed"),
        )
        .hint(format!("rustup target add {target}")))
    }

    /// The operations of the component's world with their texts, from the WIT of the project. A program without WIT of
    /// its own is a command: it offers what the standard library makes of `main`.
    pub(super) fn offer(&self) -> Result<Offer, CommandError> {
        let default = [PathBuf::from("wit")];
        let is_named = self.loong().is_some_and(|loong| loong.wit.is_some());
        if !is_named && self.dir.join("src/main.rs").is_file() && !self.dir.join("wit").exists() {
            return Ok(Offer { operations: Vec::new(), skipped: Vec::new() });
        }
        let folders = self.loong().and_then(|loong| loong.wit.as_deref()).unwrap_or(&default);
        let folders: Vec<_> = folders.iter().map(|folder| self.dir.join(folder)).collect();
        offer(&folders, self.world()).map_err(|error| {
            error.hint("in `[package.metadata.loong]`, `wit` lists the folders, the component's own one last, and `world` names the world that it is built for")
        })
    }

    fn world(&self) -> Option<&str> {
        let metadata = self.package.metadata.as_ref()?;
        metadata.loong.world.as_deref().or(metadata.component.target.world.as_deref())
    }
}

/// The operations of a world with their texts. Of the WIT folders the last one is the component's own.
pub(super) fn offer(folders: &[PathBuf], world: Option<&str>) -> Result<Offer, CommandError> {
    let (resolve, world) = resolved(folders, world)?;
    loong_inspect::operations_from_wit(&resolve, world)
        .map_err(|error| CommandError::new(error.code(), error.to_string()))
}

/// The name of the one world of the component's own WIT.
pub(super) fn world_name(folders: &[PathBuf]) -> Result<String, CommandError> {
    let (resolve, world) = resolved(folders, None)?;
    Ok(resolve.worlds.get(world).map(|world| world.name.clone()).unwrap_or_default())
}

fn resolved(folders: &[PathBuf], world: Option<&str>) -> Result<(Resolve, WorldId), CommandError> {
    let wrong = |problem: String| {
        CommandError::new(Code::ComponentInvalid, "the WIT of the component cannot be read").detail(problem)
    };
    let mut resolve = Resolve::default();
    let mut main = None;
    for folder in folders {
        let (package, _) = resolve.push_path(folder).map_err(|error| wrong(format!("{error:#}")))?;
        main = Some(package);
    }
    let main = main.ok_or_else(|| wrong("no folder is listed".to_owned()))?;
    let world = resolve.select_world(&[main], world).map_err(|error| wrong(format!("{error:#}")))?;
    Ok((resolve, world))
}

/// Cargo, with its messages for people on our standard error.
fn cargo(dir: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(dir).stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo
}

fn no_cargo(error: &std::io::Error) -> CommandError {
    CommandError::new(Code::ToolFailed, "`cargo` could not be run")
        .detail(error.to_string())
        .hint("install Rust with rustup: https://rustup.rs")
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    let named = variable("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cargo")))
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo is started with the person's own environment, which has to be looked at to add to it"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
