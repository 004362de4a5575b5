//! The workflow that registries in git are verified by: its steps that call `loong`, run as a runner runs them.

use std::fs;

use serde_json::{Value, json};

use super::{Fixture, component, copy};

/// The commands of the steps that call `loong`.
fn steps() -> Vec<String> {
    let text = fs::read_to_string(loong_it::root().join("registry/ci/verify-registry.yml")).unwrap();
    let runs = text.lines().filter_map(|line| line.trim().strip_prefix("run: ").map(str::to_owned));
    runs.filter(|run| run.starts_with("loong ")).collect()
}

/// How each step ends in a clone of the repository by somebody who knows nothing of it, and what was found.
fn run(fixture: &Fixture) -> (Vec<i32>, String, Value) {
    let clone = fixture.sandbox.work().join("clone");
    copy(&fixture.sandbox.work().join("repo"), &clone);
    fs::copy(fixture.sandbox.work().join("repo/metadata/1.root.json"), clone.join("root.json")).unwrap();
    let mut ends = Vec::new();
    let mut said = String::new();
    for step in steps() {
        let mut shell = fixture.sandbox.command("/bin/sh");
        shell.args(["-e", "-c", &step]).current_dir(&clone).env("LOONG_HOME", fixture.sandbox.path("runner"));
        let ended = fixture.sandbox.run(&mut shell);
        ends.push(ended.exit);
        said += &ended.stdout;
    }
    let sarif = serde_json::from_slice(&fs::read(clone.join("registry.sarif")).unwrap()).unwrap();
    fs::remove_dir_all(clone).unwrap();
    (ends, said, sarif)
}

#[test]
fn the_workflow_passes_what_is_good_and_shows_what_is_not() {
    let fixture = Fixture::new();
    let (ends, said, sarif) = run(&fixture);
    assert_eq!(ends, [0, 0], "{said}");
    assert_eq!(sarif["version"], "2.1.0");
    // Somebody changed a component that is served.
    let served = fixture.sandbox.work().join("repo/targets");
    let mut folders = vec![served];
    let mut changed = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "wasm") {
                fs::write(entry, component("acme:greet", "1.0.0", &json!({ "tags": ["x"] }))).unwrap();
                changed += 1;
            }
        }
    }
    assert_eq!(changed, 1);
    let (ends, said, sarif) = run(&fixture);
    assert_eq!(ends, [1, 0], "the finding fails the first step; the second keeps it: {said}");
    assert!(said.contains("::error"), "annotations of the pull request: {said}");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(results.iter().any(|result| result["level"] == "error"), "{sarif}");
}
