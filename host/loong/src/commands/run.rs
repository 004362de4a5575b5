//! `loong run`: runs a pack or a command.

use std::io::Read;
use std::path::PathBuf;

use loong_kernel::{Active, Offered};
use loong_manifest::{Code, OperationName};
use loong_runtime::{Arguments, Output, Plugin, Stdin};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::grant::LoadArgs;
use crate::host::{Host, Session};
use crate::locate::{self, PluginPath};
use crate::places::Places;
use crate::sinks;
use crate::ui::Ui;

/// Largest `--input`, in bytes.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Run a pack, or any component that is a command, under policy
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong run pack.wasm
  loong run pack.wasm --workspace ../project -- --last 20
  loong run pack.wasm --input notes.md --json
  loong run command.wasm --allow-dir data=./data:rw -- --help
  loong run pack.wasm --dry-run
  loong run --resume 3f9a2c41            go on once it is approved; `loong sessions list`

A pack exports `loong:pack/pack`, a command `wasi:cli/run`. The components it imports are looked for beside
it, in the folders of `--plugins`, and among the installed ones.")]
pub struct RunArgs {
    /// A .wasm file, or the id or name of a component
    #[arg(required_unless_present = "resume", default_value = "", hide_default_value = true)]
    component: String,
    /// Let a run go on that waited for an approval; the first digits of its name are enough
    #[arg(long, value_name = "RUN", exclusive = true)]
    resume: Option<String>,
    /// Give the pack this file as its input; `-` is standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Show what would be linked and granted, and run nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    load: LoadArgs,
    /// Arguments for the component
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, args: RunArgs) -> Result<(), CommandError> {
    if let Some(name) = &args.resume {
        return resume(ui, places, name);
    }
    let input = args.input.as_deref().map(read_input).transpose()?;
    if args.dry_run {
        return dry_run(ui, places, &args);
    }
    sinks::before_run(ui, places)?;
    let mut host = Host::open(ui, places, &args.load)?;
    let path = host.path().find(&args.component)?;
    host.path_mut().beside(&path);
    let session = host.start(&format!("run {}", args.component))?;
    let input = host.kept_input().or(input);
    if let Some(input) = &input {
        host.keep_input(&session, input);
    }
    let result = execute(ui, &host, &session, &path, input, args.arguments);
    let (calls, denied, id) = (session.run().calls(), session.run().denied(), session.run().id().to_string());
    let result = host.finish(&session, result);
    sinks::after_run(ui, places);
    let run = id.get(..12).unwrap_or(&id);
    let plural = if calls == 1 { "" } else { "s" };
    ui.note(format!("{calls} call{plural}, {denied} denied · loong audit recent --run {run}"));
    result
}

/// Lets a run go on: the same words in the same folder, and what it had done is not done again.
fn resume(ui: &mut Ui, places: &Places, name: &str) -> Result<(), CommandError> {
    let store = crate::host::store(places)?;
    let found = crate::host::wait(store.waiting_run(name));
    store.close()?;
    let waiting =
        found?.map_err(|error| CommandError::new(error.code(), error.to_string()))?.ok_or_else(|| {
            CommandError::new(Code::RunUnknown, format!("no run that waits begins with `{name}`"))
        })?;
    let folder = PathBuf::from(&waiting.request.folder);
    std::env::set_current_dir(&folder).map_err(|error| {
        CommandError::file(Code::FileUnreadable, "go back to the folder", &folder, &error)
    })?;
    let command = crate::parse(&waiting.request.words).map_err(|error| {
        CommandError::new(
            Code::RunUnknown,
            "this loong does not understand the words that the run began with",
        )
        .detail(error.to_string())
    })?;
    let waiting = Some(std::sync::Arc::new(waiting));
    match command {
        super::Command::Run(args) if args.resume.is_none() => {
            run(ui, places, RunArgs { load: LoadArgs { resumed: waiting, ..args.load }, ..args })
        }
        super::Command::Tools(command) => super::tools::resume(ui, places, command, waiting),
        _ => Err(CommandError::new(Code::RunUnknown, format!("`{name}` is no run that can go on"))),
    }
}

fn read_input(path: &std::path::Path) -> Result<Vec<u8>, CommandError> {
    if path.as_os_str() != "-" {
        return locate::read_bounded(path, INPUT_BYTES_MAX);
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CommandError::file(Code::FileUnreadable, "read", path, &error))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        let problem = format!("the input is larger than {INPUT_BYTES_MAX} bytes");
        return Err(CommandError::new(Code::ArgumentsInvalid, problem));
    }
    Ok(bytes)
}

fn execute(
    ui: &mut Ui,
    host: &Host,
    session: &Session,
    path: &std::path::Path,
    input: Option<Vec<u8>>,
    arguments: Vec<String>,
) -> Result<(), CommandError> {
    let plugin = host.load(ui, path, session)?;
    match entry(&plugin)? {
        Entry::Pack(operation) => {
            let input = input.map(String::from_utf8).transpose().map_err(|_| {
                CommandError::new(
                    Code::ArgumentsInvalid,
                    "the input of a pack is text, and `--input` is not UTF-8",
                )
            })?;
            let format = if ui.json() { "json" } else { "markdown" };
            let request = json!({ "request": { "input": input, "arguments": arguments, "format": format } });
            let output = host.call(session, &operation.to_string(), Arguments::Json(request))?;
            answer(ui, &output)
        }
        Entry::Command(operation) => {
            if input.is_none() {
                session.run().journal().cannot_repeat(|| "it reads standard input itself".to_owned());
            }
            let stdin = input.map_or(Stdin::Inherited, Stdin::Bytes);
            let output =
                host.call(session, &operation.to_string(), Arguments::Command { arguments, stdin })?;
            match output {
                Output::Json(value) if value.get("err").is_some() => {
                    Err(CommandError::new(Code::PluginFailed, "the command ended with an error"))
                }
                _ => Ok(()),
            }
        }
    }
}

enum Entry {
    Pack(OperationName),
    Command(OperationName),
}

/// How a component is run.
fn entry(plugin: &Active<Plugin>) -> Result<Entry, CommandError> {
    let exported = |path: &str| {
        let is = |operation: &&Offered| {
            operation.name.function == "run"
                && operation.name.interface.as_ref().is_some_and(|interface| interface.path() == path)
        };
        plugin.operations.iter().find(is).map(|operation| operation.name.clone())
    };
    if let Some(operation) = exported("loong:pack/pack") {
        return Ok(Entry::Pack(operation));
    }
    if let Some(operation) = exported("wasi:cli/run") {
        return Ok(Entry::Command(operation));
    }
    let example = plugin.operations.iter().find(|operation| operation.is_tool).map_or_else(
        || "a pack exports `loong:pack/pack`, a command `wasi:cli/run`".to_owned(),
        |operation| {
            format!(
                "it offers functions; call one with `loong tools call FILE {} '{{…}}'`",
                operation.name.function
            )
        },
    );
    Err(CommandError::new(Code::OperationUnknown, format!("`{}` is neither a pack nor a command", plugin.id))
        .hint(example))
}

/// Prints what a pack answered.
fn answer(ui: &mut Ui, output: &Output) -> Result<(), CommandError> {
    let Output::Json(value) = output else {
        return Err(CommandError::new(Code::HostFailed, "the pack's answer is not JSON"));
    };
    if let Some(response) = value.get("ok") {
        let text = response.get("output").and_then(Value::as_str).unwrap_or_default();
        ui.plugin_output(text.as_bytes());
        if !text.ends_with('\n') {
            ui.plugin_output(b"\n");
        }
        return Ok(());
    }
    let error = value.get("err").cloned().unwrap_or_default();
    if error.get("invalid").is_some() {
        return Err(CommandError::new(Code::ArgumentsInvalid, "the pack does not accept the request")
            .detail(described(&error)));
    }
    Err(CommandError::new(Code::PluginFailed, "the pack failed").detail(described(&error)))
}

/// A `loong:host/types.error` in words.
fn described(error: &Value) -> String {
    let text = |value: &Value, member: &str| {
        value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if let Some(denial) = error.get("denied") {
        return format!("denied: {} ({})", text(denial, "resource"), text(denial, "reason"));
    }
    if let Some(invalid) = error.get("invalid") {
        return format!("`{}`: {}", text(invalid, "field"), text(invalid, "reason"));
    }
    if let Some(failure) = error.get("failed") {
        return format!("{}: {}", text(failure, "code"), text(failure, "message"));
    }
    error.to_string()
}

/// One component of a dry run.
#[derive(Serialize)]
struct Planned {
    path: PathBuf,
    digest: String,
    imports: Vec<String>,
    #[serde(flatten)]
    preview: loong_policy::Preview,
}

/// Verifies the component and everything it imports, and shows what policy would grant. Compiles, links and
/// runs nothing.
fn dry_run(ui: &mut Ui, places: &Places, args: &RunArgs) -> Result<(), CommandError> {
    let settings = crate::settings::Settings::read(&places.settings())?;
    let policy = crate::host::policy(args.load.grant.policy.as_deref(), &settings, places)?;
    let root = crate::host::trust_root(places)?;
    let mut on_path = PluginPath::new(&args.load.plugins, places)?;
    let first = on_path.find(&args.component)?;
    on_path.beside(&first);

    let mut waiting: Vec<PathBuf> = args.load.with.iter().cloned().chain([first]).rev().collect();
    let mut planned: Vec<Planned> = Vec::new();
    while let Some(path) = waiting.pop() {
        if planned.iter().any(|known| known.path == path) {
            continue;
        }
        let verified = loong_trust::verify(locate::candidate(&path)?, &root, crate::host::now_ms() / 1000)?;
        let offer = args.load.grant.offer(&settings, places, &verified)?;
        let preview = loong_policy::preview(&policy, &verified, &offer);
        for import in verified.contents().imports.iter().filter_map(|import| import.interface.as_ref()) {
            if loong_manifest::authority_of_import(import) == loong_manifest::Authority::Plugin {
                match on_path.offering(import).first() {
                    Some(entry) => waiting.push(entry.path.clone()),
                    None => ui.warning(format!(
                        "nothing here offers `{import}`, which `{}` imports",
                        verified.id()
                    )),
                }
            }
        }
        let imports = verified.contents().imports.iter().map(|import| import.name.clone()).collect();
        planned.push(Planned { path, digest: verified.digest().to_string(), imports, preview });
    }
    if ui.json() {
        ui.document("loong.dry-run/1", &json!({ "components": planned }));
    } else {
        for component in &planned {
            show(ui, component);
        }
        ui.line("Nothing was compiled, linked or run.");
    }
    match planned.iter().find_map(|component| component.preview.denials.first()) {
        Some(denial) => Err(denial.clone().into()),
        None => Ok(()),
    }
}

fn show(ui: &mut Ui, component: &Planned) {
    let Planned { path, digest, imports, preview } = component;
    ui.line(format!("{} {} ({}) from {}", preview.plugin, preview.version, preview.tier, path.display()));
    ui.line(format!("  {digest}"));
    for import in imports {
        ui.line(format!("  imports {import}"));
    }
    for asked in &preview.asked {
        let scope = if asked.scope.is_empty() { String::new() } else { format!(" {}", asked.scope) };
        match &asked.outcome {
            loong_policy::Outcome::Granted { policies, narrowed } => {
                let narrowed =
                    narrowed.as_ref().map_or_else(String::new, |narrowed| format!(" ({narrowed})"));
                ui.line(format!(
                    "  grants {}{scope}{narrowed}: {} [{}]",
                    asked.capability,
                    asked.reason,
                    policies.join(", ")
                ));
            }
            loong_policy::Outcome::Refused(denial) => {
                ui.line(format!("  refuses {}{scope}: {denial}", asked.capability));
            }
        }
    }
    ui.line(String::new());
}
