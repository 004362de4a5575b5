//! What all tests share and is built once: the programs, the signed first-party components, the guests.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::root;

/// What was built, and where it is.
pub struct Fixtures {
    /// The program `loong`; `loong-compile` and `loong-sandbox` are beside it.
    pub loong: PathBuf,
    /// Where [`plugins`] puts the first-party components, each with its signature file.
    pub plugins: PathBuf,
    /// Where [`guest`] puts the components of `tests/guests`: `x.wasm` is made of `x.wat`, `x.rs` or `crates/x`.
    pub guests: PathBuf,
    /// A `LOONG_HOME` with the key that signs the first-party components and the trust root that names it.
    pub home: PathBuf,
    /// The folder of cargo's output.
    pub target: PathBuf,
}

/// The programs and a key. The first use builds them; when that fails, the test that waited for it
/// says why, and all others that nothing was built.
pub fn fixtures() -> &'static Fixtures {
    static FIXTURES: LazyLock<Option<Fixtures>> = LazyLock::new(|| {
        let fixtures = Fixtures::locate();
        catch_unwind(|| fixtures.once("programs", Fixtures::build)).ok().map(|()| fixtures)
    });
    FIXTURES.as_ref().expect("the programs were not built; the first panic says why")
}

/// The folder of the first-party components. The first use builds and signs them.
pub fn plugins() -> &'static Path {
    static PLUGINS: LazyLock<bool> =
        LazyLock::new(|| catch_unwind(|| fixtures().once("plugins", Fixtures::build_plugins)).is_ok());
    assert!(*PLUGINS, "the first-party components were not built; the first panic says why");
    &fixtures().plugins
}

/// The component of one guest, built if it is not up to date.
pub fn guest(name: &str) -> PathBuf {
    fixtures().once(&format!("guest-{name}"), |fixtures| fixtures.build_guest(name));
    fixtures().guests.join(name).with_extension("wasm")
}

impl Fixtures {
    fn locate() -> Self {
        let own = std::env::current_exe().expect("the path of this program");
        let profile = own.parent().and_then(Path::parent).expect("target/PROFILE/deps/it");
        let target = profile.parent().expect("target").to_owned();
        let folder = target.join("it");
        fs::create_dir_all(&folder).unwrap();
        Self {
            loong: std::env::var_os("LOONG_BIN").map_or_else(|| profile.join("loong"), PathBuf::from),
            plugins: folder.join("plugins"),
            guests: folder.join("guests"),
            home: folder.join("home"),
            target,
        }
    }

    /// Does something once in a test run. nextest starts one process per test: the first one does it, the others
    /// wait and find the mark of this run.
    fn once(&self, what: &str, work: impl FnOnce(&Self)) {
        let lock = File::create(self.target.join("it").join(what).with_extension("lock")).unwrap();
        lock.lock().unwrap();
        let mark = self.target.join("it").join(what).with_extension("done-by");
        let run =
            std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| format!("process {}", std::process::id()));
        if fs::read_to_string(&mark).is_ok_and(|done_by| done_by == run) {
            return;
        }
        work(self);
        fs::write(&mark, run).unwrap();
    }

    fn build(&self) {
        if std::env::var_os("LOONG_BIN").is_none() {
            // One by one: cargo unifies the features of what it builds together.
            for package in ["loong", "loong-compile", "loong-sandbox"] {
                succeed(self.command(cargo()).args(["build", "--locked", "--package", package]));
            }
        }
        succeed(self.command(&self.loong).args(["registry", "keys", "generate", "--if-missing"]));
    }

    fn build_plugins(&self) {
        fs::create_dir_all(&self.plugins).unwrap();
        let mut wanted = vec![];
        for entry in fs::read_dir(root().join("components")).unwrap() {
            let component = entry.unwrap().path();
            if component.join("loong.plugin.json").is_file() {
                let file = self.plugins.join(component.file_name().unwrap()).with_extension("wasm");
                succeed(
                    self.command(&self.loong).args(["plugins", "build"]).arg(&component).arg("-o").arg(&file),
                );
                succeed(self.command(&self.loong).args(["plugins", "sign"]).arg(&file));
                wanted.push(file);
            }
        }
        // A component that is no longer in the tree must not be found.
        for entry in fs::read_dir(&self.plugins).unwrap() {
            let path = entry.unwrap().path();
            if path.extension() == Some(OsStr::new("wasm")) && !wanted.contains(&path) {
                fs::remove_file(path).unwrap();
            }
        }
    }

    fn build_guest(&self, name: &str) {
        fs::create_dir_all(&self.guests).unwrap();
        let sources = guest_sources();
        let source = sources.iter().find(|source| source.file_stem() == Some(OsStr::new(name)));
        let source =
            source.unwrap_or_else(|| panic!("there is no tests/guests/{name}.wat, .rs or crates/{name}"));
        let file = self.guests.join(name).with_extension("wasm");
        if source.is_dir() {
            // Cargo knows what is up to date.
            let target = self.target.join("it/guest-crates");
            let mut build = self.command(cargo());
            build.args(["build", "--locked", "--release", "--target", "wasm32-wasip2", "--manifest-path"]);
            succeed(build.arg(source.join("Cargo.toml")).arg("--target-dir").arg(&target));
            let built = target.join("wasm32-wasip2/release").join(name).with_extension("wasm");
            fs::copy(built, file).unwrap();
            return;
        }
        let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        if time(&file) > time(source) {
            return;
        }
        if source.extension() == Some(OsStr::new("wat")) {
            let bytes = wat::parse_file(source).unwrap_or_else(|error| panic!("{error}"));
            fs::write(&file, bytes).unwrap();
        } else {
            let mut rustc = self.command("rustc");
            rustc.args([
                "--edition",
                "2024",
                "--target",
                "wasm32-wasip2",
                "-C",
                "opt-level=s",
                "-C",
                "strip=symbols",
                "-o",
            ]);
            succeed(rustc.arg(&file).arg(source));
        }
    }

    /// A program that builds into the same folder, and does not see which package this test is of.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(root()).env("LOONG_HOME", &self.home).env("CARGO_TARGET_DIR", &self.target);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_")
                || text.starts_with("CARGO_MANIFEST_")
                || text.starts_with("CARGO_BIN_")
            {
                command.env_remove(&name);
            }
        }
        command
    }
}

/// The sources of the guests: component text, programs of one Rust file that need no crate, and folders of those
/// that do.
pub fn guest_sources() -> Vec<PathBuf> {
    let entries =
        |folder: &str| fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let is_source =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wat" || extension == "rs");
    let mut sources: Vec<PathBuf> = entries("tests/guests").filter(is_source).collect();
    sources.extend(entries("tests/guests/crates").filter(|path| path.join("Cargo.toml").is_file()));
    sources.sort();
    sources
}

/// The cargo that runs this test.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Runs a command to its end and panics with all it printed when it fails.
pub fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
