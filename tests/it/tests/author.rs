//! `loong plugins test`: components under the real host, with the answers of their neighbours written down.

use std::fs;

use loong_it::fixture;
use loong_it::sandbox::Sandbox;
use serde_json::{Value, json};

#[test]
fn a_new_project_passes_its_tests_and_says_what_differs() {
    let sandbox = Sandbox::new();
    // What the template needs came with the first-party components.
    fixture::plugins();
    assert_eq!(sandbox.loong(["plugins", "init", "word-count"]).exit, 0);
    let ended = sandbox.loong(["plugins", "test", "word-count"]);
    assert_eq!(ended.exit, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("2 tests, 0 failed"), "{}", ended.stdout);

    let path = sandbox.work().join("word-count/tests/shortens.loong-test.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"one two\"", "\"one owt\"")).unwrap();
    let ended = sandbox.loong(["plugins", "test", "word-count"]);
    assert_eq!(ended.exit, 4, "{}{}", ended.stdout, ended.stderr);
    for line in ["/ok/text: expected \"one owt\"", "/ok/text: came     \"one two\"", "2 tests, 1 failed"] {
        assert!(ended.stdout.contains(line), "{line} is not in {}", ended.stdout);
    }
    assert_eq!(sandbox.loong(["plugins", "test", "word-count", "--bless"]).exit, 0);
    assert_eq!(sandbox.loong(["plugins", "test", "word-count"]).exit, 0);

    fs::write(&path, text.replace("\"about\"", "\"abuot\"")).unwrap();
    let ended = sandbox.loong(["plugins", "test", "word-count"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("[config_invalid]"), "{}", ended.stderr);
}

/// What comes of the pack with these answers of `core:git`.
fn tested(answers: &Value) -> (i32, Value) {
    let sandbox = Sandbox::new();
    let source =
        loong_it::root().join("components/pack-release-review/tests/an_empty_history.loong-test.json");
    let mut test: Value = serde_json::from_slice(&fs::read(source).unwrap()).unwrap();
    if !answers.is_null() {
        test["neighbours"] = answers.clone();
    }
    fs::create_dir(sandbox.work().join("tests")).unwrap();
    fs::write(sandbox.work().join("tests/one.loong-test.json"), test.to_string()).unwrap();
    let pack = fixture::plugins().join("pack-release-review.wasm");
    let ended = sandbox.loong(["plugins", "test", pack.to_str().unwrap(), "--tests", "tests", "--json"]);
    (ended.exit, serde_json::from_str(&ended.stdout).unwrap())
}

#[test]
fn neighbours_answer_what_the_test_says() {
    let (exit, said) = tested(&json!(null));
    assert_eq!((exit, &said["failed"]), (0, &json!(0)), "{said}");

    let (exit, said) = tested(
        &json!([{ "operation": "git.head", "output": { "ok": "1111111111111111111111111111111111111111" } }]),
    );
    assert_ne!(exit, 0);
    assert!(said.to_string().contains("the test has no answer of `core:git/git@0.1.0#"), "{said}");

    let head = json!({ "operation": "git.head", "output": { "ok": "of another type", "and": 1 } });
    let (exit, said) = tested(&json!([head]));
    assert_ne!(exit, 0);
    assert!(said.to_string().contains("[result_invalid]") || said.to_string().contains("result"), "{said}");

    let (exit, said) = tested(&json!([{ "operation": "git.head", "trap": true }]));
    assert_ne!(exit, 0);
    assert!(said.to_string().contains("the test says so"), "{said}");
}

#[test]
fn a_project_of_every_kind_passes_the_tests_it_begins_with() {
    let sandbox = Sandbox::new();
    // What the templates need came with the first-party components.
    fixture::plugins();
    for (kind, tests) in [("pack", 1), ("command", 2), ("policy", 1), ("provider", 2), ("sink", 1)] {
        let name = format!("my-{kind}");
        let made = sandbox.loong(["plugins", "init", &name, "--kind", kind, "--publisher", "acme"]);
        assert_eq!(made.exit, 0, "{}", made.stderr);
        let ended = sandbox.loong(["plugins", "test", &name]);
        assert_eq!(ended.exit, 0, "{kind}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains(&format!("{tests} test")), "{}", ended.stdout);
        assert!(ended.stdout.contains(", 0 failed"), "{}", ended.stdout);
        let checked = sandbox.loong(["plugins", "doctor", &name, "--json"]);
        let said: Value = serde_json::from_str(&checked.stdout).unwrap();
        let blocking: Vec<&Value> = said["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["state"] == "block")
            .map(|check| &check["check"])
            .collect();
        // Whoever starts a project has nothing to do but to sign it.
        assert_eq!(blocking, ["signature"], "{kind}: {}", checked.stdout);
    }
    // What the tests passed under goes into the manifest, and from there into the component.
    let component = "my-pack/target/loong/my-pack.wasm";
    let tested = || -> Value {
        assert_eq!(sandbox.loong(["plugins", "build", "my-pack"]).exit, 0);
        let said = sandbox.loong(["plugins", "compat", component, "--json"]);
        let said: Value = serde_json::from_str(&said.stdout).unwrap();
        said["plugins"][0]["needs"][0].clone()
    };
    assert_eq!(tested()["tested"], Value::Null);
    assert_eq!(sandbox.loong(["plugins", "test", "my-pack", "--record"]).exit, 0);
    let need = tested();
    assert_eq!((&need["package"], &need["tested"]), (&json!("loong:host"), &need["built_with"]), "{need}");
    assert_eq!(sandbox.loong(["plugins", "test", component, "--record"]).exit, 2);
    let refused = sandbox.loong(["plugins", "init", "x", "--kind", "sink", "--language", "python"]);
    assert_eq!(refused.exit, 2, "{}", refused.stderr);
}

#[test]
fn a_doctor_names_what_kind_of_work_is_left() {
    let sandbox = Sandbox::new();
    fixture::plugins();
    assert_eq!(sandbox.loong(["plugins", "init", "word-count"]).exit, 0);
    let look = |profile: &str| -> (i32, Value) {
        let ended = sandbox.loong(["plugins", "doctor", "word-count", "--profile", profile, "--json"]);
        (ended.exit, serde_json::from_str(&ended.stdout).unwrap())
    };
    let state = |said: &Value, name: &str| -> Value {
        let checks = said["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name).map_or(Value::Null, |check| check["state"].clone())
    };
    let (exit, said) = look("runtime");
    assert_eq!((exit, &said["verdict"]), (1, &json!("block")), "nothing is built yet: {said}");
    assert_eq!(said["next"][0], "loong plugins build word-count");
    assert_eq!(sandbox.loong(["plugins", "build", "word-count"]).exit, 0);
    assert_eq!(look("runtime").0, 0);
    let (exit, said) = look("marketplace");
    assert_eq!((exit, state(&said, "publisher")), (1, json!("block")), "{said}");

    let folder = sandbox.work().join("word-count");
    fs::remove_file(folder.join("README.md")).unwrap();
    let source = folder.join("src/lib.rs");
    fs::write(&source, fs::read_to_string(&source).unwrap() + "\n").unwrap();
    let manifest = folder.join("loong.plugin.json");
    let text = fs::read_to_string(&manifest).unwrap().replace(r#""capabilities": {}"#,
        r#""capabilities": {}, "setup": { "env": ["ACME_KEY"], "config": ["region"], "programs": ["no-such-program"] }"#);
    fs::write(&manifest, text).unwrap();
    let (_, said) = look("release");
    assert_eq!(state(&said, "fresh"), "block", "{said}");
    assert_eq!(state(&said, "texts"), "warn", "{said}");
    assert_eq!(sandbox.loong(["plugins", "build", "word-count"]).exit, 0);
    let (exit, said) = look("runtime");
    assert_eq!((exit, state(&said, "setup")), (1, json!("block")), "{said}");
    for missing in ["`ACME_KEY`", "`region`", "`no-such-program`"] {
        assert!(said.to_string().contains(missing), "{said}");
    }
}
