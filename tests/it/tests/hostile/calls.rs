//! Guests that abuse calls to other components, or lie about who calls.

use serde_json::json;

use loong_kernel::Outcome;
use loong_manifest::Tier;

use super::harness::{Ended, World, check, guest};

#[test]
fn calls_back() {
    let world = World::new();
    // Each was granted both: a call that came from another plugin is made with the rights of both.
    let tools = json!({ "operations": ["hostile:forth/api#go", "hostile:back/api#go"] });
    world.load(guest("calls_back").official().asks("tools", tools.clone()));
    world.load(guest("calls_forth").official().asks("tools", tools));
    check(
        &world,
        "core:calls-back",
        "go",
        json!({}),
        "depth_exceeded: the plugin exceeded its limit of 16 depth, 17 asked",
    );
    // Every call in between is in the log with its caller, and ended.
    let forth = world.calls_of("core:calls-forth");
    assert!(forth.iter().all(|call| call.caller == "core:calls-back" && call.depth % 2 == 1), "{forth:?}");
    let (refused, allowed): (Vec<_>, Vec<_>) = forth.iter().partition(|call| call.outcome == Outcome::Deny);
    assert!(refused.iter().all(|call| call.ended.is_empty() && call.depth == 17), "{refused:?}");
    assert!(allowed.iter().all(|call| call.ended.len() == 1), "{allowed:?}");
}

#[test]
fn calls_back_with_rights_that_its_caller_has_not() {
    let world = World::new();
    world.load(
        guest("calls_back").official().asks("tools", json!({ "operations": ["hostile:forth/api#go"] })),
    );
    world.load(
        guest("calls_forth").official().asks("tools", json!({ "operations": ["hostile:back/api#go"] })),
    );
    let expected = "token_invalid: denied: the token does not cover the operation";
    check(&world, "core:calls-back", "go", json!({}), expected);
    check(&world, "core:calls-forth", "go", json!({}), expected);
}

#[test]
fn exits_early_in_a_typed_call_is_the_fault_of_the_callee() {
    let world = World::new();
    let tools = json!({ "operations": ["good:math/api#add"] });
    world.load(guest("good_sums").official().asks("tools", tools.clone()));
    assert_eq!(world.call("core:good-sums.sum", json!({ "a": 1, "b": 2, "c": 3 })).said(), "6");
    // Now two offer it, so nobody knows which is meant.
    world.load(guest("exits_early").official());
    let ambiguous = "operation_unknown: no active plugin offers `good:math/api@0.1.0#add`";
    assert_eq!(world.call("core:good-sums.sum", json!({ "a": 1, "b": 2, "c": 3 })).said(), ambiguous);
    world.load(guest("passes_tools").official().asks("tools", tools));
    let arguments = json!({ "operation": "exits-early.add", "arguments-json": "{\"a\":1,\"b\":2}" });
    let said = world.call("core:passes-tools.tools-call", arguments).said();
    let words = "the plugin failed: it exited with status 0 instead of returning";
    assert_eq!(said, format!(r#"{{"err":{{"failed":{{"code":"plugin-failed","message":"{words}"}}}}}}"#));
}

#[test]
fn call_storm() {
    let world = World::of(
        guest("call_storm")
            .official()
            .limit("deadline_ms", 500)
            .asks("tools", json!({ "operations": ["good:math/*"] })),
    );
    check(&world, "core:call-storm", "go", json!({}), "deadline: the call did not end within 500 ms");
    let calls = world.calls_of("core:good-adds");
    let nested = calls.iter().filter(|call| call.caller == "core:call-storm").count();
    println!("{nested} nested calls");
    assert!(nested > 10);
    assert!(calls.iter().all(|call| call.ended.len() == 1), "a nested call has no end, or two");
}

#[test]
fn calls_that_need_more_places_than_the_pool_has() {
    // Each holds 13 instances at its deepest: 32 at once are more than the 256 places of the pool.
    let world =
        World::of(guest("nests").official().asks("tools", json!({ "operations": ["hostile:nest/*"] })));
    let ended = world.together(vec![("core:nests.go", json!({ "depth": 12 })); 32]);
    let full = "limit_exceeded: the plugin exceeded its limit of 256 concurrent_calls";
    let (well, badly): (Vec<_>, Vec<_>) = ended.iter().map(Ended::said).partition(|said| said == "null");
    assert!(badly.iter().all(|said| said == full), "{badly:?}");
    assert!(well.len() > 2 && badly.len() > 2, "{} ended well", well.len());
    // All places are free again: as many as there are, at once.
    let ended = world.together(vec![("core:nests.go", json!({ "depth": 12 })); 19]);
    assert!(ended.iter().all(|ended| ended.said() == "null"), "{ended:?}");
}

#[test]
fn an_unverified_component_borrows_no_authority() {
    let world = World::new();
    let process = json!({ "commands": [{ "command": "true" }] });
    world.load(guest("passes_process").official().asks("process", process));
    let tools = json!({ "operations": ["passes:process/*", "good:math/*"] });
    world.load(guest("passes_tools").claims("core").asks("tools", tools));
    let call = |operation: &str, arguments: &str| {
        let arguments = json!({ "operation": operation, "arguments-json": arguments });
        world.call("core:passes-tools.tools-call", arguments).said()
    };
    let request = r#"{"request":{"command":"true","arguments":[]}}"#;
    let said = call("passes-process.process-run", request);
    assert!(said.contains("forbidden by default.cedar:unverified-reaches-pure-operations"), "{said}");
    assert_eq!(call("good-adds.add", r#"{"a":1,"b":2}"#), r#"{"ok":"3"}"#);
}

#[test]
fn forged_caller() {
    let world = World::new();
    let tools = json!({ "operations": ["good:math/*"] });
    world.load(guest("passes_tools").signed(Tier::VerifiedCommunity).asks("tools", tools));
    let forge = |arguments: &str| {
        let arguments = json!({ "operation": "good:math/api#add", "arguments-json": arguments });
        world.call("acme:passes-tools.tools-call", arguments).said()
    };
    // What the arguments say of the caller is refused, as is everything that the function has no parameter for.
    for member in ["caller", "_loong", "token", "run", "depth"] {
        let forged = forge(&format!(r#"{{"a":1,"b":2,"{member}":"core:git"}}"#));
        assert!(forged.contains(r#""invalid""#) && forged.contains(member), "{forged}");
    }
    assert_eq!(forge(r#"{"a":1,"b":2}"#), r#"{"ok":"3"}"#);
    let ended =
        world.call("core:good-adds.add", json!({ "a": 1, "b": 2, "_loong": { "caller": "core:git" } }));
    assert_eq!(ended.said(), "arguments_invalid: `_loong` is not a member of the arguments (a, b)");
    // The log has the real one.
    let callers: Vec<String> = world.calls_of("core:good-adds").into_iter().map(|call| call.caller).collect();
    assert_eq!(callers.iter().filter(|caller| *caller == "acme:passes-tools").count(), 6, "{callers:?}");
    assert!(callers.iter().all(|caller| ["acme:passes-tools", "person"].contains(&caller.as_str())));
}

#[test]
fn a_plugin_cannot_tell_what_it_may_not_call_from_what_does_not_exist() {
    let world = World::new();
    world.load(guest("passes_tools").official().asks("tools", json!({ "operations": ["other:math/*"] })));
    let call = |operation: &str| {
        let arguments = json!({ "operation": operation, "arguments-json": "{\"a\":1,\"b\":2}" });
        world.call("core:passes-tools.tools-call", arguments).said().replace(operation, "NAME")
    };
    assert_eq!(call("good:math/api#add"), call("other:math/api#add"));
    assert_eq!(call("good:math/api#add"), r#"{"err":{"not-found":"NAME"}}"#);
    let search = world.call("core:passes-tools.tools-search", json!({ "query": "", "limit": 10 })).said();
    assert_eq!(search, r#"{"ok":[]}"#);
}

#[test]
fn other_types_than_were_agreed_are_a_fault() {
    let world = World::new();
    world.load(guest("wants_other_types").official().asks("tools", json!({ "operations": ["good:math/*"] })));
    let ended = world.call("core:wants-other-types.go", json!({}));
    assert_eq!(ended.said(), "trap: the plugin ended with a trap: expected 2 argument(s), got 1");
}
