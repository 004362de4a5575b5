//! `loong tools`: lists and calls single functions of components.

use std::path::Path;
use std::sync::Arc;

use loong_manifest::Code;
use loong_runtime::{Arguments, Output};
use loong_store::WaitingRun;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::grant::LoadArgs;
use crate::host::{Host, Session};
use crate::locate;
use crate::places::Places;
use crate::sinks;
use crate::ui::Ui;

/// Largest arguments, in bytes.
const ARGUMENTS_BYTES_MAX: u64 = 16 << 20;

/// List and call the functions that components offer
#[derive(clap::Subcommand)]
pub enum ToolsCommand {
    List(ListArgs),
    Call(CallArgs),
}

/// List the functions that components offer, with their types
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong tools list                      what the installed components offer
  loong tools list tool.wasm --json     with JSON Schemas of arguments and results")]
pub struct ListArgs {
    /// Components to list, by file, id or name; the installed ones when none is given
    components: Vec<String>,
    #[command(flatten)]
    load: LoadArgs,
}

/// Call one function with JSON arguments, and print its result as JSON
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  loong tools call tool-text.wasm similarity '{\"left\": \"kitten\", \"right\": \"sitting\"}'
  loong tools call tool.wasm 'acme:weather/weather@1.2.0#current' '{\"city\": \"Oslo\"}'
  loong tools call git.log '{}' --plugins ./plugins
  echo '{}' | loong tools call tool.wasm greet -

The arguments are a JSON object with one member for each parameter. Any component's exports can be called,
also those of one that was not written for Loong; it then runs with no grants.")]
pub struct CallArgs {
    /// A component's file, id or name, then the function; or one name such as `git.log`
    #[arg(required = true, num_args = 1..=3, value_names = ["COMPONENT", "FUNCTION", "ARGUMENTS"])]
    words: Vec<String>,
    #[command(flatten)]
    load: LoadArgs,
}

/// Runs the command.
pub fn run(ui: &mut Ui, places: &Places, command: ToolsCommand) -> Result<(), CommandError> {
    match command {
        ToolsCommand::List(args) => list(ui, places, &args),
        ToolsCommand::Call(args) => call(ui, places, &args),
    }
}

/// Lets a call go on that waited for an approval.
pub fn resume(
    ui: &mut Ui,
    places: &Places,
    command: ToolsCommand,
    waiting: Option<Arc<WaitingRun>>,
) -> Result<(), CommandError> {
    match command {
        ToolsCommand::Call(mut args) => {
            args.load.resumed = waiting;
            call(ui, places, &args)
        }
        ToolsCommand::List(_) => Err(CommandError::new(Code::RunUnknown, "a list does not wait for anybody")),
    }
}

fn list(ui: &mut Ui, places: &Places, args: &ListArgs) -> Result<(), CommandError> {
    let path = crate::locate::PluginPath::new(&args.load.plugins, places)?;
    let root = crate::host::trust_root(places)?;
    let files = if args.components.is_empty() {
        path.entries().into_iter().map(|entry| entry.path).collect()
    } else {
        args.components.iter().map(|component| path.find(component)).collect::<Result<Vec<_>, _>>()?
    };
    let mut tools = Vec::new();
    for file in &files {
        let verified = loong_trust::verify(locate::candidate(file)?, &root, crate::host::now_ms() / 1000)?;
        for operation in verified.operations().iter().filter(|operation| operation.is_tool) {
            tools.push(json!({
                "name": format!("{}.{}", verified.id().name(), operation.name.function),
                "operation": operation.name,
                "plugin": verified.id(),
                "version": verified.version().to_string(),
                "tier": verified.tier(),
                "risk": operation.risk,
                "doc": operation.doc,
                "input": operation.input,
                "output": operation.output,
                "examples": operation.examples,
                "file": file,
            }));
        }
    }
    if ui.json() {
        ui.document("loong.tools/1", &json!({ "tools": tools }));
        return Ok(());
    }
    let text =
        |tool: &Value, member: &str| tool.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let width = tools.iter().map(|tool| text(tool, "name").chars().count()).max().unwrap_or_default();
    for tool in &tools {
        let doc = text(tool, "doc");
        let first = doc.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        ui.line(format!("{:width$}  {:12}  {first}", text(tool, "name"), text(tool, "risk")));
    }
    if tools.is_empty() {
        ui.note("no component here offers a function; name a file, or a folder with `--plugins DIR`");
    }
    Ok(())
}

fn call(ui: &mut Ui, places: &Places, args: &CallArgs) -> Result<(), CommandError> {
    sinks::before_run(ui, places)?;
    let mut host = Host::open(ui, places, &args.load)?;
    let target = Target::of(&host, &args.words)?;
    let (arguments, input) = arguments(target.arguments, host.kept_input())?;
    if let Some(file) = &target.file {
        host.path_mut().beside(file);
    }
    let session = host.start(&format!("tools call {}", args.words.first().map_or("", String::as_str)))?;
    if let Some(input) = &input {
        host.keep_input(&session, input);
    }
    let result = execute(ui, &host, &session, target.file.as_deref(), &target.function, arguments);
    let result = host.finish(&session, result);
    sinks::after_run(ui, places);
    if ui.verbose() {
        ui.note(format!("loong audit recent --run {}", session.run().id()));
    }
    result
}

/// What is to be called.
struct Target<'a> {
    /// The component's file; none when the name alone says which.
    file: Option<std::path::PathBuf>,
    function: String,
    arguments: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// `FILE FUNCTION [ARGUMENTS]`, or `NAME.FUNCTION [ARGUMENTS]`, or a full operation name.
    fn of(host: &Host, words: &'a [String]) -> Result<Self, CommandError> {
        let wrong = || CommandError::new(Code::CommandLineInvalid, "say which component and which function");
        let first = words.first().ok_or_else(wrong)?;
        let is_file = first.ends_with(".wasm") || first.contains('/') && !first.contains('#');
        if is_file {
            let function = words.get(1).ok_or_else(|| {
                wrong().hint(format!("`loong tools list {first}` shows the functions it offers"))
            })?;
            return Ok(Self {
                file: Some(first.into()),
                function: function.clone(),
                arguments: words.get(2).map(String::as_str),
            });
        }
        let offers = |operation: &loong_manifest::OperationEntry, name: &str| {
            let full = operation.name.to_string();
            full == *first
                || operation.name.unversioned() == *first
                || format!("{name}.{}", operation.name.function) == *first
        };
        let answers = |entry: &locate::Entry| {
            let (id, name) = (entry.manifest.id.to_string(), entry.manifest.id.name());
            entry
                .manifest
                .operations
                .iter()
                .any(|operation| offers(operation, name) || offers(operation, &id))
        };
        let found: Vec<_> = host.path().entries_named(first).into_iter().filter(answers).collect();
        match found.as_slice() {
            [] => {}
            [entry] => {
                return Ok(Self {
                    file: Some(entry.path.clone()),
                    function: first.clone(),
                    arguments: words.get(1).map(String::as_str),
                });
            }
            _ => return Err(locate::ambiguous(first, &found)),
        }
        let file = host.path().find(first).map_err(|_| {
            CommandError::new(Code::OperationUnknown, format!("no component here offers `{first}`"))
        })?;
        let function = words.get(1).ok_or_else(wrong)?;
        Ok(Self { file: Some(file), function: function.clone(), arguments: words.get(2).map(String::as_str) })
    }
}

/// The arguments, and the bytes that they were read from if that was standard input.
fn arguments(text: Option<&str>, kept: Option<Vec<u8>>) -> Result<(Value, Option<Vec<u8>>), CommandError> {
    let wrong = |error: serde_json::Error| {
        CommandError::new(Code::ArgumentsInvalid, "the arguments are not JSON").detail(error.to_string())
    };
    match text {
        None => Ok((json!({}), None)),
        Some("-") => {
            let bytes = match kept {
                Some(bytes) => bytes,
                None => {
                    let mut bytes = Vec::new();
                    let mut stdin = std::io::Read::take(std::io::stdin().lock(), ARGUMENTS_BYTES_MAX);
                    std::io::Read::read_to_end(&mut stdin, &mut bytes).map_err(|error| {
                        CommandError::file(Code::FileUnreadable, "read", Path::new("-"), &error)
                    })?;
                    bytes
                }
            };
            Ok((serde_json::from_slice(&bytes).map_err(wrong)?, Some(bytes)))
        }
        Some(text) => Ok((serde_json::from_str(text).map_err(wrong)?, None)),
    }
}

fn execute(
    ui: &mut Ui,
    host: &Host,
    session: &Session,
    file: Option<&Path>,
    function: &str,
    arguments: Value,
) -> Result<(), CommandError> {
    let mut operation = function.to_owned();
    if let Some(file) = file {
        let plugin = host.load(ui, file, session)?;
        // Within one component the bare name of a function is enough.
        let mut named = plugin.operations.iter().filter(|offered| offered.name.function == function);
        if let (Some(only), None) = (named.next(), named.next()) {
            operation = only.name.to_string();
        }
    }
    let output = host.call(session, &operation, Arguments::Json(arguments))?;
    let Output::Json(value) = output else {
        return Err(CommandError::new(Code::HostFailed, "the result is not JSON"));
    };
    if ui.json() {
        ui.document("loong.tools.result/1", &json!({ "operation": operation, "result": value }));
    } else {
        ui.result(&value);
    }
    // The function's own `result` type says that it failed; scripts see it in the exit code.
    match value.as_object() {
        Some(members) if members.len() == 1 && members.contains_key("err") => {
            Err(CommandError::new(Code::PluginFailed, format!("`{operation}` returned an error")))
        }
        _ => Ok(()),
    }
}
