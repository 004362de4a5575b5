//! What the views print is what `registry/schema/` says.

use std::fs;

use loong_it::fixture::{guest, plugins};
use loong_it::sandbox::Sandbox;
use serde_json::{Value, json};

/// Holds documents against a schema of `registry/schema/`.
#[track_caller]
fn check(schema: &str, documents: &[Value]) {
    let path = loong_it::root().join("registry/schema").join(schema).with_extension("schema.json");
    let schema = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(!documents.is_empty());
    for document in documents {
        let wrong: Vec<String> = validator
            .iter_errors(document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?} in {document:#}");
    }
}

/// A log with calls that went well and badly, a component that was refused, and searches of a component.
fn eventful() -> Sandbox {
    let sandbox = Sandbox::new();
    plugins();
    guest("stranger");
    let bytes = fs::read(guest("passes_tools")).unwrap();
    let operations: Vec<Value> = loong_inspect::inspect(&bytes)
        .unwrap()
        .operations
        .iter()
        .map(|operation| json!({ "name": operation.name.to_string(), "risk": "read" }))
        .collect();
    let manifest = json!({
        "id": "local:searches", "version": "0.1.0", "kind": "tool", "summary": "Searches as it is told.",
        "capabilities": { "tools": { "operations": ["*"], "reason": "to search them" } },
        "operations": operations,
    });
    let packed = loong_inspect::with_manifest(&bytes, manifest.to_string().as_bytes()).unwrap();
    fs::write(sandbox.work().join("searches.wasm"), packed).unwrap();
    fs::write(sandbox.work().join("evil.wasm"), "no component").unwrap();
    let text = "--with $PLUGINS/tool-text.wasm";
    for (line, exit) in [
        ("loong plugins sign searches.wasm", 0),
        (
            &format!(
                "loong tools call searches.wasm tools-search '{{\"query\": \"text\", \"limit\": 5}}' {text}"
            ),
            0,
        ),
        (
            &format!(
                "loong tools call searches.wasm tools-search '{{\"query\": \"text\", \"limit\": 5}}' {text}"
            ),
            0,
        ),
        (
            "loong tools call searches.wasm tools-search '{\"query\": \"nothing of the sort\", \"limit\": 5}'",
            0,
        ),
        ("loong tools call $GUESTS/stranger.wasm add '{\"left\": 1, \"right\": 2}'", 0),
        ("loong tools call $GUESTS/stranger.wasm stop", 4),
        ("loong tools call evil.wasm add", 1),
    ] {
        let ended = sandbox.shell(line);
        assert_eq!(ended.exit, exit, "{line}: {}", ended.stderr);
    }
    sandbox
}

#[test]
fn every_view_answers_as_its_schema_says() {
    let sandbox = eventful();
    let lines = |arguments: &str| -> Vec<Value> {
        let ended = sandbox.shell(&format!("loong audit {arguments}"));
        assert_eq!(ended.exit, 0, "{arguments}: {}", ended.stderr);
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let one = |arguments: &str| -> Vec<Value> {
        let ended = sandbox.shell(&format!("loong audit {arguments} --json"));
        assert_eq!(ended.exit, 0, "{arguments}: {}", ended.stderr);
        vec![serde_json::from_str(&ended.stdout).unwrap()]
    };
    let recent = one("recent --limit 1000");
    check("audit-recent", &recent);
    let records = recent[0]["records"].as_array().unwrap();
    let events: Vec<Value> = records.iter().map(|record| record["event"].clone()).collect();
    check("audit-event", &events);
    check("audit-recent", &one("recent --triage plugin_failed"));
    for group in ["", "--group-by pack", "--group-by agent", "--group-by token", "--group-by triage"] {
        check("audit-summary", &one(&format!("summary {group}")));
    }
    for group in ["", "--group-by pack", "--group-by agent"] {
        check("audit-discovery", &one(&format!("discovery {group}")));
    }
    check("audit-exported", &lines("export"));
    let event = |kind: &str| events.iter().find(|event| event["kind"] == kind).unwrap();
    check("audit-show", &one(&format!("show {}", event("call_finished")["call"].as_str().unwrap())));
    check("audit-show", &one("show 3"));
    check(
        "audit-token-trail",
        &one(&format!("token-trail {}", event("token_issued")["token"].as_str().unwrap())),
    );
}

#[test]
fn searches_are_counted() {
    let sandbox = eventful();
    let ended = sandbox.loong(["audit", "discovery", "--json"]);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let group = &found["groups"][0];
    assert_eq!(
        (&found["groups_total"], &group["searches"], &group["empty"]),
        (&json!(1), &json!(3), &json!(1))
    );
    assert_eq!(group["queries"][0], json!({ "name": "text", "count": 2 }));
    let by_agent = sandbox.loong(["audit", "discovery", "--group-by", "agent"]);
    assert!(by_agent.stdout.starts_with("local:searches: 3 searches"), "{}", by_agent.stdout);
    let none = sandbox.loong(["audit", "discovery", "--agent", "person"]);
    assert_eq!((none.exit, none.stdout.as_str()), (0, ""), "{}", none.stderr);
}
