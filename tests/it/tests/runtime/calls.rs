//! Calls, and calls between components.

use serde_json::json;

use loong_manifest::{Code, Tier};

use crate::hostile::harness::{World, guest};

#[test]
fn a_component_calls_another_one_typed() {
    let world = World::new();
    world.load(guest("good_sums").official().asks("tools", json!({ "operations": ["good:math/api#add"] })));
    assert_eq!(world.call("core:good-sums.sum", json!({ "a": 1, "b": 2, "c": 39 })).said(), "42");
    let nested = world.calls_of("core:good-adds");
    assert_eq!(nested.len(), 2);
    for call in nested {
        assert_eq!((call.caller.as_str(), call.depth), ("core:good-sums", 1), "{call:?}");
        assert_eq!(call.ended.len(), 1);
        assert_eq!(call.ended[0].0, None);
    }
}

#[test]
fn an_operation_has_a_long_and_a_short_name() {
    let world = World::new();
    let arguments = || json!({ "a": 20, "b": 22 });
    for name in ["good:math/api@0.1.0#add", "good:math/api#add", "good-adds.add", "core:good-adds.add"] {
        assert_eq!(world.call(name, arguments()).said(), "42", "{name}");
    }
    for name in ["good:math/api@0.2.0#add", "good:math/api#subtract", "add", "good-adds.", "#add", ""] {
        let ended = world.call(name, arguments());
        assert_eq!(ended.result.unwrap_err().code(), Code::OperationUnknown, "{name}");
    }
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let world = World::new();
    let said = |arguments| world.call("core:good-adds.add", arguments).said();
    assert_eq!(said(json!({ "a": 1 })), "arguments_invalid: `b` is missing; it is u32");
    let wrong = r#"arguments_invalid: at `/b`: expected u32, found "x""#;
    assert_eq!(said(json!({ "a": 1, "b": "x" })), wrong);
    let array = "arguments_invalid: expected an object with the arguments, found an array of 2";
    assert_eq!(said(json!([1, 2])), array);
    let unknown = "arguments_invalid: `c` is not a member of the arguments (a, b)";
    assert_eq!(said(json!({ "a": 1, "b": 2, "c": 3 })), unknown);
    assert_eq!(said(json!({ "a": 1, "b": 2 })), "3");
}

#[test]
fn a_component_nobody_wrote_for_loong_is_called_by_its_function() {
    let world = World::of(guest("good_root_function"));
    for name in ["double", "#double", "unsigned:good-root-function.double", "good-root-function.double"] {
        assert_eq!(world.call(name, json!({ "number": 21 })).said(), "42", "{name}");
    }
}

#[test]
fn tools_are_called_by_name_with_errors_as_values() {
    let world = World::new();
    world.load(guest("unreachable").official());
    world.load(guest("tool_loops_forever").official().limit("deadline_ms", 100));
    let tools = json!({ "operations": ["good:math/*", "hostile:guest/*"] });
    world.load(guest("passes_tools").official().asks("tools", tools));
    let call = |operation: &str, arguments: &str| {
        let arguments = json!({ "operation": operation, "arguments-json": arguments });
        world.call("core:passes-tools.tools-call", arguments).said()
    };
    assert_eq!(call("good-adds.add", r#"{"a":1,"b":2}"#), r#"{"ok":"3"}"#);
    assert_eq!(call("good:math/api@0.1.0#add", r#"{"a":1,"b":2}"#), r#"{"ok":"3"}"#);
    assert_eq!(call("nothing.here", "{}"), r#"{"err":{"not-found":"nothing.here"}}"#);
    let invalid =
        |reason: &str| format!(r#"{{"err":{{"invalid":{{"field":"arguments-json","reason":"{reason}"}}}}}}"#);
    assert_eq!(call("good-adds.add", r#"{"a":1}"#), invalid("`b` is missing; it is u32"));
    assert_eq!(call("good-adds.add", "{"), invalid("line 1, column 1: EOF while parsing an object"));
    let deep = invalid("line 1, column 33: nested deeper than 32 levels");
    assert_eq!(call("good-adds.add", &"[".repeat(100_000)), deep);
    let trap = call("unreachable.go", "{}");
    assert!(
        trap.starts_with(r#"{"err":{"failed":{"code":"trap","message":"the plugin ended with a trap:"#),
        "{trap}"
    );
    assert_eq!(call("tool-loops-forever.go", "{}"), r#"{"err":{"deadline":100}}"#);

    let call = |operation: &str| json!({ "operation": operation, "arguments-json": "{\"a\":1,\"b\":2}" });
    let calls = json!({ "calls": [call("good-adds.add"), call("nothing.here"), call("good-adds.add")] });
    let batch = world.call("core:passes-tools.tools-batch", calls).said();
    assert_eq!(batch, r#"[{"ok":"3"},{"err":{"not-found":"nothing.here"}},{"ok":"3"}]"#);
    let calls = json!({ "calls": vec![call("good-adds.add"); 66] });
    let batch = world.call("core:passes-tools.tools-batch", calls).result.unwrap();
    assert_eq!(
        batch[64],
        json!({ "err": { "limit": { "name": "batch-calls", "maximum": 64, "used": 65 } } })
    );
    assert_eq!(batch[63], json!({ "ok": "3" }));

    let found =
        world.call("core:passes-tools.tools-search", json!({ "query": "add", "limit": 5 })).result.unwrap();
    assert_eq!(found["ok"].as_array().unwrap().len(), 1);
    assert_eq!(found["ok"][0]["operation"], "good:math/api@0.1.0#add");
    assert!(found["ok"][0]["input-schema"].as_str().unwrap().contains("additionalProperties"), "{found}");
}

#[test]
fn a_change_needs_approval_when_a_component_asks_for_it() {
    let world = World::new();
    world.load(guest("unreachable").official().risk("write"));
    let tools = json!({ "operations": ["hostile:guest/*"] });
    world.load(guest("passes_tools").official().asks("tools", tools));
    let ended = world.call(
        "core:passes-tools.tools-call",
        json!({ "operation": "unreachable.go", "arguments-json": "{}" }),
    );
    assert_eq!(ended.result.unwrap_err().code(), Code::ApprovalRequired);
}

#[test]
fn other_namespaces_are_closed() {
    let world = World::new();
    world.load(guest("unreachable").signed(Tier::VerifiedCommunity));
    world.load(guest("passes_tools").official().asks("tools", json!({ "operations": ["hostile:guest/*"] })));
    let arguments = json!({ "operation": "unreachable.go", "arguments-json": "{}" });
    let said = world.call("core:passes-tools.tools-call", arguments).said();
    assert_eq!(said, r#"{"err":{"not-found":"unreachable.go"}}"#);
}

#[test]
fn each_call_has_an_instance_of_its_own() {
    let text = r#"(component
      (core module $m (global $n (mut i32) (i32.const 0))
        (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))
      (core instance $i (instantiate $m))
      (func $next (result u32) (canon lift (core func $i "next")))
      (export "next" (func $next)))"#;
    let world = World::of(crate::hostile::harness::component("counts", wat::parse_str(text).unwrap()));
    for _ in 0..3 {
        assert_eq!(world.call("next", json!({})).said(), "1");
    }
}

#[test]
fn what_a_call_used_is_recorded() {
    let world = World::of(guest("memory_grows_past_its_own_maximum"));
    world.call("unsigned:memory-grows-past-its-own-maximum.go", json!({}));
    let recorded = world.calls_of("unsigned:memory-grows-past-its-own-maximum");
    let (code, usage) = &recorded[0].ended[0];
    assert_eq!(*code, None);
    assert_eq!(usage.memory_peak_bytes, 65536);
    assert!((500..5000).contains(&usage.fuel), "{usage:?}");
    assert!(usage.duration_us > 0);
}
