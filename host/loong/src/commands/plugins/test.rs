//! `loong plugins test`: runs a component under the real host, with the answers of its neighbours written down, and
//! compares what comes of it with what was expected.

mod case;
mod neighbour;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loong_kernel::{Approver, Boxed};
use loong_manifest::{Code, Compatibility, Tier};
use loong_policy::ApprovalRequest;
use loong_runtime::{Arguments, Output};
use loong_trust::{Candidate, SigningKey, TrustRoot, UtcTime, file};
use serde_json::{Value, json};

use self::case::{Answers, Case, Expected};
use super::build::{Built, build};
use super::{BYTES_MAX, compat, counted, pack, sign, stem};
use crate::error::CommandError;
use crate::grant::{GrantArgs, LoadArgs};
use crate::host::{self, Host};
use crate::locate;
use crate::places::Places;
use crate::ui::Ui;

/// What a test file's name ends with.
const SUFFIX: &str = ".loong-test.json";

/// Run a component's tests under the real host
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong plugins test                       builds the project here, runs tests/*.loong-test.json
  loong plugins test tools/word-count --bless
  loong plugins test dist/weather.wasm --tests tests

A test is one call, what it is given, and what has to come of it:
  { \"schema\": \"loong.test/1\", \"call\": \"shorten\", \"input\": { \"text\": \"one two\", \"words-max\": 1 },
    \"expect\": { \"ok\": { \"text\": \"one\", \"words-omitted\": 1 } } }
The input of a command is { \"arguments\": [..], \"stdin\": \"..\" }, and what is expected { \"stdout\": \"..\" }.
Also: expect_error (a code), settings, files and write (the workspace), allow (capabilities), allow_host, approve, tier, with
(other components), neighbours (their answers: operation, input, output). Nothing of it reaches your own records,
keys or plugins.")]
pub struct TestArgs {
    /// A project's folder, or a component
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    what: PathBuf,
    /// The folder of the tests [default: `tests` in the project]
    #[arg(long, value_name = "DIR")]
    tests: Option<PathBuf>,
    /// Only tests whose name holds this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Write down what comes of each test as what is expected of it
    #[arg(long)]
    bless: bool,
    /// If all tests pass, write into the project's manifest which contracts of this Loong they passed under
    #[arg(long, conflicts_with_all = ["only", "bless"])]
    record: bool,
}

/// What came of one test.
#[derive(serde::Serialize)]
struct Line {
    test: String,
    ok: bool,
    blessed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

pub(super) fn run(ui: &mut Ui, places: &Places, args: &TestArgs) -> Result<(), CommandError> {
    if args.record && !args.what.is_dir() {
        return Err(CommandError::new(Code::CommandLineInvalid, "`--record` is for a project's folder"));
    }
    let (component, folder) = if args.what.is_dir() {
        (built(ui, &args.what)?, args.what.join("tests"))
    } else {
        (args.what.clone(), args.what.with_file_name("tests"))
    };
    let folder = args.tests.clone().unwrap_or(folder);
    let lines = tested(ui, places, &component, &folder, &args.only, args.bless)?;
    let failed = lines.iter().filter(|line| !line.ok).count();
    let recorded = if failed == 0 && args.record { record(&args.what, &component)? } else { Vec::new() };
    if ui.json() {
        let value = json!({ "tests": lines, "failed": failed, "recorded": recorded });
        ui.document("loong.plugins.test/1", &value);
    } else {
        ui.line(format!("{}, {failed} failed", counted(lines.len(), "test", "tests")));
        if !recorded.is_empty() {
            ui.note(format!("loong.plugin.json says that it was tested with {}", recorded.join(", ")));
        }
    }
    if failed == 0 { Ok(()) } else { Err(failure(failed)) }
}

/// Writes into a project's manifest which contracts of this host its tests passed under.
fn record(project: &Path, component: &Path) -> Result<Vec<String>, CommandError> {
    let path = project.join("loong.plugin.json");
    let mut manifest = pack::read_manifest(&path)?;
    let tested = compat::offered_to(locate::candidate(component)?.contents());
    manifest.compatibility.get_or_insert_default().tested.clone_from(&tested);
    if manifest.compatibility == Some(Compatibility::default()) {
        manifest.compatibility = None;
    }
    let mut text = manifest.to_json();
    text.push('\n');
    file::write_atomically(&path, text.as_bytes(), 0o644)?;
    Ok(tested)
}

fn failure(failed: usize) -> CommandError {
    CommandError::new(Code::ResultInvalid, format!("{} failed", counted(failed, "test", "tests")))
        .hint("if what came is what is meant, `loong plugins test --bless` writes it down")
}

/// Runs all tests in a folder, if there is one, and shows them. How many passed, which is all of them.
pub(super) fn all(
    ui: &mut Ui,
    places: &Places,
    component: &Path,
    folder: &Path,
) -> Result<usize, CommandError> {
    if count(folder) == 0 {
        return Ok(0);
    }
    let lines = tested(ui, places, component, folder, "", false)?;
    match lines.iter().filter(|line| !line.ok).count() {
        0 => Ok(lines.len()),
        failed => Err(failure(failed)),
    }
}

/// How many tests are in a folder.
pub(super) fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(SUFFIX)).count()
}

fn tested(
    ui: &mut Ui,
    places: &Places,
    component: &Path,
    folder: &Path,
    only: &str,
    bless: bool,
) -> Result<Vec<Line>, CommandError> {
    let bytes = locate::read_bounded(component, BYTES_MAX)?;
    let cases = case::all(folder, SUFFIX, only)?;
    let mut lines = Vec::new();
    for (path, case) in cases {
        let name = path.file_name().unwrap_or_default().to_string_lossy().trim_end_matches(SUFFIX).to_owned();
        let mut blessed = false;
        let problems = match one(ui, places, component, &bytes, folder, &case) {
            Ok((came, answers)) => {
                let mut problems = case.differences(&came);
                if bless && !problems.is_empty() {
                    case.bless(&path, &came)?;
                    blessed = true;
                    problems.clear();
                }
                // What is wrong with the answers stays wrong, whatever is expected.
                problems.extend(answers);
                problems
            }
            Err(error) => {
                std::iter::once(format!("{} [{}]", error.headline, error.code)).chain(error.details).collect()
            }
        };
        let line = Line { test: name, ok: problems.is_empty(), blessed, problems };
        if !ui.json() {
            show(ui, &line);
        }
        lines.push(line);
    }
    Ok(lines)
}

fn show(ui: &mut Ui, line: &Line) {
    let state = match (line.ok, line.blessed) {
        (true, true) => "blessed",
        (true, false) => "ok",
        (false, _) => "FAILED",
    };
    ui.line(format!("{state:7} {}", line.test));
    if !line.ok {
        for problem in &line.problems {
            ui.line(format!("        {problem}"));
        }
    }
}

/// Builds a project as `loong plugins build` does.
fn built(ui: &Ui, dir: &Path) -> Result<PathBuf, CommandError> {
    let Built { manifest, component, name } = build(dir, ui.quiet())?;
    pack::write_packed(&manifest, &component, &name, &dir.join("target/loong/"))
}

/// Runs one test in places of its own. What came, and what is wrong with the answers of neighbours.
fn one(
    ui: &Ui,
    places: &Places,
    component: &Path,
    bytes: &[u8],
    folder: &Path,
    case: &Case,
) -> Result<(Expected, Vec<String>), CommandError> {
    let own = Scratch::new(places)?;
    let candidate = Candidate::read(bytes.to_vec(), None, &stem(component))?;
    let neighbours = neighbour::missing(&candidate, case)?;
    let mut with = Vec::new();
    for (name, bytes) in &neighbours {
        with.push(own.put(&format!("neighbours/{}.wasm", name.replace(':', "-")), bytes)?);
    }
    for path in &case.with {
        let bytes = locate::read_bounded(&folder.join(path), BYTES_MAX)?;
        with.push(
            own.put(&format!("with/{}", path.file_name().unwrap_or_default().to_string_lossy()), &bytes)?,
        );
    }
    let file = own.put("component.wasm", bytes)?;
    own.trust(case.tier, std::iter::once(&file).chain(&with))?;
    own.settings(&candidate, &case.settings)?;
    for (name, text) in &case.files {
        own.put(&format!("workspace/{}", case::plain(name)?), text.as_bytes())?;
    }
    std::fs::create_dir_all(own.folder.join("workspace"))
        .map_err(|error| CommandError::file(Code::FileUnwritable, "make", &own.folder, &error))?;
    let grant = GrantArgs::for_tests(own.folder.join("workspace"), case.write, &case.allow, &case.allow_host);
    let load = LoadArgs { grant, with, ..LoadArgs::default() };
    let stand_ins = neighbours.keys().cloned().collect();
    let answers = Arc::new(Answers::new(&case.neighbours, stand_ins));
    let quiet = ui.silent();
    let approver = case.approve.then(|| Arc::new(SaysYes) as Arc<dyn Approver>);
    let script = Arc::<Answers>::clone(&answers);
    let host = Host::open_with(&quiet, &own.places, &load, approver, Some(script))?;
    let session = host.start("plugins test")?;
    let outcome = called(&host, &quiet, &file, &session, case);
    let code = outcome.as_ref().err().map(|error| error.code);
    host.end(&session, code)?;
    let came = match outcome {
        Ok(value) => Expected::Value(value),
        Err(error) => Expected::Error(error.code, error.headline),
    };
    Ok((came, answers.problems()))
}

fn called(
    host: &Host,
    ui: &Ui,
    file: &Path,
    session: &host::Session,
    case: &Case,
) -> Result<Value, CommandError> {
    let plugin = host.load(ui, file, session)?;
    let mut named = plugin.operations.iter().filter(|offered| offered.name.function == case.call);
    let operation = match (named.next(), named.next()) {
        (Some(only), None) => only.name.to_string(),
        _ => case.call.clone(),
    };
    let is_command = operation.starts_with("wasi:cli/run@") && operation.ends_with("#run");
    let arguments = if is_command { case.command_line()? } else { Arguments::Json(case.input.clone()) };
    match host.call(session, &operation, arguments)? {
        Output::Json(value) if is_command && value.get("err").is_some() => {
            Err(CommandError::new(Code::PluginFailed, "the command ended with an error"))
        }
        // A command has nothing to return: what it prints is what it was called for.
        Output::Json(_) if is_command => {
            Ok(json!({ "stdout": String::from_utf8_lossy(&host.printed()).into_owned() }))
        }
        Output::Json(value) => Ok(value),
        Output::Values(_) => Err(CommandError::new(Code::HostFailed, "the result is not JSON")),
    }
}

/// The person of a test.
struct SaysYes;

impl Approver for SaysYes {
    fn ask<'a>(&'a self, _approval: &'a str, _request: &'a ApprovalRequest) -> Boxed<'a, Option<bool>> {
        Box::pin(std::future::ready(Some(true)))
    }
}

/// Settings, keys, records and files of one test. All of it goes with it.
struct Scratch {
    folder: PathBuf,
    places: Places,
}

impl Scratch {
    fn new(places: &Places) -> Result<Self, CommandError> {
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).map_err(|error| {
            CommandError::new(Code::HostFailed, format!("there are no random numbers: {error}"))
        })?;
        let name = format!("{:016x}", u64::from_ne_bytes(bits));
        let folder = places.cache.join("tests").join(name);
        let own = |part: &str| folder.join(part);
        // What was compiled once is compiled for all tests.
        let own_places = Places {
            config: own("config"),
            data: own("data"),
            // Apart from the folder of the test, which components may be offered.
            cache: places.cache.join("tested"),
        };
        std::fs::create_dir_all(&own_places.config)
            .map_err(|error| CommandError::file(Code::FileUnwritable, "make the folder", &folder, &error))?;
        Ok(Self { folder, places: own_places })
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, CommandError> {
        let path = self.folder.join(name);
        let failed = |error: std::io::Error| CommandError::file(Code::FileUnwritable, "write", &path, &error);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::write(&path, bytes).map_err(failed)?;
        Ok(path)
    }

    /// Vouches for the components, as far as the test says.
    fn trust<'a>(&self, tier: Tier, files: impl Iterator<Item = &'a PathBuf>) -> Result<(), CommandError> {
        if tier == Tier::Unverified {
            return Ok(());
        }
        let key = SigningKey::generate()?;
        let mut publishers: Vec<String> = Vec::new();
        for path in files {
            let candidate = locate::candidate(path)?;
            if candidate.manifest().is_none() {
                continue;
            }
            file::write_atomically(&sign::bundle_path(path), &loong_trust::sign(&key, &candidate)?, 0o644)?;
            if !publishers.iter().any(|known| known == candidate.id().publisher()) {
                publishers.push(candidate.id().publisher().to_owned());
            }
        }
        let names: Vec<&str> = publishers.iter().map(String::as_str).collect();
        let root = TrustRoot::local(&key.public(), "this test", &names, tier, UtcTime::MAX)?;
        Ok(file::write_atomically(&self.places.trust_root(), root.to_json().as_bytes(), 0o644)?)
    }

    fn settings(
        &self,
        candidate: &Candidate,
        settings: &std::collections::BTreeMap<String, String>,
    ) -> Result<(), CommandError> {
        let own: toml::Table =
            settings.iter().map(|(key, value)| (key.clone(), toml::Value::from(value.as_str()))).collect();
        let plugins = toml::Table::from_iter([(candidate.id().to_string(), toml::Value::Table(own))]);
        let all = toml::Table::from_iter([("plugins".to_owned(), toml::Value::Table(plugins))]);
        Ok(file::write_atomically(&self.places.settings(), all.to_string().as_bytes(), 0o644)?)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: the cache may be emptied at any time.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
