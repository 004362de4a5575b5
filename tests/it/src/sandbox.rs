//! A place of its own for one test: a working folder, a `LOONG_HOME`, and an environment with nothing else in it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fixture::{Fixtures, cargo, fixtures};

/// A command that runs longer hangs.
const DEADLINE: Duration = Duration::from_secs(300);
/// What a case may call besides `loong`.
const PROGRAMS: &[&str] = &[
    "sh",
    "cat",
    "cc",
    "chmod",
    "cp",
    "cut",
    "env",
    "find",
    "git",
    "grep",
    "head",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mv",
    "rm",
    "rustc",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "wc",
];

/// The place. It is removed at the end.
pub struct Sandbox {
    folder: TempDir,
    fixtures: &'static Fixtures,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
    /// Its exit code; 128 and the number of the signal if one ended it.
    pub exit: i32,
    /// How long it took.
    pub elapsed: Duration,
}

impl Sandbox {
    /// An empty working folder, and a `LOONG_HOME` whose trust root names the key of the first-party components.
    pub fn new() -> Self {
        let fixtures = fixtures();
        let folder = tempfile::Builder::new().prefix("loong-it-").tempdir().unwrap();
        let sandbox = Self { folder, fixtures };
        for part in ["work", "bin", "home"] {
            fs::create_dir(sandbox.path(part)).unwrap();
        }
        copy(&fixtures.home.join("config"), &sandbox.path("loong/config"));
        sandbox.link("loong", &fixtures.loong);
        sandbox.link("cargo", &cargo());
        for program in PROGRAMS {
            sandbox.link(program, &which(program));
        }
        sandbox
    }

    /// A file or folder of the sandbox, such as `bin/loong`.
    pub fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    fn link(&self, name: &str, program: &Path) {
        symlink(program, self.path("bin").join(name)).unwrap();
    }

    /// The working folder.
    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// `LOONG_HOME`.
    pub fn loong_home(&self) -> PathBuf {
        self.path("loong")
    }

    /// A program in the working folder with this place's environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.work())
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("LOONG_HOME", self.loong_home())
            .env("PLUGINS", &self.fixtures.plugins)
            .env("GUESTS", &self.fixtures.guests)
            .env("ROOT", crate::root())
            .env("TMPDIR", self.folder.path())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            // One history, whoever runs the test and whenever.
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
            .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.org")])
            .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.org")])
            .envs([
                ("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z"),
                ("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z"),
            ])
            // cargo finds the packages that building the first-party components brought, and opens no connection.
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", self.fixtures.target.join("it/cargo"))
            .env("CARGO_TERM_QUIET", "true")
            .stdin(Stdio::null());
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        for (name, below_home) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            command.env(name, std::env::var_os(name).map_or_else(|| home.join(below_home), PathBuf::from));
        }
        if let Some(toolchain) = std::env::var_os("RUSTUP_TOOLCHAIN") {
            command.env("RUSTUP_TOOLCHAIN", toolchain);
        }
        command
    }

    /// Runs `loong` with these arguments.
    pub fn loong<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        self.run(self.command(self.path("bin/loong")).args(arguments))
    }

    /// Runs a line of shell.
    pub fn shell(&self, line: &str) -> Ended {
        self.run(self.command(self.path("bin/sh")).args(["-c", line]))
    }

    /// Runs a command to its end, or kills it and everything it started when it hangs.
    pub fn run(&self, command: &mut Command) -> Ended {
        let began = Instant::now();
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let read = |mut pipe: Box<dyn Read + Send>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                pipe.read_to_end(&mut bytes).unwrap();
                String::from_utf8_lossy(&bytes).into_owned()
            })
        };
        let stdout = read(Box::new(child.stdout.take().unwrap()));
        let stderr = read(Box::new(child.stderr.take().unwrap()));
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > DEADLINE {
                // std has no kill of a process group.
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
                child.wait().unwrap();
                panic!("{command:?} was killed after {DEADLINE:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let elapsed = began.elapsed();
        let exit = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Ended { stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap(), exit, elapsed }
    }

    /// The text with what differs from one place and one moment to the next replaced by names in brackets.
    pub fn redact(&self, text: &str) -> String {
        let places = [
            (self.work(), "[WORK]"),
            (self.loong_home(), "[HOME]"),
            (self.folder.path().to_owned(), "[SANDBOX]"),
            (self.fixtures.plugins.clone(), "[PLUGINS]"),
            (self.fixtures.guests.clone(), "[GUESTS]"),
            (self.fixtures.loong.parent().expect("a folder").to_owned(), "[BIN]"),
            (self.fixtures.target.clone(), "[TARGET]"),
            (crate::root(), "[ROOT]"),
        ];
        let mut text = text.to_owned();
        for (path, name) in places {
            let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
            for path in [canonical, path] {
                text = text.replace(&*path.to_string_lossy(), name);
            }
        }
        text
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Copies a folder and all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("`{program}` is needed by the tests and is not on the PATH"))
}
