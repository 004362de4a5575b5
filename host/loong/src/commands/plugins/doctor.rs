//! `loong plugins doctor`: what a component still lacks to be run here, handed to others, or taken into a registry.
//! Nothing is executed or changed.

mod judge;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use loong_manifest::{Code, Manifest};
use loong_repository::scan::Severity;
use loong_trust::Verified;
use serde_json::json;

pub(super) use self::judge::{Diagnosis, Profile, State};
use self::judge::{Facts, Project, judge};
use super::check_list::CheckList;
use super::init::quoted;
use super::sources::Sources;
use super::{compat, counted, pack, test, weighing};
use crate::error::CommandError;
use crate::grant::GrantArgs;
use crate::places::Places;
use crate::settings::Settings;
use crate::ui::Ui;
use crate::{host, registries, scanning};

/// Most entries of a project's folder that are looked at for their age.
const ENTRIES_MAX: usize = 10_000;

/// Say what a component still lacks to be run, released or published
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins doctor                                    the project in this folder, for a release
  loong plugins doctor --profile runtime weather.wasm
  loong plugins doctor --profile marketplace --json

Each line says how bad it is, what kind of work mends it, and what to do next. Nothing is built, run or changed. The exit
code is 0 if nothing blocks.")]
pub struct DoctorArgs {
    /// A project's folder, or a component
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    what: PathBuf,
    /// What it is looked at for
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    #[command(flatten)]
    grants: GrantArgs,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &DoctorArgs) -> Result<(), CommandError> {
    let (component, all) = diagnose(ui, places, &args.what, args.profile, &args.grants)?;
    let worst = all.iter().map(|one| one.state).max().unwrap_or(State::Ok);
    if ui.json() {
        let verdict = if worst == State::Ok { "pass" } else { worst.as_str() };
        let value = json!({
            "component": component, "profile": args.profile, "verdict": verdict, "checks": all, "next": next(&all),
        });
        ui.document("loong.plugins.doctor/1", &value);
    } else {
        show(ui, &all);
    }
    match blocked(&all, args.profile) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The error of what blocks, if anything does.
pub(super) fn blocked(all: &[Diagnosis], profile: Profile) -> Option<CommandError> {
    let blocking: Vec<&Diagnosis> = all.iter().filter(|one| one.state == State::Block).collect();
    let first = blocking.first()?;
    let purpose = match profile {
        Profile::Runtime => "run here",
        Profile::Release => "released",
        Profile::Marketplace => "published",
    };
    let count = counted(blocking.len(), "thing keeps", "things keep");
    let error = CommandError::new(
        first.code.unwrap_or(Code::PackageIncomplete),
        format!("{count} the component from being {purpose}"),
    )
    .detail(format!("{}: {}", first.check, first.found));
    Some(match &first.next {
        Some(next) => error.hint(next.clone()),
        None => error,
    })
}

/// A table of what was found, and what to do next.
pub(super) fn show(ui: &mut Ui, all: &[Diagnosis]) {
    let row = |one: &Diagnosis| {
        let class = if one.state == State::Ok { "" } else { one.class.as_str() };
        let code = one.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        let found = format!("{}{code}", one.found);
        vec![one.state.as_str().to_owned(), one.check.to_owned(), class.to_owned(), found]
    };
    ui.table(0, &all.iter().map(row).collect::<Vec<_>>());
    let next = next(all);
    if !next.is_empty() {
        ui.line("\nnext:");
        for line in next {
            ui.line(format!("  {line}"));
        }
    }
}

/// What to do, each once: what blocks first.
fn next(all: &[Diagnosis]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for state in [State::Block, State::Warn] {
        for line in all.iter().filter(|one| one.state == state).filter_map(|one| one.next.as_ref()) {
            if !lines.contains(line) {
                lines.push(line.clone());
            }
        }
    }
    lines
}

/// Looks at a project or a component. The component that was looked at, and what was found.
pub(super) fn diagnose(
    ui: &Ui,
    places: &Places,
    what: &Path,
    profile: Profile,
    grants: &GrantArgs,
) -> Result<(PathBuf, Vec<Diagnosis>), CommandError> {
    let dir = what.is_dir().then(|| what.to_owned());
    let component = match &dir {
        Some(dir) => component_of(dir)?,
        None => what.to_owned(),
    };
    let rules = scanning::rules(places)?.thorough();
    let root = host::trust_root(places)?;
    let list = CheckList::of(&component, &root, &rules, host::now_ms() / 1000, |verified| {
        weighing(grants, places, verified)
    })?;
    let mut facts = Facts {
        component: quoted(&component.display().to_string()),
        dir: quoted(&what.display().to_string()),
        findings: list
            .scan
            .as_ref()
            .map_or(0, |report| report.count(Severity::High) + report.count(Severity::Medium)),
        project: dir.as_deref().map(|dir| project(dir, &component)),
        checks: list.checks,
        ..Facts::default()
    };
    if let Some(verified) = &list.verified {
        known(&mut facts, verified, dir.as_deref());
        let settings = Settings::read(&places.settings())?;
        if let Some(manifest) = &facts.manifest {
            facts.setup_missing = setup_missing(manifest, &settings);
        }
        if profile == Profile::Marketplace && !registries::all(places)?.is_empty() {
            let sources = Sources::open(ui, places)?;
            compare(&mut facts, verified, &sources);
        }
    }
    Ok((component, judge(&facts, profile)))
}

/// The component that a project makes, whether it is there or not.
pub(super) fn component_of(dir: &Path) -> Result<PathBuf, CommandError> {
    let manifest = pack::read_manifest(&dir.join("loong.plugin.json")).map_err(|error| match error.code {
        Code::FileUnreadable => {
            error.hint("give the folder of a project, or a component; `loong plugins init NAME` starts one")
        }
        _ => error,
    })?;
    let folder = if dir == Path::new(".") { PathBuf::from("target/loong") } else { dir.join("target/loong") };
    // Named by its package, which may be called otherwise than the plugin.
    let named = folder.join(format!("{}.wasm", manifest.id.name()));
    let others = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut built: Vec<PathBuf> =
        others.filter(|path| path.extension().is_some_and(|extension| extension == "wasm")).collect();
    Ok(match (named.exists(), built.len()) {
        (false, 1) => built.remove(0),
        _ => named,
    })
}

fn known(facts: &mut Facts, verified: &Verified, dir: Option<&Path>) {
    facts.manifest = verified.manifest().cloned();
    facts.standing = Some(verified.standing().clone());
    facts.provenance = verified.provenance().len();
    facts.needs = compat::needs(verified);
    // A home such as `/root` is that of many machines, and in what their tools were built from.
    let home = variable("HOME").map(PathBuf::from).filter(|home| home.components().count() > 2);
    let folders = dir.and_then(|dir| dir.canonicalize().ok()).into_iter().chain(home);
    facts.own_path = folders
        .map(|folder| folder.display().to_string())
        .filter(|folder| !folder.is_empty())
        .find(|folder| verified.bytes().windows(folder.len()).any(|part| part == folder.as_bytes()));
}

/// What lies in a project's folder.
fn project(dir: &Path, component: &Path) -> Project {
    let is_there = |name: &str| dir.join(name).is_file();
    let licences = ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "COPYING"];
    let mut texts_missing = Vec::new();
    if !is_there("README.md") {
        texts_missing.push("README.md");
    }
    if !licences.iter().any(|name| is_there(name)) {
        texts_missing.push("LICENSE");
    }
    // Of a package in a workspace the lock file lies above.
    let own = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let cargo_lock = own.ancestors().any(|folder| folder.join("Cargo.lock").is_file());
    let others = ["requirements.txt", "package-lock.json"].iter().any(|name| is_there(name));
    let built = std::fs::metadata(component).and_then(|facts| facts.modified()).ok();
    Project {
        is_stale: built.is_some_and(|built| newest(dir).is_some_and(|source| source > built)),
        tests: test::count(&dir.join("tests")),
        texts_missing,
        is_locked: if is_there("Cargo.toml") { cargo_lock } else { others },
    }
}

/// When a file that a component is built from changed last.
fn newest(dir: &Path) -> Option<SystemTime> {
    let sources = [
        "src",
        "wit",
        "Cargo.toml",
        "Cargo.lock",
        "requirements.txt",
        "package-lock.json",
        "loong.plugin.json",
    ];
    let mut left: Vec<PathBuf> = sources.iter().map(|name| dir.join(name)).collect();
    let (mut newest, mut seen) = (None, 0);
    while let Some(path) = left.pop() {
        seen += 1;
        if seen > ENTRIES_MAX {
            break;
        }
        let Ok(facts) = std::fs::symlink_metadata(&path) else { continue };
        if facts.is_dir() {
            left.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            newest = newest.max(facts.modified().ok());
        }
    }
    newest
}

/// What the manifest asks a person to set up and is not there.
fn setup_missing(manifest: &Manifest, settings: &Settings) -> Vec<String> {
    let Some(setup) = &manifest.setup else { return Vec::new() };
    let own = settings.plugins.get(&manifest.id.to_string());
    let mut missing = Vec::new();
    let mut add = |what: &str, name: &str, is_there: bool| {
        if !is_there {
            missing.push(format!("{what} `{}`", loong_manifest::escape(name)));
        }
    };
    for program in &setup.programs {
        add("install", program, is_program(program));
    }
    for name in &setup.env {
        add("set the variable", name, variable(name).is_some());
    }
    for key in &setup.config {
        add("set in loong.toml", key, own.is_some_and(|own| own.contains_key(key)));
    }
    missing
}

fn is_program(name: &str) -> bool {
    let paths = variable("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether a variable that a manifest names is set can only be seen in the environment"
)]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// What the connected registries have of this name and version.
fn compare(facts: &mut Facts, verified: &Verified, sources: &Sources) {
    facts.is_connected = true;
    let (id, version) = (verified.id(), verified.version());
    let others = sources.offered.iter().map(|offer| &offer.entry.id);
    facts.similar = loong_repository::similar_to(id, others);
    let differs = sources.offered.iter().find(|offer| {
        (&offer.entry.id, &offer.entry.version) == (id, version) && offer.entry.digest != *verified.digest()
    });
    facts.other_bytes = differs.map(|offer| offer.registry.clone());
}
