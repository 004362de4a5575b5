//! `sdk/examples`: the same tool in four languages, built by its script and called as any component is.

use std::path::{Path, PathBuf};

use loong_it::fixture::fixtures;
use loong_it::root;
use loong_it::sandbox::{Ended, Sandbox};
use serde_json::{Value, json};

/// Where the tools of a language are; none where they are not. `.ci/run` puts them there with `setup.sh`, and sets
/// `LOONG_NEED_KINDS` so that nothing is passed over.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "CI says by its environment that nothing is passed over; where something is, it is said"
)]
fn tools(language: &str) -> Option<PathBuf> {
    let folder = fixtures().target.join("it/kinds").join(language);
    if folder.is_dir() {
        return Some(folder);
    }
    let remedy = format!("run sdk/examples/{language}/setup.sh {}", folder.display());
    assert!(
        std::env::var_os("LOONG_NEED_KINDS").is_none(),
        "the tools of {language} are needed and not there: {remedy}"
    );
    eprintln!("SKIPPED: a component in {language} was not built, its tools are not there; {remedy}");
    None
}

/// Runs the script of an example with the programs of this machine and the `loong` under test.
#[expect(clippy::disallowed_methods, reason = "compilers are found on the PATH of the machine")]
fn build(sandbox: &Sandbox, language: &str, tools: &Path) -> PathBuf {
    let built = sandbox.work().join("greet.wasm");
    let mut path = vec![sandbox.path("bin")];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let script = root().join("sdk/examples").join(language).join("build.sh");
    let mut command = sandbox.command(script);
    let ended = sandbox.run(command.env("PATH", std::env::join_paths(path).unwrap()).arg(tools).arg(&built));
    assert_eq!(ended.exit, 0, "{language}: {}{}", ended.stdout, ended.stderr);
    built
}

/// Starts a project in a language, and runs the tests that it comes with under the real host.
#[expect(clippy::disallowed_methods, reason = "compilers are found on the PATH of the machine")]
fn check_project(language: &str, folder: &Path) {
    let sandbox = Sandbox::new();
    let made = sandbox.loong(["plugins", "init", "word-count", "--language", language]);
    assert_eq!(made.exit, 0, "{}", made.stderr);
    let mut path = vec![folder.to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut command = sandbox.command(sandbox.path("bin/loong"));
    command.env("PATH", std::env::join_paths(path).unwrap()).args(["plugins", "test", "word-count"]);
    let ended = sandbox.run(&mut command);
    assert_eq!(ended.exit, 0, "{language}: {}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("2 tests, 0 failed"), "{}", ended.stdout);
}

/// Whether it has to be signed to run.
#[derive(PartialEq)]
enum Size {
    RunsUnsigned,
    NeedsSignature,
}

/// Builds the example, calls its functions, and holds that they answer as the WIT says.
fn check(language: &str, tools: &Path, size: &Size) {
    let sandbox = Sandbox::new();
    let component = build(&sandbox, language, tools);
    let component = component.to_str().unwrap();
    let call = |function: &str, arguments: Value| -> Ended {
        sandbox.loong(["tools", "call", component, function, &arguments.to_string()])
    };
    if *size == Size::NeedsSignature {
        let refused = call("greet", json!({ "name": "Ada" }));
        assert_eq!(refused.exit, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("[scan_blocked]"), "{}", refused.stderr);
        let signed = sandbox.loong(["plugins", "sign", component]);
        assert_eq!(signed.exit, 0, "{}", signed.stderr);
    }
    let answers = |function: &str, arguments: Value, exit: i32, expected: Value| {
        let ended = call(function, arguments);
        assert_eq!(ended.exit, exit, "{language}: {}{}", ended.stdout, ended.stderr);
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(answer, expected, "{language}: {function}");
    };
    answers("greet", json!({ "name": "Ada" }), 0, json!({ "ok": "Hello, Ada!" }));
    answers("greet", json!({ "name": "龍 \u{1f409}" }), 0, json!({ "ok": "Hello, 龍 \u{1f409}!" }));
    answers("greet", json!({ "name": "" }), 4, json!({ "err": "a name is needed" }));
    answers("count", json!({ "text": "" }), 0, json!([]));
    answers(
        "count",
        json!({ "text": " zwei\teins\r\nzwei\n\nz\u{fc}ge zwei" }),
        0,
        json!([
            { "text": "zwei", "count": 3 },
            { "text": "eins", "count": 1 },
            { "text": "z\u{fc}ge", "count": 1 },
        ]),
    );
    // What the component cannot say of itself came from its WIT.
    let listed = sandbox.loong(["tools", "list", component]);
    assert!(listed.stdout.contains("Greets somebody. A name that is empty is refused."), "{}", listed.stdout);
}

#[test]
fn a_tool_in_rust() {
    let tools = fixtures().target.join("it/kinds-rust");
    std::fs::create_dir_all(&tools).unwrap();
    // What it is made of came with the first-party components.
    loong_it::fixture::plugins();
    check("rust", &tools, &Size::RunsUnsigned);
}

#[test]
fn a_tool_in_python() {
    if let Some(tools) = tools("python") {
        check("python", &tools, &Size::NeedsSignature);
        check_project("python", &tools.join("venv/bin"));
    }
}

#[test]
fn a_tool_in_javascript() {
    if let Some(tools) = tools("javascript") {
        check("javascript", &tools, &Size::RunsUnsigned);
        check_project("javascript", &tools.join("node_modules/.bin"));
    }
}

#[test]
fn a_tool_in_c() {
    if let Some(tools) = tools("c") {
        check("c", &tools, &Size::RunsUnsigned);
    }
}

#[test]
fn the_examples_differ_in_nothing_but_their_language() {
    let read = |language: &str, file: &str| {
        let path = root().join("sdk/examples").join(language).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let manifest = |language: &str| {
        let mut manifest: Value = serde_json::from_str(&read(language, "loong.plugin.json")).unwrap();
        assert_eq!(manifest["source_language"].take(), language);
        manifest["operations"].as_array_mut().unwrap().retain(|operation| operation["name"] != "#init");
        manifest
    };
    for language in ["python", "javascript", "c"] {
        assert_eq!(read(language, "wit/world.wit"), read("rust", "wit/world.wit"), "{language}");
        assert_eq!(manifest(language), manifest("rust"), "{language}");
    }
}
