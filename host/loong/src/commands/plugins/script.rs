//! Projects in Python and JavaScript: what `componentize-py` and `componentize-qjs` make of them. Their tools come with
//! the project, or are on the path.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use loong_manifest::Code;

use super::BYTES_MAX;
use crate::error::CommandError;
use crate::locate;

/// Most files of sources that are copied.
const FILES_MAX: usize = 10_000;

/// What a project that is none of cargo's is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Python,
    JavaScript,
}

impl Script {
    /// The language of the project in a folder: it has one file that everything begins with.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        if dir.join("Cargo.toml").exists() {
            return None;
        }
        [Self::Python, Self::JavaScript].into_iter().find(|script| dir.join(script.entry()).is_file())
    }

    const fn entry(self) -> &'static str {
        match self {
            Self::Python => "src/app.py",
            Self::JavaScript => "src/app.js",
        }
    }

    /// The program that builds, and where in a project it is.
    const fn tool(self) -> (&'static str, &'static str) {
        match self {
            Self::Python => ("componentize-py", ".venv/bin"),
            Self::JavaScript => ("componentize-qjs", "node_modules/.bin"),
        }
    }

    /// The command that puts it there.
    pub(super) const fn set_up(self) -> &'static str {
        match self {
            Self::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            Self::JavaScript => "npm install",
        }
    }

    /// Builds the project for this world of its WIT, without WASI: it imports what its world does and nothing more.
    pub(super) fn build(self, dir: &Path, world: &str, quiet: bool) -> Result<Vec<u8>, CommandError> {
        let (name, folder) = self.tool();
        let own = dir.join(folder).join(name);
        let own = own.canonicalize().ok();
        let scratch = dir.join("target/loong-build");
        let failed = |doing: &'static str, path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| CommandError::file(Code::FileUnwritable, doing, &path, &error)
        };
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch).map_err(failed("empty the folder", &scratch))?;
        }
        // A copy, because what Python compiles lies beside its sources, and would be built in the next time.
        let sources = scratch.join("src");
        copy(&dir.join("src"), &sources)?;
        let output = scratch.join("component.wasm");
        let mut command = Command::new(own.unwrap_or_else(|| PathBuf::from(name)));
        let wit = dir.join("wit");
        match self {
            Self::Python => command
                .arg("-d")
                .arg(&wit)
                .args(["-w", world, "componentize", "--stub-wasi", "-p"])
                .arg(&sources)
                .args(["app", "-o"])
                .arg(&output),
            Self::JavaScript => command
                .arg("--wit")
                .arg(&wit)
                .args(["--world", world, "--stub-wasi", "--sync", "--js"])
                .arg(sources.join("app.js"))
                .arg("-o")
                .arg(&output),
        };
        // What it says goes where messages for people go, and not where results do.
        let stdout = if quiet { Stdio::null() } else { Stdio::from(std::io::stderr()) };
        let status = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::inherit()).status().map_err(
            |error| {
                CommandError::new(Code::ToolFailed, format!("`{name}` could not be run"))
                    .detail(error.to_string())
                    .hint(format!("in the project's folder: {}", self.set_up()))
            },
        )?;
        if !status.success() {
            return Err(CommandError::new(
                Code::CompileFailed,
                format!("{name} could not build `{}`", dir.display()),
            )
            .hint(format!("{name} says why above")));
        }
        locate::read_bounded(&output, BYTES_MAX)
    }
}

/// Copies the sources: plain files and folders, and nothing that Python compiled.
fn copy(from: &Path, to: &Path) -> Result<(), CommandError> {
    let mut left = vec![(from.to_owned(), to.to_owned())];
    let mut seen = 0;
    while let Some((from, to)) = left.pop() {
        seen += 1;
        if seen > FILES_MAX {
            return Err(CommandError::new(
                Code::FileUnreadable,
                format!("`{}` holds more than {FILES_MAX} files", from.display()),
            ));
        }
        let unreadable =
            |error: std::io::Error| CommandError::file(Code::FileUnreadable, "copy", &from, &error);
        let facts = std::fs::symlink_metadata(&from).map_err(unreadable)?;
        if facts.is_dir() {
            std::fs::create_dir_all(&to).map_err(unreadable)?;
            for entry in std::fs::read_dir(&from).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name();
                if name != "__pycache__" {
                    left.push((from.join(&name), to.join(&name)));
                }
            }
        } else if facts.is_file() {
            std::fs::copy(&from, &to).map_err(unreadable)?;
        }
    }
    Ok(())
}
