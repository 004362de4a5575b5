//! The first-party components: what a checkout makes of them is published under a key of one's own, verified,
//! installed and called.

use std::fs;

use loong_it::fixture;
use loong_it::sandbox::Sandbox;
use serde_json::{Value, json};

/// Runs what has to work.
#[track_caller]
fn ok(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let ended = sandbox.loong(arguments.iter().copied());
    assert_eq!(ended.exit, 0, "{arguments:?}\n{}{}", ended.stdout, ended.stderr);
    ended.stdout
}

#[test]
fn a_checkout_publishes_its_own_build() {
    let sandbox = Sandbox::new();
    let index = fs::read(loong_it::root().join("registry/index/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    ok(&sandbox, &["registry", "keys", "generate", "--name", "mine", "--publisher", "core"]);
    ok(&sandbox, &["registry", "init", "repo", "--key", "mine"]);
    let publisher = ["registry", "publisher", "core", "--tier", "official", "--key", "mine"];
    ok(&sandbox, &[publisher.as_slice(), &["--repository", "repo"]].concat());
    for entry in index["entries"].as_array().unwrap() {
        let source = entry["built"]["source"].as_str().unwrap();
        let file = format!("{}.wasm", source.rsplit('/').next().unwrap());
        fs::copy(fixture::plugins().join(&file), sandbox.work().join(&file)).unwrap();
        ok(&sandbox, &["plugins", "sign", &file, "--key", "mine"]);
        ok(&sandbox, &["registry", "add", &file, "--built-from", source, "--repository", "repo"]);
    }
    ok(&sandbox, &["registry", "publish", "--repository", "repo"]);
    let verified = ok(&sandbox, &["registry", "verify", "repo", "--json"]);
    let verified: Value = serde_json::from_str(&verified).unwrap();
    let ids = |value: &Value| -> Vec<(Value, Value)> {
        let entries = value["entries"].as_array().unwrap();
        entries.iter().map(|entry| (entry["id"].clone(), entry["version"].clone())).collect()
    };
    assert_eq!(ids(&verified), ids(&index));
    assert_eq!(verified["ok"], json!(true), "{verified}");

    ok(&sandbox, &["registry", "connect", "mine", "repo", "--root", "repo/metadata/1.root.json"]);
    ok(&sandbox, &["plugins", "install", "core:text", "--yes"]);
    let said = ok(&sandbox, &["tools", "call", "core:text.count", r#"{"text":"one two"}"#]);
    assert!(said.contains("\"words\""), "{said}");
}

/// A checkout with one project that no network is needed for.
fn checkout(sandbox: &Sandbox) -> std::path::PathBuf {
    ok(sandbox, &["plugins", "init", "greet"]);
    let folder = sandbox.work().join("greet");
    let git = |arguments: &[&str]| {
        let mut command = sandbox.command("git");
        let ended = sandbox.run(command.current_dir(sandbox.work()).args(arguments));
        assert_eq!(ended.exit, 0, "{arguments:?} {}", ended.stderr);
    };
    git(&["init", "--quiet"]);
    git(&["add", "greet"]);
    folder
}

#[test]
fn building_the_sources_again_shows_who_changed_them() {
    let sandbox = Sandbox::new();
    // What the template needs came with the first-party components.
    fixture::plugins();
    let project = checkout(&sandbox);
    ok(&sandbox, &["registry", "index", "greet", "--output", "."]);
    let source = project.join("src/lib.rs");
    let changed = fs::read_to_string(&source).unwrap().replacen("must be at least 1", "must be one", 1);
    fs::write(&source, changed).unwrap();
    let ended = sandbox.loong(["registry", "verify", ".", "--rebuild", "."]);
    assert_eq!(ended.exit, 3, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("[repository_mismatch]"), "{}", ended.stderr);
    assert!(ended.stdout.contains("built again it is"), "{}", ended.stdout);

    // Another compiler may make other bytes of the same sources: that is said, and is no error.
    let path = sandbox.work().join("index.json");
    let index = fs::read_to_string(&path).unwrap().replace("rustc 1.", "rustc 0.");
    fs::write(&path, index).unwrap();
    let ended = sandbox.loong(["registry", "verify", ".", "--rebuild", "."]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("not compared"), "{}", ended.stdout);
}
