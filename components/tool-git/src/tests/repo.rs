//! A repository made for a test, and git started in it as the host would.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};

use tempfile::TempDir;

use crate::command::Command;
use crate::repository::{Git, Output, Repository};

/// Starts the real git with nothing but what the manifest says.
#[derive(Debug, Clone)]
pub(super) struct Native {
    folder: PathBuf,
    output_bytes_max: u64,
    another_user: bool,
}

impl Git for Native {
    type Error = String;

    fn run(&self, command: &Command) -> Result<Output, String> {
        let patterns = super::patterns();
        let pattern = patterns.iter().find(|pattern| pattern.covers(&command.arguments));
        let pattern = pattern.ok_or_else(|| format!("denied: {:?}", command.arguments))?;
        let mut child = Program::new("git")
            .args(&command.arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .envs(pattern.environment.iter().map(|(name, value)| (name, value)))
            // What the tests of git itself use; a test cannot give its files away.
            .envs(self.another_user.then_some(("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let (mut stdin, input) = (child.stdin.take().unwrap(), command.stdin.clone());
        let write = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let mut errors = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            errors.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let mut stdout = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        write.join().unwrap();
        let kept = usize::try_from(self.output_bytes_max.min(command.output_bytes_max)).unwrap();
        let truncated = stdout.len() > kept;
        stdout.truncate(kept);
        let code = child.wait().unwrap().code().map(i32::unsigned_abs);
        Ok(Output { code, stdout, stderr: stderr.join().unwrap(), truncated })
    }
}

/// A repository in a folder that goes when it does.
pub(super) struct Repo {
    home: TempDir,
}

impl Repo {
    /// A folder `repo` without a repository.
    pub(super) fn nothing() -> Self {
        let home = TempDir::new().unwrap();
        std::fs::create_dir(home.path().join("repo")).unwrap();
        Self { home }
    }

    /// A repository without a commit.
    pub(super) fn empty() -> Self {
        let repo = Self::nothing();
        repo.git("init -q -b main .");
        repo
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.home().join("repo")
    }

    /// Runs git as a person would who has no settings. The line is split at spaces.
    pub(super) fn git(&self, line: &str) -> String {
        self.git_with(&line.split(' ').collect::<Vec<_>>(), 0)
    }

    fn git_with(&self, arguments: &[&str], day: u32) -> String {
        let date = format!("{} +0000", 1_700_000_000 + day * 86_400);
        let output = Program::new("git")
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.com")
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", "Bob")
            .env("GIT_COMMITTER_EMAIL", "bob@example.com")
            .env("GIT_COMMITTER_DATE", &date)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(super) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything on the given day, and tells the id.
    pub(super) fn commit(&self, day: u32, message: &str) -> String {
        self.git("add -A");
        self.git_with(&["commit", "-q", "--allow-empty", "-m", message], day);
        self.git("rev-parse HEAD")
    }

    pub(super) fn tag(&self, day: u32, line: &str) {
        self.git_with(&[&["tag"], line.split(' ').collect::<Vec<_>>().as_slice()].concat(), day);
    }

    pub(super) fn merge(&self, day: u32, branch: &str) -> String {
        self.git_with(&["merge", "-q", "--no-ff", "-m", "merge", branch], day);
        self.git("rev-parse HEAD")
    }

    /// The operations, with the repository as the workspace.
    pub(super) fn open(&self) -> Repository<Native> {
        self.open_folder("", u64::MAX)
    }

    /// The operations, in a folder below and with an own limit.
    pub(super) fn open_folder(&self, folder: &str, output_bytes_max: u64) -> Repository<Native> {
        Repository(Native { folder: self.path().join(folder), output_bytes_max, another_user: false })
    }

    /// The operations, for somebody who does not own the repository.
    pub(super) fn open_as_another_user(&self) -> Repository<Native> {
        Repository(Native { folder: self.path(), output_bytes_max: u64::MAX, another_user: true })
    }
}
