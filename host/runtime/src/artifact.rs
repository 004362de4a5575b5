//! Compiled artifacts: made by a child process that can be killed, kept in a private cache, checked
//! whenever they are loaded.
//!
//! An artifact is native code, so whoever can put one into the cache owns the host. The cache is a folder of
//! the user's own (0700), each file's name carries a keyed hash of its content and of what it was made from,
//! and the key (0600) lies outside it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use loong_manifest::{Code, Digest, Meter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::GENERATION;

/// Largest artifact, in bytes: about three times the largest component that any tier allows.
const ARTIFACT_BYTES_MAX: u64 = 512 << 20;
/// An artifact is three to four times as large as what it is made of; one that is much larger was made to be.
const ARTIFACT_GROWTH_MAX: u64 = 12;
/// What an artifact may have besides, in bytes: that of the smallest component is many times larger than it.
const ARTIFACT_BASE_BYTES: u64 = 4 << 20;

/// Most of what the compiler says that is read, in bytes.
const COMPILER_TEXT_BYTES_MAX: u64 = 64 << 10;

/// Says that a component took too long or too much to compile. A busy machine can be why, so it is believed
/// for a while only.
const LIMITED: &str = "limited";
const LIMITED_FOR: Duration = Duration::from_secs(60 * 60);

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The component does not compile. Remembered, so that it is not tried again.
    #[error("it does not compile: {problem}")]
    Compile {
        /// The compiler's words.
        problem: String,
    },
    /// Compiling took too long or too much.
    #[error("compiling it took more than {seconds} s or too much memory")]
    Limit {
        /// The time it had, in seconds.
        seconds: u64,
    },
    /// The compiler could not be started.
    #[error("the compiler `{}` cannot be run: {problem}", program.display())]
    Compiler {
        /// Where it was looked for.
        program: PathBuf,
        /// Why.
        problem: String,
    },
    /// The cache cannot be used.
    #[error("the artifact cache `{}` cannot be used: {problem}", path.display())]
    Cache {
        /// Where.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The engine refuses what the compiler just made.
    #[error("the engine refuses the artifact: {problem}")]
    Engine {
        /// The engine's words.
        problem: String,
    },
}

impl ArtifactError {
    /// The public code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Compile { .. } => Code::CompileFailed,
            Self::Limit { .. } => Code::CompileLimit,
            Self::Compiler { .. } => Code::ToolFailed,
            Self::Cache { .. } => Code::FileUnwritable,
            Self::Engine { .. } => Code::ArtifactCorrupt,
        }
    }
}

/// Hears when a compilation begins and, with `None`, when it is over.
pub type Progress = Box<dyn Fn(Option<&Digest>) + Send + Sync>;

/// The cache of compiled artifacts.
pub struct Artifacts {
    folder: PathBuf,
    key: [u8; 32],
    compiler: PathBuf,
    deadline: Duration,
    progress: Progress,
}

/// A folder that only its owner, who is this user, can change: an artifact is native code.
fn private_folder(path: &Path) -> Result<(), ArtifactError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    let facts = made.and_then(|()| fs::metadata(path)).map_err(|error| cache(path, &error))?;
    let (owner, mode) = (facts.uid(), facts.mode() & 0o7777);
    if owner != rustix::process::geteuid().as_raw() || mode & 0o022 != 0 {
        let problem = format!("others can change it (owner {owner}, mode {mode:04o})");
        return Err(ArtifactError::Cache { path: path.to_owned(), problem });
    }
    Ok(())
}

fn cache(path: &Path, error: &std::io::Error) -> ArtifactError {
    ArtifactError::Cache { path: path.to_owned(), problem: error.to_string() }
}

impl Artifacts {
    /// Opens the cache in `folder`, making it and its key when they are not there. `compiler` is the program
    /// `loong-compile`; `progress` hears when a compilation begins and, with `None`, when it is over.
    pub fn open(
        folder: &Path,
        key_file: &Path,
        compiler: PathBuf,
        deadline: Duration,
        progress: Progress,
    ) -> Result<Self, ArtifactError> {
        private_folder(folder)?;
        Ok(Self { folder: folder.to_owned(), key: key(key_file)?, compiler, deadline, progress })
    }

    /// The compiled form of a component.
    pub(crate) async fn component(
        &self,
        engine: &Engine,
        meter: Meter,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<Component, ArtifactError> {
        let folder = self.folder.join(digest.to_hex()).join(format!("{}-{GENERATION}", meter.as_str()));
        if let Some(component) = self.cached(engine, &folder, meter, digest)? {
            return Ok(component);
        }
        (self.progress)(Some(digest));
        let compiled = self.compile(meter, bytes).await;
        (self.progress)(None);
        private_folder(&folder)?;
        let artifact = match compiled {
            Ok(artifact) => artifact,
            Err(error) => {
                if let ArtifactError::Compile { problem } = &error {
                    write_private(&folder, "failed", problem.as_bytes())?;
                }
                if let ArtifactError::Limit { .. } = &error {
                    write_private(&folder, LIMITED, b"")?;
                }
                return Err(error);
            }
        };
        let name = format!("{}.cwasm", self.seal(meter, digest, &artifact));
        write_private(&folder, &name, &artifact)?;
        match self.checked(engine, &folder.join(name), meter, digest)? {
            Some(Ok(component)) => Ok(component),
            Some(Err(error)) => {
                let problem = crate::fault::said(&format!("{error:#}"));
                // What the pools have no room for will never fit; another build of the compiler may be replaced.
                if problem.contains("pooling allocator") {
                    write_private(&folder, "failed", problem.as_bytes())?;
                    return Err(ArtifactError::Compile { problem });
                }
                Err(ArtifactError::Engine { problem })
            }
            None => Err(ArtifactError::Engine { problem: "the artifact was not kept".into() }),
        }
    }

    /// Takes an artifact from the cache. One that is not what was written there is removed.
    fn cached(
        &self,
        engine: &Engine,
        folder: &Path,
        meter: Meter,
        digest: &Digest,
    ) -> Result<Option<Component>, ArtifactError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cache(folder, &error)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "failed" {
                let problem = fs::read_to_string(&path).map_err(|error| cache(&path, &error))?;
                return Err(ArtifactError::Compile { problem: crate::fault::said(&problem) });
            }
            if name == LIMITED {
                let written = entry.metadata().and_then(|metadata| metadata.modified());
                let age = written.map_err(|error| cache(&path, &error))?.elapsed().unwrap_or_default();
                if age < LIMITED_FOR {
                    return Err(ArtifactError::Limit { seconds: self.deadline.as_secs() });
                }
            }
            if !(name.ends_with(".cwasm") || name == LIMITED) {
                continue;
            }
            if name != LIMITED
                && let Some(Ok(component)) = self.checked(engine, &path, meter, digest)?
            {
                return Ok(Some(component));
            }
            fs::remove_file(&path).map_err(|error| cache(&path, &error))?;
        }
        Ok(None)
    }

    /// Opens an artifact. `None` when it is not what was written there; the engine may still refuse it, such as
    /// one that another build of the compiler made.
    fn checked(
        &self,
        engine: &Engine,
        path: &Path,
        meter: Meter,
        digest: &Digest,
    ) -> Result<Option<wasmtime::Result<Component>>, ArtifactError> {
        let mut file = File::open(path).map_err(|error| cache(path, &error))?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(|error| cache(path, &error))?;
        let seal = self.seal(meter, digest, &content);
        Ok((path.file_stem() == Some(OsStr::new(&seal))).then(|| map(engine, &file)))
    }

    /// A keyed hash over the artifact and what it was made from, as 64 hexadecimal digits.
    fn seal(&self, meter: Meter, digest: &Digest, artifact: &[u8]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(digest.as_bytes()).update(&[meter as u8]).update(GENERATION.as_bytes()).update(&[0]);
        hasher.update(artifact).finalize().to_hex().to_string()
    }

    async fn compile(&self, meter: Meter, bytes: &[u8]) -> Result<Vec<u8>, ArtifactError> {
        let failed = |error: std::io::Error| ArtifactError::Compiler {
            program: self.compiler.clone(),
            problem: error.to_string(),
        };
        let mut child = tokio::process::Command::new(&self.compiler)
            .arg(meter.as_str())
            .arg(self.deadline.as_secs().to_string())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(std::io::Error::other("no standard streams")));
        };
        let most =
            (bytes.len() as u64).saturating_mul(ARTIFACT_GROWTH_MAX).saturating_add(ARTIFACT_BASE_BYTES);
        let most = most.min(ARTIFACT_BYTES_MAX);
        let work = async {
            let mut artifact = Vec::new();
            let mut problem = String::new();
            let mut output = output.take(most.saturating_add(1));
            let mut errors = errors.take(COMPILER_TEXT_BYTES_MAX);
            let (written, read, said) = tokio::join!(
                async move {
                    let written = input.write_all(bytes).await;
                    drop(input);
                    written
                },
                async {
                    let read = output.read_to_end(&mut artifact).await;
                    // A compiler that has more to say is ended by its next write.
                    drop(output);
                    read
                },
                errors.read_to_string(&mut problem),
            );
            read?;
            let status = child.wait().await?;
            // Compilers that refuse early do not read to the end, and what they say need not be text.
            let _ = (written, said);
            std::io::Result::Ok((status, artifact, problem))
        };
        let limit = ArtifactError::Limit { seconds: self.deadline.as_secs() };
        let Ok(ended) = tokio::time::timeout(self.deadline, work).await else { return Err(limit) };
        let (status, artifact, problem) = ended.map_err(failed)?;
        if artifact.len() as u64 > most {
            return Err(limit);
        }
        match status.code() {
            Some(0) => Ok(artifact),
            Some(1) => Err(ArtifactError::Compile { problem: crate::fault::said(problem.trim()) }),
            Some(_) => Err(failed(std::io::Error::other(crate::fault::said(problem.trim())))),
            // A signal: its own limits on time or memory ended it.
            None => Err(limit),
        }
    }
}

/// Maps an artifact into memory.
#[expect(unsafe_code, reason = "loading native code is unsafe by nature; see the comment inside")]
fn map(engine: &Engine, file: &File) -> wasmtime::Result<Component> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the file was made by our own compiler from a component whose digest is part of its seal; the
    // seal was just recomputed over this very open file with a key that only this user can read, and the file
    // is never changed in place, only removed.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Writes a file that appears whole or not at all, readable by its owner only.
fn write_private(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ArtifactError> {
    let path = folder.join(name);
    let temporary =
        folder.join(format!(".{}.{:x}", std::process::id(), random::<8>().map_or(0, u64::from_ne_bytes)));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    })();
    written.map_err(|error| {
        // What cannot be removed was never created.
        let _ = fs::remove_file(&temporary);
        cache(&path, &error)
    })
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

/// The key of the cache, made once.
fn key(path: &Path) -> Result<[u8; 32], ArtifactError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    private_folder(folder)?;
    if let Ok(bytes) = fs::read(path)
        && let Ok(key) = bytes.try_into()
    {
        return Ok(key);
    }
    let key: [u8; 32] = random().ok_or_else(|| cache(path, &std::io::Error::other("no random numbers")))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    write_private(folder, &name, &key)?;
    // Another process may have made one at the same moment: whichever lies there now is the key.
    let bytes = fs::read(path).map_err(|error| cache(path, &error))?;
    bytes.try_into().map_err(|_| cache(path, &std::io::Error::other("the key has another length")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_cache_that_others_can_change_is_not_used() {
        let home = std::env::temp_dir().join(format!("loong-artifacts-{}", std::process::id()));
        let open = || {
            let (folder, key) = (home.join("artifacts"), home.join("artifact.key"));
            Artifacts::open(&folder, &key, PathBuf::new(), Duration::ZERO, Box::new(|_| ()))
                .map(|cache| cache.key)
        };
        let key = open().unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for place in [home.clone(), home.join("artifacts")] {
            set(&place, 0o770);
            assert!(matches!(open(), Err(ArtifactError::Cache { path, .. }) if path == place));
            set(&place, 0o700);
            assert_eq!(open().unwrap(), key);
        }
        fs::remove_dir_all(&home).unwrap();
    }
}
