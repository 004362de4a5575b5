//! Manifests against components.

use loong_manifest::Risk;
use serde_json::{Value, json};

use super::*;

const GOOD: &str = "acme:math 1.2.0 unverified";

/// The outcome for a component with this import, and these members in its manifest.
#[track_caller]
fn check_import(interface: &str, members: Value, expected: &str) {
    check_unsigned(&packed(&component(&[&import(interface)]), &manifest(members)), expected);
}

#[test]
fn every_capability_that_is_imported_must_be_declared() {
    let requests = [
        ("log", json!({ "reason": "r" })),
        ("config", json!({ "reason": "r", "keys": ["a"] })),
        ("kv", json!({ "reason": "r" })),
        ("stream", json!({ "reason": "r" })),
        ("process", json!({ "reason": "r", "commands": [{ "command": "git" }] })),
        ("tools", json!({ "reason": "r", "operations": [] })),
    ];
    for (name, request) in &requests {
        let interface = format!("loong:host/{name}@0.1.0");
        check_import(&interface, json!({ "capabilities": { *name: request } }), GOOD);
        let others: Value = requests
            .iter()
            .filter(|(other, _)| other != name)
            .map(|(name, request)| (*name, request.clone()))
            .collect();
        let refusal = format!(
            "manifest_underdeclared: imports `{interface}`, but its manifest does not declare `{name}` for it"
        );
        check_import(&interface, json!({ "capabilities": others }), &refusal);
        check_import(&interface, json!({}), &refusal);
    }
}

#[test]
fn declaring_more_than_is_imported_is_no_refusal() {
    check_unsigned(
        &packed(&component(&[]), &manifest(json!({ "capabilities": { "kv": { "reason": "r" } } }))),
        GOOD,
    );
}

#[test]
fn what_carries_no_authority_needs_no_declaration() {
    for interface in ["wasi:io/streams@0.2.6", "wasi:random/random@0.2.6", "loong:host/types@0.1.0"] {
        check_import(interface, json!({}), GOOD);
    }
    // An interface of types only: there is nothing to call in it.
    let types = "(import \"core:git/types@0.1.0\" (instance (type $t (record (field \"a\" u8))) (export \"t\" (type (eq $t)))))";
    check_unsigned(&packed(&component(&[types]), &manifest(json!({}))), GOOD);
}

#[test]
fn the_file_system_is_declared_too() {
    let refusal = "manifest_underdeclared: imports `wasi:filesystem/types@0.2.6`, but its manifest does not declare `filesystem` for it";
    check_import("wasi:filesystem/types@0.2.6", json!({}), refusal);
    let filesystem = json!({ "filesystem": { "reason": "r", "folders": [] } });
    check_import("wasi:filesystem/types@0.2.6", json!({ "capabilities": filesystem }), GOOD);
}

#[test]
fn other_machines_are_declared() {
    let refusal = "manifest_underdeclared: imports `wasi:http/outgoing-handler@0.2.6`, but its manifest does not declare `http` for it";
    check_import("wasi:http/outgoing-handler@0.2.6", json!({}), refusal);
    let http = json!({ "reason": "r", "destinations": [{ "host": "a.example", "methods": ["GET"] }] });
    check_import("wasi:http/outgoing-handler@0.2.6", json!({ "capabilities": { "http": http } }), GOOD);
    let refusal = "manifest_underdeclared: imports `loong:host/tcp@0.1.0`, but its manifest does not declare `tcp` for it";
    check_import("loong:host/tcp@0.1.0", json!({ "capabilities": { "http": http } }), refusal);
    let tcp = json!({ "reason": "r", "destinations": [{ "host": "a.example", "port": 6514 }] });
    check_import("loong:host/tcp@0.1.0", json!({ "capabilities": { "tcp": tcp } }), GOOD);
}

#[test]
fn no_manifest_opens_what_the_host_does_not_offer() {
    for interface in [
        "wasi:sockets/tcp@0.2.6",
        "wasi:http/incoming-handler@0.2.6",
        "loong:host/secret@0.1.0",
        "plain-name",
    ] {
        let everything = json!({ "tools": { "reason": "r", "operations": ["*"] } });
        let refusal = format!("import_unknown: imports `{interface}`, which this host does not offer");
        check_import(interface, json!({ "capabilities": everything }), &refusal);
    }
    let function = component(&["(import \"f\" (func))"]);
    let refusal = "import_unknown: imports `f`, which this host does not offer";
    check_unsigned(&packed(&function, &manifest(json!({}))), refusal);
    check_unsigned(&function, refusal);
    let resource = component(&["(import \"r\" (type (sub resource)))"]);
    check_unsigned(&resource, "import_unknown: imports `r`, which this host does not offer");
}

#[test]
fn every_function_of_another_plugin_must_be_declared() {
    let tools =
        |pattern: &str| json!({ "capabilities": { "tools": { "reason": "r", "operations": [pattern] } } });
    let git = "core:git/git@0.1.0";
    for pattern in ["core:git/git#use-it", "core:git/git", "core:*", "*"] {
        check_import(git, tools(pattern), GOOD);
    }
    let refusal = "manifest_underdeclared: imports `core:git/git@0.1.0#use-it`, but its manifest does not declare `tools` for it";
    for pattern in ["core:git/git#use", "core:gi/*", "acme:*"] {
        check_import(git, tools(pattern), refusal);
    }
    check_import(git, json!({}), refusal);
    check_import("loong:provider/chat@0.1.0", tools("loong:provider/chat"), GOOD);
}

#[test]
fn a_resource_is_no_type_of_values() {
    let resource =
        |interface: &str| format!("(import \"{interface}\" (instance (export \"r\" (type (sub resource)))))");
    let check = |interface: &str, members: Value, expected: &str| {
        check_unsigned(&packed(&component(&[&resource(interface)]), &manifest(members)), expected);
    };
    let kv = json!({ "kv": { "reason": "r" } });
    check("loong:host/kv@0.1.0", json!({ "capabilities": kv }), GOOD);
    check(
        "loong:host/kv@0.1.0",
        json!({}),
        "manifest_underdeclared: imports `loong:host/kv@0.1.0`, but its manifest does not declare `kv` for it",
    );
    // Handles do not cross between components, declared or not.
    let tools = json!({ "tools": { "reason": "r", "operations": ["*"] } });
    for members in [json!({ "capabilities": tools }), json!({})] {
        check(
            "core:git/git@0.1.0",
            members,
            "import_unknown: imports `core:git/git@0.1.0`, which this host does not offer",
        );
    }
}

#[test]
fn methods_of_contracts_are_no_operations() {
    let text = r#"
        (type $r (resource (rep i32)))
        (core module $m (func (export "f") (param i32)) (func (export "g") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $close (param "self" (borrow $r)) (canon lift (core func $i "f")))
        (func $open (result u32) (canon lift (core func $i "g")))
        (component $shim
            (import "type" (type $t (sub resource)))
            (import "close" (func $c (param "self" (borrow $t))))
            (import "open" (func $o (result u32)))
            (export $e "r" (type $t))
            (export "[method]r.close" (func $c) (func (param "self" (borrow $e))))
            (export "open" (func $o)))
        (instance $api (instantiate $shim
            (with "type" (type $r)) (with "close" (func $close)) (with "open" (func $open))))
        (export "loong:channel/adapter@0.1.0" (instance $api))"#;
    let names: Vec<_> = risks(&component(&[text])).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["loong:channel/adapter@0.1.0#open"]);
}

#[test]
fn without_a_manifest_only_what_is_harmless_is_imported() {
    for interface in [
        "wasi:io/streams@0.2.6",
        "wasi:filesystem/types@0.2.6",
        "wasi:sockets/tcp@0.2.6",
        "wasi:http/types@0.2.6",
    ] {
        check_unsigned(&component(&[&import(interface)]), "unsigned:hint 0.0.0 unverified");
    }
    check_unsigned(
        &component(&[&import("wasi:http/incoming-handler@0.2.6")]),
        "import_unknown: imports `wasi:http/incoming-handler@0.2.6`, which this host does not offer",
    );
    for interface in [
        "loong:host/log@0.1.0",
        "loong:host/process@0.1.0",
        "core:git/git@0.1.0",
        "loong:host/tcp@0.1.0",
        "wasi:http/outgoing-handler@0.2.6",
    ] {
        check_unsigned(
            &component(&[&import(interface)]),
            &format!(
                "manifest_missing: the component holds no manifest; its import of `{interface}` has to be declared in one"
            ),
        );
    }
}

/// The outcome for `MATH` with these entries in its manifest.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "cases read better with the text in place")]
fn check_operations(entries: Value, expected: &str) {
    check_unsigned(
        &packed(&component(&[MATH, COMMAND_TOO]), &manifest(json!({ "operations": entries }))),
        expected,
    );
}

/// The command again, beside another part.
const COMMAND_TOO: &str = r#"
    (core module $m2 (func (export "f") (result i32) i32.const 0))
    (core instance $i2 (instantiate $m2))
    (func $run (result (result)) (canon lift (core func $i2 "f")))
    (instance $command (export "run" (func $run)))
    (export "wasi:cli/run@0.2.6" (instance $command))"#;

#[test]
fn the_manifest_lists_the_tools_that_there_are() {
    let double = json!({ "name": "acme:math/api@1.0.0#double", "risk": "read" });
    check_operations(json!([double]), GOOD);
    check_operations(json!([double, { "name": "wasi:cli/run@0.2.6#run", "risk": "read" }]), GOOD);
    check_operations(
        json!([]),
        "manifest_underdeclared: exports the operation `acme:math/api@1.0.0#double`, but its manifest does not list it",
    );
    for name in [
        "acme:math/api@1.0.0#halve",
        "acme:math/api@1.1.0#double",
        "acme:math/api#double",
        "wasi:cli/run@0.2.7#run",
    ] {
        check_operations(
            json!([double, { "name": name, "risk": "read" }]),
            &format!(
                "manifest_mismatch: the manifest lists the operation `{name}`, but the component does not offer it"
            ),
        );
    }
}

#[test]
fn the_manifest_describes_the_types_that_there_are() {
    let derived = loong_inspect::inspect(&component(&[MATH])).unwrap().operations.remove(0);
    let check = |side: &str, schema: Value, expected: &str| {
        let mut entry = json!({ "name": "acme:math/api@1.0.0#double", "risk": "read", "input": derived.input, "output": derived.output });
        entry[side] = schema;
        check_operations(json!([entry]), expected);
    };
    let differs = |side: &str| {
        format!(
            "manifest_mismatch: the manifest describes the {side} of `acme:math/api@1.0.0#double` otherwise than the component does"
        )
    };
    check("input", derived.input.clone(), GOOD);
    let mut described = derived.input.clone();
    described["description"] = json!("What to double.");
    described["properties"]["n"]["description"] = json!("The number.");
    check("input", described.clone(), GOOD);

    described["properties"]["n"]["maximum"] = json!(10);
    check("input", described, &differs("input"));
    check("input", json!({}), &differs("input"));
    check("input", json!(true), &differs("input"));
    let mut wider = derived.input.clone();
    wider["properties"]["extra"] = json!({ "type": "string" });
    check("input", wider, &differs("input"));
    check("output", derived.output.clone(), GOOD);
    check("output", json!({ "type": "string" }), &differs("output"));
}

#[test]
fn a_property_called_description_is_compared() {
    let text = r#"
        (core module $m (func (export "f") (param i32) (result i32) local.get 0))
        (core instance $i (instantiate $m))
        (func $set (param "description" u32) (result u32) (canon lift (core func $i "f")))
        (instance $api (export "set" (func $set)))
        (export "acme:math/api@1.0.0" (instance $api))"#;
    let bytes = component(&[text]);
    let derived = loong_inspect::inspect(&bytes).unwrap().operations.remove(0);
    let check = |input: &Value, expected: &str| {
        let operations = json!([{ "name": derived.name, "risk": "read", "input": input }]);
        check_unsigned(&packed(&bytes, &manifest(json!({ "operations": operations }))), expected);
    };
    check(&derived.input, GOOD);
    let mut other = derived.input.clone();
    other["properties"]["description"]["type"] = json!("string");
    check(
        &other,
        "manifest_mismatch: the manifest describes the input of `acme:math/api@1.0.0#set` otherwise than the component does",
    );
}

fn risks(bytes: &[u8]) -> Vec<(String, Risk, bool)> {
    let verified = verified(bytes, None, &TrustRoot::empty(), NOW).unwrap();
    verified.operations().iter().map(|each| (each.name.to_string(), each.risk, each.is_tool)).collect()
}

#[test]
fn what_no_manifest_speaks_of_is_irreversible() {
    let both = component(&[MATH, COMMAND_TOO]);
    let (double, run) = ("acme:math/api@1.0.0#double".to_owned(), "wasi:cli/run@0.2.6#run".to_owned());
    assert_eq!(
        risks(&both),
        [(double.clone(), Risk::Irreversible, true), (run.clone(), Risk::Irreversible, false)]
    );
    let entries = json!([{ "name": double, "risk": "read" }]);
    assert_eq!(
        risks(&packed(&both, &manifest(json!({ "operations": entries })))),
        [(double.clone(), Risk::Read, true), (run.clone(), Risk::Irreversible, false)]
    );
    let entries = json!([{ "name": double, "risk": "write" }, { "name": run, "risk": "read" }]);
    assert_eq!(
        risks(&packed(&both, &manifest(json!({ "operations": entries })))),
        [(double, Risk::Write, true), (run, Risk::Read, false)]
    );
    assert_eq!(risks(&component(&[COMMAND])).len(), 1);
}

#[test]
fn an_operation_carries_what_the_manifest_says_of_it() {
    let mut entry = json!({
        "name": "acme:math/api@1.0.0#double", "risk": "read", "doc": "Doubles.",
        "examples": [{ "n": 2 }], "defer_loading": true,
    });
    let derived = loong_inspect::inspect(&component(&[MATH])).unwrap().operations.remove(0);
    let mut described = derived.input.clone();
    described["properties"]["n"]["description"] = json!("The number.");
    entry["input"] = described.clone();
    let bytes = packed(&component(&[MATH]), &manifest(json!({ "operations": [entry] })));
    let verified = verified(&bytes, None, &TrustRoot::empty(), NOW).unwrap();
    let [operation] = verified.operations() else { panic!("one operation") };
    assert_eq!(operation.doc.as_deref(), Some("Doubles."));
    assert_eq!(operation.input.as_ref(), Some(&described));
    assert_eq!(operation.output.as_ref(), Some(&derived.output));
    assert_eq!(operation.examples, [json!({ "n": 2 })]);
    assert!(operation.defer_loading);
}

#[test]
fn the_publisher_of_the_unsigned_cannot_be_claimed() {
    check_unsigned(
        &packed(&component(&[]), &manifest(json!({ "id": "unsigned:math" }))),
        "manifest_invalid: the manifest claims the reserved publisher `unsigned`",
    );
    check_unsigned(
        &packed(&component(&[]), &manifest(json!({ "id": "unsigned2:math" }))),
        "unsigned2:math 1.2.0 unverified",
    );
}

#[test]
fn what_is_no_component_or_no_manifest_is_refused_with_its_own_code() {
    let code = |bytes: &[u8]| candidate(bytes, None).unwrap_err().code().as_str();
    assert_eq!(code(b"{}"), "not_wasm");
    assert_eq!(code(b"\0asm\x01\0\0\0"), "component_core_module");
    assert_eq!(code(&math()[..math().len() - 1]), "component_truncated");
    assert_eq!(code(&packed(&component(&[]), &manifest(json!({ "trust": "official" })))), "manifest_invalid");
    check_unsigned(&packed(&component(&[]), &manifest(json!({}))), GOOD);
    // A tier that it claims changes nothing of what it is.
    check_unsigned(&packed(&component(&[]), &manifest(json!({ "tier": "official" }))), GOOD);
}
