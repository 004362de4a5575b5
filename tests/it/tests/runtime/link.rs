//! Linking: what is imported, what is granted, and nothing else.

use serde_json::json;

use loong_manifest::Tier;

use crate::hostile::harness::{Guest, World, component, guest};

/// The code with which a guest is refused.
fn refused(guest: Guest) -> String {
    let refused = World::new().try_load(guest).unwrap_err();
    refused.0.to_string()
}

/// A component that imports one interface with one function.
fn importer(interface: &str) -> Guest {
    let text = format!(
        "(component (import \"{interface}\" (instance $i (export \"use-it\" (func))))
           (core func $use (canon lower (func $i \"use-it\")))
           (core module $m (import \"i\" \"use\" (func $use)) (func (export \"go\") (call $use)))
           (core instance $m (instantiate $m (with \"i\" (instance (export \"use\" (func $use))))))
           (func $go (canon lift (core func $m \"go\"))) (instance $api (export \"go\" (func $go)))
           (export \"hostile:guest/api@0.1.0\" (instance $api)))"
    );
    component("imports", wat::parse_str(text).unwrap())
}

#[test]
fn an_import_that_the_manifest_does_not_declare_is_refused() {
    assert_eq!(refused(guest("log_flood").official()), "manifest_underdeclared");
    // Repaired, it is accepted.
    World::of(guest("log_flood").official().asks("log", json!({})));
}

#[test]
fn a_capability_needs_a_manifest() {
    assert_eq!(refused(guest("log_flood")), "manifest_missing");
    assert_eq!(refused(guest("call_storm")), "manifest_missing");
}

#[test]
fn a_capability_that_policy_does_not_grant_is_refused() {
    let process = json!({ "commands": [{ "command": "true" }] });
    assert_eq!(
        refused(guest("passes_process").claims("local").asks("process", process.clone())),
        "tier_too_low"
    );
    assert_eq!(
        refused(guest("passes_process").signed(Tier::VerifiedCommunity).asks("process", process.clone())),
        "tier_too_low"
    );
    World::of(guest("passes_process").official().asks("process", process));
}

#[test]
fn an_import_that_no_one_can_offer_is_refused() {
    for interface in [
        "loong:host/secret@0.1.0",
        "wasi:http/incoming-handler@0.2.6",
        "wasi:keyvalue/store@0.2.0-draft",
        "wasi:nn/inference@0.2.0",
    ] {
        assert_eq!(refused(importer(interface)), "import_unknown", "{interface}");
        assert_eq!(refused(importer(interface).official()), "import_unknown", "{interface}");
    }
}

#[test]
fn a_function_that_an_interface_of_the_host_does_not_have_is_refused() {
    assert_eq!(
        refused(importer("loong:host/log@0.1.0").official().asks("log", json!({}))),
        "component_invalid"
    );
    assert_eq!(refused(importer("wasi:cli/environment@0.2.6")), "component_invalid");
    assert_eq!(
        refused(importer("loong:host/log@0.9.0").official().asks("log", json!({}))),
        "contract_unsupported"
    );
}

#[test]
fn an_import_that_no_active_plugin_offers_is_a_fault_of_the_call() {
    let tools = json!({ "operations": ["acme:weather/*"] });
    let world = World::of(importer("acme:weather/api@1.0.0").official().asks("tools", tools));
    let ended = world.call("core:imports.go", json!({}));
    assert_eq!(ended.said(), "operation_unknown: no active plugin offers `acme:weather/api@1.0.0#use-it`");
    let catalog = world.kernel.catalog();
    let imports = catalog.plugin(&"core:imports".parse().unwrap()).unwrap().plugin.imports().to_vec();
    assert_eq!(imports.len(), 1);
    assert_eq!(imports[0].interface.to_string(), "acme:weather/api@1.0.0");
    assert_eq!(imports[0].functions[0].name, "use-it");
}
