//! Guests that abuse what the host does for them.

use serde_json::json;

use loong_manifest::{Access, Tier};
use loong_runtime::Channel;

use super::harness::{World, check, check_command, guest};

#[test]
fn blocking_host_call() {
    let expected = "deadline: the call did not end within 300 ms";
    let world = World::of(guest("blocking_host_call").official().limit("deadline_ms", 300));
    check(&world, "core:blocking-host-call", "go", json!({}), expected);
    drop(world);
    let world = World::of(guest("blocking_host_call").claims("core").limit("deadline_ms", 300));
    check(&world, "core:blocking-host-call", "go", json!({}), expected);
}

#[test]
fn random_bomb() {
    let world = World::of(guest("random_bomb"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 65536 random_bytes";
    check(&world, "unsigned:random-bomb", "go", json!({}), expected);
}

#[test]
fn log_flood() {
    // 65 lines of 1 KiB are more than the 64 KiB of its tier.
    let world = World::of(guest("log_flood").claims("local").asks("log", json!({})));
    let expected = "limit_exceeded: the plugin exceeded its limit of 65536 log_bytes, 66560 asked";
    check(&world, "local:log-flood", "go", json!({}), expected);
    assert_eq!(world.heard.on(Channel::Log("info")).len() % (64 << 10), 0);
    drop(world);
    let world = World::of(guest("log_flood").signed(Tier::Official).asks("log", json!({})));
    let expected = "limit_exceeded: the plugin exceeded its limit of 1048576 log_bytes, 1049600 asked";
    check(&world, "core:log-flood", "go", json!({}), expected);
}

#[test]
fn stdout_flood() {
    let world = World::of(guest("stdout_flood"));
    let expected = "limit_exceeded: the plugin exceeded its limit of 1048576 output_bytes, 1049600 asked";
    check_command(&world, "unsigned:stdout-flood", &[], expected);
    let recorded = world.calls_of("unsigned:stdout-flood");
    assert!(recorded[0].ended[0].1.output_bytes > 1 << 20, "{recorded:?}");
}

#[test]
fn kv_overflow() {
    let world = World::of(
        guest("passes_log_config_kv")
            .claims("local")
            .asks("kv", json!({}))
            .asks("log", json!({}))
            .asks("config", json!({ "keys": ["a"] })),
    );
    let call = |function: &str, arguments| {
        world.call(&format!("local:passes-log-config-kv.{function}"), arguments).said()
    };
    let limit = |name: &str, maximum: u64, used: u64| {
        format!(r#"{{"err":{{"limit":{{"maximum":{maximum},"name":"{name}","used":{used}}}}}}}"#)
    };
    // A value that is too long, a space that is full, a key that is too long: errors that the guest sees.
    let large = vec![0u8; 256 << 10];
    let set = |key: &str, value: &[u8]| call("kv-set", json!({ "key": key, "value": value }));
    assert_eq!(set("k", &[&large[..], &[0]].concat()), limit("kv-value-bytes-max", 262_144, 262_145));
    for key in ["a", "b", "c"] {
        assert_eq!(set(key, &large), r#"{"ok":null}"#);
    }
    assert_eq!(set("d", &large), limit("kv-bytes-max", 1 << 20, (1 << 20) + 4));
    assert_eq!(set(&"x".repeat(513), &[1]), limit("kv-key-bytes-max", 512, 513));
    assert_eq!(set("", &[1]), r#"{"err":{"invalid":{"field":"key","reason":"is empty"}}}"#);
    // What is there is still there, and room that is given back can be used again.
    assert_eq!(call("kv-delete", json!({ "key": "a" })), r#"{"ok":true}"#);
    assert_eq!(set("d", &large), r#"{"ok":null}"#);
}

#[test]
fn stream_flood() {
    let world = World::of(guest("passes_stream").official().asks("stream", json!({})));
    let emit = |bytes: usize| {
        world.call("core:passes-stream.stream-emit", json!({ "delta": "x".repeat(bytes) })).said()
    };
    assert_eq!(emit(16 << 20), r#"{"ok":null}"#);
    assert_eq!(
        emit((16 << 20) + 1),
        r#"{"err":{"limit":{"maximum":16777216,"name":"stream-bytes","used":16777217}}}"#
    );
    assert_eq!(world.heard.on(Channel::Stream).len(), 16 << 20);
}

#[test]
fn a_file_that_never_ends_to_open_does_not_hold_the_call() {
    // A pipe in the workspace that nobody writes to: opening or reading it would wait for ever.
    let world = World::new();
    let workspace = world.folder.path().join("workspace");
    std::fs::create_dir(&workspace).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(workspace.join("pipe")).status().unwrap().success());
    world.load(
        guest("reads_a_file")
            .official()
            .asks("filesystem", json!({ "folders": [{ "name": "workspace", "access": "read" }] }))
            .folder("workspace", &workspace, Access::Read)
            .limit("deadline_ms", 300),
    );
    let (ended, answers, longest) =
        world.beside(|| world.command("core:reads-a-file.run", &["/workspace/pipe"], ""));
    assert_eq!(ended.said(), "deadline: the call did not end within 300 ms");
    assert!(answers > 15, "{answers} answers, the slowest {longest:?}");
    assert!(ended.elapsed.as_millis() <= 400, "{:?}", ended.elapsed);
    // So that whatever still waits for it can end.
    std::fs::OpenOptions::new().read(true).write(true).open(workspace.join("pipe")).unwrap();
}
