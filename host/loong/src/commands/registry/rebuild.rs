//! Building again what an entry was built from, in a folder that holds nothing else, to see whether the same bytes
//! come of it.

use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use loong_manifest::{Code, Digest};

use crate::error::CommandError;
use crate::locate;
use crate::places::Places;

/// Largest component that is compared.
const BYTES_MAX: u64 = 64 << 20;

/// A copy of what a checkout has under version control, and a target folder of its own. Both are removed with it.
pub(super) struct CleanCopy {
    folder: PathBuf,
    toolchain: String,
}

impl CleanCopy {
    /// Copies the files that git tracks, as they are in the working tree.
    pub(super) fn of(checkout: &Path, places: &Places) -> Result<Self, CommandError> {
        let folder = places.cache.join("rebuild").join(std::process::id().to_string());
        let failed = |error: std::io::Error| {
            CommandError::file(Code::FileUnwritable, "copy the sources to", &folder, &error)
        };
        std::fs::create_dir_all(folder.join("src")).map_err(failed)?;
        let mut copy = Self { folder: folder.clone(), toolchain: String::new() };
        for name in tracked(checkout)? {
            let (from, to) = (checkout.join(&name), folder.join("src").join(&name));
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            let Ok(facts) = std::fs::symlink_metadata(&from) else { continue };
            if facts.is_symlink() {
                let target = std::fs::read_link(&from).map_err(failed)?;
                std::os::unix::fs::symlink(target, &to).map_err(failed)?;
            } else if facts.is_file() {
                std::fs::copy(&from, &to).map_err(failed)?;
            }
        }
        copy.toolchain = toolchain(&folder.join("src"));
        Ok(copy)
    }

    /// The compiler that builds here, as `rustc --version` says.
    pub(super) fn toolchain(&self) -> &str {
        &self.toolchain
    }

    /// The component that comes of a project of the copy.
    pub(super) fn build(&self, project: &str) -> Result<Vec<u8>, CommandError> {
        let output = self.folder.join("out.wasm");
        let own = std::env::current_exe().map_err(|error| {
            CommandError::new(Code::HostFailed, format!("this program cannot find itself: {error}"))
        })?;
        let built = Command::new(own)
            .args(["plugins", "build", "--quiet", "--output"])
            .arg(&output)
            .arg(plain(project)?)
            .current_dir(self.folder.join("src"))
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(|error| {
                CommandError::new(Code::ToolFailed, format!("the build cannot start: {error}"))
            })?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr);
            let error = CommandError::new(Code::CompileFailed, format!("`{project}` cannot be built again"));
            return Err(said
                .lines()
                .rev()
                .take(8)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .fold(error, |error, line| error.detail(line.to_owned())));
        }
        locate::read_bounded(&output, BYTES_MAX)
    }
}

impl Drop for CleanCopy {
    fn drop(&mut self) {
        // Best effort: the cache may be emptied at any time.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What became of building something again.
pub(super) enum Rebuilt {
    /// The same bytes.
    Same,
    /// Other bytes.
    Differs(Digest),
    /// Another compiler is here than it was built with.
    OtherCompiler,
    /// It could not be built.
    Failed(CommandError),
}

/// Builds a project again and compares.
pub(super) fn compare(copy: &CleanCopy, source: &str, toolchain: &str, digest: Digest) -> Rebuilt {
    if copy.toolchain() != toolchain {
        return Rebuilt::OtherCompiler;
    }
    match copy.build(source).map(|bytes| Digest::of(&bytes)) {
        Ok(found) if found == digest => Rebuilt::Same,
        Ok(found) => Rebuilt::Differs(found),
        Err(error) => Rebuilt::Failed(error),
    }
}

/// A path below the checkout and nothing else.
pub(super) fn plain(project: &str) -> Result<&Path, CommandError> {
    let path = Path::new(project);
    if project.is_empty() || path.components().any(|part| !matches!(part, Component::Normal(_))) {
        let problem = format!("`{}` is no folder below the sources", loong_manifest::escape(project));
        return Err(CommandError::new(Code::RepositoryInvalid, problem));
    }
    Ok(path)
}

/// The compiler that builds in a folder.
pub(super) fn toolchain(folder: &Path) -> String {
    let said = Command::new("rustc").arg("--version").current_dir(folder).stdin(Stdio::null()).output();
    let said = said.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    said.trim().to_owned()
}

fn tracked(checkout: &Path) -> Result<Vec<String>, CommandError> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached"])
        .current_dir(checkout)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| CommandError::new(Code::ToolFailed, format!("`git` could not be run: {error}")))?;
    if !output.status.success() {
        return Err(CommandError::new(
            Code::ToolFailed,
            format!("git does not know the files of `{}`", checkout.display()),
        )
        .detail(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        .hint("name the checkout that it was built from: `--rebuild CHECKOUT`"));
    }
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}
