//! The scan before a component is loaded, through the program.

use std::fs;

use loong_it::sandbox::Sandbox;
use serde_json::Value;

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ0123456789";

/// A command whose data holds a text. It ends at once.
fn command(text: &str) -> Vec<u8> {
    let source = format!(
        r#"(component
            (core module $m
              (memory 1) (data (i32.const 0) "{text}")
              (func (export "run") (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.6" (instance $exported)))"#
    );
    wat::parse_str(source).unwrap()
}

#[test]
fn a_component_with_a_secret_in_it_is_not_loaded_and_the_secret_is_not_repeated() {
    let sandbox = Sandbox::new();
    let work = sandbox.work();
    fs::write(work.join("leaky.wasm"), command(TOKEN)).unwrap();
    fs::write(work.join("clean.wasm"), command("nothing to see here")).unwrap();
    let clean = sandbox.loong(["run", "clean.wasm"]);
    assert_eq!(clean.exit, 0, "{}", clean.stderr);
    let leaky = sandbox.loong(["run", "leaky.wasm"]);
    assert_eq!(leaky.exit, 3, "{}", leaky.stderr);
    assert!(leaky.stderr.contains("[scan_blocked]"), "{}", leaky.stderr);
    let check = sandbox.loong(["plugins", "check", "leaky.wasm", "--json"]);
    assert_eq!(check.exit, 3, "{}", check.stderr);
    let document: Value = serde_json::from_str(&check.stdout).unwrap();
    assert_eq!(document["scan"]["findings"][0]["category"], "secret_in_data");
    let id = document["scan"]["findings"][0]["id"].as_str().unwrap().to_owned();
    let log = sandbox.loong(["audit", "recent", "--kind", "scan_evaluated", "--json"]);
    let records: Value = serde_json::from_str(&log.stdout).unwrap();
    let event = &records["records"].as_array().unwrap().last().unwrap()["event"];
    assert_eq!((&event["blocked"], &event["high"]), (&Value::Bool(true), &Value::from(1)), "{}", log.stdout);
    assert_eq!(event["findings"][0], id.as_str(), "what is printed can be found in the log");
    for said in [&leaky.stderr, &leaky.stdout, &check.stdout, &check.stderr, &log.stdout] {
        assert!(!said.contains("0123456789abc"), "{said}");
    }
}

#[test]
fn a_person_sets_other_rules_and_wrong_ones_let_nothing_run() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.work().join("leaky.wasm"), command(TOKEN)).unwrap();
    let default = fs::read_to_string(loong_it::root().join("policies/scan.toml")).unwrap();
    let rules = sandbox.loong_home().join("config/scan.toml");
    fs::write(&rules, default.replacen("block_on_high = true", "block_on_high = false", 1)).unwrap();
    let ended = sandbox.loong(["run", "leaky.wasm"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    fs::write(&rules, default.replacen("block_on_high = true", "block_on_high = maybe", 1)).unwrap();
    let ended = sandbox.loong(["run", "leaky.wasm"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("[config_invalid]"), "{}", ended.stderr);
    let digest = sandbox.loong(["plugins", "check", "leaky.wasm", "--json"]);
    assert_ne!(digest.exit, 0);
}

#[test]
fn a_digest_on_the_list_of_bad_ones_is_never_loaded() {
    let sandbox = Sandbox::new();
    let bytes = command("nothing to see here");
    fs::write(sandbox.work().join("clean.wasm"), &bytes).unwrap();
    let digest = sandbox.shell("sha256sum clean.wasm | cut -c1-64").stdout.trim().to_owned();
    let default = fs::read_to_string(loong_it::root().join("policies/scan.toml")).unwrap();
    let rules = default.replacen("known_bad = []", &format!("known_bad = [\"sha256:{digest}\"]"), 1);
    fs::write(sandbox.loong_home().join("config/scan.toml"), rules).unwrap();
    let ended = sandbox.loong(["run", "clean.wasm"]);
    assert_eq!(ended.exit, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("known_bad_digest"), "{}", ended.stderr);
}
