//! Components of two publishers in one host: neither can name, search, call or read what is the other's, nor
//! learn from a refusal that it is there.

use std::time::Duration;

use loong_kernel::{Event, Outcome};
use loong_manifest::{Code, Tier};
use serde_json::json;

use super::harness::{Guest, World, guest};

/// A guest of this publisher, signed by a key that may sign for it.
fn of(publisher: &str, name: &str) -> Guest {
    guest(name).signed(Tier::VerifiedCommunity).claims(publisher)
}

/// `acme:passes-tools`, which may call everything as far as its own grants go; and `evil:stranger`, which adds.
fn world() -> World {
    let world = World::of(of("acme", "passes_tools").asks("tools", json!({ "operations": ["*"] })));
    world.load(of("evil", "stranger"));
    world
}

/// What `acme:passes-tools` is told when it calls an operation, without the operation's name.
fn told(world: &World, operation: &str) -> String {
    let arguments = json!({ "operation": operation, "arguments-json": "{\"left\":1,\"right\":1}" });
    world.call("acme:passes-tools.tools-call", arguments).said().replace(operation, "NAME")
}

/// Names of an operation of `evil`, each beside one of the same form that nothing has.
const HIDDEN_AND_ABSENT: [(&str, &str); 6] = [
    ("stranger:sums/sums@1.0.0#add", "stranger:sums/sums@1.0.0#adx"),
    ("stranger:sums/sums#add", "stranger:sums/sumx#add"),
    ("stranger:sums/sums@1.0.0#add", "stranger:sums/sums@2.0.0#add"),
    ("stranger.add", "strangex.add"),
    ("evil:stranger.add", "evil:strangex.add"),
    ("evil:stranger.add", "evix:stranger.add"),
];

#[test]
fn what_is_anothers_is_refused_in_the_words_for_what_does_not_exist() {
    let world = world();
    for (hidden, absent) in HIDDEN_AND_ABSENT {
        assert_eq!(told(&world, hidden), told(&world, absent), "{hidden}");
        assert_eq!(told(&world, hidden), r#"{"err":{"not-found":"NAME"}}"#);
    }
    // The person can call it, and so can a component of its own publisher.
    assert_eq!(world.call("evil:stranger.add", json!({ "left": 1, "right": 1 })).said(), "2");
    world.load(of("evil", "passes_tools").asks("tools", json!({ "operations": ["*"] })));
    let arguments = json!({ "operation": "stranger.add", "arguments-json": "{\"left\":1,\"right\":1}" });
    assert_eq!(world.call("evil:passes-tools.tools-call", arguments).said(), r#"{"ok":"2"}"#);
}

#[test]
fn a_batch_learns_no_more_than_a_call() {
    let world = world();
    let calls: Vec<_> = [HIDDEN_AND_ABSENT[3].0, HIDDEN_AND_ABSENT[3].1]
        .map(|name| json!({ "operation": name, "arguments-json": "{\"left\":1,\"right\":1}" }))
        .into();
    let said = world.call("acme:passes-tools.tools-batch", json!({ "calls": calls })).said();
    assert_eq!(said, r#"[{"err":{"not-found":"stranger.add"}},{"err":{"not-found":"strangex.add"}}]"#);
}

#[test]
fn a_search_finds_what_is_ones_own_and_what_is_official() {
    let world = world();
    let found = |publisher: &str| {
        let said = world
            .call(&format!("{publisher}:passes-tools.tools-search"), json!({ "query": "add", "limit": 10 }));
        let found = said.result.unwrap();
        let found =
            found["ok"].as_array().unwrap().iter().map(|tool| tool["operation"].as_str().unwrap().to_owned());
        found.collect::<Vec<_>>()
    };
    assert_eq!(found("acme"), ["good:math/api@0.1.0#add"]);
    world.load(of("evil", "passes_tools").asks("tools", json!({ "operations": ["*"] })));
    assert_eq!(found("evil"), ["good:math/api@0.1.0#add", "stranger:sums/sums@1.0.0#add"]);
}

#[test]
fn another_namespace_cannot_stand_in_the_way() {
    let world = world();
    // What evil offers under the same names makes nothing ambiguous for acme, whose own answer is the only one.
    world.load(of("acme", "stranger"));
    for name in ["stranger:sums/sums@1.0.0#add", "stranger.add", "acme:stranger.add"] {
        assert_eq!(told(&world, name), r#"{"ok":"2"}"#, "{name}");
    }
    assert_eq!(told(&world, "evil:stranger.add"), r#"{"err":{"not-found":"NAME"}}"#);
    // A typed import leads to the official component, although evil offers the same interface.
    world.load(of("evil", "good_adds"));
    world.load(of("acme", "good_sums").asks("tools", json!({ "operations": ["good:math/api#add"] })));
    assert_eq!(world.call("acme:good-sums.sum", json!({ "a": 1, "b": 2, "c": 3 })).said(), "6");
    assert!(world.calls_of("evil:good-adds").is_empty());
}

#[test]
fn a_claimed_namespace_is_none() {
    let world = world();
    // Nobody vouches for it: its claim to be of evil opens evil's operations as little as acme's are open to it.
    world.load(guest("calls_forth").claims("evil").asks("tools", json!({ "operations": ["*"] })));
    let said = world.call("evil:calls-forth.go", json!({})).said();
    assert!(said.starts_with("operation_unknown: "), "{said}");
    world.load(of("acme", "calls_back").asks("tools", json!({ "operations": ["*"] })));
    let said = world.call("evil:calls-forth.go", json!({})).said();
    assert_eq!(said, "operation_unknown: no active plugin offers `hostile:back/api@0.1.0#go`");
}

#[test]
fn a_hidden_call_leaves_as_many_records_as_one_to_nothing_and_the_log_says_why() {
    let world = world();
    let decisions = |operation: &str| {
        let before = world.audit().len();
        told(&world, operation);
        let events = world.audit();
        let nested: Vec<_> = events[before..]
            .iter()
            .filter_map(|event| match event {
                Event::Decision { caller, outcome, code, policies, .. } if caller == "acme:passes-tools" => {
                    Some((*outcome, *code, policies.clone()))
                }
                _ => None,
            })
            .collect();
        (events.len() - before, nested)
    };
    for (hidden, absent) in HIDDEN_AND_ABSENT {
        let (hidden, absent) = (decisions(hidden), decisions(absent));
        assert_eq!(hidden.0, absent.0);
        let closed = vec!["default.cedar:namespaces-are-closed".to_owned()];
        assert_eq!(hidden.1, [(Outcome::Deny, Some(Code::PolicyDenied), closed)]);
        assert_eq!(absent.1, [(Outcome::Deny, Some(Code::OperationUnknown), Vec::new())]);
    }
}

#[test]
fn a_hidden_call_takes_as_long_as_one_to_nothing() {
    let world = world();
    let mut times: [Vec<Duration>; 2] = Default::default();
    // By turns, so that whatever else this machine does meets both alike.
    for turn in 0..200 {
        let (hidden, absent) = HIDDEN_AND_ABSENT[turn % HIDDEN_AND_ABSENT.len()];
        for (name, times) in [hidden, absent].into_iter().zip(&mut times) {
            let arguments = json!({ "operation": name, "arguments-json": "{\"left\":1,\"right\":1}" });
            times.push(world.call("acme:passes-tools.tools-call", arguments).elapsed);
        }
    }
    let [hidden, absent] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    assert!(hidden < absent * 3 && absent < hidden * 3, "{hidden:?} and {absent:?}");
}

#[test]
fn keys_are_those_of_one_plugin_of_one_publisher() {
    const OWN: &str = "passes_log_config_kv";
    let own = |guest: Guest| {
        guest.asks("log", json!({})).asks("kv", json!({})).asks("config", json!({ "keys": ["a.key"] }))
    };
    let world = World::of(own(of("acme", OWN)).settings(&[("a.key", "acme's")]));
    world.load(own(of("evil", OWN)).settings(&[]));
    let call = |publisher: &str, function: &str, arguments| {
        world.call(&format!("{publisher}:passes-log-config-kv.{function}"), arguments).said()
    };
    for key in ["k", "k/1", "acme", "acme:passes-log-config-kv", "\u{0}"] {
        assert_eq!(call("acme", "kv-set", json!({ "key": key, "value": [1] })), r#"{"ok":null}"#);
    }
    let list = |publisher: &str| {
        call(publisher, "kv-list-keys", json!({ "prefix": "", "cursor": null, "limit": 10 }))
    };
    assert_eq!(
        list("acme"),
        r#"{"ok":{"cursor":null,"keys":["\u0000","acme","acme:passes-log-config-kv","k","k/1"]}}"#
    );
    assert_eq!(list("evil"), r#"{"ok":{"cursor":null,"keys":[]}}"#);
    for key in
        ["k", "acme", "acme:passes-log-config-kv", "acme:passes-log-config-kv/k", "../acme/k", "absent"]
    {
        assert_eq!(call("evil", "kv-get", json!({ "key": key })), r#"{"ok":null}"#, "{key}");
        assert_eq!(call("evil", "kv-delete", json!({ "key": key })), r#"{"ok":false}"#, "{key}");
    }
    assert_eq!(call("acme", "kv-get", json!({ "key": "k" })), r#"{"ok":"AQ=="}"#);
    // Settings are those that the operator chose for exactly this plugin.
    assert_eq!(call("acme", "config-get", json!({ "key": "a.key" })), r#"{"ok":"acme's"}"#);
    assert_eq!(call("evil", "config-get", json!({ "key": "a.key" })), r#"{"ok":null}"#);
}
