//! The host's capabilities, each through a guest that hands its functions on.

use serde_json::json;

use loong_manifest::Tier;
use loong_runtime::Channel;

use crate::hostile::harness::{Guest, World, guest};

const OWN: &str = "passes_log_config_kv";

fn own(guest: Guest) -> Guest {
    guest.asks("log", json!({})).asks("kv", json!({})).asks("config", json!({ "keys": ["a.key", "b.key"] }))
}

#[test]
fn log_reaches_whoever_watches() {
    let world = World::of(own(guest(OWN).official()));
    for (level, message) in [("info", "hello"), ("error", "oh\u{1b}[31m")] {
        let arguments = json!({ "level": level, "message": message });
        assert_eq!(world.call("core:passes-log-config-kv.log-write", arguments).said(), "null");
    }
    let texts = world.heard.texts.lock().unwrap();
    let id = "core:passes-log-config-kv".to_owned();
    // Escaping is for whoever shows it: these are the bytes of the guest.
    let expected = [
        (id.clone(), Channel::Log("info"), b"hello".to_vec()),
        (id, Channel::Log("error"), b"oh\x1b[31m".to_vec()),
    ];
    assert_eq!(*texts, expected);
}

#[test]
fn config_gives_the_keys_that_the_manifest_names() {
    let world = World::of(own(guest(OWN).official()).settings(&[("a.key", "value"), ("other", "secret")]));
    let get = |key: &str| world.call("core:passes-log-config-kv.config-get", json!({ "key": key })).said();
    assert_eq!(get("a.key"), r#"{"ok":"value"}"#);
    assert_eq!(get("b.key"), r#"{"ok":null}"#);
    assert!(get("other").starts_with(r#"{"err":{"denied":"#), "{}", get("other"));
    assert!(get("").starts_with(r#"{"err":{"denied":"#), "{}", get(""));
}

#[test]
fn kv_outlives_the_call_and_belongs_to_one_plugin() {
    let world = World::of(own(guest(OWN).official()));
    // The same component twice more: of another publisher, and with the first one's name but nobody to vouch for it.
    world.load(own(guest(OWN).signed(Tier::VerifiedCommunity)));
    world.load(own(guest(OWN).claims("local")));
    let call = |publisher: &str, function: &str, arguments| {
        world.call(&format!("{publisher}:passes-log-config-kv.kv-{function}"), arguments).said()
    };
    let get = |publisher: &str| call(publisher, "get", json!({ "key": "k" }));
    assert_eq!(get("core"), r#"{"ok":null}"#);
    for (publisher, byte) in [("core", 1), ("acme", 2), ("local", 3)] {
        assert_eq!(call(publisher, "set", json!({ "key": "k", "value": [byte] })), r#"{"ok":null}"#);
    }
    assert_eq!(
        (get("core"), get("acme"), get("local")),
        (r#"{"ok":"AQ=="}"#.into(), r#"{"ok":"Ag=="}"#.into(), r#"{"ok":"Aw=="}"#.into())
    );
    assert_eq!(call("acme", "delete", json!({ "key": "k" })), r#"{"ok":true}"#);
    assert_eq!(call("acme", "delete", json!({ "key": "k" })), r#"{"ok":false}"#);
    assert_eq!(get("core"), r#"{"ok":"AQ=="}"#);

    for key in ["p/1", "p/2", "p/3", "q"] {
        call("core", "set", json!({ "key": key, "value": [] }));
    }
    let list = |cursor: Option<&str>| {
        call("core", "list-keys", json!({ "prefix": "p/", "cursor": cursor, "limit": 2 }))
    };
    assert_eq!(list(None), r#"{"ok":{"cursor":"p/2","keys":["p/1","p/2"]}}"#);
    assert_eq!(list(Some("p/2")), r#"{"ok":{"cursor":null,"keys":["p/3"]}}"#);
}

#[test]
fn stream_reaches_whoever_watches() {
    let world = World::of(guest("passes_stream").official().asks("stream", json!({})));
    let emit = |delta: &str| world.call("core:passes-stream.stream-emit", json!({ "delta": delta })).said();
    assert_eq!((emit("one "), emit("two")), (r#"{"ok":null}"#.into(), r#"{"ok":null}"#.into()));
    assert_eq!(world.heard.on(Channel::Stream), "one two");
}

#[test]
fn process_runs_what_was_granted() {
    let world = World::of(guest("passes_process").official().asks("process", json!({ "commands": [
        { "command": "cat" }, { "command": "false" }, { "command": "no-such-program" },
        { "command": "sh", "arguments": ["-c", "kill -9 $$"] }, { "command": "sh", "arguments": ["-c", "echo out; echo err >&2; exit 3"] }
    ] })));
    let run = |command: &str, arguments: &[&str], stdin: Option<&str>| {
        let request = json!({
            "command": command, "arguments": arguments, "folder": null, "stdin": stdin.map(str::as_bytes),
            "output-bytes-max": null, "deadline-ms": null,
        });
        world.call("core:passes-process.process-run", json!({ "request": request })).said()
    };
    let output = |status: &str, stdout: &str, stderr: &str| {
        format!(
            r#"{{"ok":{{"status":{status},"stderr":"{stderr}","stderr-truncated":false,"stdout":"{stdout}","stdout-truncated":false}}}}"#
        )
    };
    assert_eq!(run("cat", &[], Some("hello")), output(r#"{"exited":0}"#, "aGVsbG8=", ""));
    assert_eq!(run("cat", &[], None), output(r#"{"exited":0}"#, "", ""));
    assert_eq!(run("false", &[], Some("not read")), output(r#"{"exited":1}"#, "", ""));
    assert_eq!(run("sh", &["-c", "kill -9 $$"], None), output(r#"{"signalled":9}"#, "", ""));
    assert_eq!(
        run("sh", &["-c", "echo out; echo err >&2; exit 3"], None),
        output(r#"{"exited":3}"#, "b3V0Cg==", "ZXJyCg==")
    );
    assert_eq!(run("no-such-program", &[], None), r#"{"err":{"not-found":"no-such-program"}}"#);
}
