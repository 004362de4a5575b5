//! One test: what is called, with what, and what has to come of it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use loong_kernel::Fault;
use loong_manifest::{Code, OperationName, PluginId, Tier, escape, strict};
use loong_runtime::{Arguments, Script, Stdin};
use loong_trust::file;
use serde::Deserialize;
use serde_json::Value;

use crate::error::CommandError;
use crate::locate;

const SCHEMA: &str = "loong.test/1";
/// Largest test file.
const BYTES_MAX: u64 = 4 << 20;
/// Longest value that is shown of a difference, in characters.
const SHOWN_MAX: usize = 400;

/// A test file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    schema: String,
    /// What it is about, for people.
    #[serde(default)]
    #[expect(dead_code, reason = "for those who read the file")]
    about: String,
    /// The function, or the full name of the operation.
    pub(super) call: String,
    #[serde(default = "empty")]
    pub(super) input: Value,
    /// What the component reads through `loong:host/config`.
    #[serde(default)]
    pub(super) settings: BTreeMap<String, String>,
    /// The files of `/workspace`.
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    /// Whether it may change them.
    #[serde(default)]
    pub(super) write: bool,
    /// Capabilities that policy leaves to a person.
    #[serde(default)]
    pub(super) allow: Vec<String>,
    /// Hosts and ports.
    #[serde(default)]
    pub(super) allow_host: Vec<String>,
    /// Whether a person says yes to what needs an approval.
    #[serde(default)]
    pub(super) approve: bool,
    /// The tier of all components of the test.
    #[serde(default = "official")]
    pub(super) tier: Tier,
    /// Other components, from the folder of the test.
    #[serde(default)]
    pub(super) with: Vec<PathBuf>,
    /// What other components answer.
    #[serde(default)]
    pub(super) neighbours: Vec<Answer>,
    #[serde(default)]
    expect: Option<Value>,
    #[serde(default)]
    expect_error: Option<String>,
}

/// What an operation of another component answers instead of running.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// The full name of the operation, or `NAME.FUNCTION`.
    pub(super) operation: String,
    /// Only to this input; to every one without it.
    #[serde(default)]
    input: Option<Value>,
    #[serde(default)]
    output: Value,
    /// Fail instead, as a plugin that trapped.
    #[serde(default)]
    trap: bool,
}

/// The input of a command.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CommandLine {
    /// What follows the program's name.
    arguments: Vec<String>,
    /// Standard input.
    stdin: String,
}

/// What came of a test.
pub(super) enum Expected {
    Value(Value),
    Error(Code, String),
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

const fn official() -> Tier {
    Tier::Official
}

/// The tests of a folder, by name.
pub(super) fn all(folder: &Path, suffix: &str, only: &str) -> Result<Vec<(PathBuf, Case)>, CommandError> {
    let failed =
        |error: std::io::Error| CommandError::file(Code::FileUnreadable, "list the tests in", folder, &error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| {
        failed(error).hint("put one test into each file of `tests/`: NAME.loong-test.json")
    })? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(suffix) && name.contains(only) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(CommandError::new(
            Code::FileUnreadable,
            format!("`{}` holds no such test", folder.display()),
        )
        .hint("put one test into each file: NAME.loong-test.json; `loong plugins test --help` shows one"));
    }
    paths.into_iter().map(|path| Ok((path.clone(), read(&path)?))).collect()
}

fn read(path: &Path) -> Result<Case, CommandError> {
    let wrong = |problem: String| {
        CommandError::new(Code::ConfigInvalid, format!("`{}` is no test: {problem}", path.display()))
            .hint("`loong plugins test --help` shows one")
    };
    let case: Case =
        strict::read(&locate::read_bounded(path, BYTES_MAX)?).map_err(|error| wrong(error.to_string()))?;
    if case.schema != SCHEMA {
        return Err(wrong(format!("`schema` is not `{SCHEMA}`")));
    }
    if case.expect.is_some() && case.expect_error.is_some() {
        return Err(wrong("it expects both a result and an error".to_owned()));
    }
    Ok(case)
}

/// A name below the workspace.
pub(super) fn plain(name: &str) -> Result<&str, CommandError> {
    let path = Path::new(name);
    if name.is_empty() || path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(CommandError::new(
            Code::ConfigInvalid,
            format!("`{}` is no file below /workspace", escape(name)),
        ));
    }
    Ok(name)
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_MAX {
        return text;
    }
    format!("{}…", text.chars().take(SHOWN_MAX).collect::<String>())
}

impl Case {
    /// The input as a command line.
    pub(super) fn command_line(&self) -> Result<Arguments, CommandError> {
        let line: CommandLine = strict::read(self.input.to_string().as_bytes()).map_err(|error| {
            CommandError::new(Code::ConfigInvalid, "the input of the test is no command line")
                .detail(error.to_string())
                .hint("write `{ \"arguments\": [..], \"stdin\": \"..\" }`")
        })?;
        let CommandLine { arguments, stdin } = line;
        Ok(Arguments::Command { arguments, stdin: Stdin::Bytes(stdin.into_bytes()) })
    }

    /// How what came differs from what was expected.
    pub(super) fn differences(&self, came: &Expected) -> Vec<String> {
        match (came, &self.expect, &self.expect_error) {
            (Expected::Value(came), Some(wanted), _) if came == wanted => Vec::new(),
            (Expected::Error(code, _), _, Some(wanted)) if code.as_str() == wanted => Vec::new(),
            (Expected::Value(came), Some(wanted), _) => difference("", wanted, came),
            (Expected::Value(came), None, Some(wanted)) => {
                vec![format!("expected the error {wanted}"), format!("came     {}", shown(came))]
            }
            (Expected::Value(came), None, None) => {
                vec!["nothing is expected yet".to_owned(), format!("came     {}", shown(came))]
            }
            (Expected::Error(code, headline), wanted, error) => {
                let wanted = wanted.as_ref().map(shown).or_else(|| error.clone());
                vec![
                    format!("expected {}", wanted.unwrap_or_else(|| "nothing yet".to_owned())),
                    format!("came     the error {code}: {headline}"),
                ]
            }
        }
    }

    /// Writes down what came as what is expected.
    pub(super) fn bless(&self, path: &Path, came: &Expected) -> Result<(), CommandError> {
        let mut document: Value = serde_json::from_slice(&locate::read_bounded(path, BYTES_MAX)?)
            .map_err(|error| CommandError::new(Code::ConfigInvalid, error.to_string()))?;
        let members = document.as_object_mut();
        let members = members.ok_or_else(|| CommandError::new(Code::ConfigInvalid, "it is no object"))?;
        members.remove("expect");
        members.remove("expect_error");
        match came {
            Expected::Value(value) => members.insert("expect".to_owned(), value.clone()),
            Expected::Error(code, _) => members.insert("expect_error".to_owned(), code.as_str().into()),
        };
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text.push('\n');
        Ok(file::write_atomically(path, text.as_bytes(), 0o644)?)
    }
}

/// The places where two values differ.
fn difference(at: &str, wanted: &Value, came: &Value) -> Vec<String> {
    match (wanted, came) {
        _ if wanted == came => Vec::new(),
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            let one = |name: &String| {
                let at = format!("{at}/{name}");
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => difference(&at, left, right),
                    // `{}` is not `{"ok": null}`: what is not there is not the same as nothing.
                    (left, right) => {
                        let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), shown);
                        vec![
                            format!("{at}: expected {}", text(left)),
                            format!("{at}: came     {}", text(right)),
                        ]
                    }
                }
            };
            names.into_iter().flat_map(one).collect()
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .flat_map(|(index, (left, right))| difference(&format!("{at}/{index}"), left, right))
            .collect(),
        _ => {
            let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
            vec![format!("{at}expected {}", shown(wanted)), format!("{at}came     {}", shown(came))]
        }
    }
}

/// The answers of the neighbours, and which of them were given.
pub(super) struct Answers {
    answers: Vec<Answer>,
    /// The neighbours that have nothing but answers.
    stand_ins: Vec<String>,
    given: Mutex<Vec<bool>>,
    missing: Mutex<Vec<String>>,
}

impl Answers {
    pub(super) fn new(answers: &[Answer], stand_ins: Vec<String>) -> Self {
        let given = Mutex::new(vec![false; answers.len()]);
        Self { answers: answers.to_vec(), stand_ins, given, missing: Mutex::default() }
    }

    /// Questions without an answer, and answers that nobody asked for.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let never = self.answers.iter().zip(given.iter()).filter(|(_, given)| !**given);
        let never =
            never.map(|(answer, _)| format!("nobody asked `{}`, which has an answer", answer.operation));
        problems.extend(never);
        problems
    }
}

impl Script for Answers {
    fn answer(
        &self,
        plugin: &PluginId,
        operation: &OperationName,
        input: &Value,
    ) -> Option<Result<Value, Fault>> {
        let short = format!("{}.{}", plugin.name(), operation.function);
        let full = operation.to_string();
        let unversioned = operation.unversioned();
        let is_it = |answer: &Answer| {
            let names = [&full, &unversioned, &short];
            names.contains(&&answer.operation) && answer.input.as_ref().is_none_or(|wanted| wanted == input)
        };
        // Those that are for just this input come first.
        let found = self.answers.iter().position(|answer| answer.input.is_some() && is_it(answer));
        let Some(at) = found.or_else(|| self.answers.iter().position(is_it)) else {
            if !self.stand_ins.contains(&plugin.to_string()) {
                return None;
            }
            let message = format!("the test has no answer of `{full}` to {}", shown(input));
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
            return Some(Err(Fault::Trap { message }));
        };
        if let Some(given) = self.given.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
            *given = true;
        }
        let answer = self.answers.get(at)?;
        Some(if answer.trap {
            Err(Fault::Trap { message: "the test says so".to_owned() })
        } else {
            Ok(answer.output.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(wanted: &Value, came: &Value, expected: &[&str]) {
        assert_eq!(difference("", wanted, came), expected);
    }

    #[test]
    fn names_the_places_that_differ() {
        check(&json!({ "a": 1 }), &json!({ "a": 1 }), &[]);
        check(&json!(1), &json!(2), &["expected 1", "came     2"]);
        check(
            &json!({ "a": [1, { "b": 2 }] }),
            &json!({ "a": [1, { "b": 3 }] }),
            &["/a/1/b: expected 2", "/a/1/b: came     3"],
        );
        check(&json!({ "a": 1 }), &json!({}), &["/a: expected 1", "/a: came     nothing"]);
        check(&json!({}), &json!({ "ok": null }), &["/ok: expected nothing", "/ok: came     null"]);
    }
}
